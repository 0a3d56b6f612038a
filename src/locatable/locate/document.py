"""Where the figures of a document come from."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..documents.figure import Encoded, Figure, instead_of, is_picture, read_figures
from ..documents.text import NOT_FETCHED
from ..errors import NotFoundError, UnreadableError
from ..repository.bounds import bounded_reading
from ..repository.project import limits
from ..repository.reader import Reader
from .figure_match import Match, Matcher, Verdict
from .known_figures import KnownFigures, known_figures
from .result import Result

# Figures of a document that are looked at.
MOST_FIGURES = 2_000
FETCHED = "which are not in this machine's DVC cache; `dvc fetch --all-commits` gets them"
_TRACED = (Match.BYTES, Match.PIXELS, Match.DRAWING, Match.SIMILAR, Match.RECORDED)


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
    """

    place: str
    name: str
    match: Match
    results: list[Result] = field(default_factory=list)
    others: list[Result] = field(default_factory=list)
    closer: float | None = None
    reason: str = ""

    @property
    def is_traced(self) -> bool:
        """Whether one result's figure is named."""
        return self.match in _TRACED


@dataclass(frozen=True)
class LocatedDocument:
    """A document's figures, in its order; `left_out` says what kept figures from being found."""

    target: str
    figures: list[LocatedFigure]
    left_out: list[str]

    @property
    def is_traced(self) -> bool:
        """Whether every figure is."""
        return all(figure.is_traced for figure in self.figures)

    @property
    def finds_nothing(self) -> bool:
        """Whether no figure is like one of a result's."""
        return all(figure.match is Match.NONE for figure in self.figures)

    @property
    def has_foreign_figures_only(self) -> bool:
        """Whether all figures are links to other servers: badges, for example."""
        return all(figure.reason == NOT_FETCHED for figure in self.figures)

    def named_results(self) -> list[Result]:
        """The results that figures are said to come from, once each."""
        first = [figure.results[0] for figure in self.figures if figure.is_traced]
        by_name = {(result.rev, bool(result.uncommitted)): result for result in first}
        return list(by_name.values())


def locate_document(reader: Reader, target: str) -> LocatedDocument:
    """Find the results that the figures of a document come from.

    Args:
        reader: of the repository to search.
        target: path of a document or picture.

    Raises:
        UnreadableError: the document is broken, encrypted, or of a format that is not read.
        NotFoundError: it has no figures.
    """
    path = Path(target)
    if instead_of(path):
        raise UnreadableError(f"{target}: {path.suffix} is not read", hint=f"save it as {instead_of(path)}")
    known = known_figures(reader)
    if not is_picture(path):
        known.leave_out(path)
    matcher = Matcher(known)
    figures: list[LocatedFigure] = []
    before: dict[tuple[bytes, ...], list[tuple[Figure, Verdict]]] = {}
    try:
        with bounded_reading(target):
            for figure in _bounded(path):
                for part, verdict in _verdicts(matcher, figure, before):
                    figures.append(_located(matcher.known, figure if part is figure else part, verdict))
    except UnreadableError as error:
        if not figures:
            raise
        figures.append(LocatedFigure("the rest", "", Match.NONE, reason=error.message))
    if not figures:
        raise NotFoundError(f"{target}: no figures in it")
    left_out = list(matcher.known.left_out)
    if not all(figure.is_traced for figure in figures):
        left_out += _unread(matcher) + limits(reader.root, bool(matcher.known.experiments))
    return LocatedDocument(target, figures, left_out)


def _bounded(path: Path) -> Iterator[Figure]:
    for number, figure in enumerate(read_figures(path)):
        if number == MOST_FIGURES:
            yield Figure("the rest", problem=f"more than {MOST_FIGURES:,} figures are not looked at")
            return
        yield figure


def _verdicts(
    matcher: Matcher, figure: Figure, before: dict[tuple[bytes, ...], list[tuple[Figure, Verdict]]]
) -> list[tuple[Figure, Verdict]]:
    """What a figure is; the same file again, such as a logo on each slide, is looked at once."""
    encoded = [form.content for form in figure.forms if isinstance(form, Encoded)]
    if not encoded or len(encoded) < len(figure.forms):
        return matcher.verdicts(figure)
    key = tuple(_digest(content) for content in encoded)
    if key not in before:
        before[key] = matcher.verdicts(figure)
    return [(figure, verdict) for _, verdict in before[key]]


def _digest(content: bytes) -> bytes:
    import hashlib

    return hashlib.sha256(content).digest()


def _located(known: KnownFigures, figure: Figure, verdict: Verdict) -> LocatedFigure:
    for path in figure.missing:
        results = known.results_recorded(path)
        if results:
            reason = "the file is not here"
            return LocatedFigure(figure.place, figure.name, Match.RECORDED, results, reason=reason)
    others = [result for group in verdict.others for result in known.results(group)[:1]]
    return LocatedFigure(
        figure.place,
        figure.name,
        verdict.match,
        known.results(verdict.keys),
        others,
        verdict.closer,
        verdict.reason,
    )


def _unread(matcher: Matcher) -> list[str]:
    """Lines about figures that cannot be compared, since this machine does not have them."""
    lines = []
    unlisted = sorted(matcher.known.unlisted)
    missing = [key for key in matcher.index.missing if not key.startswith("git:")]
    in_git = len(matcher.index.missing) - len(missing)
    if unlisted:
        lines.append(f"lists of tracked folders, such as {unlisted[0]}, {FETCHED}")
    if missing:
        lines.append(f"figures, {len(missing)} of them, {FETCHED}")
    if in_git:
        lines.append(
            f"figures, {in_git} of them, which this clone does not have; `git lfs fetch --all` may get them"
        )
    return lines
