"""Whether the results that a commit records are results of the files that it holds.

Who changes code or params, and commits without `dvc repro`, has a `dvc.lock` that tells of other files.
DVC would find out in a checkout (`dvc status`); here it is read from Git, for any commit.
"""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from shlex import quote
from typing import Any

import yaml

from ..errors import UnreadableError
from ..git import git
from ..git.pointers import lfs_size
from ..model import Entry, Key, Stage, flat_params, is_in, join, named_value, overlaps, same_value
from ..repository import parsing, shallow_history
from ..repository.hashes import HashKind, differs_in_line_ends, folder_hash
from ..repository.reader import Reader
from ..repository.snapshot import Snapshot

# Differences that a line tells; and characters of a value.
MOST_TOLD = 3
LONGEST_VALUE = 40
REPRO = "`dvc repro`"


class Kind(StrEnum):
    """What differs."""

    STAGE = "stage"
    COMMAND = "command"
    PARAM = "param"
    DEPENDENCY = "dependency"
    OUTPUT = "output"


@dataclass(frozen=True)
class Difference:
    """Something in which a commit differs from what made the results that it records.

    Attributes:
        stage: address of the stage that has the results.
        kind: of what differs.
        name: key of a param, path of a file or folder, or address of a stage.
        recorded: its hash, value or command, as `dvc.lock` has it; None where that has none.
        present: the same as the commit has it.
        sentence: the same in words.
        remedy: what to do before the next commit, for its results to be its own.
    """

    stage: str
    kind: Kind
    name: str
    recorded: Any
    present: Any
    sentence: str
    remedy: str = REPRO


def differences(snapshot: Snapshot) -> list[Difference]:
    """Return in what a commit differs from what made its results; nothing where it records none.

    What Git and this machine's DVC cache do not tell is not compared, nor are outputs that neither keeps.
    """
    if not snapshot.records:
        return []
    commit = _Commit(snapshot)
    found: list[Difference] = []
    for stage in snapshot.stages.values():
        found += commit.differences_of(stage)
    return found


def has_unrecorded_pipeline(snapshot: Snapshot) -> bool:
    """Return whether a commit has stages and no results of any."""
    return not snapshot.records and bool(snapshot.stages)


# The hash of what is not there.
ABSENT = ""


class _Commit:
    """What a commit holds, compared with what it records."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._objects = snapshot.reader.objects
        self._hashes = snapshot.reader.hashes
        # Locks and `.dvc` files have the hash of what DVC keeps, but for outputs that no lock records.
        self._tracked: dict[str, Entry] = dict(snapshot.sources)
        self._unknown: set[str] = set()
        self._params: dict[str, dict[str, Any] | str | None] = {}
        paths: set[str] = set()
        for stage in snapshot.stages.values():
            paths.update(stage.deps, stage.outs)
            for path, out in stage.outs.items():
                if out.cached and out.entry is not None:
                    self._tracked[path] = out.entry
                elif out.cached:
                    self._unknown.add(path)
        for path, md5 in snapshot.edited.items():
            self._tracked[path] = {**self._tracked.get(path, {}), "md5": md5}
        # All that will be asked for at once: one by one, each takes a round trip.
        blobs: list[str] = []
        for path in paths - self._tracked.keys():
            blobs += snapshot.git_files(path).values()
        self._hashes.load(blobs, HashKind.MD5)

    def differences_of(self, stage: Stage) -> list[Difference]:
        """Return in what a stage differs from its record."""
        address = stage.address
        record = stage.record
        if record is None:
            sentence = f"{address} has no recorded results"
            return [Difference(address, Kind.STAGE, address, None, None, sentence)]
        found = []
        if stage.cmd != record.cmd:
            sentence = f"the command of {address} has changed since"
            found.append(Difference(address, Kind.COMMAND, address, record.cmd, stage.cmd, sentence))
        if not stage.frozen:
            for file, names in stage.params.items():
                found += self._of_params(address, file, names, record.params.get(file, {}))
            for path in stage.deps:
                found += self._of_file(address, Kind.DEPENDENCY, path, record.deps.get(path))
        for path, out in stage.outs.items():
            is_known = path in self._snapshot.edited or (not out.cached and self._snapshot.in_git(path))
            if out.entry is None or is_known:
                found += self._of_file(address, Kind.OUTPUT, path, out.entry)
        return found

    def _of_file(self, address: str, kind: Kind, path: str, entry: Entry | None) -> list[Difference]:
        """Return in what a file or folder differs from its entry: in one thing, or in nothing."""
        if entry is None:
            return [Difference(address, kind, path, None, None, f"{path} of {address} is not recorded")]
        recorded = entry.get("md5")
        changed = f"{path} has changed since"
        if kind is Kind.OUTPUT:
            changed = f"{path} is not what {address} wrote"
        present = self._hash_of(path, HashKind.of_entry(entry)) if recorded else None
        if present is None and self._has_other_size(path, entry):
            return [Difference(address, kind, path, recorded, None, changed)]
        if present is None or present == recorded:
            return []
        content = self._snapshot.read(path)
        sentence = changed
        remedy = REPRO
        if present == ABSENT:
            sentence = f"{path} is in neither Git nor DVC"
            remedy = _addition(path)
        elif content is not None and differs_in_line_ends(content, str(recorded)):
            sentence = f"{path} had other line ends"
            attribute = f"`{path} text eol=lf` in .gitattributes"
            remedy = f"{attribute}, `git add --renormalize .`, check it out again, {REPRO}"
        return [Difference(address, kind, path, recorded, present or None, sentence, remedy)]

    def _has_other_size(self, path: str, entry: Entry) -> bool:
        """Return whether Git has a pointer of Git LFS to a content of another size than an entry says."""
        # An older DVC hashed text with other line ends, and so another size.
        if HashKind.of_entry(entry) is not HashKind.MD5 or "size" not in entry:
            return False
        size = lfs_size(self._snapshot.read(path) or b"")
        return size is not None and size != entry["size"]

    def _of_params(
        self, address: str, file: str, names: Sequence[str], recorded: Mapping[str, Any]
    ) -> list[Difference]:
        """Return in which values a params file differs from what is recorded of it."""
        if file not in self._params:
            self._params[file] = self._read_params(file)
        content = self._params[file]
        if content is None:
            return []
        if isinstance(content, str):
            remedy = f"mend {file}" if self._snapshot.kept_files(file) else _addition(file)
            return [Difference(address, Kind.PARAM, file, None, None, content, remedy)]
        found = []
        for dotted in names or dict.fromkeys([*content, *recorded]):
            found += _of_param(address, Key(file, str(dotted)), recorded, content)
        return found

    def _read_params(self, file: str) -> dict[str, Any] | str | None:
        """Return content of a params file; why there is none, in a sentence; None if that cannot be told."""
        content = self._snapshot.kept_files(file).get(file)
        if content is None:
            if self._hash_of(file, HashKind.MD5) == ABSENT:
                return f"{file} is in neither Git nor DVC"
            return None
        try:
            values = parsing.parse(file, content) or {}
        except (ValueError, yaml.YAMLError):
            return f"{file} cannot be read"
        return values if isinstance(values, dict) else f"{file} cannot be read"

    def _hash_of(self, path: str, kind: HashKind) -> str | None:
        """Return the hash of a file or folder as DVC computes it; `ABSENT` where the commit has none.

        None where it cannot be told from Git and this machine's DVC cache: outside of the repository, in a
        submodule, behind a symbolic link, in git-annex, in Git LFS where this machine lacks the content, or
        in a tracked folder whose list is not in the cache.
        """
        if path in self._tracked:
            return _recorded(self._tracked[path], kind)
        if path in self._unknown or path in (".", "..") or "://" in path or posixpath.isabs(path):
            return None
        if path.startswith("../"):
            # What is not in Git may be of another DVC project.
            place = join(self._snapshot.reader.prefix, path)
            return self._hash_in_git(self._snapshot.root_tree, place, kind) or None
        return self._hash_in_git(self._snapshot.tree, path, kind)

    def _hash_in_git(self, tree: str, path: str, kind: HashKind) -> str | None:
        """Return the same of a path below a tree: that of the project, or of the repository around it."""
        if path.startswith("../") or path == ".." or self._objects.is_opaque(tree, path):
            return None
        files: dict[str, str | None] = {}
        for file, blob in self._objects.files(tree, path).items():
            files[file] = self._hashes.of_blob(blob, kind)
        if path in files:
            return files[path]
        if tree == self._snapshot.tree:
            for file in self._snapshot.reader.hidden_files(self._snapshot.rev, tree, files.keys()):
                del files[file]
            files |= self._tracked_hashes(path, kind)
        return files[path] if path in files else _hash_of_folder(path, files)

    def _tracked_hashes(self, path: str, kind: HashKind) -> dict[str, str | None]:
        """Return hash by path of the files that DVC keeps at a path, in that folder, or around it."""
        files: dict[str, str | None] = {}
        for place, entry in self._tracked.items():
            if is_in(place, path):
                files.update(self._listed(place, entry, kind))
            elif is_in(path, place):
                listed = self._listed(place, entry, kind)
                if place in listed:  # a folder without a list
                    listed = {path: None}
                for file, md5 in listed.items():
                    if is_in(file, path):
                        files[file] = md5
        if overlaps(path, self._unknown):
            files[path] = None
        return files

    def _listed(self, path: str, entry: Entry, kind: HashKind) -> dict[str, str | None]:
        """Return hash by path of the files of a tracked folder; of a folder without a list, None."""
        md5 = _recorded(entry, kind)
        if md5 is None or not md5.endswith(".dir"):
            return {path: md5}
        files = self._snapshot.reader.folder_files(path, entry)
        return {path: None} if path in files else dict(files)


def _recorded(entry: Entry, kind: HashKind) -> str | None:
    """Return the hash in an entry, None where it has none of this kind."""
    return entry.get("md5") if HashKind.of_entry(entry) is kind else None


def _hash_of_folder(path: str, files: Mapping[str, str | None]) -> str | None:
    """Return hash of a folder, `ABSENT` where there is none, None where one of its files has none."""
    if not files:
        return ABSENT
    known = {}
    for file, md5 in files.items():
        if not md5:
            return None
        known[file.removeprefix(f"{path}/")] = md5
    return folder_hash(known)


def _addition(path: str) -> str:
    """Return how to have a file in the next commit that Git ignores or nobody added."""
    return f"`git add --force {quote(path)}`, or `dvc add` where it is data"


# A value that is not there.
_NONE = object()


def _of_param(
    address: str, key: Key, before: Mapping[str, Any], content: Mapping[str, Any]
) -> list[Difference]:
    """Return values below a name in which record and file differ."""
    recorded = before.get(key.dotted, _NONE)
    try:
        present = named_value(content, key.dotted)
    except (LookupError, TypeError, ValueError):
        present = content.get(key.dotted, _NONE)
    if same_value(present, recorded):
        return []
    old = _leaves(key, recorded)
    new = _leaves(key, present)
    found = []
    for name in dict.fromkeys([*old, *new]):
        if not same_value(new.get(name, _NONE), old.get(name, _NONE)):
            sentence = _param_sentence(name, old, new)
            found.append(Difference(address, Kind.PARAM, name, old.get(name), new.get(name), sentence))
    return found


def _leaves(key: Key, value: Any) -> dict[str, Any]:
    if value is _NONE:
        return {}
    return flat_params([(key.file, {key.dotted: value})])


def _param_sentence(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    if name not in old:
        return f"{name} is {_short(new[name])}, was not recorded"
    if name not in new:
        return f"{name} was {_short(old[name])}, is gone"
    return f"{name} was {_short(old[name])}, is {_short(new[name])}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def summary(found: Sequence[Difference], most: int = MOST_TOLD) -> str:
    """Return differences in one line: the first few, and how many more there are."""
    # Stages can share a param or a file.
    sentences = list(dict.fromkeys(difference.sentence for difference in found))
    told = sentences[:most]
    if len(sentences) > most:
        told.append(f"and {len(sentences) - most} more")
    return "; ".join(told)


def remedy(found: Sequence[Difference]) -> str:
    """Return what to do for the results of the next commit to be its own, in a line."""
    remedies = list(dict.fromkeys(difference.remedy for difference in found))
    return f"{'; '.join(remedies[:MOST_TOLD])}, then commit"


def commit_of_results(reader: Reader, snapshot: Snapshot) -> str | None:
    """Return the newest commit before a revision that records its results and holds what made them.

    None where there is none in this clone; see `unread_history`.
    """
    for ancestor in reader.snapshots(_history(reader, snapshot)):
        if ancestor.locks == snapshot.locks and _agrees(ancestor):
            return ancestor.rev
    return None


def unread_history(reader: Reader, snapshot: Snapshot) -> str:
    """Return why a commit of a revision's history can have been overlooked, in a sentence.

    Empty if none can.
    """
    shallow = shallow_history(reader.root)
    if shallow:
        return shallow
    damaged = [one for one in reader.snapshots(_history(reader, snapshot)) if one.damage]
    if not damaged:
        return ""
    first = damaged[0]
    return f"{len(damaged)} of them cannot be read, such as {first.rev[:7]}: {first.damage}"


def _history(reader: Reader, snapshot: Snapshot) -> list[str]:
    return git(reader.root, "rev-list", snapshot.rev).split()[1:]


def _agrees(snapshot: Snapshot) -> bool:
    try:
        return not differences(snapshot)
    except UnreadableError:
        return False
