"""What a run in MLflow holds."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..model import Experiment
from ..repository.snapshot import Snapshot
from ..results.outputs import Point
from . import known
from .naming import storable

# MLflow takes 8,000 characters.
LONGEST_TAG = 7900


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
        """As a run in MLflow keeps it."""
        text = storable(json.dumps({"tags": self.tags, "artifacts": self.artifacts}, ensure_ascii=False))
        tags = {known.DESCRIPTION: self.digest, known.DESCRIBED: text if len(text) <= LONGEST_TAG else ""}
        if self.name is not None:
            tags[known.OWN_NAME] = self.name
        return tags

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> "Description | None":
        """Return what a run in MLflow keeps; None if it does not say what the script made of it."""
        digest = tags.get(known.DESCRIPTION, "")
        if not digest:
            return cls("")
        try:
            made = json.loads(tags.get(known.DESCRIBED, ""))
            return cls(digest, tags.get(known.OWN_NAME), tuple(made["tags"]), tuple(made["artifacts"]))
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
        changed_tags: tags, by their own keys, that MLflow could not hold as they are.
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
    changed_tags: dict[str, str] = field(default_factory=dict)
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


def state_tags(content: Content) -> dict[str, str]:
    """Return tags that say what the mirror did and could not do."""
    tags = {}
    if content.lacking:
        tags[known.MISSING] = missing_text(content.lacking)
    if content.unread:
        reasons = [f"{path}: {' '.join(reason.split())}" for path, reason in content.unread.items()]
        tags[known.UNREAD] = storable(f"among the artifacts only: {'; '.join(reasons)}")[:LONGEST_TAG]
    if content.has_models:
        tags[known.MODELS] = "copied"
    if content.description:
        tags |= content.description.to_tags()
    return tags


def missing_text(files: list[str]) -> str:
    """Return files that are not here, as a run says it."""
    return storable(f"this machine does not have: {', '.join(files)}")[:LONGEST_TAG]


def still_missing(known_missing: str, files: list[str]) -> list[str]:
    """Return those of the files missing here that a run does not have from another machine either.

    Args:
        known_missing: what the run says is missing.
        files: missing here.
    """
    if len(known_missing) >= LONGEST_TAG:
        return files  # not all are told
    return [file for file in files if storable(file) in known_missing]
