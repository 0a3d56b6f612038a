"""What a run in MLflow holds, and the tags by which a mirror knows it again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..model import Experiment
from ..repository.snapshot import Snapshot
from ..results.values import Point

# Whether all of a run was written: its status is written last, and to set this tag then instead would cost a
# twentieth of the mirror.
STATE = "mirror.state"
WHEN_FINISHED = "complete when FINISHED"
# What earlier mirrors wrote into that tag when they began a run, and when it was complete.
BEGUN = "begun"
COMPLETE = "complete"
MISSING = "mirror.missing"
UNREAD = "mirror.unread"
IN_GIT = "mirror.in_git"
MODELS = "mirror.models"
KEPT = "mirror.kept"
# Digest of the script that described the run; the name that it gave; tags and artifacts that came from it.
DESCRIPTION = "mirror.describe"
OWN_NAME = "mirror.name"
DESCRIBED = "mirror.described"
# How the tags of a study's run begin that say which trial is the best so far.
BEST = "dvc.best"
PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"

# Characters of a text of ours; MLflow takes 8,000.
LONGEST_TEXT = 7900


def storable(text: str) -> str:
    """Return a text as databases take it: without NUL, and without bytes that are not UTF-8."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")


def tag_text(text: str) -> str:
    """Return a text of ours as a tag holds it."""
    return storable(text)[:LONGEST_TEXT]


@dataclass(frozen=True)
class Dataset:
    """Source data of a run: its path, its hash, and where it comes from."""

    name: str
    digest: str
    source: dict[str, Any]


@dataclass(frozen=True)
class Model:
    """A model of a run: the name that dvc.yaml gives it, its path, and its tags."""

    name: str
    path: str
    tags: dict[str, str]


@dataclass(frozen=True)
class Description:
    """What the project's own script made of a run.

    Attributes:
        digest: of the script.
        name: which it gave to the run, None if it left that as it was.
        tags: keys of those that it added, changed or took away.
        artifacts: paths of those.
    """

    digest: str
    name: str | None = None
    tags: tuple[str, ...] = ()
    artifacts: tuple[str, ...] = ()

    def to_tags(self) -> dict[str, str]:
        """Return it as a run in MLflow keeps it."""
        text = storable(json.dumps({"tags": self.tags, "artifacts": self.artifacts}, ensure_ascii=False))
        tags = {DESCRIPTION: self.digest, DESCRIBED: text if len(text) <= LONGEST_TEXT else ""}
        if self.name is not None:
            tags[OWN_NAME] = self.name
        return tags

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> "Description | None":
        """Return what a run in MLflow keeps; None if it does not say what the script made of it."""
        digest = tags.get(DESCRIPTION, "")
        if not digest:
            return cls("")
        try:
            made = json.loads(tags.get(DESCRIBED, ""))
            return cls(digest, tags.get(OWN_NAME), tuple(made["tags"]), tuple(made["artifacts"]))
        except (ValueError, LookupError, TypeError):
            return None


@dataclass(kw_only=True)
class Content:
    """All that a run in MLflow holds; times are milliseconds since 1970.

    Attributes:
        key: the revision, or `study NAME`.
        name: what MLflow calls the run.
        start: when it began.
        end: when it ended.
        tags: text by key.
        params: value by key; nested values are shown as JSON.
        metrics: final value by key.
        series: values over steps by key.
        datasets: the source data.
        models: the models.
        artifacts: content by path; None: there is none, and nothing is written.
        missing: files that belong here and that this machine does not have.
        lacking: those of them that the run does not have from another machine either.
        unread: why a metrics file or series could not be read, by path.
        has_models: model files are among the artifacts, as far as they are on this machine.
        description: what the project's own script made of it, None if it was not asked.
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
        """The files that the run lacks, as its tag tells them; empty if it lacks none."""
        return tag_text(f"this machine does not have: {', '.join(self.lacking)}") if self.lacking else ""

    def find_elsewhere(self, known_missing: str) -> None:
        """Take files for present that are missing here and, by the tag of the run, not in the run."""
        if len(known_missing) < LONGEST_TEXT:  # else it does not tell all
            self.lacking = [file for file in self.missing if storable(file) in known_missing]


@dataclass(kw_only=True)
class RunContent(Content):
    """What MLflow shows of a baseline or an experiment: what `describe` in scripts/mirror.py may change.

    Change `name`, and what is in `tags`, `params`, `metrics` and `artifacts`; tags that begin with `dvc.` or
    `mirror.` say what the run is, and stay.

    Attributes:
        snapshot: the revision; `run.snapshot.read(path)` is a file of it, None if Git keeps none there.
        experiment: the DVC experiment, None for a baseline.
    """

    snapshot: Snapshot
    experiment: Experiment | None
