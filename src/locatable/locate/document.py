"""Find the results that the figures and numbers of a document come from."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

from ..documents import Bound, Figure, bounded_reading, instead_of, is_manuscript, is_picture
from ..documents.passages import has_passages
from ..errors import NotFoundError, UnreadableError
from ..repository.reader import Reader
from .figure_match import Verdict, compared_figures
from .known_figures import KnownFigures
from .numbers import locate_numbers, read_units
from .result import ComparedNumbers, Located, LocatedFigure, Match, Result, hints, identity, shortened

# The rest of a document with more figures is reported as not read.
MOST_FIGURES = 2_000
NOT_CACHED = "which are not in this machine's DVC cache; `dvc fetch --all-commits` gets them"


def locate_document(reader: Reader, target: str, rev: str | None = None) -> Located:
    """Find the results that the figures and numbers of a document come from.

    Args:
        reader: the reader of the repository.
        target: the path of the document.
        rev: the result to compare the numbers with; None for the result of most of the figures, or of most of
            the numbers.

    Raises:
        UnreadableError: the document is broken, encrypted, or in an unsupported format.
        NotFoundError: the document has neither a figure nor a number of a result; or there is no such
            revision.
    """
    path = Path(target)
    readable_format = instead_of(path)
    if readable_format:
        raise UnreadableError(f"{target}: {path.suffix} is not read", hint=f"save it as {readable_format}")
    figures: list[LocatedFigure] = []
    left_out: list[str] = []
    bound = Bound()
    if is_manuscript(path) or is_picture(path):
        figures, left_out = _locate_figures(reader, path, bound)
    unread: list[str] = []
    numbers = ComparedNumbers()
    if has_passages(path):
        try:
            with bounded_reading(target, bound):
                units = read_units(path)
            numbers = locate_numbers(reader, units, figures, rev, unread)
        except UnreadableError as error:
            if not figures:
                raise
            unread.append(f"numbers: {error}")
    if not figures and not any(number.key for number in numbers.numbers):
        count = len(numbers.numbers)
        about_numbers = f", and none of its {count} numbers is a result's" if count else ""
        raise NotFoundError(f"{target}: no figures in it{about_numbers}", hint="; ".join(hints(unread)))
    results = [figure.results[0] for figure in figures if figure.is_traced]
    if numbers.result:
        if rev or not results:
            results.append(numbers.result)
        figures = _with_other_figures(figures, numbers.result)
    distinct: dict[tuple[str, bool], Result] = {}
    for result in results:
        distinct.setdefault(identity(result), result)
    left_out = [*left_out, *shortened(unread)]
    return Located(list(distinct.values()), left_out, figures=figures, numbers=numbers)


def _with_other_figures(figures: list[LocatedFigure], compared: Result) -> list[LocatedFigure]:
    """Note on each figure whether the compared result has a different figure at the same path.

    If the document also shows the compared result's own figure of that path, the figures of other results are
    there for comparison, and nothing is noted.
    """
    shown: set[str] = set()
    for figure in figures:
        for result in figure.results:
            if result.rev == compared.rev:
                shown.update(result.roles)
    return [replace(figure, instead=_other_figure(figure, compared, shown)) for figure in figures]


def _other_figure(figure: LocatedFigure, compared: Result, shown: set[str]) -> str:
    """Return the path at which the compared result has a different figure; empty if there is none."""
    revisions = {result.rev for result in figure.results}
    if not figure.is_traced or compared.rev in revisions:
        return ""
    for path in figure.results[0].roles:
        has_figure = path in compared.snapshot.tracked or compared.snapshot.in_git(path)
        if has_figure and path not in shown:
            return path
    return ""


def _locate_figures(reader: Reader, path: Path, bound: Bound) -> tuple[list[LocatedFigure], list[str]]:
    """Return the figures of a document, and lines about what may be the reason that some were not found."""
    known = KnownFigures(reader)
    figures: list[LocatedFigure] = []
    try:
        with bounded_reading(str(path), bound):
            if not is_picture(path):
                known.exclude(path)
            for figure, verdict in compared_figures(known, path, (reader.top, reader.cache)):
                if len(figures) == MOST_FIGURES:
                    raise UnreadableError(f"more than {MOST_FIGURES:,} figures are not looked at")
                figures.append(_located_figure(known, figure, verdict))
    except UnreadableError as error:
        if not figures:
            raise
        figures.append(LocatedFigure("the rest", "", Match.NONE, reason=error.message))
    left_out = known.left_out
    if not all(figure.is_traced for figure in figures):
        left_out = [*left_out, *_not_compared(known), *reader.limits()]
    return figures, left_out


def _located_figure(known: KnownFigures, figure: Figure, verdict: Verdict) -> LocatedFigure:
    # A figure whose file is missing is looked up in HEAD, which may record what was at its path.
    for path in figure.missing:
        results = known.results_recorded(path)
        if results:
            reason = "the file is not here"
            return LocatedFigure(figure.place, figure.name, Match.RECORDED, results, reason=reason)
    results = known.results(verdict.keys)
    others: list[Result] = []
    for keys in verdict.others:
        others += known.results(keys)[:1]
    return LocatedFigure(
        figure.place, figure.name, verdict.match, results, others, verdict.closer, verdict.reason
    )


def _not_compared(known: KnownFigures) -> list[str]:
    """Return lines about figures of results that were not compared, because this machine lacks them."""
    lines = []
    kinds = Counter(key.partition(":")[0] for key in known.missing)
    in_git, in_cache = kinds["git"], kinds["md5"]
    if known.unlisted:
        lines.append(f"lists of tracked folders, such as {min(known.unlisted)}, {NOT_CACHED}")
    if in_cache:
        lines.append(f"figures, {in_cache} of them, {NOT_CACHED}")
    if in_git:
        lines.append(
            f"figures, {in_git} of them, which this clone does not have; `git lfs fetch --all` may get them"
        )
    return lines
