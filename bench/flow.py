"""Measure how much time parallel stages save in `locatable flow`: `python -m bench.flow`.

It creates a project with independent stages, and rebuilds a copy of it with each command and an empty cache.
The stages only wait, as for a GPU or a service, so that the number of parallel stages matters and the number
of CPUs does not. All commands have to produce the same `dvc.lock`. The environment needs Prefect.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.figures import git

NAMES = ("a", "b", "c", "d", "e", "f")
# The seconds that each stage waits.
SECONDS = 8
SCRIPT = """
import pathlib, sys, time
name, seconds = sys.argv[1:]
time.sleep(float(seconds))
pathlib.Path(name).write_text(name)
"""
STAGE = """
  {name}:
    cmd: python wait.py {name} {seconds}
    deps: [wait.py]
    outs: [{name}]"""
FLOW = ("-m", "locatable", "flow", "--workers")


def main() -> None:
    """Measure, and print one line for each result."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = make(folder / "made")
        # Prefect should start its own server, without the user's settings.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT")}
        environment["PREFECT_HOME"] = str(folder / "prefect")
        commands = {
            "dvc repro": ("-m", "dvc", "repro"),
            "one worker": (*FLOW, "1"),
            "two workers": (*FLOW, "2"),
        }
        seconds = {}
        locks = {}
        for title, command in commands.items():
            copy = Path(shutil.copytree(made, folder / title))
            seconds[title] = timed(copy, environment, *command)
            locks[title] = entries(copy)
            print(f"{len(NAMES)} stages of {SECONDS} s by {title}: {seconds[title]:.1f} s", flush=True)
        assert len(locks["dvc repro"]["stages"]) == len(NAMES), locks
        assert locks["one worker"] == locks["two workers"] == locks["dvc repro"], locks
        for title in ("one worker", "dvc repro"):
            times = seconds[title] / seconds["two workers"]
            print(f"two workers of a flow, beside {title}: {times:.2f} times as fast, the same dvc.lock")


def make(folder: Path) -> Path:
    """Commit a project whose stages have not run yet."""
    folder.mkdir()
    git(folder, "init", "--quiet")
    subprocess.run((sys.executable, "-m", "dvc", "init", "--quiet"), cwd=folder, check=True)
    stages = [STAGE.format(name=name, seconds=SECONDS) for name in NAMES]
    (folder / "dvc.yaml").write_text("stages:" + "".join(stages) + "\n")
    (folder / "wait.py").write_text(SCRIPT)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Begin")
    return folder


def timed(folder: Path, environment: dict[str, str], *command: str) -> float:
    """Return the seconds of a whole command."""
    start = time.perf_counter()
    subprocess.run((sys.executable, *command), cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def entries(folder: Path) -> dict[str, object]:
    """Return the lock of the experiment that a flow created, or of the workspace if there is none."""
    from ruamel.yaml import YAML

    refs = git(folder, "for-each-ref", "--format=%(objectname)", "refs/exps").decode().split()
    lock = git(folder, "show", f"{refs[0]}:dvc.lock") if refs else (folder / "dvc.lock").read_bytes()
    loaded: dict[str, object] = YAML(typ="safe").load(lock)
    return loaded


if __name__ == "__main__":
    main()
