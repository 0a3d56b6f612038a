"""`dvc.lock`, read as DVC wrote it."""

import random
from typing import Any

import pytest
import yaml
from dvc.utils.serialize import dumps_yaml
from ruamel.yaml import YAML

from locatable.history import dvc_lock
from locatable.history.dvc_lock import lock_stages

# Values that YAML finds hard.
HARD = [
    *("1e-05", 1e-05, 1e22, -0.5, 7, "7", "017", "no", "true", True, None, "null", "~", "", " "),
    *("a: b", "=", "<<", "x:", "*a", "&a", "!t", "|", ">", "%", "@", "`", "'", '"', "{a}", "[b]"),
    *("über", "\t", "a\nb", "a #b", "- x", "a\n\n b\n", "w " * 90, "x" * 200, ".inf", float("inf")),
    *("2026-01-01", "0x1f", "1_000", [], {}, [[1]], [1, "a b", {"k": 2}], {"a": {"b.c": [1e-5]}}),
    *({"5": 1, "x y": 2, "true": 3}, "12345678901234567890" * 2, [{"k": [1]}, {"k": {}}], [[], [{}]]),
]


def entries(pick: random.Random) -> list[dict[str, Any]]:
    found = []
    for _ in range(pick.randrange(4)):
        path = pick.choice(["a", "a b/c", "data/x@1", "-x", "1", "ü"])
        size = pick.choice([{"size": 7}, {"size": 8, "nfiles": 3}])
        found.append({"path": path, "hash": "md5", "md5": f"{pick.getrandbits(128):032x}", **size})
    return found


def stage(pick: random.Random) -> dict[str, Any]:
    values = {pick.choice(["a", "b.c", "d e", "-f", "1"]): pick.choice(HARD) for _ in range(5)}
    return {
        "cmd": pick.choice(["a", ["a", "b c: d"], "x \\\n  y\nz", "w " * 90]),
        "deps": entries(pick),
        "params": {"params.yaml": values},
        "outs": entries(pick),
    }


@pytest.mark.parametrize("seed", range(20))
def test_locks_are_read_as_dvc_writes_them(seed: int) -> None:
    pick = random.Random(seed)  # noqa: S311 (no secrets)
    for _ in range(20):
        stages = {pick.choice(["train", "a@1", "b@x-0.1", "ü", "7"]): stage(pick) for _ in range(3)}
        text = dumps_yaml({"schema": "2.0", "stages": stages})
        expected = YAML(typ="safe").load(text)["stages"]
        assert repr(lock_stages(text.encode())) == repr(expected), text


@pytest.mark.parametrize("value", HARD, ids=repr)
def test_a_value_is_read_as_dvc_writes_it(value: Any) -> None:
    text = dumps_yaml({"schema": "2.0", "stages": {"a": {"params": {"p.yaml": {"k": value, "next": 1}}}}})
    expected = YAML(typ="safe").load(text)["stages"]
    assert repr(lock_stages(text.encode())) == repr(expected)


def test_values_that_stages_share_are_read() -> None:
    shared = {"a": [1, 2]}
    stages = {name: {"cmd": "x", "params": {"p.yaml": shared}} for name in "ab"}
    text = dumps_yaml({"schema": "2.0", "stages": stages})
    assert "&id" in text
    assert lock_stages(text.encode())["b"]["params"] == {"p.yaml": shared}


def test_an_ordinary_lock_is_read_without_the_yaml_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = {
        "cmd": ["python", "python3"],
        "deps": [{"path": "data/a.csv", "hash": "md5", "md5": "a" * 32, "size": 5}],
        "params": {"params.yaml": {"rate": 1e-05, "sizes": [1, 2], "deep": {"x": 1}}},
        "outs": [{"path": "out", "hash": "md5", "md5": "b" * 32 + ".dir", "size": 5, "nfiles": 2}],
    }
    text = dumps_yaml({"schema": "2.0", "stages": {"train": stage}})
    parsed = []
    monkeypatch.setattr(dvc_lock, "parse_yaml", lambda text: parsed.append(text) or yaml.safe_load(text))
    dvc_lock._plain.cache_clear()
    assert lock_stages(text.encode()) == {"train": stage}
    assert set(parsed) <= {"", "python", "python3"}


@pytest.mark.parametrize(
    "text",
    [
        "schema: '2.0'\nstages: {}\n",
        "schema: '2.0'\nstages:\n",
        "schema: '2.0'\n",
        "",
    ],
)
def test_a_lock_can_be_empty(text: str) -> None:
    assert lock_stages(text.encode()) == {}


def test_what_follows_the_stages_is_no_stage() -> None:
    text = "schema: '2.0'\nstages:\n  a:\n    cmd: x\ndatasets:\n- name: y\n"
    assert lock_stages(text.encode()) == {"a": {"cmd": "x"}}


def test_a_lock_from_before_dvc_2_holds_nothing_but_stages() -> None:
    assert lock_stages(b"a:\n  cmd: x\n") == {"a": {"cmd": "x"}}


@pytest.mark.parametrize(
    "broken",
    ["<<<<<<< HEAD\n", "  <<<<<<< HEAD\n", "    cmd: [x\n", "  a: {\n", "\tcmd: x\n"],
    ids=["conflict", "indented conflict", "list", "mapping", "tab"],
)
def test_a_broken_lock_is_an_error(broken: str) -> None:
    with pytest.raises((yaml.YAMLError, ValueError)):
        lock_stages(f"schema: '2.0'\nstages:\n  b:\n    cmd: x\n{broken}".encode())


def test_what_is_no_mapping_is_left_to_the_caller() -> None:
    assert lock_stages(b"5\n") == 5


@pytest.mark.parametrize("stages", [" {a: {cmd: x}}", "\n  a: {cmd: x}"])
def test_stages_on_one_line_are_read(stages: str) -> None:
    assert lock_stages(f"schema: '2.0'\nstages:{stages}\n".encode()) == {"a": {"cmd": "x"}}
