"""Results that are located, how the target belongs to each, and a full report on one of them."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..errors import UnreadableError
from ..model import Experiment, same_value
from ..repository.reader import Reader, name_in_dvc
from ..repository.snapshot import Snapshot
from ..results.coordinates import Coordinates, coordinates_of
from ..results.rebuild import rebuild_commands
from ..results.staleness import (
    Difference,
    commit_of_results,
    differences,
    has_unrecorded_pipeline,
    unread_history,
)

if TYPE_CHECKING:
    from ..results.values import ValueKind


class RoleKind(Enum):
    """A way in which a file belongs to a revision; the values are the words for it."""

    OUTPUT = "output of"
    SOURCE = "source data"
    ARTIFACT = "made by no stage, artifact"
    INPUT = "read by"
    IN_GIT = "kept in Git"


@dataclass(frozen=True)
class Role:
    """The part of a file in a revision: `stage` writes or reads it, or it is the artifact of that name."""

    kind: RoleKind
    stage: str = ""

    def __str__(self) -> str:
        return f"{self.kind.value} {self.stage}".rstrip()


@dataclass(frozen=True)
class ValueRole:
    """The part of a number in a revision: it is the value of a metric or param."""

    kind: "ValueKind"
    value: int | float | str

    def __str__(self) -> str:
        return f"{self.kind.value}, {self.value!r}"


@dataclass
class Result:
    """A revision that the target belongs to; what costs time is read when it is first asked for, and once.

    Attributes:
        snapshot: the revision; of a result that is not committed, HEAD with the workspace's own records.
        experiment: the DVC experiment that the revision is, if any.
        roles: how the target belongs to it, by path; by key if it is a number; empty if it is a name.
        uncommitted: names of the coordinates that the workspace has and HEAD has not.
        project: path from the Git root of another project that made the experiment, empty where this one did.
        same_in: later commits with the same coordinates, and to which the target belongs in the same way; see
            `merged`.
    """

    snapshot: Snapshot
    experiment: Experiment | None = None
    roles: Mapping[str, Role | ValueRole] = field(default_factory=dict)
    uncommitted: list[str] = field(default_factory=list)
    project: str = ""
    same_in: list[str] = field(default_factory=list)

    @property
    def rev(self) -> str:
        """Full commit id."""
        return self.snapshot.rev

    @property
    def roles_in_words(self) -> dict[str, str]:
        """How the target belongs to it, by path."""
        return {path: str(role) for path, role in self.roles.items()}

    @property
    def kinds(self) -> "set[RoleKind | ValueKind]":
        """All ways in which the target belongs to it."""
        return {role.kind for role in self.roles.values()}

    @property
    def made_target(self) -> bool:
        """True where a stage of this revision wrote the target."""
        return RoleKind.OUTPUT in self.kinds

    @property
    def is_merely_kept(self) -> bool:
        """True where Git keeps the target, and no stage of this revision reads or writes it."""
        return self.kinds == {RoleKind.IN_GIT} and not self.uncommitted

    @cached_property
    def coordinates(self) -> Coordinates:
        """Where it comes from; raises `UnreadableError` where a file of DVC's is broken."""
        return coordinates_of(self.snapshot)

    @cached_property
    def stale(self) -> list[Difference]:
        """In what the commit differs from what made its results; raises `UnreadableError`, too."""
        # What is in the workspace only was made of other files than those that are committed.
        return [] if self.uncommitted else differences(self.snapshot)


def identity(one: "Result | Report") -> tuple[str, bool]:
    """Return what tells results apart: a commit, and what is not committed on top of it, are two."""
    return one.rev, bool(one.uncommitted)


def merged(results: list[Result]) -> list[Result]:
    """Return results in their order, with commits that differ in nothing that is told as one.

    Experiments stay alone, as does what is not committed. Of files that are merely kept in Git, the
    coordinates do not count.
    """
    if len(results) == 1:
        return results
    first_of: dict[Hashable, Result] = {}
    for result in results:
        first = first_of.setdefault(_sameness(result), result)
        if first is not result:
            first.same_in.append(result.rev)
    return list(first_of.values())


def _sameness(result: Result) -> Hashable:
    """Return what is equal for commits that are told as one."""
    # An experiment, and what is not committed, each has a name of its own.
    if result.experiment or result.uncommitted:
        return identity(result)
    roles = frozenset(result.roles.items())
    if result.is_merely_kept:
        return roles
    try:
        # Not kept: there can be thousands of results, and a few of them are shown.
        coordinates = coordinates_of(replace(result.snapshot))
        return roles, *coordinates.digests.values()
    except UnreadableError:
        return result.rev


class Match(Enum):
    """A way in which a figure was found; the values are the words for it."""

    BYTES = "same bytes"
    PIXELS = "same pixels"
    DRAWING = "same drawing"
    SIMILAR = "most similar"
    RECORDED = "recorded at its path"
    TIE = "cannot tell"
    NONE = "not found"


@dataclass(frozen=True)
class LocatedFigure:
    """A figure of a document, and where it comes from.

    Attributes:
        place: where it is in the document, in words.
        name: how the document calls it, if at all.
        match: how it was found.
        results: those that it is of, what made it first; none where it was not found. Of a tie, those of the
            first candidate.
        others: of a similar figure, the next result's most like it; of a tie, the other candidates.
        closer: how many times closer a similar figure is than the next result's.
        reason: why it was not found or not compared, where that is known.
        instead: path at which the result that the document is compared with has another figure, if any.
    """

    place: str
    name: str
    match: Match
    results: list[Result] = field(default_factory=list)
    others: list[Result] = field(default_factory=list)
    closer: float | None = None
    reason: str = ""
    instead: str = ""

    @property
    def is_traced(self) -> bool:
        """True where one result's figure is named."""
        return self.match not in (Match.TIE, Match.NONE)

    @property
    def is_unread(self) -> bool:
        """True for a part of the document that could not be read, such as a text that it includes."""
        return self.match is Match.NONE and bool(self.place and self.reason) and not self.name


@dataclass(frozen=True)
class LocatedNumber:
    """A number of a document, and the value that prints so.

    Attributes:
        place: where it is in the document, in words.
        text: its characters.
        words: its sentence around it, or the heads of its row and column.
        key: of the metric or param that it is; empty where it is of none.
        value: of that metric or param.
        result: another one than that compared, which has this value; None where the compared one has it.
        current: of another result's metric, the value that the compared one has.
        current_text: the same, with as many digits as the manuscript's number.
        is_older: true if that other result is not newer than the compared one.
    """

    place: str
    text: str
    words: str
    key: str = ""
    value: int | float | str | None = None
    result: Result | None = None
    current: int | float | str | None = None
    current_text: str = ""
    is_older: bool = False

    @property
    def match(self) -> str:
        """How it agrees with the compared result, in words."""
        if self.result:
            return "older" if self.is_older else "newer"
        return "as recorded" if self.key else "of no result"

    @property
    def dotted(self) -> str:
        """The key without the file."""
        return self.key.rpartition(":")[2]


@dataclass(frozen=True)
class ComparedNumbers:
    """The numbers of a document, the result that they were compared with, and what that is called."""

    numbers: list[LocatedNumber] = field(default_factory=list)
    result: Result | None = None
    name: str = ""

    @property
    def of_others(self) -> list[LocatedNumber]:
        """Those of another result where the compared one has another value."""
        return [number for number in self.numbers if number.result]

    @property
    def recorded(self) -> list[LocatedNumber]:
        """Those that the compared result has."""
        return [number for number in self.numbers if number.key and not number.result]


@dataclass(frozen=True)
class Located:
    """The results that a target belongs to.

    Attributes:
        results: those that made the target come before those that used it, older before newer ones; of a
            number, the likeliest first; of a document, those that its figures come from.
        left_out: lines about what cannot be read, and so may have kept a result from being found.
        is_number: true if the target is a number.
        notes: lines about what else the target could be.
        figures: of a document that is not known as a whole.
        numbers: of such a document.
    """

    results: list[Result]
    left_out: list[str] = field(default_factory=list)
    is_number: bool = False
    notes: list[str] = field(default_factory=list)
    figures: list[LocatedFigure] = field(default_factory=list)
    numbers: ComparedNumbers = field(default_factory=ComparedNumbers)

    @property
    def is_of_another(self) -> bool:
        """True where a figure or number of a document is another result's than the one compared."""
        return bool(self.numbers.of_others) or any(figure.instead for figure in self.figures)


def note_projects(reader: Reader, results: list[Result]) -> None:
    """Note on results which other projects made them."""
    foreign = reader.foreign_projects(result.experiment for result in results if result.experiment)
    for result in results:
        result.project = foreign.get(result.rev, "")


def shortened(left_out: list[str]) -> list[str]:
    """Return what may have kept a result from being found, in one line at most."""
    if len(left_out) < 2:
        return left_out
    return [f"{left_out[0]} and {len(left_out) - 1} more"]


def hints(left_out: list[str]) -> list[str]:
    """Return the same for the hint of an error."""
    return [f"left out: {line}" for line in shortened(left_out)]


@dataclass
class Report:
    """A full report on a result; as JSON, an item of `locatable locate --json`.

    Attributes:
        rev: full commit id.
        experiment: the DVC experiment that the revision is, if any.
        roles: how the target belongs to it, in words, by path.
        uncommitted: names of the coordinates that are in the workspace only.
        coordinates: where the result comes from.
        params_changed: value in the baseline and in the result, of each param in which they differ.
        rebuild: commands that rebuild the result on a clean machine; none while something is uncommitted.
        project: path from the Git root of another project that made the experiment, empty where this one did.
        has_results: False where no stage has run yet.
        stale: in what the revision differs from what made its results; empty where they are its own.
        results_of: of a stale revision, the newest commit in its history whose results these are, if any; the
            commands rebuild that one.
        unread_history: why there can be such a commit that was overlooked; empty where there is none.
        apply: the command that brings an experiment into the workspace; empty where it is not one.
    """

    rev: str
    experiment: Experiment | None
    roles: dict[str, str]
    uncommitted: list[str]
    coordinates: Coordinates
    params_changed: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    rebuild: list[str] = field(default_factory=list)
    project: str = ""
    has_results: bool = True
    stale: list[Difference] = field(default_factory=list)
    results_of: str | None = None
    unread_history: str = ""
    apply: str = ""

    @property
    def can_run(self) -> bool:
        """False where DVC cannot run the pipeline: a remark stands in place of the last command."""
        return not self.rebuild or self.rebuild[-1].startswith("dvc repro")


def report_on(reader: Reader, result: Result, url: str | None, *, in_checkout: bool = True) -> Report:
    """Return everything about a result of a project that others clone from a URL, or not at all (None).

    Outside of a checkout, nothing is said of how to bring an experiment into it.
    """
    snapshot = result.snapshot
    report = Report(
        rev=snapshot.rev,
        experiment=result.experiment,
        roles=result.roles_in_words,
        uncommitted=result.uncommitted,
        coordinates=result.coordinates,
        project=result.project,
        has_results=not has_unrecorded_pipeline(snapshot),
        stale=result.stale,
    )
    rebuilt = snapshot
    if report.stale:
        report.results_of = commit_of_results(reader, snapshot)
        if report.results_of:
            rebuilt = reader.snapshot(report.results_of)
        else:
            report.unread_history = unread_history(reader, snapshot)
    if not result.uncommitted:
        report.rebuild = rebuild_commands(rebuilt, result.experiment, url)
    baseline = read_baseline(reader, result)
    if baseline:
        report.params_changed = changed_values(baseline.params, snapshot.params)
    if result.experiment and in_checkout:
        report.apply = f"dvc exp apply {name_in_dvc(reader, result.experiment)}"
    return report


def read_baseline(reader: Reader, result: Result) -> Snapshot | None:
    """Return the revision that a result is compared with; None where there is none, or not in this clone."""
    if result.experiment:
        rev = result.experiment.baseline
    elif result.uncommitted:
        rev = result.rev
    else:
        return None
    return reader.snapshot(rev) if reader.objects.read([rev])[0] else None


def changed_values(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return both values of each key in which they differ; None where there is none."""
    changed = {}
    for key in dict.fromkeys([*before, *after]):
        old, new = before.get(key), after.get(key)
        if not same_value(old, new):
            changed[key] = (old, new)
    return changed


def uncommitted_coordinates(workspace: Snapshot, head: Snapshot) -> list[str]:
    """Return names of the coordinates that a workspace has and HEAD has not."""
    return differing_coordinates(coordinates_of(workspace), coordinates_of(head))


def differing_coordinates(one: Coordinates, other: Coordinates) -> list[str]:
    """Return names of the coordinates in which two results differ."""
    return [name for name, digest in one.digests.items() if digest != other.digests[name]]
