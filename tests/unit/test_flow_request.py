"""What a user asks a rebuild for, on the command line or by a deployment; Prefect is not imported."""

import argparse
import ast
import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

from locatable.commands.flow import add_arguments, rebuild_request
from locatable.errors import UsageError

PAGE = (Path(__file__).parents[2] / "docs/how-to/prefect.md").read_text()
DEPLOYMENTS = yaml.safe_load(PAGE.partition("```yaml\n")[2].partition("```\n")[0])["deployments"]


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


def test_no_workers_are_refused() -> None:
    with pytest.raises(UsageError, match="--workers must be positive"):
        requested("--workers", "0")


def test_all_of_the_last_commit_by_default() -> None:
    asked = {"rev": "HEAD", "targets": None, "params": {}, "retries": 2, "timeout": None, "workers": 1}
    assert requested() == asked


def flows(module: str) -> dict[str, ast.FunctionDef]:
    """The flows of a module by name, read without importing it: Prefect is installed on request only."""
    spec = importlib.util.find_spec(module)
    assert spec
    assert spec.origin
    found = {}
    for node in ast.parse(Path(spec.origin).read_text()).body:
        if isinstance(node, ast.FunctionDef) and "flow" in map(ast.unparse, node.decorator_list):
            found[node.name] = node
    return found


def test_a_request_has_parameters_of_the_flow() -> None:
    rebuild = flows("locatable.flow.flows")["rebuild"]
    assert set(requested()) <= {argument.arg for argument in rebuild.args.args}


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment["name"])
def test_an_entry_point_of_a_deployment_is_a_flow(deployment: dict[str, str]) -> None:
    module, _, name = deployment["entrypoint"].rpartition(".")
    assert name in flows(module)
