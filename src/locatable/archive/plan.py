"""Decides what an archive contains, and finds content that may be private, before anything is written.

No program can know what is secret. These checks find what people are known to publish by accident: data from
others, passwords, and paths of their machine. Commits cannot be changed, and an archive contains the whole
history. Therefore passwords are searched for in every version of every file.
"""

import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from ..errors import ProjectError, UsageError
from ..git import git
from ..model import ENVIRONMENT_RECORD, Output
from ..output import redact_urls
from ..proof.plan import ProofPlan, path_pattern
from ..repository.snapshot import Snapshot
from ..results.coordinates import ENVIRONMENT_LOCKS, LOCKS
from .format import is_safe

# Files that are larger, or contain a zero byte, are data and not text that a person wrote.
LARGEST_TEXT = 1 << 20
_DVC_CONFIG = re.compile(r"(^|/)\.dvc/config(\.local)?$")
# The options of DVC's configuration that hold secrets, according to DVC's schema.
_SECRET = re.compile(
    rb"^\s*['\"]?(password|token|access_key_id|secret_access_key|session_token|sse_customer_key|connection_string"
    rb"|sas_token|account_key|client_secret|oss_key_id|oss_key_secret|gdrive_client_secret)['\"]?\s*=\s*\S",
    re.MULTILINE | re.IGNORECASE,
)
# A setting of DVC's configuration with an absolute path.
_ABSOLUTE = re.compile(rb"^\s*\w+\s*=\s*['\"]?((?:file://)?/[^\s'\"]*|[A-Za-z]:[\\/][^\s'\"]*)", re.MULTILINE)
# The first line of a private key of any kind in the PEM format.
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
# A URL with a user name, and perhaps a password, before the server. The length of the scheme is limited,
# because otherwise a line of a million letters would take minutes.
_URL_WITH_LOGIN = re.compile(rb"\w[\w+.-]{0,40}://[^/\s\"'`<>@]+@[^\s\"'`<>]+")
# A URL whose password is a variable or a placeholder.
_PLACEHOLDER = re.compile(r"://(?:[^/@:]*:)?[$<{*.]")
# A pattern that matches nothing.
_NEVER = re.compile(rb"(?!)")
# The number of objects to hold in memory at the same time.
_BATCH = 500
# The line that Git prints about each object.
_OBJECT_LINE = "%(objectname) %(objecttype) %(objectsize) %(objectsize:disk)"
GIGABYTE = 1_000_000_000
_UNITS = {"B": 1, "KB": 1_000, "MB": 1_000_000, "GB": GIGABYTE, "TB": 1_000 * GIGABYTE}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([KMGT]?)B?", re.IGNORECASE)
# An error message names at most this many concerns, and counts the others.
_MOST_NAMED = 8
# Files that a reader without Git wants to see, in addition to the pipeline.
_COPIED_FILES = (*LOCKS, *ENVIRONMENT_LOCKS, ENVIRONMENT_RECORD, "params.yaml", "pyproject.toml")
LICENCE = re.compile(r"(LICEN[CS]E|COPYING)(\.(md|rst|txt))?", re.IGNORECASE)


@dataclass(frozen=True)
class Concern:
    """A file or folder that may be private.

    Attributes:
        name: its path, by which `--include` allows it in the archive.
        reason: why it may be private.
    """

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


@dataclass(frozen=True)
class HistoryObject:
    """An object of Git that can be reached from a commit.

    Attributes:
        id: the id of the object.
        is_file: true for a version of a file.
        size: the size of its content in bytes.
        stored: the number of bytes that it takes in the repository.
        path: the path of the file or folder from the Git root. If there are several, any of them.
    """

    id: str
    is_file: bool
    size: int
    stored: int
    path: str


def history_objects(repo: Path, commit: str) -> list[HistoryObject]:
    """Return all objects that can be reached from a commit."""
    paths: dict[str, str] = {}
    for line in git(repo, "rev-list", "--objects", commit).split("\n"):
        # The path follows the id. It is empty for commits and for the Git root.
        id_, _, path = line.partition(" ")
        paths[id_] = path
    ids = "".join(f"{id_}\n" for id_ in paths)
    found = []
    for answer in git(repo, "cat-file", f"--batch-check={_OBJECT_LINE}", text=ids).split("\n"):
        id_, kind, size, stored = answer.split(" ")
        found.append(HistoryObject(id_, kind == "blob", int(size), int(stored), paths[id_]))
    return found


@dataclass(frozen=True)
class ArchivePlan:
    """The content of an archive in addition to the Git history.

    Attributes:
        sources: inputs of stages that DVC stores: tracked data, and outputs of frozen stages.
        outputs: outputs of stages that DVC stores.
        files: paths of the files in Git that the archive has copies of.
    """

    sources: tuple[Output, ...]
    outputs: tuple[Output, ...]
    files: tuple[str, ...]

    @property
    def stored_by_dvc(self) -> tuple[Output, ...]:
        """Everything that is read from DVC's cache or remote."""
        return (*self.sources, *self.outputs)


def plan_archive(proof: ProofPlan, snapshot: Snapshot, with_outputs: bool) -> ArchivePlan:
    """Decide what an archive contains.

    Args:
        proof: the plan of a proof of the revision, which says what rebuilding it takes.
        snapshot: the revision.
        with_outputs: true to include the outputs of the stages.
    """
    # The keys of a dictionary are unique and keep their order.
    sources: dict[Output, None] = {}
    for stage in proof.stages:
        sources.update(dict.fromkeys(proof.recorded_inputs(stage)))
    files = {*_COPIED_FILES, *filter(LICENCE.fullmatch, snapshot.root_files())}
    for path in snapshot.files:
        if posixpath.basename(path) in ("dvc.yaml", "dvc.lock"):
            files.add(path)
    for record in snapshot.records.values():
        files.update(record.params)
    outputs = []
    if with_outputs:
        for output in proof.rebuilt:
            if not output.cached:
                files.add(output.path)
            elif output.recorded:
                outputs.append(output)
    # Leave out files outside the project, and files whose names are not possible on Windows.
    safe = filter(is_safe, sorted(files))
    return ArchivePlan(tuple(sources), tuple(outputs), tuple(safe))


def find_concerns(snapshot: Snapshot, plan: ArchivePlan, history: Sequence[HistoryObject]) -> list[Concern]:
    """Return the content of an archive that may be private, without duplicates.

    Args:
        snapshot: the revision.
        plan: the plan of the archive.
        history: all objects of Git that the archive would contain.
    """
    concerns = [*_imported_data(snapshot, plan), *_private_texts(snapshot, history)]
    return list(dict.fromkeys(concerns))


def _imported_data(snapshot: Snapshot, plan: ArchivePlan) -> Iterator[Concern]:
    """Yield the data that was imported from elsewhere, because its owner may not allow publishing it."""
    archived = {output.path for output in plan.sources}
    for path in sorted(archived & snapshot.sources.keys()):
        # Concerns are named by paths from the Git root.
        name = posixpath.join(snapshot.reader.prefix, path)
        for origin in snapshot.sources[path].get("deps") or ():
            repository = origin.get("repo")
            if repository:
                reason = f"dvc import of {repository.get('url')}"
            else:
                reason = f"dvc import-url of {origin.get('path', 'elsewhere')}"
            yield Concern(name, redact_urls(reason))


def _private_texts(snapshot: Snapshot, history: Sequence[HistoryObject]) -> Iterator[Concern]:
    """Yield credentials in any version of a file, and paths of this machine in files of the revision."""
    objects = snapshot.reader.objects
    in_revision = set(objects.files(snapshot.root_tree, "").values())
    local_paths = _local_paths(snapshot.reader.top)
    small_files = [version for version in history if version.is_file and version.size <= LARGEST_TEXT]
    for start in range(0, len(small_files), _BATCH):
        batch = small_files[start : start + _BATCH]
        answers = objects.read(version.id for version in batch)
        for version, answer in zip(batch, answers, strict=True):
            content = answer.content if answer else b""
            if b"\0" in content:
                continue
            credential = _credential(version.path, content)
            if version.id not in in_revision:
                if credential:
                    yield Concern(version.path, f"{credential}, in an earlier commit")
                continue
            if credential:
                yield Concern(version.path, credential)
            path = _absolute_path(version.path, content, local_paths)
            if path:
                yield Concern(version.path, f"an absolute path: {path}")


def _local_paths(top: Path) -> re.Pattern[bytes]:
    """Return a pattern for paths that only this machine has: in the repository, or in the user's home."""
    # Leave out the root folder, because every absolute path would match it.
    paths = sorted({str(top), os.path.expanduser("~")} - {"/"})
    return re.compile(os.fsencode(path_pattern(paths))) if paths else _NEVER


def _credential(path: str, content: bytes) -> str:
    """Return a phrase for the credential in a text, empty if there is no credential."""
    if _PRIVATE_KEY.search(content):
        return "a private key"
    if _DVC_CONFIG.search(path):
        setting = _SECRET.search(content)
        if setting:
            return f"the setting {setting[1].decode()} of a DVC remote"
    for found in _URL_WITH_LOGIN.findall(content):
        url = found.decode(errors="replace")
        redacted = redact_urls(url)
        if redacted != url and not _PLACEHOLDER.search(url):
            return f"the login in {redacted[:60]}"
    return ""


def _absolute_path(path: str, content: bytes, local_paths: re.Pattern[bytes]) -> str:
    """Return a path of this machine in a text, or an empty text.

    In DVC's configuration, any absolute path counts.
    """
    found = local_paths.search(content)
    if not found and _DVC_CONFIG.search(path):
        found = _ABSOLUTE.search(content)
    return found[1].decode(errors="replace") if found else ""


def refusal(concerns: Sequence[Concern]) -> ProjectError:
    """Return the error that names the concerns, and the options that allow them."""
    named = concerns[:_MOST_NAMED]
    # An error is one line.
    reasons = "; ".join(map(str, named))
    more = len(concerns) - len(named)
    remark = f"; and {more} more" if more else ""
    options = dict.fromkeys(f"--include {quote(concern.name)}" for concern in named)
    return ProjectError(
        f"not for others, perhaps: {reasons}{remark}", f"if they may have it: {' '.join(options)}"
    )


def parse_size(text: str) -> int:
    """Return the number of bytes for a text such as `500MB`.

    Raises:
        UsageError: the text is not a size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text}: a size is a number with KB, MB, GB or TB, such as 5GB")
    number, prefix = match.groups()
    return int(float(number) * _UNITS[f"{prefix.upper()}B"])


def show_size(size: int) -> str:
    """Return a number of bytes as text for people, which `parse_size` also accepts."""
    for unit in ("TB", "GB", "MB", "KB"):
        if size >= _UNITS[unit]:
            return f"{size / _UNITS[unit]:.1f}{unit}"
    return f"{size}B"
