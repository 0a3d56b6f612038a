"""Params that a search may choose: which of them have an effect, and what Optuna calls their values."""

import pytest

from locatable.search.settings import Categorical, Float, Int, active_values, in_order

KIND = Categorical(type="categorical", choices=["plain", "fancy"])
DEPTH = Int(type="int", low=1, high=9, when={"kind": "fancy"})
DETAIL = Float(type="float", low=0.0, high=1.0, when={"depth": [2, 3]})


def fixed(key: str) -> object:
    return {"mode": "on"}[key]


def test_keys_come_after_those_that_they_depend_on():
    assert in_order({"detail": DETAIL, "depth": DEPTH, "kind": KIND}) == ["kind", "depth", "detail"]


def test_a_param_without_effect_is_not_chosen():
    chosen = active_values({"kind": KIND, "depth": DEPTH}, {"kind": "plain"}.__getitem__, fixed)
    assert chosen == {"kind": "plain"}


def test_a_param_whose_condition_holds_is_chosen():
    values = {"kind": "fancy", "depth": 4}
    assert active_values({"kind": KIND, "depth": DEPTH}, values.__getitem__, fixed) == values


def test_a_condition_on_a_param_without_effect_does_not_hold():
    space = {"kind": KIND, "depth": DEPTH, "detail": DETAIL}
    assert active_values(space, {"kind": "plain"}.__getitem__, fixed) == {"kind": "plain"}


def test_one_of_several_wanted_values_is_enough():
    space = {"kind": KIND, "depth": DEPTH, "detail": DETAIL}
    values = {"kind": "fancy", "depth": 3, "detail": 0.5}
    assert active_values(space, values.__getitem__, fixed) == values


def test_a_condition_can_be_on_a_param_that_is_not_searched():
    param = Float(type="float", low=0.0, high=1.0, when={"mode": "off"})
    assert active_values({"rate": param}, {"rate": 0.1}.__getitem__, fixed) == {}


@pytest.mark.parametrize(
    ("param", "value", "known"),
    [
        (Float(type="float", low=0, high=1), 1, 1.0),
        (Int(type="int", low=0, high=9), 3, 3),
        (KIND, "fancy", "fancy"),
        (Categorical(type="categorical", choices=[[1, 2], None]), [1, 2], "[1, 2]"),
        (Categorical(type="categorical", choices=[[1, 2], None]), None, None),
    ],
)
def test_a_value_of_a_params_file_is_known_to_optuna(param, value, known):
    assert param.to_optuna(value) == known


@pytest.mark.parametrize(
    ("param", "value"),
    [
        (Float(type="float", low=0, high=1), "0.5"),
        (Float(type="float", low=0, high=1), True),
        (Int(type="int", low=0, high=9), 3.0),
        (Int(type="int", low=0, high=9), True),
        (KIND, "odd"),
        (Categorical(type="categorical", choices=[1, 2]), True),
    ],
)
def test_a_value_that_is_no_choice_is_refused(param, value):
    with pytest.raises(ValueError, match=r"."):
        param.to_optuna(value)
