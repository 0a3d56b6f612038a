"""What an archive calls its members, and the manifest that lists them."""

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

# A reader refuses archives of a higher one.
FORMAT = 1

MANIFEST = "manifest.json"
README = "README.md"
CRATE = "ro-crate-metadata.json"
BUNDLE = "repository.bundle"
# Objects of DVC, laid out as in its caches and remotes.
OBJECTS = "dvc"
WHEELS = "wheels"
# Copies of files of the revision, for readers without Git.
FILES = "files"

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class ManifestError(ValueError):
    """A manifest is not as `locatable archive` writes it; the message says in what."""


@dataclass(frozen=True)
class Entry:
    """What a manifest says of a member: the hash of its bytes, and how many there are."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """What an archive holds.

    Attributes:
        revision: the commit to be rebuilt.
        project: path from the Git root to the DVC root, empty where they are the same.
        experiment: name of the DVC experiment that the commit is, None where it is an ordinary one.
        baseline: the commit that the experiment started from.
        wheels_for: Python and platform that the wheels are for, None where there are none.
        members: by path, without the manifest itself.
    """

    revision: str
    project: str = ""
    experiment: str | None = None
    baseline: str | None = None
    wheels_for: str | None = None
    members: dict[str, Entry] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The content of the member `manifest.json`."""
        content = {"format": FORMAT, **asdict(self)}
        return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def read_manifest(content: bytes) -> Manifest:
    """What the member `manifest.json` says.

    Raises:
        ManifestError: it is not as this version writes it.
    """
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        raise ManifestError("it is not JSON") from None
    written = values.get("format") if isinstance(values, dict) else None
    if not isinstance(written, int):
        raise ManifestError("it names no format")
    if written > FORMAT:
        raise ManifestError(
            f"format {written} is newer than {FORMAT}, the newest known here: upgrade locatable"
        )
    try:
        return _manifest(values)
    except (AttributeError, KeyError, TypeError) as error:
        raise ManifestError(f"not as locatable writes it: {error!r}") from None


def _manifest(values: dict[str, Any]) -> Manifest:
    revision = values["revision"]
    if not _COMMIT.fullmatch(revision):
        raise ManifestError(f"{revision!r:.80} is no commit")
    project = values["project"]
    if project and not is_safe(project):
        raise ManifestError(f"{project!r:.80} is no folder of a repository")
    members = {}
    for path, entry in values["members"].items():
        if not is_safe(path):
            raise ManifestError(f"{path!r:.80} is no path within an archive")
        if not _SHA256.fullmatch(entry["sha256"]) or not isinstance(entry["size"], int):
            raise ManifestError(f"{path!r:.80} has no hash and size")
        members[path] = Entry(entry["sha256"], entry["size"])
    return Manifest(
        revision=revision,
        project=project,
        experiment=values["experiment"],
        baseline=values["baseline"],
        wheels_for=values["wheels_for"],
        members=members,
    )


def is_safe(path: str) -> bool:
    """Whether a path leads to a place inside of the folder that it is joined to, on every system."""
    if not path or "\\" in path or ":" in path or "\0" in path:
        return False
    parts = PurePosixPath(path).parts
    return "/".join(parts) == path and ".." not in parts and not path.startswith("/")
