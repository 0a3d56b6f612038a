"""Params and metrics files, read as DVC reads them."""

import math

import pytest
import yaml
from dvc.utils.serialize import PARSERS

from locatable.history.formats import load_yaml, parse

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


@pytest.mark.parametrize("text", ["2026-01-01", "2026-01-01T10:00:00"])
def test_a_date_stays_text_as_json_has_no_dates(text: str) -> None:
    assert load_yaml(f"a: {text}\n") == {"a": text}


def test_an_empty_value_is_null() -> None:
    assert load_yaml("a:\n") == {"a": None}


def test_merge_keys_are_understood() -> None:
    assert load_yaml("a: &a {x: 1}\nb: {<<: *a, y: 2}\n")["b"] == {"x": 1, "y": 2}


def test_yaml_that_is_broken_is_an_error() -> None:
    with pytest.raises(yaml.YAMLError):
        load_yaml("a: [1\n")


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("a.json", b'{"rate": 1e-05, "deep": {"on": true}}'),
        ("a.toml", b"rate = 1e-05\n[deep]\non = true\n"),
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
