"""Measure what grows with the number of experiments: `python -m bench.scale PROJECT [NUMBER ...]`.

PROJECT is a generated project with results, which is not changed. Run this with the project's environment.
For each NUMBER (default: 1,000, 10,000 and 50,000), it creates a repository with as many synthetic
experiments, and prints the CPU seconds of commands there, because they depend little on the load of the
machine. Mirroring is measured up to 10,000 experiments.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import optuna

from bench import synthetic

# The number of experiments that are imported at once; all of them would not fit into memory.
TOGETHER = 5000
NUMBERS = (1_000, 10_000, 50_000)
MIRRORED = 10_000  # mirroring is measured up to this number, because it takes minutes
# Prints the peak memory of a child in MB. getrusage would include the process that started it.
PEAK = (
    "status = open('/proc/self/status').read(); print(int(status.partition('VmHWM:')[2].split()[0]) // 1024)"
)
COORDINATES = (
    "from locatable import Reader, coordinates_of; r = Reader('.').__enter__(); "
    "print(sum(1 for s in r.snapshots([e.rev for e in r.experiments()]) if coordinates_of(s)))"
)
MIRROR = "from locatable.cli import main; main(['mirror', '--experiment', 'bench'])"


def main() -> None:
    """Measure, and print a table for each number."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("project", type=Path)
    parser.add_argument("numbers", type=int, nargs="*", default=NUMBERS)
    arguments = parser.parse_args()
    original = arguments.project.resolve()
    for number in arguments.numbers:
        with tempfile.TemporaryDirectory() as folder:
            project = Path(shutil.copytree(original, Path(folder) / "project", symlinks=True))
            print(f"== {number} experiments")
            for done in range(0, number, TOGETHER):
                synthetic.add(project, min(TOGETHER, number - done), "try", start=done)
            repository(project)
            tools(project, mirrored=number <= MIRRORED)
    sampler()


def repository(project: Path) -> None:
    """Measure Git with this many refs, first loose and then packed, as a server or a colleague uses it."""
    for kind in ("loose", "packed"):
        if kind == "packed":
            row("git pack-refs --all", timed("git", "pack-refs", "--all", cwd=project))
        row(f"git for-each-ref, {kind}", timed("git", "for-each-ref", "refs/exps", cwd=project))
        clone = project.parent / f"clone-{kind}"
        git(project.parent, "clone", "--quiet", "--no-checkout", str(project), str(clone))
        (ref,) = git(project, "for-each-ref", "--count=1", "--format=%(refname)", "refs/exps").split()
        row(f"git fetch of one ref, {kind}", timed("git", "fetch", "origin", f"{ref}:{ref}", cwd=clone))
        pushed = f"{ref.rpartition('/')[0]}/{kind}"
        row(f"git push of one ref, {kind}", timed("git", "push", "origin", f"{ref}:{pushed}", cwd=clone))
        row(f".git, {kind}: MB", disk(project / ".git"))


def tools(project: Path, mirrored: bool) -> None:
    """Measure the commands that users type, each in a new process."""
    row("dvc exp list --all-commits", timed("dvc", "exp", "list", "--all-commits", cwd=project))
    seconds, peak = measured(COORDINATES, project)
    row("coordinates of all", seconds)
    row("  memory: MB", peak)
    row("locate FILE", timed("locatable", "locate", "models/model.joblib", cwd=project))
    if mirrored:
        seconds, peak = measured(MIRROR, project)
        row("mirror all", seconds)
        row("  memory: MB", peak)
        row("  mlflow.db: MB", (project / "mlflow.db").stat().st_size / 1e6)
        row("  mlartifacts: MB", disk(project / "mlartifacts"))
        seconds, peak = measured(MIRROR, project)
        row("mirror again, nothing new", seconds)
        row("  memory: MB", peak)


def sampler() -> None:
    """Measure Optuna's `ask` and `tell` of one trial, in SQLite, after many earlier trials."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    print("== Optuna: TPESampler, three params, SQLite")
    for number in (100, 1_000, 10_000):
        with tempfile.TemporaryDirectory() as folder:
            first, *later = asked_and_told(f"sqlite:///{folder}/optuna.db", number)
            row(f"the first ask and tell after {number} trials", first)
            row(f"each later one after {number} trials", sum(later) / len(later))


def asked_and_told(storage: str, number: int) -> list[float]:
    """Return the seconds of six trials after a number of earlier ones; the first one also reads these."""
    study = optuna.create_study(storage=storage)
    space = {key: optuna.distributions.FloatDistribution(0, 1) for key in "abc"}
    study.add_trials(
        optuna.create_trial(
            params={key: place * ord(key) % 997 / 997 for key in space},
            distributions=space,
            value=place * 13 % 997,
        )
        for place in range(number)
    )
    study.sampler = optuna.samplers.TPESampler(seed=1)
    return [seconds_of(lambda: study.tell(study.ask(space), 1.0)) for _ in range(6)]


def measured(code: str, project: Path) -> tuple[float, float]:
    """Return the CPU seconds and the peak memory in MB of Python code."""
    start = processor()
    printed = subprocess.run(
        (sys.executable, "-c", f"{code}; {PEAK}"), cwd=project, check=True, capture_output=True, text=True
    ).stdout
    return processor() - start, float(printed.split()[-1])


def timed(*command: str, cwd: Path) -> float:
    return seconds_of(lambda: subprocess.run(command, cwd=cwd, check=True, capture_output=True))


def seconds_of(task: Callable[[], object]) -> float:
    start = processor()
    task()
    return processor() - start


def processor() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def git(folder: Path, *command: str) -> str:
    return subprocess.run(("git", *command), cwd=folder, check=True, capture_output=True, text=True).stdout


def disk(folder: Path) -> float:
    """Return the MB that a folder takes on the disk."""
    return int(subprocess.check_output(("du", "-sk", str(folder)), text=True).split()[0]) / 1000


def row(what: str, value: float) -> None:
    print(f"{what:44}{value:10.2f}", flush=True)


if __name__ == "__main__":
    main()
