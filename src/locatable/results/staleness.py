"""Check whether the results that a commit records were produced from the files that it holds.

If someone changes code or params and commits without `dvc repro`, `dvc.lock` still describes the old files.
`dvc status` would report that in a checkout. This module reads it from Git, for any commit.
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

# The number of differences that a summary lists, and the number of characters of a value that it shows.
MOST_LISTED = 3
LONGEST_VALUE = 40
REPRO = "`dvc repro`"


class Kind(StrEnum):
    """The kind of thing that differs."""

    STAGE = "stage"
    COMMAND = "command"
    PARAM = "param"
    DEPENDENCY = "dependency"
    OUTPUT = "output"


@dataclass(frozen=True)
class Difference:
    """A difference between a commit and the record of the run that produced its results.

    Attributes:
        stage: the address of the stage.
        kind: the kind of thing that differs.
        name: the key of a param, the path of a file or folder, or the address of the stage.
        recorded: the hash, value or command in `dvc.lock`; None if `dvc.lock` has none.
        present: the hash, value or command in the commit; None if the commit has none or it is unknown.
        sentence: the difference as a sentence for the user.
        remedy: what the user should do before the next commit, so that its results belong to it.
    """

    stage: str
    kind: Kind
    name: str
    recorded: Any
    present: Any
    sentence: str
    remedy: str = REPRO


def differences(snapshot: Snapshot) -> list[Difference]:
    """Return the differences between a commit and the records of its stages.

    The list is empty if the commit records no results. A file whose hash is in neither Git nor this machine's
    DVC cache is not compared, nor is an output that neither Git nor DVC keeps.
    """
    if not snapshot.records:
        return []
    commit = _Commit(snapshot)
    found: list[Difference] = []
    for stage in snapshot.stages.values():
        found += commit.differences_of(stage)
    return found


def has_unrecorded_pipeline(snapshot: Snapshot) -> bool:
    """Return whether a commit has stages, but records no results of any of them."""
    return not snapshot.records and bool(snapshot.stages)


# The hash that stands for a file or folder that does not exist.
ABSENT = ""


class _Commit:
    """The content of a commit, for a comparison with its records."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._objects = snapshot.reader.objects
        self._hashes = snapshot.reader.hashes
        # The hashes of files that DVC keeps are in `.dvc` files and locks.
        self._tracked: dict[str, Entry] = dict(snapshot.sources)
        # Outputs that DVC keeps, but that no lock records: their hashes are unknown.
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
        # Files in the workspace can differ from what `.dvc` files and locks record.
        for path, md5 in snapshot.edited.items():
            self._tracked[path] = {**self._tracked.get(path, {}), "md5": md5}
        # Load all hashes at once, because each single one takes a round trip to Git.
        blobs: list[str] = []
        for path in paths - self._tracked.keys():
            blobs += snapshot.git_files(path).values()
        self._hashes.load(blobs, HashKind.MD5)

    def differences_of(self, stage: Stage) -> list[Difference]:
        """Return the differences between a stage and its record."""
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
                found += self._params_differences(address, file, names, record.params.get(file, {}))
            for path in stage.deps:
                found += self._file_difference(address, Kind.DEPENDENCY, path, record.deps.get(path))
        for path, out in stage.outs.items():
            is_known = path in self._snapshot.edited or (not out.cached and self._snapshot.in_git(path))
            if out.entry is None or is_known:
                found += self._file_difference(address, Kind.OUTPUT, path, out.entry)
        return found

    def _file_difference(self, address: str, kind: Kind, path: str, entry: Entry | None) -> list[Difference]:
        """Return the difference between a file or folder and its entry, as a list with at most one item."""
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
            remedy = _how_to_add(path)
        elif content is not None and differs_in_line_ends(content, str(recorded)):
            sentence = f"{path} had other line ends"
            attribute = f"`{path} text eol=lf` in .gitattributes"
            remedy = f"{attribute}, `git add --renormalize .`, check it out again, {REPRO}"
        return [Difference(address, kind, path, recorded, present or None, sentence, remedy)]

    def _has_other_size(self, path: str, entry: Entry) -> bool:
        """Return whether Git has a Git LFS pointer to content of a different size than the entry says."""
        # DVC before 3 hashed text with normalized line ends, so its size says nothing about the content.
        if HashKind.of_entry(entry) is not HashKind.MD5 or "size" not in entry:
            return False
        size = lfs_size(self._snapshot.read(path) or b"")
        return size is not None and size != entry["size"]

    def _params_differences(
        self, address: str, file: str, names: Sequence[str], recorded: Mapping[str, Any]
    ) -> list[Difference]:
        """Return the differences between the values of a params file and the recorded values."""
        if file not in self._params:
            self._params[file] = self._read_params(file)
        content = self._params[file]
        if content is None:
            return []
        if isinstance(content, str):
            remedy = f"mend {file}" if self._snapshot.kept_files(file) else _how_to_add(file)
            return [Difference(address, Kind.PARAM, file, None, None, content, remedy)]
        found = []
        for dotted in names or dict.fromkeys([*content, *recorded]):
            found += _param_differences(address, Key(file, str(dotted)), recorded, content)
        return found

    def _read_params(self, file: str) -> dict[str, Any] | str | None:
        """Return the content of a params file.

        Returns:
            The content; a sentence if the file is missing or broken; None if DVC tracks the file and its
            content is not on this machine.
        """
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
        """Return the hash of a file or folder as DVC computes it.

        Returns:
            The hash; `ABSENT` if the commit has no such file or folder; None if Git and this machine's DVC
            cache cannot tell the hash. That is the case outside of the repository, in a submodule, behind a
            symbolic link, in git-annex, in Git LFS if the content is not on this machine, and in a tracked
            folder whose list of files is not in the cache.
        """
        if path in self._tracked:
            return _md5_of_entry(self._tracked[path], kind)
        if path in self._unknown or path in (".", "..") or "://" in path or posixpath.isabs(path):
            return None
        if path.startswith("../"):
            # A path that is not in Git may belong to a different DVC project, so it is unknown, not absent.
            place = join(self._snapshot.reader.prefix, path)
            return self._hash_in_git(self._snapshot.root_tree, place, kind) or None
        return self._hash_in_git(self._snapshot.tree, path, kind)

    def _hash_in_git(self, tree: str, path: str, kind: HashKind) -> str | None:
        """Return the hash of a path below a Git tree; the same values as `_hash_of`.

        Args:
            tree: the tree of the project, or of the whole repository.
            path: relative to that tree.
            kind: how to hash files.
        """
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
        """Return the hashes of tracked files by path: the file at a path, or all files in that folder.

        The path can also lie in a tracked folder. The hash is None where it is unknown.
        """
        files: dict[str, str | None] = {}
        for place, entry in self._tracked.items():
            if is_in(place, path):
                files.update(self._listed(place, entry, kind))
            elif is_in(path, place):
                listed = self._listed(place, entry, kind)
                if place in listed:  # The list of the folder's files is not in the cache.
                    listed = {path: None}
                for file, md5 in listed.items():
                    if is_in(file, path):
                        files[file] = md5
        if overlaps(path, self._unknown):
            files[path] = None
        return files

    def _listed(self, path: str, entry: Entry, kind: HashKind) -> dict[str, str | None]:
        """Return the hashes of the files of a tracked folder by path, or the hash of a tracked file.

        For a folder whose list of files is not in the cache, return only its own path, with None.
        """
        md5 = _md5_of_entry(entry, kind)
        if md5 is None or not md5.endswith(".dir"):
            return {path: md5}
        files = self._snapshot.reader.folder_files(path, entry)
        return {path: None} if path in files else dict(files)


def _md5_of_entry(entry: Entry, kind: HashKind) -> str | None:
    """Return the hash in an entry, or None if the entry has no hash of this kind."""
    return entry.get("md5") if HashKind.of_entry(entry) is kind else None


def _hash_of_folder(path: str, files: Mapping[str, str | None]) -> str | None:
    """Return the hash of a folder with these files.

    Returns:
        The hash; `ABSENT` if there are no files; None if the hash of a file is unknown.
    """
    if not files:
        return ABSENT
    known = {}
    for file, md5 in files.items():
        if not md5:
            return None
        known[file.removeprefix(f"{path}/")] = md5
    return folder_hash(known)


def _how_to_add(path: str) -> str:
    """Return how the user can commit a file that Git ignores or that was never added."""
    return f"`git add --force {quote(path)}`, or `dvc add` where it is data"


# Stands for a missing value, because None is a valid value of a param.
_MISSING = object()


def _param_differences(
    address: str, key: Key, record: Mapping[str, Any], content: Mapping[str, Any]
) -> list[Difference]:
    """Return the differences between record and file for one declared param, which can be a section."""
    recorded = record.get(key.dotted, _MISSING)
    try:
        present = named_value(content, key.dotted)
    except (LookupError, TypeError, ValueError):
        present = content.get(key.dotted, _MISSING)
    if same_value(present, recorded):
        return []
    old = _leaves(key, recorded)
    new = _leaves(key, present)
    found = []
    for name in dict.fromkeys([*old, *new]):
        if not same_value(new.get(name, _MISSING), old.get(name, _MISSING)):
            sentence = _param_sentence(name, old, new)
            found.append(Difference(address, Kind.PARAM, name, old.get(name), new.get(name), sentence))
    return found


def _leaves(key: Key, value: Any) -> dict[str, Any]:
    """Return the single values below a key, each by its full key; an empty dict for a missing value."""
    if value is _MISSING:
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


def summary(found: Sequence[Difference], most: int = MOST_LISTED) -> str:
    """Return the first differences, and the number of the remaining ones, as one line."""
    # Stages can share a param or a file, so several differences can have the same sentence.
    sentences = list(dict.fromkeys(difference.sentence for difference in found))
    listed = sentences[:most]
    if len(sentences) > most:
        listed.append(f"and {len(sentences) - most} more")
    return "; ".join(listed)


def remedy(found: Sequence[Difference]) -> str:
    """Return one line that says how to make the results of the next commit belong to its files."""
    remedies = list(dict.fromkeys(difference.remedy for difference in found))
    return f"{'; '.join(remedies[:MOST_LISTED])}, then commit"


def commit_of_results(reader: Reader, snapshot: Snapshot) -> str | None:
    """Return the commit that the results of a stale revision belong to.

    That is the newest earlier commit that records the same results and holds the files that produced them.
    Return None if this clone has no such commit; `unread_history` says whether it could be missing here.
    """
    for ancestor in reader.snapshots(_history(reader, snapshot)):
        if ancestor.locks == snapshot.locks and _agrees(ancestor):
            return ancestor.rev
    return None


def unread_history(reader: Reader, snapshot: Snapshot) -> str:
    """Return why `commit_of_results` can have missed a commit, or an empty string if it cannot."""
    shallow = shallow_history(reader.root)
    if shallow:
        return shallow
    damaged = [one for one in reader.snapshots(_history(reader, snapshot)) if one.damage]
    if not damaged:
        return ""
    first = damaged[0]
    return f"{len(damaged)} of them cannot be read, such as {first.rev[:7]}: {first.damage}"


def _history(reader: Reader, snapshot: Snapshot) -> list[str]:
    """Return the ancestors of a revision, newest first, without the revision itself."""
    return git(reader.root, "rev-list", snapshot.rev).split()[1:]


def _agrees(snapshot: Snapshot) -> bool:
    """Return whether the results of a commit belong to its files; false if a file of DVC is broken."""
    try:
        return not differences(snapshot)
    except UnreadableError:
        return False
