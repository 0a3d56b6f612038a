"""Tells experiments of several DVC projects in one Git repository apart: they share `refs/exps`."""

from collections.abc import Iterator, Mapping
from posixpath import join

from ..git.objects import FOLDER, GitObjects, TreeEntry

MARK = ".dvc"  # the folder that makes the one around it a project


def foreign_projects(objects: GitObjects, prefix: str, baselines: Mapping[str, str]) -> dict[str, str]:
    """Return which experiments are those of other projects: what they changed is theirs alone.

    Args:
        objects: of the repository.
        prefix: path from the Git root to the project, empty where they are the same.
        baselines: commit that an experiment started from, by its own commit.

    Returns:
        Path from the Git root of another project, by the experiment's commit; `.` for the root itself.
    """
    baseline_trees = _trees(objects, list(dict.fromkeys(baselines.values())))
    # One project alone: nearly all repositories.
    shared = {rev for rev, tree in baseline_trees.items() if set(_projects(objects, tree)) - {prefix}}
    revs = [rev for rev, baseline in baselines.items() if baseline in shared]
    foreign = {}
    for rev, tree in _trees(objects, revs).items():
        changed = set(_changed_projects(objects, (FOLDER, baseline_trees[baselines[rev]]), (FOLDER, tree)))
        if changed and prefix not in changed:
            foreign[rev] = min(changed) or "."
    return foreign


def _trees(objects: GitObjects, revs: list[str]) -> dict[str, str]:
    """Tree by commit, of those that this clone has; all trees are read."""
    answers = objects.read(f"{rev}^{{tree}}" for rev in revs)
    trees = {rev: answer[0] for rev, answer in zip(revs, answers, strict=True) if answer}
    objects.load_trees(trees.values())
    return trees


def _projects(objects: GitObjects, tree: str, path: str = "") -> Iterator[str]:
    """Yield paths of the projects in a tree."""
    for name, (mode, child) in objects.entries(tree).items():
        if mode != FOLDER:
            continue
        if name == MARK:
            yield path
        else:
            yield from _projects(objects, child, join(path, name))


def _changed_projects(
    objects: GitObjects, before: TreeEntry, after: TreeEntry, path: str = "", project: str | None = None
) -> Iterator[str]:
    """Yield paths of the projects in which files differ; a file outside of all is in none."""
    if before == after:
        return
    old, new = [objects.entries(entry[1]) if entry[0] == FOLDER else {} for entry in (before, after)]
    if MARK in old or MARK in new:
        project = path
    if project is not None and not old and not new:
        yield project
    nothing: TreeEntry = ("", "")
    for name in {**old, **new}:
        below = join(path, name)
        yield from _changed_projects(objects, old.get(name, nothing), new.get(name, nothing), below, project)
