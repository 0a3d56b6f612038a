"""A step series, as DVCLive writes it: one line a step, the value in the last column."""

import csv
from collections.abc import Iterator


def points(path: str, text: str) -> Iterator[tuple[int, float]]:
    """Step and value of each line that is written to its end.

    Args:
        path: tells the separator: a tab in .tsv, a comma elsewhere.
        text: with a header; lines are counted as steps where no column is called `step`.

    Raises:
        ValueError: a value is no number, or a step no whole number from zero on.
    """
    lines = text[: text.rfind("\n") + 1].splitlines()
    for place, row in enumerate(csv.DictReader(lines, delimiter="\t" if path.endswith(".tsv") else ",")):
        step, value = int(row.get("step") or place), float(list(row.values())[-1])
        if step < 0:
            raise ValueError(f"step {step} is negative")
        yield step, value
