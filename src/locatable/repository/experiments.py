"""The commit of an experiment: where DVC keeps it, and what a search writes into its message."""

import json
from collections.abc import Mapping
from typing import Any

# Between the name of a group of Hydra's and what was chosen of it; neither can hold it.
CHOSEN = " := "
# How the line begins that holds what Optuna knew of a trial.
MEMORY = "optuna: "


def experiment_ref(baseline: str, name: str) -> str:
    """Return where DVC keeps an experiment of a baseline commit."""
    return f"refs/exps/{baseline[:2]}/{baseline[2:]}/{name}"


def message(name: str, choices: Mapping[str, str], memory: Mapping[str, Any]) -> str:
    """Return the message of an experiment's commit: its name, choices in Hydra's groups, what Optuna knew.

    The choices are kept, since params.yaml holds what they stand for and not their names.
    """
    body = [f"{group}{CHOSEN}{chosen}" for group, chosen in choices.items()]
    if memory:
        body.append(MEMORY + json.dumps(memory))
    return "\n".join([f"search: {name}", "", *body]).rstrip()


def choices_in(text: str) -> dict[str, str]:
    """Return what a message, or any text around it, says was chosen of Hydra's groups."""
    choices = {}
    for line in text.split("\n"):
        group, mark, chosen = line.partition(CHOSEN)
        if mark and not line.startswith(MEMORY):
            choices[group] = chosen
    return choices


def memory_in(text: str) -> dict[str, Any]:
    """Return what a message, or any text around it, says that Optuna knew of the trial; empty for nothing.

    Raises:
        ValueError: the line was damaged.
    """
    for line in text.split("\n"):
        if line.startswith(MEMORY):
            memory: dict[str, Any] = json.loads(line.removeprefix(MEMORY))
            return memory
    return {}
