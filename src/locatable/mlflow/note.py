"""A revision in words, for MLflow's page of a run."""

from collections.abc import Mapping
from typing import Any

from ..addresses import redact_urls
from ..results.coordinates import Coordinates

# A page is read by people: longer tables and cells are cut, and say so.
MOST_ROWS = 12
LONGEST_CELL = 80


def revision_note(rev: str, coordinates: Coordinates, commands: list[str], stale: str = "") -> str:
    """Return how to rebuild a revision, and its five coordinates, as Markdown.

    Args:
        rev: the commit.
        coordinates: of the revision.
        commands: that rebuild it.
        stale: in what it differs from what made its results; empty where they are its own.
    """
    sections = [
        *_warning(rev, stale),
        _rebuilding(commands),
        _section("Data", coordinates.data.digest, "which snapshot?", _table(coordinates.data.content)),
        _section("Code", coordinates.code.digest, "which source?", _code(rev, coordinates)),
        _section(
            "Params", coordinates.params.digest, "which configuration?", _table(coordinates.params.content)
        ),
        _section("Environment", coordinates.environment.digest, "which packages?", _environment(coordinates)),
        _section(
            "Execution", coordinates.execution.digest, "which run, which outputs?", _outputs(coordinates)
        ),
    ]
    return redact_urls("\n\n".join(sections))


def _warning(rev: str, stale: str) -> list[str]:
    if not stale:
        return []
    advice = f"`locatable locate {rev[:7]}` names the commit that they are of."
    return [f"**These results are not of this commit**: {stale}. What is below rebuilds other ones; {advice}"]


def _rebuilding(commands: list[str]) -> str:
    return "\n".join(["#### Rebuild it", "```console", *commands, "```"])


def _section(name: str, digest: str, question: str, body: str) -> str:
    return f"#### {name} `{digest[:12]}`: {question}\n{body}"


def _code(rev: str, coordinates: Coordinates) -> str:
    return f"Git commit `{rev}`\n\n{_table(coordinates.code.content['files'])}"


def _environment(coordinates: Coordinates) -> str:
    record = coordinates.environment.content["record"]
    files = coordinates.environment.content["files"]
    if not files:
        return "nothing that is recognised records the environment"
    if not record:
        return _table(files)
    drift = record.get("drift") or {}
    return f"Python {record['python']}, {len(drift)} packages differ from the lock\n\n{_table(files)}"


def _outputs(coordinates: Coordinates) -> str:
    rows = {}
    for name, stage in coordinates.execution.content["stages"].items():
        for path, md5 in stage["outs"].items():
            rows[f"{name} → {path}"] = md5
    return _table(rows)


def _table(values: Mapping[str, Any]) -> str:
    if not values:
        return "none"
    rows = [f"| {_cell(key)} | `{_cell(value)}` |" for key, value in list(values.items())[:MOST_ROWS]]
    if len(values) > MOST_ROWS:
        rows.append(f"| … and {len(values) - MOST_ROWS} more | |")
    return "\n".join(["| | |", "|---|---|", *rows])


def _cell(value: object) -> str:
    text = " ".join(str(value).split()).replace("|", "\\|").replace("`", "'")
    if len(text) <= LONGEST_CELL:
        return text
    return text[: LONGEST_CELL - 3] + "…"
