"""Revisions and experiments of a DVC repository, many at a time, out of one Git process.

Read from Git objects alone: no checkout, no DVC lock; nothing is written.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator
from configparser import ConfigParser
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..errors import NotFoundError
from ..git import git, start_object_reader, top_folder
from .snapshot import Snapshot

# Questions asked before the answers are read: few enough for every system's pipe to hold.
# One by one, each would cost a round trip.
BATCH = 200
# Revisions that are read together, and so are in memory together.
TOGETHER = 200
TREES = 50_000  # folders in memory
FOLDER, SUBMODULE = "40000", "160000"
# Where commits with results are looked for, besides experiments.
BRANCHES = ("--branches", "--remotes", "--tags")


@dataclass(frozen=True)
class Experiment:
    """A DVC experiment: `committed` in seconds since 1970; `study` if a search made it, else None."""

    name: str
    rev: str
    baseline: str
    committed: int
    study: str | None = None


class Reader:
    """Reads revisions of the DVC repository at `repo`; a context manager, one Git process for all."""

    def __init__(self, repo: str | Path) -> None:
        here = Path(repo).resolve()
        self.top = top_folder(here)
        inside = [folder for folder in (here, *here.parents) if folder.is_relative_to(self.top)]
        self.root = next((folder for folder in inside if (folder / ".dvc").is_dir()), self.top)
        self.prefix = self.root.relative_to(self.top).as_posix().removeprefix(".")
        self.objects = Objects(self.root, ("dvc.lock", "dvc.yaml", ".dvc", "environment.json"))

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *error: object) -> None:
        self.objects.__exit__()

    @cached_property
    def cache(self) -> Path:
        """Folder of the DVC cache, as the repository's own settings say."""
        settings, ours = ConfigParser(interpolation=None), self.root / ".dvc/config"
        mine = Path(os.environ.get("XDG_CONFIG_HOME", "~/.config"), "dvc/config").expanduser()
        settings.read([mine, ours, ours.with_name("config.local")])
        named = settings.get("cache", "dir", fallback="cache").strip("\"'")
        return self.root / ".dvc" / Path(named).expanduser()

    def cached_file(self, md5: str) -> Path | None:
        """A file of the DVC cache by its hash, None when this machine does not have it."""
        places = (self.cache / "files" / "md5" / md5[:2] / md5[2:], self.cache / md5[:2] / md5[2:])
        return next((place for place in places if len(md5) >= 32 and place.is_file()), None)

    def folder_files(self, path: str, md5: str) -> dict[str, str]:
        """Hashes by path of the files of a cached folder, or the file itself; needs the cache's list."""
        listed = self.cached_file(md5) if md5.endswith(".dir") else None
        if not listed:
            return {path: md5}
        return {f"{path}/{entry['relpath']}": entry["md5"] for entry in json.loads(listed.read_bytes())}

    def experiments(self) -> list[Experiment]:
        """All experiments, oldest first, those whose baseline is on no branch included."""
        form = "--format=%(objectname) %(committerdate:unix) %(refname) %(contents:subject)"
        # refs/exps/{stash,apply,celery,exec,temp} are DVC's own notes, not experiments.
        pattern = r"^(\w+) (\d+) refs/exps/([0-9a-f]{2})/([0-9a-f]{38,62})/([^/ \n]+) (.*)$"
        listed = re.findall(pattern, git(self.root, "for-each-ref", form, "refs/exps"), re.MULTILINE)
        return [
            Experiment(name, rev, baseline, time, _study(subject))
            for time, name, rev, baseline, subject in sorted(
                (int(time), name, rev, a + b, subject) for rev, time, a, b, name, subject in listed
            )
        ]

    def snapshot(self, rev: str) -> "Snapshot":
        """One revision, by any name that Git knows it by; raises as `snapshots` does."""
        return next(self.snapshots([rev]))

    def snapshots(self, revs: Iterable[str]) -> Iterator["Snapshot"]:
        """Many revisions, in their order, far quicker than one at a time.

        Raises:
            NotFoundError: there is no such revision.
        """
        revs = list(revs)
        for start in range(0, len(revs), TOGETHER):
            chunk = revs[start : start + TOGETHER]
            commits = self.objects.read(rev + "^{commit}" for rev in chunk)
            if None in commits:
                raise NotFoundError(f"{chunk[commits.index(None)]}: no such revision in {self.root}")
            roots = self.objects.read(f"{rev}:{self.prefix}" for rev, _ in commits)
            trees = [root[0] if root else "" for root in roots]
            self.objects.load(filter(None, trees))
            noted = [self.objects.found(tree) if tree else {} for tree in trees]
            contents = self.objects.blobs(blob for files in noted for blob in files.values())
            for (rev, commit), tree, files in zip(commits, trees, noted, strict=True):
                texts = {path: contents[blob] for path, blob in files.items()}
                yield Snapshot(self, rev, commit.decode(errors="replace"), tree, texts)


class Objects:
    """Reads the objects of the repository around `repo`; a context manager."""

    def __init__(self, repo: Path, endings: tuple[str, ...]) -> None:
        self._endings = endings
        self._process = start_object_reader(repo)
        # Most folders are the same in many revisions: each is read and searched once.
        self._trees: dict[str, dict[str, tuple[str, str]]] = {}
        self._found: dict[str, dict[str, str]] = {}
        self._holding: dict[tuple[str, str], list[str]] = {}

    def __enter__(self) -> "Objects":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()

    def read(self, names: Iterable[str]) -> list[tuple[str, bytes] | None]:
        """Full id and content of each object, in the order of `names`; None where there is none."""
        names, answers = list(names), []
        for start in range(0, len(names), BATCH):
            batch = names[start : start + BATCH]
            self._process.stdin.write("".join(f"{name}\n" for name in batch).encode(errors="surrogateescape"))
            self._process.stdin.flush()
            answers += [self._answer() for _ in batch]
        return answers

    def _answer(self) -> tuple[str, bytes] | None:
        head = self._process.stdout.readline().split()
        if len(head) != 3 or not head[2].isdigit():
            return None
        content = self._process.stdout.read(int(head[2]) + 1)
        return head[0].decode(), content[:-1]

    def blobs(self, ids: Iterable[str]) -> dict[str, bytes]:
        """Content of these objects, each of which exists."""
        return dict(self.read(dict.fromkeys(ids)))

    def load(self, roots: Iterable[str]) -> None:
        """Read all folders below these trees: before any of the questions below is asked of them."""
        if len(self._trees) > TREES:
            self._trees.clear()
            self._found.clear()
        level = list(dict.fromkeys(roots))
        while level := [tree for tree in level if tree not in self._trees]:
            for tree, content in self.blobs(level).items():
                self._trees[tree] = _entries(content, len(tree) // 2)
            level = list(dict.fromkeys(child for tree in level for _, child in self._folders(tree)))

    def _folders(self, tree: str) -> list[tuple[str, str]]:
        return [(name, child) for name, (mode, child) in self._trees[tree].items() if mode == FOLDER]

    def found(self, tree: str) -> dict[str, str]:
        """Ids by path of the files below a tree that end as `endings` says.

        A folder that is a DVC repository of its own is left out, as DVC leaves it out.
        """
        if tree not in self._found:
            named = [item for item in self._trees[tree].items() if item[0].endswith(self._endings)]
            noted = {name: blob for name, (mode, blob) in named if mode != FOLDER}
            for name, child in self._folders(tree):
                if ".dvc" not in self._trees[child]:
                    noted |= {f"{name}/{path}": blob for path, blob in self.found(child).items()}
            self._found[tree] = noted
        return self._found[tree]

    def _again(self, tree: str) -> None:
        if tree and tree not in self._trees:  # forgotten since its revision was read
            self.load([tree])

    def names(self, tree: str) -> list[str]:
        """Names of the files in a tree, not in the folders below it."""
        self._again(tree)
        return [name for name, (mode, _) in self._trees.get(tree, {}).items() if mode != FOLDER]

    def entry(self, tree: str, path: str) -> str | None:
        """Id of the file or folder at `path` below a tree, None when Git keeps none there."""
        self._again(tree)
        if not path:
            return tree
        name, _, below = path.partition("/")
        mode, child = self._trees.get(tree, {}).get(name, (SUBMODULE, ""))
        if mode == SUBMODULE or (below and mode != FOLDER):
            return None
        return self.entry(child, below) if below else child

    def paths_of_blob(self, tree: str, blob: str) -> list[str]:
        """Paths below a tree that have this content; to be asked before other revisions are read."""
        if (tree, blob) not in self._holding:
            entries = self._trees.get(tree, {}).items()
            paths = [name for name, (_, found) in entries if found == blob]
            for name, child in self._folders(tree) if tree else ():
                paths += [f"{name}/{path}" for path in self.paths_of_blob(child, blob)]
            self._holding[tree, blob] = paths
        return self._holding[tree, blob]

    def files(self, tree: str, path: str) -> dict[str, str]:
        """Ids by path of the file at `path`, or of all files in that folder; empty when Git keeps none."""
        found = self.entry(tree, path)
        if found not in self._trees:
            return {path: found} if found else {}
        inside = (self.files(tree, f"{path}/{name}" if path else name) for name in self._trees[found])
        return {file: blob for part in inside for file, blob in part.items()}


def _entries(tree: bytes, size: int) -> dict[str, tuple[str, str]]:
    """Mode and id by name; `size` is that of a raw id, in bytes."""
    found = re.findall(rb"(\d+) ([^\0]+)\0(" + b"." * size + b")", tree, re.DOTALL)
    return {name.decode(errors="surrogateescape"): (mode.decode(), raw.hex()) for mode, name, raw in found}


def _study(subject: str) -> str | None:
    """A search commits its trials as `search: <study>-<number>`, which stays when one is renamed."""
    match = re.fullmatch(r"search: (.+)-\d+", subject)
    return match and match[1]
