"""What grows with the number of experiments: `python -m bench.scale PROJECT [NUMBER ...]`.

PROJECT is a generated and rebuilt project, which stays as it is; run this with its environment. For each
number (1,000, 10,000 and 50,000 by default) it makes a repository with so many synthetic experiments and
prints what commands cost there: seconds of processor time, which a busy machine changes little. Mirroring is
measured up to 10,000.
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

# Experiments that are imported together: all of them would not fit into memory.
TOGETHER = 5000
NUMBERS = (1_000, 10_000, 50_000)
MIRRORED = 10_000  # as far as mirroring is measured: it takes minutes
# The peak memory of a child in MB: getrusage counts the process that started it, too.
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
    asked = parser.parse_args()
    for number in asked.numbers:
        with tempfile.TemporaryDirectory() as folder:
            project = Path(shutil.copytree(asked.project.resolve(), Path(folder) / "project", symlinks=True))
            print(f"== {number} experiments")
            for done in range(0, number, TOGETHER):
                synthetic.add(project, min(TOGETHER, number - done), "try", start=done)
            repository(project)
            tools(project, mirrored=number <= MIRRORED)
    sampler()


def repository(project: Path) -> None:
    """Git, as a server or a colleague meets so many refs: loose, then packed."""
    for kind in ("loose", "packed"):
        if kind == "packed":
            row("git pack-refs --all", timed("git", "pack-refs", "--all", cwd=project))
        row(f"git for-each-ref, {kind}", timed("git", "for-each-ref", "refs/exps", cwd=project))
        clone = project.parent / f"clone-{kind}"
        git(project.parent, "clone", "--quiet", "--no-checkout", str(project), str(clone))
        (ref,) = git(project, "for-each-ref", "--count=1", "--format=%(refname)", "refs/exps").split()
        row(f"git fetch of one ref, {kind}", timed("git", "fetch", "origin", f"{ref}:{ref}", cwd=clone))
        mine = f"{ref.rpartition('/')[0]}/{kind}"
        row(f"git push of one ref, {kind}", timed("git", "push", "origin", f"{ref}:{mine}", cwd=clone))
        row(f".git, {kind}: MB", disk(project / ".git"))


def tools(project: Path, mirrored: bool) -> None:
    """What a user types, in processes of their own."""
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
    """Ask and tell of one trial, in SQLite, after so many others."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    print("== Optuna: TPESampler, three params, SQLite")
    for number in (100, 1_000, 10_000):
        with tempfile.TemporaryDirectory() as folder:
            first, *later = asked_and_told(f"sqlite:///{folder}/optuna.db", number)
            row(f"the first ask and tell after {number} trials", first)
            row(f"each later one after {number} trials", sum(later) / len(later))


def asked_and_told(storage: str, number: int) -> list[float]:
    """Seconds of some trials after so many others; the first of them reads the others."""
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
    """Seconds and peak memory in MB of a Python program that ends well."""
    start = processor()
    said = subprocess.run(
        (sys.executable, "-c", f"{code}; {PEAK}"), cwd=project, check=True, capture_output=True, text=True
    ).stdout
    return processor() - start, float(said.split()[-1])


def timed(*command: str, cwd: Path) -> float:
    return seconds_of(lambda: subprocess.run(command, cwd=cwd, check=True, capture_output=True))


def seconds_of(task: Callable[[], object]) -> float:
    start = processor()
    task()
    return processor() - start


def processor() -> float:
    """Seconds of processor time that this process and its children, as far as they have ended, have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def git(folder: Path, *command: str) -> str:
    return subprocess.run(("git", *command), cwd=folder, check=True, capture_output=True, text=True).stdout


def disk(folder: Path) -> float:
    """MB that a folder takes on the disk, in whole blocks."""
    return int(subprocess.check_output(("du", "-sk", str(folder)), text=True).split()[0]) / 1000


def row(what: str, value: float) -> None:
    print(f"{what:44}{value:10.2f}", flush=True)


if __name__ == "__main__":
    main()
