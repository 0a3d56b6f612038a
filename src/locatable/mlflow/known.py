"""Runs that a mirror has already written, as their tags tell. Pure; knows no MLflow."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

STUDY = "study "  # how the key of a study's run begins
BEST = "dvc.best"  # how the tags of a study's run begin that say which trial is the best so far

STATE = "mirror.state"
# The status of a run is written last. To write this tag anew instead would cost a twentieth of the mirror.
WHEN_FINISHED = "complete when FINISHED"
# What earlier mirrors wrote into that tag when they began a run, and when it was complete.
BEGUN = "begun"
COMPLETE = "complete"
MISSING = "mirror.missing"
UNREAD = "mirror.unread"
IN_GIT = "mirror.in_git"
MODELS = "mirror.models"
# Digest of the script that described the run; the name that it gave; tags and artifacts that came from it.
DESCRIPTION = "mirror.describe"
OWN_NAME = "mirror.name"
DESCRIBED = "mirror.described"

PARENT = "mlflow.parentRunId"
RUN_NAME = "mlflow.runName"

# MLflow's status of a run that has ended.
FINISHED = "FINISHED"

# The tags that a KnownRun is made of.
TAGS = (
    *(STATE, MISSING, MODELS, DESCRIPTION, OWN_NAME),
    *("dvc.rev", "dvc.study", "dvc.exp", PARENT, RUN_NAME),
)


@dataclass(frozen=True)
class KnownRun:
    """A run that the store has.

    Attributes:
        run_id: MLflow's.
        key: the revision that it shows, or `study NAME`.
        name: as MLflow has it.
        parent: id of the run that it is nested below.
        complete: whether everything that it should hold was written.
        experiment: name of the experiment that it was written for.
        missing: which files the machine did not have; empty when it had all.
        has_models: whether model files are among its artifacts.
        description: digest of the project's script that described it; empty when none did.
        own_name: the name which that script gave it, None if it gave none.
    """

    run_id: str
    key: str
    name: str = ""
    parent: str | None = None
    complete: bool = True
    experiment: str | None = None
    missing: str = ""
    has_models: bool = False
    description: str = ""
    own_name: str | None = None


def is_complete(tags: Mapping[str, str], status: str) -> bool:
    """Return whether a mirror has written all of a run; `status` is what MLflow calls its status."""
    if tags.get(STATE) == WHEN_FINISHED:
        return status == FINISHED
    return tags.get(STATE) == COMPLETE


def known_run(run_id: str, tags: Mapping[str, str], status: str) -> KnownRun | None:
    """Return a run, from its tags and status; None if no mirror wrote it."""
    if STATE not in tags:
        return None
    return KnownRun(
        run_id=run_id,
        key=tags.get("dvc.rev") or STUDY + tags.get("dvc.study", ""),
        name=tags.get(RUN_NAME, ""),
        parent=tags.get(PARENT),
        complete=is_complete(tags, status),
        experiment=tags.get("dvc.exp"),
        missing=tags.get(MISSING, ""),
        has_models=MODELS in tags,
        description=tags.get(DESCRIPTION, ""),
        own_name=tags.get(OWN_NAME),
    )


def runs_by_key(runs: Iterable[tuple[str, Mapping[str, str], str]]) -> dict[str, list[KnownRun]]:
    """Return the mirrored ones of these runs.

    Of each key the lowest id first: that one stays, whoever made others.

    Args:
        runs: id, tags and status of each.
    """
    found: dict[str, list[KnownRun]] = {}
    for run_id, tags, status in sorted(runs, key=lambda run: run[0]):
        run = known_run(run_id, tags, status)
        if run:
            found.setdefault(run.key, []).append(run)
    return found
