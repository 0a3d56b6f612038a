"""Experiments in Git: their refs, what a search writes into their commits, and whose project they are of."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from posixpath import join
from typing import Any

from ..git.objects import FOLDER, GitObjects, TreeEntry, commit_time, subject
from ..model import Experiment

# How `git for-each-ref` is to list experiments, and such a line. Other names below refs/exps/ (stash, apply,
# celery, exec, temp) are notes that DVC keeps for itself. Asked for more, Git stops at a missing commit.
LISTED = ("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps")
_LINE = re.compile(r"(?P<rev>\w+) refs/exps/(?P<baseline>[0-9a-f]{2}/[0-9a-f]{38,62})/(?P<name>[^/ \n]+)")
# A search commits its trials under this subject, which stays when an experiment is renamed.
_TRIAL = re.compile(r"search: (?P<study>.+)-\d+")
# Between the name of a group of Hydra's and what was chosen of it; neither can hold it.
CHOSEN = " := "
# How the line begins that holds what Optuna knew of a trial.
MEMORY = "optuna: "


def read_experiments(objects: GitObjects, listed: Iterable[str]) -> tuple[list[Experiment], set[str]]:
    """Return the experiments in lines of `LISTED`, oldest first, and the commits that this clone lacks."""
    refs = [match for match in map(_LINE.fullmatch, listed) if match]
    commits = objects.read(ref["rev"] for ref in refs)
    experiments = []
    missing = set()
    for ref, commit in zip(refs, commits, strict=True):
        text = commit[1].decode(errors="replace") if commit else ""
        if not text:
            missing.add(ref["rev"])
        trial = _TRIAL.fullmatch(subject(text))
        experiment = Experiment(
            name=ref["name"],
            rev=ref["rev"],
            baseline=ref["baseline"].replace("/", ""),
            committed=commit_time(text),
            study=trial["study"] if trial else None,
        )
        experiments.append(experiment)
    return sorted(experiments, key=lambda one: (one.committed, one.name, one.rev)), missing


def experiment_ref(baseline: str, name: str) -> str:
    """Return where DVC keeps an experiment of a baseline commit."""
    return f"refs/exps/{baseline[:2]}/{baseline[2:]}/{name}"


def message(name: str, choices: Mapping[str, str], memory: Mapping[str, Any]) -> str:
    """Return the message of an experiment's commit.

    Args:
        name: of the experiment.
        choices: what was chosen of Hydra's groups: params.yaml holds what they stand for, not their names.
        memory: what Optuna knew of the trial, as plain values.
    """
    body = [f"{group}{CHOSEN}{chosen}" for group, chosen in choices.items()]
    if memory:
        body.append(MEMORY + json.dumps(memory))
    return "\n".join([f"search: {name}", "", *body]).rstrip()


def choices_in(text: str) -> dict[str, str]:
    """Return what a message, or any text around it, says was chosen of Hydra's groups."""
    lines = [line for line in text.split("\n") if CHOSEN in line and not line.startswith(MEMORY)]
    entries = [line.partition(CHOSEN) for line in lines]
    return {group: chosen for group, _, chosen in entries}


def memory_in(text: str) -> dict[str, Any]:
    """Return what a message, or any text around it, says that Optuna knew of the trial; empty for nothing.

    Raises:
        ValueError: the line was damaged.
    """
    for line in text.split("\n"):
        if line.startswith(MEMORY):
            memory: dict[str, Any] = json.loads(line.removeprefix(MEMORY))
            return memory
    return {}


# The folder that makes the one around it a project.
MARK = ".dvc"


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
    """Return the tree of each commit that this clone has, and read all that is in it."""
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
