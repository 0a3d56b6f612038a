"""A revision in words: its five coordinates, and the commands that rebuild it."""

import re
from pathlib import Path
from shlex import quote
from typing import Any

from ..coordinates import Coordinates
from .revisions import Experiment, Reader, git
from .snapshot import Snapshot

# A page is read by people: long lists are cut, and say so.
SHOWN = 12


def public(text: str) -> str:
    """The text, without passwords in its URLs, and without user names, which only SSH needs."""
    # Alone, a URL ends with the text; within a text, a quote can end it.
    login = r"[^/\s]+" if re.fullmatch(r"\w[\w+.-]*://\S+", text) else r"[^/@\s\"']+"
    text = re.sub(rf"(\b(?:git\+)?ssh://[^/@:\s\"']+)(?::{login})?@", r"\1\0", text)
    return re.sub(rf"(\w://){login}@", r"\1", text).replace("\0", "@")


def origin(reader: Reader) -> str | None:
    """Where the project can be cloned from; None when it is nowhere but here."""
    remotes = git(reader.root, "remote").split()
    first = "origin" if "origin" in remotes else next(iter(remotes), None)
    return public(git(reader.root, "remote", "get-url", first).strip()) if first else None


def checkout(root: Path) -> Path:
    """The main checkout's copy of `root`, which may be in a linked worktree."""
    top = Path(git(root, "rev-parse", "--show-toplevel").rstrip("\n"))
    main = Path(git(root, "worktree", "list", "--porcelain").splitlines()[0].removeprefix("worktree "))
    return main / root.relative_to(top) if (main / ".git").exists() else root


def rebuild(snapshot: Snapshot, experiment: Experiment | None, url: str | None) -> list[str]:
    """Commands that rebuild a revision on a clean machine."""
    folder = f"/{snapshot.reader.prefix}" if snapshot.reader.prefix else ""
    commands = [
        f"git clone {quote(url or str(snapshot.reader.top))} project && cd {quote(f'project{folder}')}"
    ]
    if experiment:
        commands.append("git fetch origin 'refs/exps/*:refs/exps/*'")
    commands.append(f"git checkout --detach {snapshot.rev}")
    if snapshot.has("requirements.lock"):
        commands.append("python3 -m venv .venv && source .venv/bin/activate")
        commands.append("pip install --require-hashes -r requirements.lock")
    if snapshot.sources:
        few = map(quote, snapshot.sources) if len(snapshot.sources) < SHOWN else ()
        commands.append(" ".join(["dvc pull", *few]))
    several = any(":" in stage for stage in snapshot.stages)  # those of other folders than the root
    return [*commands, "dvc repro --all-pipelines" if several else "dvc repro"]


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
    return public("\n".join(lines))


def _table(values: dict[str, Any]) -> str:
    rows = [f"| {_cell(key)} | `{_cell(value)}` |" for key, value in list(values.items())[:SHOWN]]
    more = [f"| … and {len(values) - SHOWN} more | |"] if len(values) > SHOWN else []
    return "\n".join(["| | |", "|---|---|", *rows, *more]) if rows else "none"


def _cell(value: object) -> str:
    text = " ".join(str(value).split()).replace("|", "\\|").replace("`", "'")
    return text if len(text) <= 80 else text[:77] + "…"
