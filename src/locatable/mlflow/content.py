"""The content of a run in MLflow, and the tags by which the next mirror recognizes the run."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from ..model import Experiment
from ..repository.snapshot import Snapshot
from ..results.values import Point

# The tag of every run that a mirror wrote. Its value stays the same when the run is complete: the status
# FINISHED, which is written last anyway, shows that. One more request for each run, to change the tag, would
# make a mirror 5 % slower.
STATE = "mirror.state"
WHEN_FINISHED = "complete when FINISHED"
# Earlier versions set this tag when they began a run, and changed it when the run was complete.
BEGUN = "begun"
COMPLETE = "complete"
MISSING = "mirror.missing"
UNREAD = "mirror.unread"
IN_GIT = "mirror.in_git"
MODELS = "mirror.models"
KEPT = "mirror.kept"
# The tags of a provisional run: one identifies what runs, the other says in words that there is no commit.
RUNNING = "mirror.running"
PROVISIONAL = "mirror.provisional"
# The digest of the script that described the run, the name that it gave to the run, and the tags and
# artifacts that it changed.
DESCRIPTION = "mirror.describe"
OWN_NAME = "mirror.name"
DESCRIBED = "mirror.described"
# The prefix of the tags that name the best trial of a study so far.
BEST = "dvc.best"
PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"

# The most characters of a tag that a mirror composes; MLflow allows 8,000.
LONGEST_TEXT = 7900


def storable(text: str) -> str:
    """Return a text that databases accept: NUL and bytes that are not UTF-8 become escape sequences."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")


def tag_text(text: str) -> str:
    """Return a text that a mirror composed, cut to the length of a tag."""
    return storable(text)[:LONGEST_TEXT]


@dataclass(frozen=True)
class Dataset:
    """Source data of a run: its path, its hash and its origin."""

    name: str
    digest: str
    source: dict[str, Any]


@dataclass(frozen=True)
class Model:
    """A model of a run: its name in dvc.yaml, its path and its tags."""

    name: str
    path: str
    tags: dict[str, str]


@dataclass(frozen=True)
class Description:
    """The changes that the project's own script made to a run.

    Attributes:
        digest: the digest of the script; empty if no script described the run.
        name: the name that the script gave to the run; None if it kept the run's name.
        tags: the keys of the tags that the script added, changed or removed.
        artifacts: the paths of the artifacts that the script added, changed or removed.
    """

    digest: str
    name: str | None = None
    tags: tuple[str, ...] = ()
    artifacts: tuple[str, ...] = ()

    def to_tags(self) -> dict[str, str]:
        """Return the tags that record these changes in MLflow."""
        text = storable(json.dumps({"tags": self.tags, "artifacts": self.artifacts}, ensure_ascii=False))
        tags = {DESCRIPTION: self.digest, DESCRIBED: text if len(text) <= LONGEST_TEXT else ""}
        if self.name is not None:
            tags[OWN_NAME] = self.name
        return tags

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> "Description | None":
        """Read the changes from the tags of a run; return None if the tags do not list them."""
        digest = tags.get(DESCRIPTION, "")
        if not digest:
            return cls("")
        try:
            changed = json.loads(tags.get(DESCRIBED, ""))
            return cls(digest, tags.get(OWN_NAME), tuple(changed["tags"]), tuple(changed["artifacts"]))
        except (ValueError, LookupError, TypeError):
            return None


@dataclass(kw_only=True)
class Content:
    """Everything that a run in MLflow holds; times are milliseconds since 1970.

    Attributes:
        key: the revision, or `study NAME`.
        name: the name of the run in MLflow.
        start: when the run began.
        end: when the run ended.
        tags: texts by key.
        params: values by key; nested values are shown as JSON.
        metrics: final values by key.
        series: values over steps by key.
        datasets: the source data.
        models: the models.
        artifacts: contents by path; an artifact that is None is not written.
        missing: the paths of the artifacts that this machine does not have.
        lacking: the missing files that the run did not get from another machine either.
        unread: for each metrics file or series that cannot be read, by path, the reason.
        has_models: true if model files belong among the artifacts. Files that are not on this machine are
            missing.
        description: the changes that the project's own script made; None if no script was called.
    """

    key: str
    name: str
    start: int
    end: int
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    series: dict[str, list[Point]] = field(default_factory=dict)
    datasets: list[Dataset] = field(default_factory=list)
    models: list[Model] = field(default_factory=list)
    artifacts: dict[str, bytes | None] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)
    has_models: bool = False
    description: Description | None = None

    @property
    def missing_text(self) -> str:
        """The text of the tag that lists the files that the run lacks; empty if it lacks none."""
        return tag_text(f"this machine does not have: {', '.join(self.lacking)}") if self.lacking else ""

    def continued(self, start: int) -> Self:
        """Return this content for a run that was provisional before the commit existed.

        Points without a time of their own have one that is counted from the start of the run, so they
        move with it. The final values must be newer than all points that were logged before the commit:
        Git drops the milliseconds of the commit's time, so 999 are added.

        Args:
            start: when the provisional run began.
        """
        series = {}
        for name, points in self.series.items():
            moved = []
            for point in points:
                has_own_time = point.time != self.start + point.step
                moved.append(point if has_own_time else replace(point, time=start + point.step))
            series[name] = moved
        return replace(self, series=series, start=self.start + 999)

    def update_lacking(self, known_missing: str) -> None:
        """Remove from `lacking` the files that the run already has from another machine.

        Args:
            known_missing: the tag of the existing run that lists the files it lacks.
        """
        if len(known_missing) < LONGEST_TEXT:  # a longer list was cut, so files may be absent from it
            listed = f", {known_missing.partition(': ')[2]}, "
            self.lacking = [file for file in self.missing if f", {storable(file)}, " in listed]


@dataclass(kw_only=True)
class RunContent(Content):
    """The content of the run of a baseline or an experiment.

    The function `describe` of scripts/mirror.py may change `name`, `tags`, `params`, `metrics` and
    `artifacts`, but not the tags that begin with `dvc.` or `mirror.`: these identify the run.

    Attributes:
        snapshot: the revision. `run.snapshot.read(path)` returns the content of a file, or None if Git
            does not contain the file.
        experiment: the DVC experiment; None for a baseline.
    """

    snapshot: Snapshot
    experiment: Experiment | None
