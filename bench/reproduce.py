"""Compare the time of a proof with that of the stages alone: `python bench/reproduce.py`.

It generates the example, runs its stages with `dvc repro --force`, and reproduces HEAD, an experiment, and an
older commit with different data, each in a fresh environment. A proof should take at most 1.5 times as long
as the stages, plus the time for its environment. The benchmark takes about six minutes.
"""

import argparse
import json
import os
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).parents[1]


def timed(project: Path, env: dict[str, str], *command: str) -> tuple[float, str]:
    """Run a command; return its seconds and what it printed."""
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=project, env=env, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return time.perf_counter() - begun, done.stdout


def prepare(folder: Path) -> tuple[Path, dict[str, str], dict[str, str]]:
    """Create the example with two commits, whose data differs, and an experiment.

    Returns:
        Its folder, the environment variables for commands, and the revisions to reproduce by their titles.
    """
    for part in ("AUTHOR", "COMMITTER"):
        os.environ |= {f"GIT_{part}_NAME": "Ada", f"GIT_{part}_EMAIL": "ada@example.org"}
    project = Path(cookiecutter(str(TEMPLATE), no_input=True, output_dir=str(folder)))
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "DVC"))}
    env["PATH"] = f"{project / '.venv/bin'}{os.pathsep}{env['PATH']}"
    timed(project, env, "make", "setup")
    for message in ("Results", "Fewer rows"):
        timed(project, env, "dvc", "repro")
        timed(project, env, "git", "add", "--all")
        timed(project, env, "git", "commit", "--quiet", "--all", "-m", message)
        if message == "Results":
            table = project / "data/raw.csv"
            table.write_text("".join(table.read_text().splitlines(keepends=True)[:500]))
            timed(project, env, "dvc", "add", "data/raw.csv")
    timed(project, env, "dvc", "exp", "run", "--name", "trial", "-S", "train.logistic.alpha=0.01")
    timed(project, env, "git", "checkout", "--force", ".")
    timed(project, env, "dvc", "checkout")
    return project, env, {"HEAD": "HEAD", "an experiment": "trial", "older, with other data": "HEAD~1"}


def main() -> None:
    """Measure, and print a table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with TemporaryDirectory() as folder:
        project, env, revisions = prepare(Path(folder))
        print(f"{'revision':24}{'stages s':>9}{'proof s':>9}{'environment s':>15}{'ratio':>7}  verdict")
        stages = timed(project, env, "dvc", "repro", "--force")[0]
        for title, rev in revisions.items():
            before = stages
            proof, printed = timed(project, env, "locatable", "reproduce", rev, "--json")
            stages = timed(project, env, "dvc", "repro", "--force")[0]
            report = json.loads(printed)
            built = report["seconds"]["environment"]
            # Run the stages before and after, because the load of the machine changes.
            alone = (before + stages) / 2
            verdict = " and ".join(sorted({row["verdict"] for row in report["outputs"]}))
            ratio = (proof - built) / alone
            print(f"{title:24}{alone:9.1f}{proof:9.1f}{built:15.1f}{ratio:7.2f}  {verdict}", flush=True)


if __name__ == "__main__":
    main()
