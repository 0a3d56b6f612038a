"""`--json` of every command that prints a result, as docs/how-to/any-repository.md describes it."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from support import TEMPLATE

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


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_prints_json_as_the_page_describes_it(sh: Shell, command: str) -> None:
    is_list, keys = described()[command]
    # There is nothing else in the standard output.
    printed = json.loads(sh("locatable", command, *COMMANDS[command], "--json").stdout)
    assert isinstance(printed, list) == is_list
    for item in printed if is_list else [printed]:
        assert set(item) == set(keys)
        for key, value in item.items():
            allowed = tuple(TYPES[name] for name in keys[key].split(" or "))
            assert isinstance(value, allowed), f"{key}: {value!r}"
            assert isinstance(value, bool) == (keys[key] == "boolean"), key


def test_a_search_says_in_json_what_its_best_trial_is_and_reached(sh: Shell) -> None:
    found = json.loads(sh("locatable", "search", "--trials", "1", "--json").stdout)
    (best,) = found["best"]
    assert best["experiment"] == "baseline-search-0"
    metrics = json.loads(sh("git", "show", f"{best['rev']}:reports/train/metrics.json").stdout)
    assert best["values"] == [metrics["valid"]["log_loss"]]
    params = yaml.safe_load(sh("git", "show", f"{best['rev']}:params.yaml").stdout)
    assert best["params"]["train.model"] == params["train"]["model"]


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
