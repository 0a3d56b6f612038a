"""Names that MLflow refuses become such that it takes, as its own checks say."""

import itertools

import pytest
from mlflow.exceptions import MlflowException
from mlflow.utils import validation

from locatable.mlflow.limits import Rule, fit_names
from locatable.mlflow.store import RULES

CHECKS = {
    "param": validation._validate_param_name,
    "metric": validation._validate_metric_name,
    "tag": validation._validate_tag_name,
    "model": validation._validate_logged_model_name,
}
ODD = [
    *("", ".", "..", "/", "/etc", "a//b", "a/../b", "a/", "../up", "text/bert-base", "resnet_50.v2"),
    *("größe: 7", "odd@key", "odd#key", "a\nb", "a\tb", "a\0b", 'a"b', "a'b", "100%", "日本", "caf\udce9"),
    *(" ", "x" * 1000, "é" * 250, "🙂", "a b"),
]


def only(rule: Rule, name: str) -> str:
    """A name where there is no other."""
    return fit_names(rule, [name])[name]


@pytest.mark.parametrize(("kind", "name"), [*itertools.product(CHECKS, ODD)])
def test_mlflow_takes_what_a_name_becomes(kind: str, name: str) -> None:
    taken = only(getattr(RULES, kind), name)
    CHECKS[kind](taken)
    assert len(taken) <= (500 if kind == "model" else 250)


@pytest.mark.parametrize(("kind", "name"), [*itertools.product(CHECKS, ODD)])
def test_a_name_that_mlflow_takes_stays_as_it_is(kind: str, name: str) -> None:
    try:
        CHECKS[kind](name)
        name.encode()
    except (MlflowException, UnicodeEncodeError):
        return
    if len(name) <= 250 and "\0" not in name:
        assert only(getattr(RULES, kind), name) == name


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("odd@key", "odd_key"),
        ("größe.日本", "größe.日本"),
        ("..", "__"),
        ("/etc", "_etc"),
        ("a//b", "a__b"),
        ("", "_"),
    ],
)
def test_a_key_stays_readable(name: str, key: str) -> None:
    assert only(RULES.param, name) == key


def test_a_name_that_can_stay_does_so_wherever_it_comes() -> None:
    assert fit_names(RULES.param, ["odd@key", "odd_key"])["odd_key"] == "odd_key"


def test_no_two_names_become_the_same() -> None:
    names = fit_names(RULES.param, ["odd_key", *ODD])
    assert len({names[name] for name in ["odd_key", *ODD]}) == 1 + len(ODD)


def test_what_a_name_becomes_does_not_depend_on_the_order() -> None:
    odd = ["odd@key", "odd#key", "odd?key"]
    there, back = fit_names(RULES.param, odd), fit_names(RULES.param, reversed(odd))
    assert [there[name] for name in odd] == [back[name] for name in odd]


def test_a_long_name_says_of_itself_which_one_it_is() -> None:
    first = only(RULES.param, "k" * 300 + "a")
    assert first != only(RULES.param, "k" * 300 + "b")
    assert first.startswith("k" * 240)


@pytest.mark.parametrize("name", ["a b.png", "größe.png", "a~23b", ".hidden"])
def test_a_file_that_a_tracking_server_takes_keeps_its_name(name: str) -> None:
    assert only(RULES.artifact, name) == name


@pytest.mark.parametrize(("name", "taken"), [("a#b?.txt", "a~23b~3f.txt"), ("100%", "100~25")])
def test_a_file_has_no_characters_that_an_address_gives_a_meaning(name: str, taken: str) -> None:
    assert only(RULES.artifact, name) == taken


def test_a_file_is_no_drive_of_windows() -> None:
    assert only(RULES.artifact, "C:") != "C:"
