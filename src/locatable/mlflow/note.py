"""A revision in words, for MLflow's page of a run."""

from typing import Any

from ..coordinates import Coordinates
from ..history.snapshot import Snapshot
from ..redact import redact_urls

# A page is read by people: long lists are cut, and say so.
SHOWN = 12


def markdown(snapshot: Snapshot, found: Coordinates, commands: list[str]) -> str:
    """The five coordinates and the rebuilding commands, for MLflow's page of a run."""
    record = found.environment.content["record"]
    drift = record.get("drift") or {}
    python = (
        f"Python {record['python']}, {len(drift)} packages differ from the lock" if "python" in record else ""
    )
    stages = found.execution.content["stages"]
    sections = {
        f"Data `{found.data.digest[:12]}`: which snapshot?": _table(found.data.content),
        f"Code `{found.code.digest[:12]}`: which source?": f"Git commit `{snapshot.rev}`\n\n"
        + _table(found.code.content["files"]),
        f"Params `{found.params.digest[:12]}`: which configuration?": _table(found.params.content),
        f"Environment `{found.environment.digest[:12]}`: which packages?": f"{python}\n\n"
        + _table(found.environment.content["files"]),
        f"Execution `{found.execution.digest[:12]}`: which run, which outputs?": _table(
            {f"{name} → {path}": md5 for name, stage in stages.items() for path, md5 in stage["outs"].items()}
        ),
    }
    lines = ["#### Rebuild it", "```console", *commands, "```"]
    for title, body in sections.items():
        lines += ["", f"#### {title}", body]
    return redact_urls("\n".join(lines))


def _table(values: dict[str, Any]) -> str:
    rows = [f"| {_cell(key)} | `{_cell(value)}` |" for key, value in list(values.items())[:SHOWN]]
    more = [f"| … and {len(values) - SHOWN} more | |"] if len(values) > SHOWN else []
    return "\n".join(["| | |", "|---|---|", *rows, *more]) if rows else "none"


def _cell(value: object) -> str:
    text = " ".join(str(value).split()).replace("|", "\\|").replace("`", "'")
    return text if len(text) <= 80 else text[:77] + "…"
