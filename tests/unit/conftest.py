"""What tests of the package share."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from locatable.cli import main
from locatable.repository.reader import Reader

# Some tests ask a fresh interpreter what it imports; it, too, is to find the sources.
os.environ["PYTHONPATH"] = str(Path(__file__).parents[2] / "src")
# Whoever runs these tests may use MLflow.
for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"):
    os.environ.pop(name, None)


@pytest.fixture
def reader(project: Path) -> Iterator[Reader]:
    """A reader of the module's own project."""
    with Reader(project) as reader:
        yield reader


@pytest.fixture
def diff(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Run `diff`, and return what it prints as JSON."""

    def run(*words: str) -> dict[str, Any]:
        assert main(["diff", *words, "--json"]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return run


@pytest.fixture(scope="session")
def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid
