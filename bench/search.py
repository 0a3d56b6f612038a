"""Measure the overhead of a search over its stages: `python -m bench.search PROJECT [FOLDER]`.

PROJECT is a generated project whose environment is active. All files are in FOLDER, or in a temporary folder.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/projects"))
from searching import make, trials

TRIALS, OLD, WORKERS = 12, 1000, (1, 2, 4, 8)
RANDOM = {"sampler": {"name": "RandomSampler", "seed": 1}}


def main() -> None:
    """Create the small repository of the tests, search in it, and print the results."""
    project = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[2] if len(sys.argv) > 2 else temporary)
        env = {**os.environ, "RUNS": os.devnull}
        repo = make(folder / "overhead", project, env, RANDOM)
        own = statistics.median(_seconds("python", "train.py", cwd=repo, env=env) for _ in range(7))
        subprocess.run(("git", "checkout", "--quiet", "."), cwd=repo, check=True)

        kept = _bytes(repo)
        first = a_trial(repo, env, "small", TRIALS) - own
        kept = (_bytes(repo) - kept) / TRIALS
        temp = [
            _seconds(
                "dvc", "exp", "run", "--quiet", "--temp", "-S", f"train.x={2 + number}", cwd=repo, env=env
            )
            - own
            for number in range(5)
        ]
        print(f"bookkeeping of a trial            {first:.2f} s (at most 0.5)")
        print(f"  of `dvc exp run --temp`         {first / statistics.median(temp):.2f} (at most 0.4)")
        print(f"disk, outputs and Git objects     {kept / 1024:.0f} KiB a trial")

        _add_experiments(repo, OLD)
        later = a_trial(repo, env, "small", 2 * TRIALS, after=TRIALS) - own
        grown = (later + own) / (first + own)
        print(f"with {OLD} experiments more       {grown:.2f} times as long (at most 1.2)")

        burning = make(folder / "workers", project, env, RANDOM, burn=2.0)
        alone, together = between(burning, env, "one", 1), between(burning, env, "two", 2)
        print(f"two workers, CPU-bound stages     {alone / together:.2f} times as fast (at least 1.7)")

        # Stages that wait for a GPU or a service need no CPU. So this shows how many workers a search feeds.
        waiting = make(folder / "waiting", project, env, RANDOM, seconds=4.0)
        for workers in WORKERS:
            a_second = 1 / between(waiting, env, f"workers-{workers}", workers)
            print(f"{workers} workers, stages that wait 4 s    {a_second:.2f} trials a second")


def _seconds(*command: str, cwd: Path, env: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=cwd, env=env, check=True, capture_output=True)
    return time.perf_counter() - start


def a_trial(repo: Path, env: dict[str, str], study: str, number: int, *options: str, after: int = 0) -> float:
    """Return the median seconds of a trial, without the first trial, which is slower."""
    command = ("-m", "locatable", "search", "--study", study, "--trials", str(number), *options)
    _seconds(sys.executable, *command, cwd=repo, env=env)
    return statistics.median(trial.duration.total_seconds() for trial in trials(repo, study)[after + 1 :])


def between(repo: Path, env: dict[str, str], study: str, workers: int, *options: str) -> float:
    """Return the seconds from the end of one trial to the end of the next, when all workers are ready."""
    number = ("--trials", str(2 * workers + 8), "--workers", str(workers))
    _seconds(
        sys.executable, "-m", "locatable", "search", "--study", study, *number, *options, cwd=repo, env=env
    )
    # Leave out the first trial of each worker, which is slower.
    done = sorted(trial.datetime_complete for trial in trials(repo, study))[workers - 1 :]
    return (done[-1] - done[0]).total_seconds() / (len(done) - 1)


def _bytes(repo: Path) -> int:
    files = (path for place in (".git", ".dvc/cache") for path in (repo / place).rglob("*"))
    return sum(path.stat().st_size for path in files if path.is_file())


def _add_experiments(repo: Path, number: int) -> None:
    """Add experiments to the baseline that differ in their params."""
    head = subprocess.run(
        ("git", "rev-parse", "HEAD"), cwd=repo, text=True, capture_output=True, check=True
    ).stdout.strip()
    script = "".join(
        f"commit refs/exps/{head[:2]}/{head[2:]}/old-{place}\n"
        f"committer Ada <ada@example.org> {1_700_000_000 + place} +0000\ndata 3\nold\n"
        f"from {head}\nM 100644 inline params.yaml\ndata {len(text)}\n{text}\n"
        for place in range(number)
        if (text := f"train: {{x: {place}}}\n")
    )
    subprocess.run(("git", "fast-import", "--quiet"), cwd=repo, input=script, text=True, check=True)


if __name__ == "__main__":
    main()
