"""A reader of revisions and experiments of a DVC repository, many at a time.

It reads only Git's objects: it needs no checkout, takes no lock of DVC, and writes nothing.
"""

import posixpath
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Self

from ..errors import CannotTryError, NotFoundError, UnreadableError
from ..git import git
from ..git.objects import FOLDER, BlobContents, GitObjects, TreeEntry, commit_time, subject
from ..model import PARAMS_FILE, Experiment
from . import limits
from .dvc_files import split_rules
from .snapshot import Repository, Snapshot

# The number of revisions to read together. More would need more memory: the lock of each can have some MB.
TOGETHER = 50
# The Git command that lists experiments, and the form of its lines. Other refs below refs/exps/ (stash,
# apply, celery, exec, temp) are DVC's internal ones. The format has no field that needs the commit itself,
# because Git would stop at the first missing commit.
_LIST_EXPERIMENTS = ("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps")
_EXPERIMENT = re.compile(
    r"(?P<rev>\w+) refs/exps/(?P<baseline>[0-9a-f]{2}/[0-9a-f]{38,62})/(?P<name>[^/ \n]+)"
)
# The subject of a trial's commit. It tells the study even after the experiment has been renamed.
_TRIAL = re.compile(r"search: (?P<study>.+)-\d+")
# A folder that contains this folder is the root of a DVC project.
MARK = ".dvc"
# The Git options for the commits that are searched for results, besides experiments.
BRANCHES = ("--branches", "--remotes", "--tags")


class Reader(Repository):
    """Reads revisions of a DVC repository; a context manager.

    Raises:
        GitError: the folder is not in a Git repository.
    """

    def __init__(self, repo: str | Path) -> None:
        super().__init__(repo)
        # Experiments whose commit is missing from this clone.
        self._missing: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.objects.close()

    def experiments(self) -> list[Experiment]:
        """Return all experiments, oldest first, including those whose baseline is on no branch.

        An experiment whose commit is missing, in a damaged clone, comes first; its snapshot says so.
        """
        lines = git(self.root, *_LIST_EXPERIMENTS).split("\n")
        refs = [match for match in map(_EXPERIMENT.fullmatch, lines) if match]
        commits = self.objects.read(ref["rev"] for ref in refs)
        experiments = []
        for ref, commit in zip(refs, commits, strict=True):
            text = commit.content.decode(errors="replace") if commit else ""
            if not text:
                self._missing.add(ref["rev"])
            trial = _TRIAL.fullmatch(subject(text))
            experiment = Experiment(
                name=ref["name"],
                rev=ref["rev"],
                baseline=ref["baseline"].replace("/", ""),
                committed=commit_time(text),
                study=trial["study"] if trial else None,
            )
            experiments.append(experiment)
        return sorted(experiments, key=attrgetter("committed", "name", "rev"))

    def limits(self) -> list[str]:
        """Return a sentence for each kind of commits that this clone may lack."""
        return limits(self.root, bool(self.experiments()))

    def foreign_projects(self, experiments: Iterable[Experiment]) -> dict[str, str]:
        """Return the experiments that belong to another project in the same Git repository.

        An experiment belongs to another project if it changed files of that project and none of this one.

        Returns:
            The other project by the experiment's commit, as a path relative to the Git root (`.` for the
            root).
        """
        baselines = {experiment.rev: experiment.baseline for experiment in experiments}
        baseline_trees = self._trees(dict.fromkeys(baselines.values()))
        # Nearly all repositories contain only one project, and then no experiment has to be compared.
        shared_baselines = set()
        for rev, tree in baseline_trees.items():
            if set(projects_in(self.objects, tree)) - {self.prefix}:
                shared_baselines.add(rev)
        trees = self._trees(rev for rev, baseline in baselines.items() if baseline in shared_baselines)
        foreign = {}
        for rev, tree in trees.items():
            before: TreeEntry = (FOLDER, baseline_trees[baselines[rev]])
            changed = set(_changed_projects(self.objects, before, (FOLDER, tree)))
            if changed and self.prefix not in changed:
                foreign[rev] = min(changed) or "."
        return foreign

    def _trees(self, revs: Iterable[str]) -> dict[str, str]:
        """Return the tree of each commit that is in this clone, and load all its folders."""
        commits = list(revs)
        trees = self.objects.read(f"{rev}^{{tree}}" for rev in commits)
        ids = {rev: tree.id for rev, tree in zip(commits, trees, strict=True) if tree}
        self.objects.load_trees(ids.values())
        return ids

    def snapshot(self, rev: str) -> Snapshot:
        """Read one revision, by any name that Git resolves.

        Raises:
            NotFoundError: there is no such revision.
        """
        return next(self.snapshots([rev]))

    def snapshots(self, revs: Iterable[str]) -> Iterator[Snapshot]:
        """Read many revisions and yield them in the given order, far faster than one at a time.

        Raises:
            NotFoundError: there is no such revision.
        """
        names = list(revs)
        for start in range(0, len(names), TOGETHER):
            snapshots = deque(self._read_together(names[start : start + TOGETHER]))
            while snapshots:
                yield snapshots.popleft()  # popped, so that its memory can be freed after use

    def _read_together(self, revs: list[str]) -> list[Snapshot]:
        """Read the commits, trees and DVC files of a few revisions with few requests to Git."""
        snapshots = []
        for rev, text in self._commits(revs):
            damage = "" if text else self.objects.missing_message(rev)
            snapshots.append(Snapshot(self, rev, text, tree="", blobs={}, files={}, damage=damage))
        self.objects.fetch_trees(snapshot.root_tree for snapshot in snapshots if snapshot.commit)
        trees = self.objects.read(f"{snapshot.rev}:{self.prefix}" for snapshot in snapshots)
        for snapshot, tree in zip(snapshots, trees, strict=True):
            snapshot.tree = tree.id if tree else ""
        self.objects.load_trees(snapshot.tree for snapshot in snapshots if snapshot.tree)
        for snapshot in snapshots:
            try:
                snapshot.blobs = self._blobs_of(snapshot)
            except UnreadableError as error:
                snapshot.damage = error.message
        self._load_files([snapshot for snapshot in snapshots if not snapshot.damage])
        return snapshots

    def _blobs_of(self, snapshot: Snapshot) -> dict[str, str]:
        """Return the blob ids of DVC's files in a revision, by path, except those a `.dvcignore` hides."""
        if not snapshot.commit:
            return {}
        if not snapshot.tree:
            # A commit from before `dvc init` has no such folder. This lookup fails if the tree is damaged.
            self.objects.entry(snapshot.root_tree, posixpath.join(self.prefix, ".dvc"))
        blobs, rules, hideable = split_rules(self.objects.matching_files(snapshot.tree))
        if rules:
            try:
                for path in self.hidden_files(snapshot.rev, snapshot.tree, hideable):
                    del blobs[path]
            except UnreadableError:
                # If a `.dvcignore` is missing from this clone, raise an error that says so. If one is broken,
                # keep all files.
                self.objects.blobs(rules)
        return blobs

    def _load_files(self, snapshots: list[Snapshot]) -> None:
        """Read the files of all snapshots; note a missing file as damage of its own snapshot only."""
        wanted: list[str] = []
        for snapshot in snapshots:
            wanted += snapshot.blobs.values()
            params_file = self.objects.entry(snapshot.tree, PARAMS_FILE)
            if params_file:
                wanted.append(params_file)
        # Read all blobs at once, because reading them one by one would cost a round trip each.
        present = self.objects.preload(wanted)
        for snapshot in snapshots:
            for path, blob in list(snapshot.blobs.items()):
                if blob not in present:
                    del snapshot.blobs[path]
                    snapshot.damage = f"{path}: {self.objects.missing_message(blob)}"
            snapshot.files = BlobContents(self.objects, snapshot.blobs)

    def _commits(self, revs: list[str]) -> list[tuple[str, str]]:
        """Return the id and text of each revision's commit.

        If the commit of an experiment is missing, its text is empty.
        """
        objects = self.objects.read(f"{rev}^{{commit}}" for rev in revs)
        commits = []
        for rev, commit in zip(revs, objects, strict=True):
            if commit:
                commits.append((commit.id, commit.content.decode(errors="replace")))
            elif rev in self._missing:
                commits.append((rev, ""))
            else:
                raise NotFoundError(f"{rev}: no such revision in {self.root}")
        return commits


def projects_in(objects: GitObjects, tree: str, path: str = "") -> Iterator[str]:
    """Yield the paths of the DVC projects in a tree."""
    for name, (mode, child) in objects.entries(tree).items():
        if mode != FOLDER:
            continue
        if name == MARK:
            yield path
        else:
            yield from projects_in(objects, child, posixpath.join(path, name))


def _changed_projects(
    objects: GitObjects, before: TreeEntry, after: TreeEntry, path: str = "", project: str | None = None
) -> Iterator[str]:
    """Yield the path of a project for each file in it that differs; files outside of projects are ignored.

    Args:
        objects: the Git objects.
        before: the folder or file at `path` in the old tree.
        after: the same in the new tree.
        path: path of the folder or file.
        project: path of the project around it, if any.
    """
    if before == after:
        return
    old = objects.entries(before[1]) if before[0] == FOLDER else {}
    new = objects.entries(after[1]) if after[0] == FOLDER else {}
    if MARK in old or MARK in new:
        project = path
    if project is not None and not old and not new:
        yield project
    absent: TreeEntry = ("", "")
    for name in {**old, **new}:
        child = posixpath.join(path, name)
        yield from _changed_projects(objects, old.get(name, absent), new.get(name, absent), child, project)


@dataclass(frozen=True)
class Revision:
    """A commit that a name refers to.

    Attributes:
        rev: full id of the commit.
        experiment: the experiment with this commit; None if it is not an experiment.
    """

    rev: str
    experiment: Experiment | None = None


def commit_id(reader: Reader, name: str) -> str | None:
    """Return the full id of the commit that Git finds by a name; None if there is none."""
    if "\n" in name:
        return None  # Git reads one name per line, so no name contains a line break.
    commit = reader.objects.read([name + "^{commit}"])[0]
    return commit.id if commit else None


def revisions_named(reader: Reader, name: str) -> list[Revision]:
    """Return the revisions that a name refers to: as in DVC, a Git revision comes before experiments.

    Returns:
        No revision, one, or several if experiments of different baselines share the name.
    """
    experiments = reader.experiments()
    rev = commit_id(reader, name)
    if rev:
        with_rev = [experiment for experiment in experiments if experiment.rev == rev]
        return [Revision(rev, with_rev[0] if with_rev else None)]
    named = [experiment for experiment in experiments if name in (experiment.name, experiment.rev)]
    return [Revision(experiment.rev, experiment) for experiment in named]


def name_in_dvc(reader: Reader, experiment: Experiment) -> str:
    """Return an argument by which DVC's commands find an experiment: its name, or its commit.

    The name alone does not suffice if a Git revision or an experiment of another baseline has the same name.
    """
    revs = [revision.rev for revision in revisions_named(reader, experiment.name)]
    return experiment.name if revs == [experiment.rev] else experiment.rev[:12]


def resolve(rev: str) -> str:
    """Return the commit of a Git revision or experiment in the current repository.

    Raises:
        CannotTryError: there is no such revision, or several experiments have the name.
        GitError: there is no repository, or Git refuses to read it.
    """
    with Reader(Path.cwd()) as reader:
        revisions = revisions_named(reader, rev)
        if not revisions:
            raise CannotTryError(
                f"{rev}: neither a Git revision nor an experiment here (dvc exp list --all-commits)",
                hint="; ".join(reader.limits()),
            )
        if len({revision.rev for revision in revisions}) > 1:
            raise CannotTryError(
                f"{rev}: {len(revisions)} experiments have this name; give the commit of one of them"
            )
        snapshot = reader.snapshot(revisions[0].rev)
    if not snapshot.commit:
        raise CannotTryError(f"{rev}: {snapshot.damage}")
    return snapshot.rev
