"""What an experiment of a search is called in Git, and what its commit says of it."""

from collections.abc import Mapping

# Between the name of a group of Hydra's and what was chosen of it; neither can hold it.
CHOSEN = " := "


def experiment_ref(baseline: str, name: str) -> str:
    """Where DVC keeps an experiment of a baseline commit."""
    return f"refs/exps/{baseline[:2]}/{baseline[2:]}/{name}"


def message(name: str, choices: Mapping[str, str]) -> str:
    """The message of an experiment's commit.

    Args:
        name: of the experiment.
        choices: what was chosen of Hydra's groups: params.yaml holds what they stand for, not their names.
    """
    lines = [f"search: {name}"]
    if choices:
        lines += ["", *(f"{group}{CHOSEN}{chosen}" for group, chosen in choices.items())]
    return "\n".join(lines)


def choices_in(text: str) -> dict[str, str]:
    """What a message says was chosen of Hydra's groups.

    Args:
        text: a message, or any text around it.
    """
    entries = [line.partition(CHOSEN) for line in text.splitlines() if CHOSEN in line]
    return {group: chosen for group, _, chosen in entries}
