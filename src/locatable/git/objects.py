"""Git's objects by id or name, many at a time, out of one `git cat-file`.

Of a partial clone (`git clone --filter=…`), Git itself fetches each object that it lacks when it is asked for
it, in a connection of its own: to read the files of a thousand commits, it would make thousands. So what is
missing is fetched here, many objects at a time.
"""

import hashlib
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Self, cast

from ..errors import GitError, UnreadableError
from . import git, missing_objects, settings_like, start_object_reader

_CHUNK = 1 << 20  # bytes that are read at a time
# In these folders DVC looks for no files of its own.
NEVER_SEARCHED = frozenset((".dvc", ".git", ".hg"))
# Modes of what is in a folder; all others are files.
FOLDER, SUBMODULE, LINK = "40000", "160000", "120000"

_FULL_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

# Mode and id of a file or folder in a tree.
TreeEntry = tuple[str, str]


def entries_of(tree: bytes, id_size: int) -> dict[str, TreeEntry]:
    """Return the entries of a tree object by name; `id_size` is that of a raw id, in bytes."""
    entry = rb"(\d+) ([^\0]+)\0(" + b"." * id_size + b")"
    entries = {}
    for mode, name, raw_id in re.findall(entry, tree, re.DOTALL):
        entries[name.decode(errors="surrogateescape")] = (mode.decode(), raw_id.hex())
    return entries


# Names that are asked for before the answers are read: few enough for every system's pipe to hold.
# One by one, each would cost a round trip.
BATCH = 200
MOST_TREES = 50_000  # that are kept in memory
MOST_RESTARTS = 20  # of Git, which ends where it cannot fetch an object


class PartialClone:
    """A clone that has some objects of its remote, and can get the others.

    Attributes:
        problem: why the remote cannot be asked; empty as long as it can.
    """

    def __init__(self, repo: Path, remote: str, lacks_trees: bool) -> None:
        self._repo = repo
        self.remote = remote
        self.lacks_trees = lacks_trees  # the filter leaves out folders, too, not only files
        self.problem = ""

    @classmethod
    def of(cls, repo: Path) -> Self | None:
        """Return the clone around a folder; None where it is not a partial one."""
        settings = settings_like(repo, r"^remote\..*\.(promisor|partialclonefilter)$")
        for key, value in settings.items():
            if key.endswith(".promisor") and value == "true":
                section = key.removesuffix(".promisor")
                lacks_trees = not settings.get(f"{section}.partialclonefilter", "").startswith("blob:")
                return cls(repo, section.removeprefix("remote."), lacks_trees)
        return None

    def fetch(self, names: Iterable[str]) -> set[str]:
        """Fetch objects that this clone lacks, all in one connection.

        Args:
            names: of objects; those that are not full ids are left to Git.

        Returns:
            Ids of what it still lacks.
        """
        missing = missing_objects(self._repo, {name for name in names if _FULL_ID.fullmatch(name)})
        if not missing or self.problem:
            return missing
        # As Git does for one object. Of a folder, all folders in it come with it.
        quietly = ("--quiet", "--no-tags", "--no-write-fetch-head", "--recurse-submodules=no")
        command = ("fetch", *quietly, "--filter=blob:none", "--stdin", self.remote)
        lines = "".join(f"{name}\n" for name in missing)
        try:
            git(self._repo, *command, text=lines, settings={"fetch.negotiationAlgorithm": "noop"})
        except GitError as error:
            self.problem = error.message
        return missing_objects(self._repo, missing)


class GitObjects:
    """Reads the objects of the repository around a folder, until it is closed.

    Args:
        repo: a folder of the repository.
        endings: names of files that `matching_files` looks for end with one of these.
    """

    def __init__(self, repo: Path, endings: tuple[str, ...]) -> None:
        self._repo = repo
        self._endings = endings
        self._restarts = 0
        self._partial = PartialClone.of(repo)
        self._start(may_fetch=True)
        # Most folders are the same in many revisions: each is read and searched once.
        self._trees: dict[str, dict[str, TreeEntry]] = {}
        self._matching: dict[str, dict[str, str]] = {}
        self._opaque: dict[str, bool] = {}
        self._paths_of_blob: dict[tuple[str, str], list[str]] = {}
        self._preloaded: dict[str, bytes] = {}
        # Contents of files that no commit has, by what Git would call them.
        self._uncommitted: dict[str, bytes] = {}
        # Trees that are not in this clone.
        self._missing: set[str] = set()

    def _start(self, may_fetch: bool) -> None:
        self._process = start_object_reader(self._repo, may_fetch)
        self._questions = cast(IO[bytes], self._process.stdin)
        self._answers = cast(IO[bytes], self._process.stdout)

    def close(self) -> None:
        """End the process that reads."""
        self._process.communicate()

    def read(self, names: Iterable[str]) -> list[tuple[str, bytes] | None]:
        """Return full id and content of each object, in the order of `names`; None where there is none.

        In a partial clone, Git fetches what it lacks, one by one unless `fetch` was called; what it cannot
        fetch is as if it were not there.

        Raises:
            GitError: Git cannot go on.
        """
        wanted = list(names)
        answers: list[tuple[str, bytes] | None] = []
        for start in range(0, len(wanted), BATCH):
            answers += self._read_batch(wanted[start : start + BATCH])
        return answers

    def _read_batch(self, batch: list[str]) -> list[tuple[str, bytes] | None]:
        answers: list[tuple[str, bytes] | None] = []
        self._ask(batch)
        while len(answers) < len(batch):
            header = self._answers.readline().split()
            if header:
                answers.append(self._answer(header))
            else:
                # Git has ended at this object. The others may be there.
                self._restart()
                answers.append(None)
                self._ask(batch[len(answers) :])
        return answers

    def _ask(self, names: list[str]) -> None:
        lines = "".join(f"{name}\n" for name in names)
        try:
            self._questions.write(lines.encode(errors="surrogateescape"))
            self._questions.flush()
        except BrokenPipeError:
            pass  # Git has ended: its answers end, too

    def _restart(self) -> None:
        if self._restarts == MOST_RESTARTS:
            raise GitError("git cat-file: it ended before it had read everything")
        self._restarts += 1
        self.close()
        self._start(may_fetch=False)

    def _answer(self, header: list[bytes]) -> tuple[str, bytes] | None:
        # "<id> <type> <size>", and the content with a line break after it; "<name> missing" without.
        if len(header) != 3 or not header[2].isdigit():
            return None
        content = self._answers.read(int(header[2]) + 1)
        return header[0].decode(), content[:-1]

    def blob(self, name: str) -> bytes:
        """Return content of an object; raises `UnreadableError` where it is missing."""
        return self._preloaded[name] if name in self._preloaded else self.blobs([name])[name]

    def blobs(self, ids: Iterable[str]) -> dict[str, bytes]:
        """Return content by id of these objects.

        Raises:
            UnreadableError: one of them is missing, as in a damaged repository.
        """
        asked = dict.fromkeys(ids)
        contents = self.present_blobs(asked)
        for name in asked:
            if name not in contents:
                raise UnreadableError(self.missing(name))
        return contents

    def present_blobs(self, ids: Iterable[str]) -> dict[str, bytes]:
        """Return content by id of those of some objects that this clone has."""
        contents, unread = {}, []
        for name in dict.fromkeys(ids):
            if name in self._preloaded:
                contents[name] = self._preloaded[name]
            elif name in self._uncommitted:
                contents[name] = self._uncommitted[name]
            else:
                unread.append(name)
        lacking = self.fetch(unread)
        wanted = [name for name in unread if name not in lacking]
        for name, answer in zip(wanted, self.read(wanted), strict=True):
            if answer:
                contents[name] = answer[1]
        return contents

    def fetch(self, ids: Iterable[str]) -> set[str]:
        """Get objects that a partial clone lacks, all at once; returns ids of what it cannot get."""
        if self._partial is None:
            return set()
        could_fetch = not self._partial.problem
        missing = self._partial.fetch(ids)
        if could_fetch and self._partial.problem:
            # Nor could Git itself, which would try again for each.
            self.close()
            self._start(may_fetch=False)
        return missing

    def fetch_trees(self, ids: Iterable[str]) -> None:
        """Fetch folders, where the clone lacks any."""
        if self._partial and self._partial.lacks_trees:
            self._missing |= self.fetch(ids)

    def missing(self, name: str) -> str:
        """Return a sentence about an object that this clone does not have."""
        if self._partial and self._partial.problem:
            where = f"this partial clone, and {self._partial.remote} does not give it"
            return f"Git's object {name} is missing from {where}: {self._partial.problem}"
        return f"Git's object {name} is missing from this clone"

    def preload(self, ids: Iterable[str]) -> Collection[str]:
        """Read objects that will be asked for one by one; others that were preloaded before are forgotten.

        Returns:
            Ids of those that this clone has.
        """
        asked = dict.fromkeys(ids)
        self._preloaded = {name: self._preloaded[name] for name in asked if name in self._preloaded}
        self._preloaded = self.present_blobs(asked)
        return self._preloaded.keys()

    def load_trees(self, roots: Iterable[str]) -> None:
        """Read trees and all folders below them, level by level: far quicker than one by one."""
        if len(self._trees) > MOST_TREES:
            self._trees.clear()
            self._matching.clear()
            self._opaque.clear()
            self._paths_of_blob.clear()
        level = list(roots)
        while level:
            unread = set(level).difference(self._trees, self._missing)
            self.fetch_trees(unread)
            wanted = list(unread - self._missing)
            level = []
            for tree, answer in zip(wanted, self.read(wanted), strict=True):
                if answer is None:
                    self._missing.add(tree)
                    continue
                self._trees[tree] = entries_of(answer[1], len(tree) // 2)
                level += self._subfolders(tree).values()

    def entries(self, tree: str) -> dict[str, TreeEntry]:
        """Return mode and id by name of what is in a tree.

        Nothing for the empty id of a folder that is not there.

        Raises:
            UnreadableError: this clone does not have the tree.
        """
        if not tree:
            return {}
        if tree not in self._trees:  # forgotten since its revision was read
            self.load_trees([tree])
        if tree in self._missing:
            raise UnreadableError(self.missing(tree))
        return self._trees[tree]

    def _subfolders(self, tree: str) -> dict[str, str]:
        """Return id by name of each folder in a tree."""
        return {name: child for name, (mode, child) in self.entries(tree).items() if mode == FOLDER}

    def matching_files(self, tree: str) -> dict[str, str]:
        """Return ids by path of the files below a tree whose names end as `endings` says.

        Folders in which DVC does not look are left out, as is a DVC repository of its own.
        """
        if tree not in self._matching:
            matching = {}
            for name, (mode, blob) in self.entries(tree).items():
                if name.endswith(self._endings) and mode != FOLDER:
                    matching[name] = blob
            # After the files: those of outer folders come first.
            for name, child in self._subfolders(tree).items():
                if name not in NEVER_SEARCHED and ".dvc" not in self.entries(child):
                    for path, blob in self.matching_files(child).items():
                        matching[f"{name}/{path}"] = blob
            self._matching[tree] = matching
        return self._matching[tree]

    def with_files(self, tree: str, files: Mapping[str, bytes | None], id_length: int) -> str:
        """Return the id of a tree like another one but for some files; it is in memory alone.

        Args:
            tree: the other one.
            files: content by path; None for a file that is gone.
            id_length: characters of an id in this repository.
        """
        entries = dict(self.entries(tree))
        below: dict[str, dict[str, bytes | None]] = {}
        for path, content in files.items():
            name, _, inner = path.partition("/")
            if inner:
                below.setdefault(name, {})[inner] = content
            elif content is None:
                entries.pop(name, None)
            else:
                blob = bytes_hash(content, id_length)
                self._uncommitted[blob] = content
                entries[name] = ("100644", blob)
        for name, inside in below.items():
            mode, child = entries.get(name, (FOLDER, ""))
            entries[name] = (FOLDER, self.with_files(child if mode == FOLDER else "", inside, id_length))
        made = f"in memory {len(self._trees)}"
        self._trees[made] = entries
        return made

    def names(self, tree: str) -> list[str]:
        """Return names of the files in a tree, not in the folders below it."""
        return [name for name, (mode, _) in self.entries(tree).items() if mode != FOLDER]

    def entry(self, tree: str, path: str) -> str | None:
        """Return id of the file or folder at `path` below a tree, None when Git keeps none there."""
        (mode, found), is_end = self._walk(tree, path)
        # What a submodule holds is another repository's.
        return found if is_end and mode != SUBMODULE else None

    def _walk(self, tree: str, path: str) -> tuple[TreeEntry, bool]:
        """Return the last place on a path below a tree that Git keeps, and whether the path ends there."""
        here: TreeEntry = (FOLDER, tree)
        for name in path.split("/") if path else ():
            below = self.entries(here[1]) if here[0] == FOLDER else {}
            if name not in below:
                return here, False
            here = below[name]
        return here, True

    def is_in_submodule(self, tree: str, path: str) -> bool:
        """Return whether a path below a tree is that of a submodule, or in one."""
        (mode, _), _ = self._walk(tree, path)
        return mode == SUBMODULE

    def is_opaque(self, tree: str, path: str) -> bool:
        """Return whether a path is, holds or is in a submodule or a link: Git keeps only a name of it."""
        (mode, found), is_end = self._walk(tree, path)
        if mode == FOLDER:
            return is_end and self._has_opaque(found)
        return mode in (SUBMODULE, LINK)

    def _has_opaque(self, tree: str) -> bool:
        if tree not in self._opaque:
            modes = {mode for mode, _ in self.entries(tree).values()}
            is_opaque = SUBMODULE in modes or LINK in modes
            folders = self._subfolders(tree).values()
            self._opaque[tree] = is_opaque or any(map(self._has_opaque, folders))
        return self._opaque[tree]

    def paths_of_blob(self, tree: str, blob: str) -> list[str]:
        """Return paths of the files below a tree that have this content."""
        key = (tree, blob)
        if key not in self._paths_of_blob:
            paths = [name for name, (_, entry) in self.entries(tree).items() if entry == blob]
            for name, child in self._subfolders(tree).items():
                for path in self.paths_of_blob(child, blob):
                    paths.append(f"{name}/{path}")
            self._paths_of_blob[key] = paths
        return self._paths_of_blob[key]

    def files(self, tree: str, path: str) -> dict[str, str]:
        """Return ids by path of the file at `path`, or of all files in that folder.

        Empty when Git keeps none.
        """
        (mode, found), is_end = self._walk(tree, path)
        if not is_end or mode == SUBMODULE:
            return {}
        if mode == FOLDER:
            return self._files_below(found, f"{path}/" if path else "")
        return {path: found}

    def _files_below(self, tree: str, prefix: str) -> dict[str, str]:
        files = {}
        for name, (mode, entry) in self.entries(tree).items():
            if mode == FOLDER:
                files.update(self._files_below(entry, f"{prefix}{name}/"))
            elif mode != SUBMODULE:
                files[f"{prefix}{name}"] = entry
        return files


class BlobContents(Mapping[str, bytes]):
    """Content of files by path, read when it is asked for."""

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
    """Return what Git calls a file or folder, in a repository whose ids have so many characters."""
    if path.is_file():
        return hash_of(path, _algorithm(id_length), b"blob %d\0" % path.stat().st_size)
    entries = {}
    for child in path.iterdir():
        if child.is_file():
            mode = "100755" if child.stat().st_mode & 0o100 else "100644"
            entries[child.name] = f"{mode} {child.name}"
        elif any(file.is_file() for file in child.rglob("*")):  # Git keeps no empty folder
            entries[f"{child.name}/"] = f"40000 {child.name}"
    tree = b""
    for name in sorted(entries, key=os.fsencode):  # as Git sorts them: a folder's name ends with a slash
        tree += os.fsencode(entries[name]) + b"\0" + bytes.fromhex(git_hash(path / name, id_length))
    return bytes_hash(tree, id_length, "tree")


def bytes_hash(content: bytes, id_length: int, kind: str = "blob") -> str:
    """Return what Git calls an object, in a repository whose ids have so many characters."""
    header = f"{kind} {len(content)}\0".encode()
    return hashlib.new(_algorithm(id_length), header + content, usedforsecurity=False).hexdigest()


def _algorithm(id_length: int) -> str:
    return "sha256" if id_length == 64 else "sha1"


def hash_of(path: Path, algorithm: str, header: bytes = b"") -> str:
    """Return hash of a header, such as Git has before each blob, and then of a file of any size."""
    hashed = hashlib.new(algorithm, header, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            hashed.update(chunk)
    return hashed.hexdigest()


_AUTHOR = re.compile(r"^author (.+?) <.*> \d+ [-+]\d+$", re.MULTILINE)
_COMMITTER = re.compile(r"^committer .* (\d+) [-+]\d+$", re.MULTILINE)


def commit_time(text: str) -> int:
    """Return when a commit was made, in seconds since 1970; 0 for no text."""
    match = _COMMITTER.search(text)
    return int(match[1]) if match else 0


def author(text: str) -> str:
    """Return the name of who wrote a commit; empty where it names nobody."""
    match = _AUTHOR.search(text)
    return match[1] if match else ""


def subject(text: str) -> str:
    """Return the first paragraph of a commit's message, in one line; empty for no text."""
    _, _, message = text.partition("\n\n")
    first, _, _ = message.lstrip("\n").partition("\n\n")
    return " ".join(first.splitlines())


def fetch_commit(repo: Path, commit: str) -> None:
    """Get whatever a checkout of a commit needs, where `repo` is a partial clone.

    Raises:
        GitError: it cannot be had.
    """
    _fetch_missing(repo, commit, "--no-walk")


def fetch_history(repo: Path, commit: str) -> None:
    """Get all objects of a commit and its history, where `repo` is a partial clone.

    Raises:
        GitError: they cannot be had.
    """
    _fetch_missing(repo, commit)


def _fetch_missing(repo: Path, commit: str, *options: str) -> None:
    partial = PartialClone.of(repo)
    if partial is None:
        return
    missing = _missing_from(repo, commit, *options)
    while missing:
        partial.fetch(missing)
        if partial.problem:
            raise GitError(
                f"{commit[:7]}: files of it are missing from this partial clone, "
                f"and {partial.remote} does not give them: {partial.problem}"
            )
        # What is in a folder shows when the folder is there.
        missing = _missing_from(repo, commit, *options)


def _missing_from(repo: Path, commit: str, *options: str) -> list[str]:
    listed = git(repo, "rev-list", "--objects", *options, "--missing=print", commit)
    return [line.removeprefix("?") for line in listed.splitlines() if line.startswith("?")]
