"""Params and metrics files, read as DVC reads them."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from dvc.utils.serialize import PARSERS, YAMLFileCorruptedError

from locatable.repository import parsing
from locatable.repository.parsing import load_plain, load_yaml, parse, parse_yaml

SCALARS = """\
1e-05 1.0e-05 1E5 +1 -1 017 0o17 0x1f 0b11 1_000 1_0.5 .5 5. -.5 . + e5 1e 1.2.3 0777 08 0o8
yes no on off y n true True TRUE false tRue null Null NULL ~ nil none None
.inf -.inf +.INF .nan .NaN inf nan 12:30:45 1:2
""".split()


@pytest.mark.parametrize("text", SCALARS)
def test_a_plain_scalar_is_what_dvc_takes_it_for(text: str) -> None:
    ours = load_yaml(f"a: {text}\n")["a"]
    theirs = PARSERS[".yaml"](f"a: {text}\n", "params.yaml")["a"]
    if isinstance(theirs, float) and math.isnan(theirs):
        assert math.isnan(ours)
    else:
        assert (type(ours), ours) == (type(theirs), theirs)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a: 2026-01-01\n", {"a": "2026-01-01"}),  # JSON has no dates
        ("a: 2026-01-01T10:00:00\n", {"a": "2026-01-01T10:00:00"}),
        ("a:\n", {"a": None}),
        ("a: &a {x: 1}\nb: {<<: *a, y: 2}\n", {"a": {"x": 1}, "b": {"x": 1, "y": 2}}),
    ],
)
def test_dates_empty_values_and_merge_keys_are_read(text: str, values: dict[str, Any]) -> None:
    assert load_yaml(text) == values


def test_a_key_that_is_there_twice_is_an_error_as_it_is_for_dvc() -> None:
    with pytest.raises(yaml.YAMLError, match="duplicate key a"):
        parse_yaml("b:\n  a: 1\n  a: 2\n")
    with pytest.raises(YAMLFileCorruptedError):
        PARSERS[".yaml"]("b:\n  a: 1\n  a: 2\n", "x.yaml")


def test_yaml_that_is_broken_is_an_error() -> None:
    with pytest.raises(yaml.YAMLError):
        load_yaml("a: [1\n")


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("a.json", b'{"rate": 1e-05, "deep": {"on": true}}'),
        ("a.toml", b"rate = 1e-05\n[deep]\non = true\n"),
        ("A.TOML", b"rate = 1e-05\n[deep]\non = true\n"),
        ("a.yaml", b"rate: 1e-05\ndeep: {on: true}\n"),
        ("a.yml", b"rate: 1e-05\ndeep: {on: true}\n"),
        ("a.py", b"rate = 1e-05\nclass deep:\n    on = True\n"),
        ("a", b"rate: 1e-05\ndeep: {on: true}\n"),
    ],
)
def test_a_file_is_read_by_the_ending_of_its_name(path: str, content: bytes) -> None:
    assert parse(path, content) == {"rate": 1e-05, "deep": {"on": True}}


@pytest.mark.parametrize("path", ["a.json", "a.toml", "a.py"])
def test_a_file_that_is_not_what_its_name_says_is_an_error(path: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (each parser has its own words)
        parse(path, b"{[:")


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nb: {c: 2}\n",
        "a: []  # none\nb:\n  c: {}\n  d: 1\n",
        "# first\na:\n  b: 1\n# second\n\nc:\n- 1\n- 2\nd: [3]\n",
        "a: {\nb: 1}\n",
        "a: 'x\n\nb: y'\n",
        "a: |\n  b: 1\n\n  c\nd: 2\n",
        "a: x\n  y\nb: 1\n",
        "a: &one {b: 1}\nc: *one\n",
        "a: {b: 1}\nc:\n  <<: {d: 1}\n",
        "---\na: 1\n",
        "a:\nb:\n",
        "a.b: 1\n'c': 2\n3: 4\nd: 5\n",
        "- a\n- b: 1\n",
        "{a: 1, b: 2}\n",
        "",
        "# nothing\n",
        "5\n",
        "a: 1\na: 2\n",
        "a: 1\r\nb: 2\r\n",
        "ä: 1\nb: ü\n",
        "a: 1\n b: 2\n",
        "a: 1\nb\n",
        "a: {b: 1\nc: 2\n",
        "a:\n  b: # one\n\n    c: 1\n    # two\n    d: [2]\n  e: 3\nf: 4\n",
        "a:\n  b:\n    c: 1\n # less\n    d: 2\n",
        "a:\n  b: 1\n c: 2\n",
        "a:\n  b: 1\n   c: 2\n",
        "a:\n  b: |\n    x: 1\n\n     y\n  c: 2\n",
        "a:\n  b: >\n    x: 1\n    y: 2\n",
        "a:\n  b: 'x\n    y: z'\n",
        "a:\n  b: {c: 1,\n  d: 2}\n",
        "a:\n  - b: 1\n    c: 2\n",
        "a:\n  plain\n  text\n",
        "a:\n    b: 1\n\n  # less\nc:\n",
        "a: -\n",
        "a: - b\n",
        "a: +\n",
        "a: .\n",
        "a: .inf\nb: -.5\nc: 1e3\nd: 1e-05\ne: 0x1f\nf: 1_000\ng: no\nh: null\ni: 2026-01-01\n",
        "a: 1#2\n",
        "a: 1 #2\n",
        "a: #2\n",
        "a:b: 1\n",
        "1: 2\n1.5: 3\n",
        "  a: 1\n  b: 2\n",
        "  a: 1\nb: 2\n",
        "a: b:\n",
        "a: ''\n",
        "a:\n  b:\n    c: 1\n  d: 2\ne: 3\n",
        "a:\n  b:\nc:\n",
        "a: 1   # one\n  # two\n\n\nb: 2",
        "a:  \n  b: 1  \n",
        "a:\n  yes: 1\n  null: 2\n  true: 3\n",
    ],
)
def test_plain_lines_are_read_as_yaml(text: str) -> None:
    def read(parse: Callable[[bytes], Any]) -> Any:
        try:
            return parse(text)
        except yaml.YAMLError:
            return yaml.YAMLError

    assert read(load_plain) == read(parse_yaml)


def test_lines_of_keys_and_words_are_not_parsed_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[object] = []
    monkeypatch.setattr(parsing, "load_yaml", lambda text: parsed.append(text) or load_yaml(text))
    text = "a: 1\nb:\n  c: x\n  d: {}\ne: no\n"
    assert load_plain(text) == {"a": 1, "b": {"c": "x", "d": {}}, "e": "no"}
    assert text not in parsed


BOMB = b"day: 2024-01-01\na0: &a0 [1]\n"
for number in range(1, 12):
    BOMB += b"a%d: &a%d [%s]\n" % (number, number, b",".join([b"*a%d" % (number - 1)] * 9))


@pytest.mark.parametrize("content", [b"a: \xff!\n", b"a: [!\n", BOMB], ids=["encoding", "syntax", "size"])
def test_params_that_cannot_be_read_are_not_called_unrecordable(content: bytes) -> None:
    assert parsing.unrecordable_params("p.yaml", content, []) == ""
