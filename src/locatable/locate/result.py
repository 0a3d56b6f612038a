"""Located results, the roles of the target in each, and a full report on one of them."""

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
    """How a file belongs to a revision; the values are printed."""

    OUTPUT = "output of"
    SOURCE = "source data"
    ARTIFACT = "made by no stage, artifact"
    INPUT = "read by"
    IN_GIT = "kept in Git"


@dataclass(frozen=True)
class Role:
    """The role of a file in a revision.

    Attributes:
        kind: how the file belongs to the revision.
        stage: the stage that writes or reads it, or the name of the artifact that it is; empty if neither.
    """

    kind: RoleKind
    stage: str = ""

    def __str__(self) -> str:
        return f"{self.kind.value} {self.stage}".rstrip()


@dataclass(frozen=True)
class ValueRole:
    """The role of a number in a revision: the value of a metric or param, or a value in an output."""

    kind: "ValueKind"
    value: int | float | str

    def __str__(self) -> str:
        return f"{self.kind.value}, {self.value!r}"


@dataclass
class Result:
    """A revision that the target belongs to. Its expensive properties are computed on first use.

    Attributes:
        snapshot: the revision; for an uncommitted result, HEAD with the records of the workspace.
        experiment: the DVC experiment that the revision is, if any.
        roles: the roles of the target, by path; by key if the target is a number; empty if it is a name.
        uncommitted: the names of the coordinates that differ between the workspace and HEAD, if the result is
            that of the workspace; otherwise empty.
        project: the path from the Git root of a different project that made the experiment; empty if it
            belongs to this project.
        same_in: the ids of later commits with the same coordinates and the same roles; see `merged`.
    """

    snapshot: Snapshot
    experiment: Experiment | None = None
    roles: Mapping[str, Role | ValueRole] = field(default_factory=dict)
    uncommitted: list[str] = field(default_factory=list)
    project: str = ""
    same_in: list[str] = field(default_factory=list)

    @property
    def rev(self) -> str:
        """The full commit id."""
        return self.snapshot.rev

    @property
    def roles_in_words(self) -> dict[str, str]:
        """The roles of the target as text, by path."""
        return {path: str(role) for path, role in self.roles.items()}

    @property
    def kinds(self) -> "set[RoleKind | ValueKind]":
        """The kinds of all roles of the target."""
        return {role.kind for role in self.roles.values()}

    @property
    def made_target(self) -> bool:
        """True if a stage of this revision wrote the target."""
        return RoleKind.OUTPUT in self.kinds

    @property
    def is_merely_kept(self) -> bool:
        """True if Git tracks the target, but no stage of this revision reads or writes it."""
        return self.kinds == {RoleKind.IN_GIT} and not self.uncommitted

    @cached_property
    def coordinates(self) -> Coordinates:
        """The coordinates of the result.

        Raises:
            UnreadableError: a DVC file of the revision is broken.
        """
        return coordinates_of(self.snapshot)

    @cached_property
    def stale(self) -> list[Difference]:
        """The differences between the files of the commit and those that its results were made from.

        Raises:
            UnreadableError: a DVC file of the revision is broken.
        """
        # An uncommitted result was made from the workspace, so the commit's files say nothing about it.
        return [] if self.uncommitted else differences(self.snapshot)


def identity(result: "Result | Report") -> tuple[str, bool]:
    """Return a key that identifies a result. A commit and the workspace on top of it are two results."""
    return result.rev, bool(result.uncommitted)


def merged(results: list[Result]) -> list[Result]:
    """Merge commits with the same roles and coordinates into one result, and keep the order.

    The later commits are listed in `same_in` of the first one. Experiments and the workspace are not merged.
    For a file that Git merely keeps, the coordinates may differ.
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
    """Return a key that is equal for results that are merged."""
    # Experiments and the workspace have names, which would be lost if they were merged.
    if result.experiment or result.uncommitted:
        return identity(result)
    roles = frozenset(result.roles.items())
    if result.is_merely_kept:
        return roles
    try:
        # The copy does not keep what was read: there can be thousands of results, of which few are shown.
        coordinates = coordinates_of(replace(result.snapshot))
        return roles, *coordinates.digests.values()
    except UnreadableError:
        return result.rev


class Match(Enum):
    """How a figure was found; the values are printed."""

    BYTES = "same bytes"
    PIXELS = "same pixels"
    DRAWING = "same drawing"
    SIMILAR = "most similar"
    RECORDED = "recorded at its path"
    TIE = "cannot tell"
    NONE = "not found"


@dataclass(frozen=True)
class LocatedFigure:
    """A figure of a document, and the results that it comes from.

    Attributes:
        place: the place in the document, in words.
        name: the name in the document; empty if it has none.
        match: how the figure was found.
        results: the results with the figure, those that made it first; empty if it was not found. In a tie,
            the results of the first candidate.
        others: the runners-up. For a similar figure, the result with the next most similar figure; in a tie,
            one result for each of the other candidates.
        closer: how many times closer a similar figure is than that of the runner-up; None without one.
        reason: why the figure was not found or not compared; empty if unknown.
        instead: the path at which the result that the document is compared with has a different figure; empty
            if there is none.
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
        """True if the figure was identified, so that it is neither unknown nor a tie."""
        return self.match not in (Match.TIE, Match.NONE)

    @property
    def is_unread(self) -> bool:
        """True for a part of the document that could not be read, such as an included text."""
        says_only_why = bool(self.place and self.reason) and not self.name
        return self.match is Match.NONE and says_only_why


@dataclass(frozen=True)
class LocatedNumber:
    """A number of a document, and the value that rounds to it.

    Attributes:
        place: the place in the document, in words.
        text: the characters of the number.
        words: the words around it in its sentence, or the heads of its row and column.
        key: the key of the metric or param; empty if the number is of no result.
        value: the exact value of the metric or param.
        result: the result with this value if it is not the compared one; otherwise None.
        current: the value of the same metric in the compared result, if `result` is set.
        current_text: that value with as many digits as the number in the document.
        is_older: true if `result` is not newer than the compared result.
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
        """How the number agrees with the compared result, in words."""
        if self.result:
            return "older" if self.is_older else "newer"
        return "as recorded" if self.key else "of no result"

    @property
    def dotted(self) -> str:
        """The key without its file."""
        return self.key.rpartition(":")[2]


@dataclass(frozen=True)
class ComparedNumbers:
    """The numbers of a document, the result that they were compared with, and the name of that result."""

    numbers: list[LocatedNumber] = field(default_factory=list)
    result: Result | None = None
    name: str = ""

    @property
    def of_others(self) -> list[LocatedNumber]:
        """The numbers that are a different result's, where the compared result has a different value."""
        return [number for number in self.numbers if number.result]

    @property
    def recorded(self) -> list[LocatedNumber]:
        """The numbers that are values of the compared result."""
        return [number for number in self.numbers if number.key and not number.result]


@dataclass(frozen=True)
class Located:
    """The results that a target belongs to.

    Attributes:
        results: for a file, the results that made it come first, and older ones before newer ones; for a
            number, the likeliest come first; for a document, the results that its figures come from.
        left_out: lines about files and revisions that cannot be read, so that a result may be missing.
        is_number: true if the target is a number.
        notes: lines about other meanings of the target.
        figures: the figures of a document that is not known as a whole.
        numbers: the numbers of such a document.
    """

    results: list[Result]
    left_out: list[str] = field(default_factory=list)
    is_number: bool = False
    notes: list[str] = field(default_factory=list)
    figures: list[LocatedFigure] = field(default_factory=list)
    numbers: ComparedNumbers = field(default_factory=ComparedNumbers)

    @property
    def is_of_another(self) -> bool:
        """True if a figure or number of a document belongs to a result other than the compared one."""
        return bool(self.numbers.of_others) or any(figure.instead for figure in self.figures)


def note_projects(reader: Reader, results: list[Result]) -> None:
    """Set `project` of the results that a different project in the same repository made."""
    foreign = reader.foreign_projects(result.experiment for result in results if result.experiment)
    for result in results:
        result.project = foreign.get(result.rev, "")


def shortened(left_out: list[str]) -> list[str]:
    """Shorten lines about what was left out to one line."""
    if len(left_out) < 2:
        return left_out
    return [f"{left_out[0]} and {len(left_out) - 1} more"]


def hints(left_out: list[str]) -> list[str]:
    """Return lines about what was left out, shortened for the hint of an error."""
    return [f"left out: {line}" for line in shortened(left_out)]


@dataclass
class Report:
    """A full report on a result; as JSON, an item of `locatable locate --json`.

    Attributes:
        rev: the full commit id.
        experiment: the DVC experiment that the revision is, if any.
        roles: the roles of the target as text, by path.
        uncommitted: the names of the coordinates that only the workspace has.
        coordinates: the coordinates of the result.
        params_changed: the values in the baseline and in the result of each param that differs.
        rebuild: the commands that rebuild the result on a clean machine; empty if something is uncommitted.
        project: the path from the Git root of a different project that made the experiment; empty if it
            belongs to this project.
        has_results: false if no stage has run yet.
        stale: the differences between the files of the revision and those that its results were made from;
            empty if the results are its own.
        results_of: for a stale revision, the newest commit in its history that holds the files these results
            were made from, if any; the commands rebuild that commit.
        unread_history: why such a commit may have been missed; empty if that cannot be.
        apply: the command that applies an experiment to the workspace; empty if the result is none.
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
        """False if DVC cannot run the pipeline; then the last command is a remark that says why."""
        return not self.rebuild or self.rebuild[-1].startswith("dvc repro")


def report_on(reader: Reader, result: Result, url: str | None, *, in_checkout: bool = True) -> Report:
    """Return the full report on a result.

    Args:
        reader: the reader of the repository.
        result: the result.
        url: the URL from which others can clone the project; None if there is none.
        in_checkout: false if the report is for readers without a checkout of the project, who cannot apply an
            experiment.
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
    to_rebuild = snapshot
    if report.stale:
        report.results_of = commit_of_results(reader, snapshot)
        if report.results_of:
            to_rebuild = reader.snapshot(report.results_of)
        else:
            report.unread_history = unread_history(reader, snapshot)
    if not result.uncommitted:
        report.rebuild = rebuild_commands(to_rebuild, result.experiment, url)
    baseline = read_baseline(reader, result)
    if baseline:
        report.params_changed = changed_values(baseline.params, snapshot.params)
    if result.experiment and in_checkout:
        report.apply = f"dvc exp apply {name_in_dvc(reader, result.experiment)}"
    return report


def read_baseline(reader: Reader, result: Result) -> Snapshot | None:
    """Return the baseline of a result: the commit that an experiment started from, or HEAD for the workspace.

    It is None for other results, and if this clone does not have the baseline.
    """
    if result.experiment:
        rev = result.experiment.baseline
    elif result.uncommitted:
        rev = result.rev
    else:
        return None
    return reader.snapshot(rev) if reader.objects.read([rev])[0] else None


def changed_values(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the old and the new value of each key that differs; None stands for a missing value."""
    changed = {}
    for key in dict.fromkeys([*before, *after]):
        old, new = before.get(key), after.get(key)
        if not same_value(old, new):
            changed[key] = (old, new)
    return changed


def uncommitted_coordinates(workspace: Snapshot, head: Snapshot) -> list[str]:
    """Return the names of the coordinates in which a workspace differs from HEAD."""
    return differing_coordinates(coordinates_of(workspace), coordinates_of(head))


def differing_coordinates(first: Coordinates, second: Coordinates) -> list[str]:
    """Return the names of the coordinates in which two results differ."""
    return [name for name, digest in first.digests.items() if digest != second.digests[name]]
