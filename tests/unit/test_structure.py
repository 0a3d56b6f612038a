"""What only DVC's own parsers can read."""

import posixpath
from typing import Any

import pytest
import yaml

from locatable.errors import UnreadableError
from locatable.repository.dvc_files import has_templates
from locatable.repository.dvc_repo import ResolvedPipeline, resolve_pipeline
from locatable.repository.parsing import python_params


def resolve(text: str, files: dict[str, str], folder: str = "") -> ResolvedPipeline:
    """A dvc.yaml beside these files, resolved."""
    contents = {posixpath.join(folder, path): content.encode() for path, content in files.items()}
    return resolve_pipeline(yaml.safe_load(text), folder, contents.get)


def resolved(text: str, files: dict[str, str], folder: str = "") -> dict[str, Any]:
    """What a dvc.yaml beside these files says."""
    return resolve(text, files, folder).definition


def variables(text: str, files: dict[str, str], folder: str = "") -> dict[str, dict[str, Any]]:
    """The values that the templates of a dvc.yaml name."""
    return resolve(text, files, folder).variables


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


RESOLVED: dict[str, tuple[str, dict[str, str], str, Any]] = {
    "values of the params": (
        "stages: {a: {cmd: 'run ${x}'}}",
        {"params.yaml": "x: 5\n"},
        "stages",
        {"a": {"cmd": "run 5"}},
    ),
    "values of files beside the pipeline": (
        "vars: [more.yaml, {y: 7}]\nstages: {a: {cmd: 'run ${x} ${y}'}}",
        {"more.yaml": "x: 5\n"},
        "stages",
        {"a": {"cmd": "run 5 7"}},
    ),
    "a stage for each item": (
        "stages: {a: {foreach: [x, y], do: {cmd: 'run ${item}'}}}",
        {},
        "stages",
        {"a@x": {"cmd": "run x"}, "a@y": {"cmd": "run y"}},
    ),
    "a stage for each combination": (
        "stages: {a: {matrix: {n: [1, 2], m: [x]}, cmd: 'run ${item.n}'}}",
        {},
        "stages",
        {"a@1-x": {"cmd": "run 1"}, "a@2-x": {"cmd": "run 2"}},
    ),
    "metrics": ("metrics: ['${x}.json']", {"params.yaml": "x: a\n"}, "metrics", ["a.json"]),
    "params": ("params: ['${x}.json']", {"params.yaml": "x: a\n"}, "params", ["a.json"]),
    "plots": ("plots: ['${x}.json']", {"params.yaml": "x: a\n"}, "plots", ["a.json"]),
    "artifacts": (
        "artifacts: {model: {path: '${x}.bin'}}",
        {"params.yaml": "x: a\n"},
        "artifacts",
        {"model": {"path": "a.bin"}},
    ),
    "other sections stay": ("vars: [{x: 1}]\nmetrics: ['${x}']", {}, "vars", [{"x": 1}]),
}


@pytest.mark.parametrize("what", RESOLVED)
def test_templates_are_resolved(what: str) -> None:
    text, files, section, expected = RESOLVED[what]
    assert resolved(text, files, folder="ml/sub")[section] == expected


@pytest.mark.parametrize(
    ("text", "used"),
    [
        ("stages: {a: {cmd: 'run ${x} ${deep.y}'}}", {"x": 5, "deep.y": 1}),
        ("stages: {a: {cmd: 'run ${deep}'}}", {"deep.y": 1, "deep.z": 2}),
        ("stages: {a: {foreach: '${list}', do: {cmd: 'run ${item}'}}}", {"list": ["a", "b"]}),
        ("stages: {a: {foreach: '${deep}', do: {cmd: 'run ${key} ${item}'}}}", {"deep.y": 1, "deep.z": 2}),
        ("stages: {a: {matrix: {n: '${list}'}, cmd: 'run ${item.n}'}}", {"list": ["a", "b"]}),
        ("stages: {a: {cmd: 'run ${list[1]}'}}", {"list.1": "b"}),
        ("metrics: ['${x}.json']", {"x": 5}),
        ("stages: {a: {cmd: 'run \\${x}'}}", {}),
    ],
)
def test_values_that_templates_name(text: str, used: dict[str, Any]) -> None:
    files = {"params.yaml": "x: 5\nunused: 6\nlist: [a, b]\ndeep: {y: 1, z: 2}\n"}
    assert variables(text, files) == ({"params.yaml": used} if used else {})


def test_values_of_variables_have_the_file_that_says_them() -> None:
    text = (
        "vars: [../more.yaml:x, {here: 1}]\n"
        "stages: {a: {wdir: deep, vars: [own.yaml], cmd: 'run ${x} ${here} ${own}'}}"
    )
    found = resolve_pipeline(
        yaml.safe_load(text), "ml", {"more.yaml": b"x: 5\n", "ml/deep/own.yaml": b"own: 6\n"}.get
    )
    assert found.variables == {"more.yaml": {"x": 5}, "ml/deep/own.yaml": {"own": 6}}


def test_a_params_file_that_is_no_text_is_told() -> None:
    with pytest.raises(UnreadableError, match=r"params\.yaml"):
        resolve_pipeline({"stages": {"a": {"cmd": "${x}"}}}, "", {"params.yaml": b"\xff"}.get)


def test_what_dvc_refuses_is_told_in_one_line() -> None:
    with pytest.raises(UnreadableError, match="Could not find 'x'") as refusal:
        resolved("stages: {a: {cmd: 'run ${x}'}}", {})
    assert "\n" not in refusal.value.message


def test_params_in_python_are_what_dvc_reads() -> None:
    assert python_params("a.py", b"LR = 0.1\nclass Net:\n    width = 5\n") == {"LR": 0.1, "Net": {"width": 5}}


def test_broken_python_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"a\.py"):
        python_params("a.py", b"LR = \n")
