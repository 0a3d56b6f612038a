"""A reader of Git's objects by id or name, many at a time, from one `git cat-file` process.

In a partial clone (`git clone --filter=…`), Git fetches each missing object when it is read, with a new
connection for each. Reading the files of a thousand commits would take thousands of connections. So the
reader fetches missing objects itself, many at a time.
"""

import contextlib
import hashlib
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple, Self, cast

from ..errors import GitError, UnreadableError
from . import git, matching_settings, missing_objects, start_object_reader

_CHUNK = 1 << 20  # bytes to read at a time
# DVC does not look for its files in these folders.
NEVER_SEARCHED = frozenset((".dvc", ".git", ".hg"))
# The modes of tree entries that are not regular files.
FOLDER, SUBMODULE, LINK = "40000", "160000", "120000"

_FULL_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

# The mode and id of a file or folder in a tree.
TreeEntry = tuple[str, str]


class GitObject(NamedTuple):
    """The full id and the content of an object: a commit, a tree or a blob."""

    id: str
    content: bytes


def entries_of(tree: bytes, id_size: int) -> dict[str, TreeEntry]:
    """Return the entries of a tree object by name.

    Args:
        tree: the content of the object.
        id_size: the size of a raw id in bytes: 20 for SHA-1, 32 for SHA-256.
    """
    entry = rb"(\d+) ([^\0]+)\0(" + b"." * id_size + b")"
    entries = {}
    for mode, name, raw_id in re.findall(entry, tree, re.DOTALL):
        entries[name.decode(errors="surrogateescape")] = (mode.decode(), raw_id.hex())
    return entries


# The number of names to send to Git before reading the answers, because one by one each name would cost a
# round trip. They must fit into the buffer of a pipe on every system; otherwise, both sides would wait.
BATCH = 200
MOST_TREES = 50_000  # the number of trees to keep in memory
MOST_RESTARTS = 20  # Git ends if it cannot fetch an object; the number of times to restart it


class PartialClone:
    """A clone that has only some objects of its remote, and can fetch the others.

    Attributes:
        remote: the name of the remote.
        lacks_trees: True if the clone's filter leaves out folders as well as files.
        problem: why fetching from the remote failed; empty as long as it works.
    """

    def __init__(self, repo: Path, remote: str, lacks_trees: bool) -> None:
        self._repo = repo
        self.remote = remote
        self.lacks_trees = lacks_trees
        self.problem = ""

    @classmethod
    def of(cls, repo: Path) -> Self | None:
        """Return the partial clone that contains a folder; None if the repository is not a partial clone."""
        settings = matching_settings(repo, r"^remote\..*\.(promisor|partialclonefilter)$")
        for key, value in settings.items():
            if key.endswith(".promisor") and value == "true":
                section = key.removesuffix(".promisor")
                lacks_trees = not settings.get(f"{section}.partialclonefilter", "").startswith("blob:")
                return cls(repo, section.removeprefix("remote."), lacks_trees)
        return None

    def fetch(self, names: Iterable[str]) -> set[str]:
        """Fetch the objects that this clone lacks, all with one connection.

        Args:
            names: names of objects; only full ids are fetched, and other names are ignored.

        Returns:
            The ids of the objects that the clone still lacks.
        """
        missing = missing_objects(self._repo, {name for name in names if _FULL_ID.fullmatch(name)})
        if not missing or self.problem:
            return missing
        # These are the options with which Git fetches a single missing object. With a folder, they also fetch
        # all folders in it, but no files.
        quietly = ("--quiet", "--no-tags", "--no-write-fetch-head", "--recurse-submodules=no")
        command = ("fetch", *quietly, "--filter=blob:none", "--stdin", self.remote)
        lines = "".join(f"{name}\n" for name in missing)
        try:
            git(self._repo, *command, text=lines, settings={"fetch.negotiationAlgorithm": "noop"})
        except GitError as error:
            self.problem = error.message
        return missing_objects(self._repo, missing)


class GitObjects:
    """Reads the objects of a repository, until it is closed.

    Args:
        repo: a folder of the repository.
        endings: the endings of the names of the files that `matching_files` returns.
    """

    def __init__(self, repo: Path, endings: tuple[str, ...]) -> None:
        self._repo = repo
        self._endings = endings
        self._restarts = 0
        self._partial = PartialClone.of(repo)
        self._start(may_fetch=True)
        # Most folders are the same in many revisions, so each tree is read and searched only once.
        self._trees: dict[str, dict[str, TreeEntry]] = {}
        self._matching: dict[str, dict[str, str]] = {}
        self._opaque: dict[str, bool] = {}
        self._paths_of_blob: dict[tuple[str, str], list[str]] = {}
        self._preloaded: dict[str, bytes] = {}
        # Contents of files that are in no commit, by the id that Git would give them.
        self._uncommitted: dict[str, bytes] = {}
        # The ids of trees that this clone lacks.
        self._missing: set[str] = set()

    def _start(self, may_fetch: bool) -> None:
        self._process = start_object_reader(self._repo, may_fetch)
        self._requests = cast(IO[bytes], self._process.stdin)
        self._responses = cast(IO[bytes], self._process.stdout)

    def close(self) -> None:
        """End the Git process."""
        self._process.communicate()

    def read(self, names: Iterable[str]) -> list[GitObject | None]:
        """Read many objects; return them in the order of `names`, with None for a missing object.

        In a partial clone, Git fetches missing objects one by one, unless `fetch` was called before. An
        object that Git cannot fetch counts as missing.

        Raises:
            GitError: Git has ended too often.
        """
        all_names = list(names)
        objects: list[GitObject | None] = []
        for start in range(0, len(all_names), BATCH):
            objects += self._read_batch(all_names[start : start + BATCH])
        return objects

    def _read_batch(self, batch: list[str]) -> list[GitObject | None]:
        """Send all names to Git, and then read its responses."""
        objects: list[GitObject | None] = []
        self._request(batch)
        while len(objects) < len(batch):
            header = self._responses.readline().split()
            if header:
                objects.append(self._read_object(header))
            else:
                # Git has ended at this object. Ask a new process for the others, which may be there.
                self._restart()
                objects.append(None)
                self._request(batch[len(objects) :])
        return objects

    def _request(self, names: list[str]) -> None:
        lines = "".join(f"{name}\n" for name in names)
        # If Git has ended, the caller notices that there are no more responses.
        with contextlib.suppress(BrokenPipeError):
            self._requests.write(lines.encode(errors="surrogateescape"))
            self._requests.flush()

    def _restart(self) -> None:
        """Replace a Git process that has ended, with one that does not fetch."""
        if self._restarts == MOST_RESTARTS:
            raise GitError("git cat-file: it ended before it had read everything")
        self._restarts += 1
        self.close()
        self._start(may_fetch=False)

    def _read_object(self, header: list[bytes]) -> GitObject | None:
        """Read the rest of Git's response after its first line; None if the object is missing."""
        # Git prints "<id> <type> <size>" and then the content with a line break, or "<name> missing".
        if len(header) != 3 or not header[2].isdigit():
            return None
        content = self._responses.read(int(header[2]) + 1)
        return GitObject(header[0].decode(), content[:-1])

    def blob(self, name: str) -> bytes:
        """Return the content of an object.

        Raises:
            UnreadableError: the object is missing.
        """
        return self._preloaded[name] if name in self._preloaded else self.blobs([name])[name]

    def blobs(self, ids: Iterable[str]) -> dict[str, bytes]:
        """Return the contents of objects, by id.

        Raises:
            UnreadableError: an object is missing, as in a damaged repository.
        """
        unique_ids = dict.fromkeys(ids)
        contents = self.present_blobs(unique_ids)
        for name in unique_ids:
            if name not in contents:
                raise UnreadableError(self.missing_message(name))
        return contents

    def present_blobs(self, ids: Iterable[str]) -> dict[str, bytes]:
        """Return the contents of the objects that this clone has or can fetch, by id."""
        contents = {}
        unread = []
        for name in dict.fromkeys(ids):
            if name in self._preloaded:
                contents[name] = self._preloaded[name]
            elif name in self._uncommitted:
                contents[name] = self._uncommitted[name]
            else:
                unread.append(name)
        missing = self.fetch(unread)
        present = [name for name in unread if name not in missing]
        for name, found in zip(present, self.read(present), strict=True):
            if found:
                contents[name] = found.content
        return contents

    def fetch(self, ids: Iterable[str]) -> set[str]:
        """Fetch objects that a partial clone lacks, all at once; return the ids of those still missing."""
        if self._partial is None:
            return set()
        could_fetch = not self._partial.problem
        missing = self._partial.fetch(ids)
        if could_fetch and self._partial.problem:
            # The remote cannot be reached. Restart Git without fetching, or it would try for each object.
            self.close()
            self._start(may_fetch=False)
        return missing

    def fetch_trees(self, ids: Iterable[str]) -> None:
        """Fetch trees, if this is a partial clone that lacks some."""
        if self._partial and self._partial.lacks_trees:
            self._missing |= self.fetch(ids)

    def missing_message(self, name: str) -> str:
        """Return a sentence that says which object this clone lacks, and why it cannot be fetched."""
        if self._partial and self._partial.problem:
            where = f"this partial clone, and {self._partial.remote} does not give it"
            return f"Git's object {name} is missing from {where}: {self._partial.problem}"
        return f"Git's object {name} is missing from this clone"

    def preload(self, ids: Iterable[str]) -> Collection[str]:
        """Read objects in advance, and forget all others that were read in advance before.

        Returns:
            The ids of the objects that this clone has.
        """
        unique_ids = dict.fromkeys(ids)
        self._preloaded = {name: self._preloaded[name] for name in unique_ids if name in self._preloaded}
        self._preloaded = self.present_blobs(unique_ids)
        return self._preloaded.keys()

    def load_trees(self, roots: Iterable[str]) -> None:
        """Read trees and all folders below them, level by level, which is far faster than one by one."""
        if len(self._trees) > MOST_TREES:
            self._trees.clear()
            self._matching.clear()
            self._opaque.clear()
            self._paths_of_blob.clear()
        level = list(roots)
        while level:
            unread = set(level).difference(self._trees, self._missing)
            self.fetch_trees(unread)
            present = list(unread - self._missing)
            level = []
            for tree, found in zip(present, self.read(present), strict=True):
                if found is None:
                    self._missing.add(tree)
                    continue
                self._trees[tree] = entries_of(found.content, len(tree) // 2)
                level += self._subfolders(tree).values()

    def entries(self, tree: str) -> dict[str, TreeEntry]:
        """Return the entries of a tree, by name.

        An empty id, which stands for a folder that does not exist, has no entries.

        Raises:
            UnreadableError: this clone lacks the tree.
        """
        if not tree:
            return {}
        if tree not in self._trees:  # it has been dropped since its revision was read
            self.load_trees([tree])
        if tree in self._missing:
            raise UnreadableError(self.missing_message(tree))
        return self._trees[tree]

    def _subfolders(self, tree: str) -> dict[str, str]:
        """Return the ids of the folders directly in a tree, by name."""
        return {name: child for name, (mode, child) in self.entries(tree).items() if mode == FOLDER}

    def matching_files(self, tree: str) -> dict[str, str]:
        """Return the blob ids of the files below a tree whose names have one of the `endings`, by path.

        The search skips folders in which DVC does not look for files, and nested DVC repositories.
        """
        if tree not in self._matching:
            matching = {}
            for name, (mode, blob) in self.entries(tree).items():
                if name.endswith(self._endings) and mode != FOLDER:
                    matching[name] = blob
            # Folders come after the files, so that the files of outer folders come first.
            for name, child in self._subfolders(tree).items():
                if name not in NEVER_SEARCHED and ".dvc" not in self.entries(child):
                    for path, blob in self.matching_files(child).items():
                        matching[f"{name}/{path}"] = blob
            self._matching[tree] = matching
        return self._matching[tree]

    def with_files(self, tree: str, files: Mapping[str, bytes | None], id_length: int) -> str:
        """Build a tree in memory from another one with some files changed, and return its id.

        Args:
            tree: the id of the other tree.
            files: the changed files, content by path; None for a deleted file.
            id_length: the number of characters of an id in this repository.
        """
        entries = dict(self.entries(tree))
        files_in_folders: dict[str, dict[str, bytes | None]] = {}
        for path, content in files.items():
            name, _, rest = path.partition("/")
            if rest:
                files_in_folders.setdefault(name, {})[rest] = content
            elif content is None:
                entries.pop(name, None)
            else:
                blob = bytes_hash(content, id_length)
                self._uncommitted[blob] = content
                entries[name] = ("100644", blob)
        for name, folder_files in files_in_folders.items():
            mode, child = entries.get(name, (FOLDER, ""))
            folder = child if mode == FOLDER else ""
            entries[name] = (FOLDER, self.with_files(folder, folder_files, id_length))
        new_tree = f"in memory {len(self._trees)}"
        self._trees[new_tree] = entries
        return new_tree

    def names(self, tree: str) -> list[str]:
        """Return the names of the files directly in a tree."""
        return [name for name, (mode, _) in self.entries(tree).items() if mode != FOLDER]

    def entry(self, tree: str, path: str) -> str | None:
        """Return the id of the file or folder at `path` below a tree; None if there is none."""
        (mode, found), is_end = self._walk(tree, path)
        # A submodule's id is a commit of another repository.
        return found if is_end and mode != SUBMODULE else None

    def _walk(self, tree: str, path: str) -> tuple[TreeEntry, bool]:
        """Follow a path below a tree; return the last entry that exists, and whether the path ends there."""
        entry: TreeEntry = (FOLDER, tree)
        for name in path.split("/") if path else ():
            children = self.entries(entry[1]) if entry[0] == FOLDER else {}
            if name not in children:
                return entry, False
            entry = children[name]
        return entry, True

    def is_in_submodule(self, tree: str, path: str) -> bool:
        """Return whether a path below a tree is, or lies in, a submodule."""
        (mode, _), _ = self._walk(tree, path)
        return mode == SUBMODULE

    def is_opaque(self, tree: str, path: str) -> bool:
        """Return whether a path is, contains, or lies in a submodule or a link.

        The tree then only has a reference, and not the content of the files.
        """
        (mode, found), is_end = self._walk(tree, path)
        if mode == FOLDER:
            return is_end and self._has_opaque(found)
        return mode in (SUBMODULE, LINK)

    def _has_opaque(self, tree: str) -> bool:
        """Return whether a tree contains a submodule or a link, at any depth."""
        if tree not in self._opaque:
            modes = {mode for mode, _ in self.entries(tree).values()}
            folders = self._subfolders(tree).values()
            self._opaque[tree] = bool(modes & {SUBMODULE, LINK}) or any(map(self._has_opaque, folders))
        return self._opaque[tree]

    def paths_of_blob(self, tree: str, blob: str) -> list[str]:
        """Return the paths of the files below a tree that have a blob's content."""
        key = (tree, blob)
        if key not in self._paths_of_blob:
            paths = [name for name, (_, entry) in self.entries(tree).items() if entry == blob]
            for name, child in self._subfolders(tree).items():
                paths += [f"{name}/{path}" for path in self.paths_of_blob(child, blob)]
            self._paths_of_blob[key] = paths
        return self._paths_of_blob[key]

    def files(self, tree: str, path: str) -> dict[str, str]:
        """Return the blob ids of the file at `path`, or of all files in that folder, by path.

        The result is empty if there is no such file or folder.
        """
        (mode, found), is_end = self._walk(tree, path)
        if not is_end or mode == SUBMODULE:
            return {}
        if mode == FOLDER:
            return self._files_below(found, f"{path}/" if path else "")
        return {path: found}

    def _files_below(self, tree: str, prefix: str) -> dict[str, str]:
        """Return the blob ids of all files below a tree, with a prefix before their paths."""
        files = {}
        for name, (mode, entry) in self.entries(tree).items():
            if mode == FOLDER:
                files.update(self._files_below(entry, f"{prefix}{name}/"))
            elif mode != SUBMODULE:
                files[f"{prefix}{name}"] = entry
        return files


class BlobContents(Mapping[str, bytes]):
    """The contents of files by path, each read when it is accessed."""

    def __init__(self, objects: GitObjects, blobs: Mapping[str, str]) -> None:
        self._objects = objects
        self._blobs = blobs

    def __getitem__(self, path: str) -> bytes:
        return self._objects.blob(self._blobs[path])

    def __iter__(self) -> Iterator[str]:
        return iter(self._blobs)

    def __len__(self) -> int:
        return len(self._blobs)


def git_hash(path: Path, id_length: int) -> str:
    """Return the id that Git would give a file or folder, in a repository with ids of this length."""
    if path.is_file():
        return hash_of(path, _algorithm(id_length), b"blob %d\0" % path.stat().st_size)
    entries = {}
    for child in path.iterdir():
        if child.is_file():
            mode = "100755" if child.stat().st_mode & 0o100 else "100644"
            entries[child.name] = f"{mode} {child.name}"
        elif any(file.is_file() for file in child.rglob("*")):  # Git does not track empty folders
            entries[f"{child.name}/"] = f"{FOLDER} {child.name}"
    tree = b""
    for name in sorted(entries, key=os.fsencode):  # in Git's order: as if folders ended with a slash
        raw_id = bytes.fromhex(git_hash(path / name, id_length))
        tree += os.fsencode(entries[name]) + b"\0" + raw_id
    return bytes_hash(tree, id_length, "tree")


def bytes_hash(content: bytes, id_length: int, kind: str = "blob") -> str:
    """Return the id that Git would give an object, in a repository with ids of this length."""
    header = f"{kind} {len(content)}\0".encode()
    return hashlib.new(_algorithm(id_length), header + content, usedforsecurity=False).hexdigest()


def _algorithm(id_length: int) -> str:
    return "sha256" if id_length == 64 else "sha1"


def hash_of(path: Path, algorithm: str, header: bytes = b"") -> str:
    """Return the hash of a header, such as Git puts before each blob, followed by a file of any size."""
    hashed = hashlib.new(algorithm, header, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            hashed.update(chunk)
    return hashed.hexdigest()


_AUTHOR = re.compile(r"^author (.+?) <.*> \d+ [-+]\d+$", re.MULTILINE)
_COMMITTER = re.compile(r"^committer .* (\d+) [-+]\d+$", re.MULTILINE)


def commit_time(text: str) -> int:
    """Return when a commit was made, in seconds since 1970; 0 for an empty text."""
    match = _COMMITTER.search(text)
    return int(match[1]) if match else 0


def author(text: str) -> str:
    """Return the name of a commit's author; empty if the commit has none."""
    match = _AUTHOR.search(text)
    return match[1] if match else ""


def subject(text: str) -> str:
    """Return a commit's subject, the first paragraph of its message, in one line; empty if it has none."""
    _, _, message = text.partition("\n\n")
    first, _, _ = message.lstrip("\n").partition("\n\n")
    return " ".join(first.splitlines())


def fetch_commit(repo: Path, commit: str) -> None:
    """Fetch the objects that a checkout of a commit needs, if `repo` is a partial clone.

    Raises:
        GitError: the remote does not give them.
    """
    _fetch_missing(repo, commit, "--no-walk")


def fetch_history(repo: Path, commit: str) -> None:
    """Fetch all objects of a commit and its history, if `repo` is a partial clone.

    Raises:
        GitError: the remote does not give them.
    """
    _fetch_missing(repo, commit)


def _fetch_missing(repo: Path, commit: str, *options: str) -> None:
    """Fetch the objects that `git rev-list` reports as missing, until none is missing."""
    partial = PartialClone.of(repo)
    if partial is None:
        return
    missing = _missing_from(repo, commit, *options)
    while missing:
        if partial.fetch(missing):
            problem = partial.problem or "it reports no error, and does not send them"
            raise GitError(
                f"{commit[:7]}: files of it are missing from this partial clone, "
                f"and {partial.remote} does not give them: {problem}"
            )
        # A fetched folder shows which files are still missing, so look again.
        missing = _missing_from(repo, commit, *options)


def _missing_from(repo: Path, commit: str, *options: str) -> list[str]:
    """Return the ids of objects missing from a commit, and from its history unless `--no-walk` is given."""
    lines = git(repo, "rev-list", "--objects", *options, "--missing=print", commit).splitlines()
    return [line.removeprefix("?") for line in lines if line.startswith("?")]
