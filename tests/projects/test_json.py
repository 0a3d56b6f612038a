"""`--json` of every command that prints a result, as docs/how-to/any-repository.md describes it."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from searching import experiments, kept
from support import TEMPLATE, Search

Shell = Callable[..., subprocess.CompletedProcess[str]]
PAGE = TEMPLATE / "docs/how-to/any-repository.md"
TYPES = {
    "string": str,
    "number": int | float,
    "boolean": bool,
    "list": list,
    "object": dict,
    "null": type(None),
}
# What is typed in a project with results and an experiment.
COMMANDS = {
    "locate": ("HEAD",),
    "diff": ("HEAD", "HEAD"),
    "mirror": (),
    "search": ("--trials", "1", "--mirror"),
    "reproduce": ("--env", "current", "--stage", "evaluate"),
    "archive": ("--output", "result.zip"),
    "declare": ("--check",),
}


def described() -> dict[str, tuple[bool, dict[str, str]]]:
    """By command, whether it prints a list, and the types of its keys, as the page has them."""
    rows = re.findall(r"^\| `(\w+)` \| (list of )?(`.*) \|$", PAGE.read_text(), re.MULTILINE)
    return {command: (bool(is_list), dict(typed_keys(groups))) for command, is_list, groups in rows}


def typed_keys(groups: str) -> Iterator[tuple[str, str]]:
    for group in groups.split("; "):
        keys, _, kind = group.partition(": ")
        for key in keys.split(", "):
            yield key.strip("`"), kind


def test_the_page_describes_every_command_that_prints_a_result() -> None:
    assert set(described()) == set(COMMANDS)


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "search"])
def test_a_command_prints_json_as_the_page_describes_it(sh: Shell, command: str) -> None:
    # There is nothing else in the standard output.
    check(command, json.loads(sh("locatable", command, *COMMANDS[command], "--json").stdout))


def check(command: str, printed: Any) -> None:
    """Assert that a command prints what the page describes."""
    is_list, keys = described()[command]
    assert isinstance(printed, list) == is_list
    for item in printed if is_list else [printed]:
        assert set(item) == set(keys)
        for key, value in item.items():
            allowed = tuple(TYPES[name] for name in keys[key].split(" or "))
            assert isinstance(value, allowed), f"{key}: {value!r}"
            assert isinstance(value, bool) == (keys[key] == "boolean"), key


def test_so_does_a_search_and_says_what_its_best_trial_is_and_reached(
    small: Callable[..., Path], search: Search
) -> None:
    folder = small({})
    printed = json.loads(search(folder, *COMMANDS["search"], "--json").stdout)
    check("search", printed)
    (best,) = printed["best"]
    assert best["experiment"] == "small-0"
    assert best["rev"] == experiments(folder)["small-0"]
    assert best["values"] == [kept(folder, best["rev"], "metrics.json")["valid"]["loss"]]
    assert best["params"] == {"train.x": kept(folder, best["rev"], "params.yaml")["train"]["x"]}


def test_declare_names_in_json_what_a_stage_does_not_declare(sh: Shell, project: Path) -> None:
    train = project / "tumour_classifier/train.py"
    train.write_text(train.read_text() + "\n\ndef late():\n    from . import figures\n")
    stages = json.loads(sh("locatable", "declare", "--check", "--json", code=1).stdout)
    missing = {stage["stage"]: stage["missing"] for stage in stages}
    assert missing == {
        "environment": [],
        "prepare": [],
        "train": ["tumour_classifier/figures.py"],
        "evaluate": [],
    }
