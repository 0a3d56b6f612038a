"""`dvc.lock`, read as DVC wrote it."""

import random
from itertools import product
from typing import Any

import pytest
import yaml
from dvc.utils.serialize import dumps_yaml
from ruamel.yaml import YAML

from locatable.repository import dvc_files
from locatable.repository.dvc_files import lock_stages
from locatable.repository.parsing import parse_yaml

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


CLOUD = {"remote": {"etag": "1e5", "version_id": "0123"}}
# What DVC 1, 2 and 3 write into a stage of a lock, in the order in which they write it.
FIELDS: dict[str, dict[str, Any]] = {
    "a long command": {"cmd": "python -m package.train " + "--option=value " * 12},
    "a command of several lines": {"cmd": "set -e\npython a.py \\\n  --x\n\necho  done\n"},
    "several commands": {"cmd": ["python a.py", "python b.py " + "--c " * 40, "a: b"]},
    "before DVC 3": {"outs": [{"path": "model", "md5": "a1" * 16, "size": 5}]},
    "a folder before DVC 3": {"deps": [{"path": "d", "md5": "a1" * 16 + ".dir", "size": 5, "nfiles": 2}]},
    "a long path": {"deps": [{"path": "a/" * 60 + "b.ipynb", "hash": "md5", "md5": "a" * 32, "size": 5}]},
    "a program": {"outs": [{"path": "x", "hash": "md5", "md5": "a" * 32, "size": 5, "isexec": True}]},
    "a version in a cloud": {
        "outs": [{"path": "x", "hash": "md5", "md5": "a" * 32, "size": 5, "cloud": CLOUD, "remote": "store"}]
    },
    "a folder's versions in a cloud": {
        "outs": [
            {
                "path": "x",
                "hash": "md5",
                "files": [{"relpath": f"{n}.csv", "md5": "a" * 32, "size": 5, "cloud": CLOUD} for n in "ab"],
            }
        ]
    },
    "what is not local": {"deps": [{"path": "s3://bucket/a", "hash": "md5", "etag": "a-1", "size": 5}]},
    "hashes that look like numbers": {
        "deps": [
            {"path": "1", "hash": "md5", "md5": "1" * 32, "size": 5},
            {"path": "true", "hash": "md5", "md5": "1e" + "1" * 30, "size": 5},
            {"path": "1.5", "hash": "md5", "md5": "1" * 32 + ".dir", "size": 5, "nfiles": 1},
        ]
    },
    "params": {"params": {"params.yaml": {"rate": 1e-05, "sizes": [1, 2], "deep": {"x": "no"}}, "p.py": {}}},
}


@pytest.mark.parametrize("fields", FIELDS.values(), ids=list(FIELDS))
@pytest.mark.parametrize("schema", ["", "2.0"], ids=["DVC 1", "DVC 2 and 3"])
def test_what_dvc_writes_is_read_as_dvc_reads_it_and_part_by_part(
    fields: dict[str, Any], schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = {"before": {"cmd": "a"}, "train@x-1.5": {"cmd": "b", **fields}, "7": {"cmd": "c"}}
    lock = {"schema": schema, "stages": stages, "datasets": [{"name": "x", "type": "dvc"}]}
    text = dumps_yaml(lock if schema else stages)
    read = YAML(typ="safe").load(text)
    parsed: list[str] = []
    monkeypatch.setattr(dvc_files, "parse_yaml", lambda part: parsed.append(part) or parse_yaml(part))
    assert repr(lock_stages(text.encode())) == repr(read["stages"] if schema else read)
    assert text not in parsed


def test_an_unquoted_word_is_what_yaml_takes_it_for() -> None:
    """A person wrote it, or another tool: DVC would put quotes around each."""
    words = ["1", "1.5", ".5", "true", "null", "1_0", "-1", "a", "a/b", "1/2", "-a/b", "no", ".inf", "a.b"]
    hashes = ["1" * 32, "1e" + "1" * 30, "1" * 32 + ".dir", "e" * 32, "a" * 32, "0" * 31 + "e"]
    for path, md5 in product(words, hashes):
        text = (
            f"schema: '2.0'\nstages:\n  a:\n    outs:\n    - path: {path}\n      md5: {md5}\n      size: 1\n"
        )
        assert repr(lock_stages(text.encode())) == repr(YAML(typ="safe").load(text)["stages"])


def test_a_stage_is_read_once_for_all_locks_that_have_it() -> None:
    texts = [f"schema: '2.0'\nstages:\n  a:\n    cmd: x\n  b:\n    cmd: {one}\n" for one in "yz"]
    one, other = [lock_stages(text.encode()) for text in texts]
    assert one["a"] is other["a"]
    assert one["b"] != other["b"]


@pytest.mark.parametrize(
    ("text", "stages"),
    [
        ("schema: '2.0'\nstages: {}\n", {}),
        ("schema: '2.0'\nstages:\n", {}),
        ("schema: '2.0'\n", {}),
        ("", {}),
        ("schema: '2.0'\nstages:\n  a:\n    cmd: x\ndatasets:\n- name: y\n", {"a": {"cmd": "x"}}),
        ("schema: '2.0'\nstages: {a: {cmd: x}}\n", {"a": {"cmd": "x"}}),
        ("schema: '2.0'\nstages:\n  a: {cmd: x}\n", {"a": {"cmd": "x"}}),
        ("a:\n  cmd: x\n", {"a": {"cmd": "x"}}),  # before DVC 2
        ("5\n", 5),  # left to the caller
    ],
)
def test_a_lock_holds_stages_in_any_layout(text: str, stages: object) -> None:
    assert lock_stages(text.encode()) == stages


@pytest.mark.parametrize(
    "broken",
    ["<<<<<<< HEAD\n", "  <<<<<<< HEAD\n", "    cmd: [x\n", "  a: {\n", "\tcmd: x\n"],
    ids=["conflict", "indented conflict", "list", "mapping", "tab"],
)
def test_a_broken_lock_is_an_error(broken: str) -> None:
    with pytest.raises((yaml.YAMLError, ValueError)):
        lock_stages(f"schema: '2.0'\nstages:\n  b:\n    cmd: x\n{broken}".encode())
