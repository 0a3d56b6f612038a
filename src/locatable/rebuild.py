"""The commands that rebuild a revision on a clean machine."""

from shlex import quote

from .git import remote_url
from .history.reader import Experiment, Reader
from .history.snapshot import Snapshot
from .redact import redact_urls

# Longer lists of files are not spelled out.
MOST_TARGETS = 12


def origin_url(reader: Reader) -> str | None:
    """Where the project can be cloned from; None when it is nowhere but here."""
    url = remote_url(reader.root)
    return redact_urls(url) if url else None


def rebuild_commands(snapshot: Snapshot, experiment: Experiment | None, url: str | None) -> list[str]:
    """Commands that rebuild a revision on a clean machine."""
    folder = f"/{snapshot.reader.prefix}" if snapshot.reader.prefix else ""
    commands = [
        f"git clone {quote(url or str(snapshot.reader.top))} project && cd {quote(f'project{folder}')}"
    ]
    if experiment:
        commands.append("git fetch origin 'refs/exps/*:refs/exps/*'")
    commands.append(f"git checkout --detach {snapshot.rev}")
    if snapshot.in_git("requirements.lock"):
        commands.append("python3 -m venv .venv && source .venv/bin/activate")
        commands.append("pip install --require-hashes -r requirements.lock")
    if snapshot.sources:
        few = map(quote, snapshot.sources) if len(snapshot.sources) < MOST_TARGETS else ()
        commands.append(" ".join(["dvc pull", *few]))
    several = any(":" in stage for stage in snapshot.stages)  # those of other folders than the root
    return [*commands, "dvc repro --all-pipelines" if several else "dvc repro"]
