"""What only DVC's own parsers can read."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_git import commit

from locatable.dvc.structure import has_templates, python_params, resolve_pipeline
from locatable.errors import UnreadableError


def resolved(top: Path, text: str, files: dict[str, str], folder: str = "") -> dict[str, Any]:
    """A dvc.yaml of a revision with these files, resolved."""
    prefix = f"{folder}/" if folder else ""
    rev = commit(top, {f"{prefix}{path}": content for path, content in files.items()})
    return resolve_pipeline(yaml.safe_load(text), top, rev, folder)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stages: {a: {cmd: x}}", False),
        ("stages: {a: {cmd: '${x}'}}", True),
        ("metrics: ['${x}.json']", True),
        ("stages: {a: {foreach: [1], do: {cmd: x}}}", True),
        ("stages: {a: {matrix: {n: [1]}, cmd: x}}", True),
        ("stages: {matrix: {cmd: x, outs: [foreach]}}", False),
        ("stages: {a: }", False),
        ("stages: [1]", False),
        ("stages:", False),
        ("{}", False),
    ],
)
def test_templates_are_told_from_plain_pipelines(text: str, expected: bool) -> None:
    assert has_templates(text.encode(), yaml.safe_load(text)) is expected


def test_values_come_from_the_params_of_the_revision(tmp_path: Path) -> None:
    found = resolved(tmp_path, "stages: {a: {cmd: 'run ${x}'}}", {"params.yaml": "x: 5\n"})
    assert found["stages"] == {"a": {"cmd": "run 5"}}


def test_values_are_those_of_the_revision_and_not_of_the_workspace(tmp_path: Path) -> None:
    rev = commit(tmp_path, {"params.yaml": "x: 5\n"})
    (tmp_path / "params.yaml").write_text("x: 6\n")
    found = resolve_pipeline({"stages": {"a": {"cmd": "run ${x}"}}}, tmp_path, rev, "")
    assert found["stages"]["a"]["cmd"] == "run 5"


def test_values_come_from_files_beside_the_pipeline(tmp_path: Path) -> None:
    text = "vars: [more.yaml, {y: 7}]\nstages: {a: {cmd: 'run ${x} ${y}'}}"
    found = resolved(tmp_path, text, {"more.yaml": "x: 5\n"}, folder="ml/sub")
    assert found["stages"]["a"]["cmd"] == "run 5 7"


def test_foreach_makes_a_stage_for_each_item(tmp_path: Path) -> None:
    found = resolved(tmp_path, "stages: {a: {foreach: [x, y], do: {cmd: 'run ${item}'}}}", {})
    assert found["stages"] == {"a@x": {"cmd": "run x"}, "a@y": {"cmd": "run y"}}


def test_matrix_makes_a_stage_for_each_combination(tmp_path: Path) -> None:
    found = resolved(tmp_path, "stages: {a: {matrix: {n: [1, 2], m: [x]}, cmd: 'run ${item.n}'}}", {})
    assert found["stages"].keys() == {"a@1-x", "a@2-x"}


@pytest.mark.parametrize("section", ["metrics", "params", "plots"])
def test_lists_at_the_top_are_resolved(tmp_path: Path, section: str) -> None:
    found = resolved(tmp_path, f"{section}: ['${{x}}.json']", {"params.yaml": "x: a\n"})
    assert found[section] == ["a.json"]


def test_artifacts_are_resolved(tmp_path: Path) -> None:
    found = resolved(tmp_path, "artifacts: {model: {path: '${x}.bin'}}", {"params.yaml": "x: a\n"})
    assert found["artifacts"] == {"model": {"path": "a.bin"}}


def test_other_sections_stay(tmp_path: Path) -> None:
    assert resolved(tmp_path, "vars: [{x: 1}]\nmetrics: ['${x}']", {})["vars"] == [{"x": 1}]


def test_what_dvc_refuses_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="Could not find 'x'") as refusal:
        resolved(tmp_path, "stages: {a: {cmd: 'run ${x}'}}", {})
    assert "\n" not in refusal.value.message


def test_params_in_python_are_what_dvc_reads() -> None:
    assert python_params("a.py", b"LR = 0.1\nclass Net:\n    width = 5\n") == {"LR": 0.1, "Net": {"width": 5}}


def test_broken_python_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"a\.py"):
        python_params("a.py", b"LR = \n")
