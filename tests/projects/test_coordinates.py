"""Coordinates of a generated project's results: compared with what DVC, Git and the files themselves say.

Those of other repositories are in tests/unit/test_coordinates_with_dvc.py.
"""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support import run

from locatable.repository.reader import Reader
from locatable.results.coordinates import Coordinates, coordinates_of
from locatable.results.outputs import read_outputs
from locatable.results.values import read_metrics


@pytest.fixture(scope="module")
def head(rebuilt: Path) -> str:
    """The commit of the results."""
    return subprocess.check_output(("git", "rev-parse", "HEAD"), cwd=rebuilt, text=True).strip()


@pytest.fixture(scope="module")
def found(rebuilt: Path) -> Coordinates:
    """The coordinates of the results."""
    with Reader(rebuilt) as reader:
        return coordinates_of(next(iter(reader.snapshots(["HEAD"]))))


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def flat(values: dict[str, Any]) -> dict[str, Any]:
    """Values by dotted key."""
    found = {}
    for key, value in values.items():
        below = flat(value) if isinstance(value, dict) else None
        found |= {key: value} if below is None else {f"{key}.{inner}": leaf for inner, leaf in below.items()}
    return found


def test_a_new_project_has_no_experiments(rebuilt: Path) -> None:
    with Reader(rebuilt) as reader:
        assert reader.experiments() == []


def test_data_is_the_table(rebuilt: Path, found: Coordinates) -> None:
    assert found.data.content == {"data/raw.csv": md5(rebuilt / "data/raw.csv")}


def test_code_is_every_module_that_stages_import(rebuilt: Path, found: Coordinates) -> None:
    files = dict(found.code.content["files"])
    assert files.pop("tumour_classifier/params").endswith(".dir")
    assert {"tumour_classifier/models.py", "scripts/environment.py"} < files.keys()
    assert all(path.endswith(".py") and md5(rebuilt / path) == recorded for path, recorded in files.items())


def test_code_names_the_commit(head: str, found: Coordinates) -> None:
    assert found.code.content["commit"] == head


def test_params_are_those_that_dvc_shows(rebuilt: Path, env: dict[str, str], found: Coordinates) -> None:
    ask = "import dvc.api, json; print(json.dumps(dvc.api.params_show()))"
    shown = run("python", "-c", ask, cwd=rebuilt, env=env).stdout
    assert found.params.content == flat(json.loads(shown))


def test_the_environment_is_the_lock_and_the_record(rebuilt: Path, found: Coordinates) -> None:
    files = {name: md5(rebuilt / name) for name in ("environment.json", "requirements.lock")}
    record = json.loads((rebuilt / "environment.json").read_text())
    assert found.environment.content == {"files": files, "record": record}


def test_execution_is_every_stage_with_its_command_and_outputs(rebuilt: Path, found: Coordinates) -> None:
    stages = found.execution.content["stages"]
    assert stages.keys() == {"environment", "prepare", "train", "evaluate"}
    assert stages["train"]["cmd"] == "python -m tumour_classifier.train"
    assert stages["train"]["outs"]["models/model.joblib"] == md5(rebuilt / "models/model.joblib")


def test_metrics_are_those_that_the_stage_wrote(rebuilt: Path) -> None:
    path = "reports/evaluate/metrics.json"
    with Reader(rebuilt) as reader:
        contents = read_outputs(next(iter(reader.snapshots(["HEAD"])))).contents
    written = json.loads((rebuilt / path).read_text())
    expected = {}
    for section, scores in written.items():
        expected |= {f"{section}.{key}": value for key, value in scores.items()}
    assert read_metrics(path, contents[path]) == expected
