"""What a user asks a rebuild for, on the command line."""

import argparse
import ast
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from locatable.commands.flow import add_arguments, rebuild_request
from locatable.errors import UsageError


def requested(*typed: str) -> dict[str, Any]:
    """What these arguments of the command ask for."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return rebuild_request(parser.parse_args(typed))


@pytest.mark.parametrize(
    ("pair", "params"),
    [
        ("train.model=forest", {"train.model": "forest"}),
        ("train.lr=1e-5", {"train.lr": 1e-5}),
        ("train.sizes=[1, 2]", {"train.sizes": [1, 2]}),
        ("train.text=a=b", {"train.text": "a=b"}),
        ("conf/more.yaml:x=no", {"conf/more.yaml:x": "no"}),
    ],
)
def test_a_value_is_read_as_in_a_params_file(pair: str, params: dict[str, object]) -> None:
    assert requested("-S", pair)["params"] == params


def test_the_last_value_of_a_param_counts() -> None:
    assert requested("-S", "x=1", "-S", "x=2")["params"] == {"x": 2}


def test_a_param_without_a_value_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^-S train\.x: write it as KEY=VALUE$"):
        requested("-S", "train.y=1", "-S", "train.x")


def test_all_of_the_last_commit_by_default() -> None:
    asked = {"rev": "HEAD", "targets": None, "params": {}, "retries": 2, "timeout": None}
    assert requested() == asked


def test_a_request_has_parameters_of_the_flow() -> None:
    """Read without importing it: Prefect is installed on request only."""
    spec = importlib.util.find_spec("locatable.flow.flows")
    assert spec
    assert spec.origin
    body = ast.parse(Path(spec.origin).read_text()).body
    functions = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
    assert set(requested()) <= {argument.arg for argument in functions["rebuild"].args.args}
