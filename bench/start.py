"""Measure the time from a new project to its first metrics, with a warm cache of uv: `python -m bench.start`.

Run it with the environment of the template. All files are in a temporary folder.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import yaml

TEMPLATE = Path(__file__).parents[1]
LOCKS = ("requirements.lock", "tools.lock")


def main() -> None:
    """Measure, and print one line for each result."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        env = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
        project = folder / "tumour-classifier"
        # Fill uv's cache first, so that no download is measured.
        install(generate(folder / "before"), folder / "warm")

        generating = timed(lambda: generate(folder))
        setting_up = timed(lambda: run("make", "setup", cwd=project, env=env))
        env["PATH"] = f"{project / '.venv/bin'}{os.pathsep}{env['PATH']}"
        building = timed(lambda: run("dvc", "repro", cwd=project, env=env))
        assert (project / "reports/evaluate/metrics.json").exists()
        total = generating + setting_up + building

        bare = timed(lambda: install(project, folder / "bare"))
        stages = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]
        for stage in stages.values():
            commands = stage["cmd"] if isinstance(stage["cmd"], list) else [stage["cmd"]]
            for line in commands:
                bare += timed(partial(run, "sh", "-c", line, cwd=project, env=env))
        print(f"from cookiecutter to first metrics {total:.0f} s (at most 30)")
        print(f"  generating {generating:.1f} s, make setup {setting_up:.1f} s, dvc repro {building:.1f} s")
        print(f"  without the template {bare:.0f} s: uv alone, and the commands of the stages alone")


def generate(folder: Path) -> Path:
    """Generate a project with the default answers, and return its folder."""
    run("cookiecutter", "--no-input", "--default-config", "--output-dir", folder, TEMPLATE, cwd=TEMPLATE)
    return folder / "tumour-classifier"


def install(project: Path, venv: Path) -> None:
    """Install the same packages with uv alone."""
    run("uv", "venv", "--quiet", "--python", sys.executable, venv, cwd=project)
    run("uv", "pip", "sync", "--quiet", "--python", venv, "--require-hashes", *LOCKS, cwd=project)


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> None:
    """Run a command, and fail if it fails."""
    subprocess.run(command, cwd=cwd, env=env, check=True, capture_output=True)


def timed(task: Callable[[], object]) -> float:
    """Return the seconds that a task takes."""
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
