"""Where the figures and numbers of a document come from."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..documents import (
    Figure,
    bounded_reading,
    instead_of,
    is_manuscript,
    is_picture,
    project_of,
    read_figures,
)
from ..documents.passages import has_passages
from ..errors import NotFoundError, UnreadableError
from ..repository.reader import Reader
from .figure_match import Seen, Verdict, verdicts
from .known_figures import KnownFigures
from .numbers import locate_numbers, read_units
from .result import (
    ComparedNumbers,
    Located,
    LocatedFigure,
    Match,
    Result,
    hints,
    identity,
    shortened,
)

# Figures of a document that are looked at.
MOST_FIGURES = 2_000
FETCHED = "which are not in this machine's DVC cache; `dvc fetch --all-commits` gets them"


def locate_document(reader: Reader, target: str, rev: str | None = None) -> Located:
    """Find the results that the figures and numbers of a document come from.

    Args:
        reader: of the repository.
        target: path of the document.
        rev: the result that its numbers are compared with; None for that of its figures.

    Raises:
        UnreadableError: the document is broken, encrypted, or of a format that is not read.
        NotFoundError: it has no figures, and no number that is a result's; or there is no such revision.
    """
    path = Path(target)
    if instead_of(path):
        raise UnreadableError(f"{target}: {path.suffix} is not read", hint=f"save it as {instead_of(path)}")
    figures: list[LocatedFigure] = []
    left_out: list[str] = []
    start = time.process_time()
    if is_manuscript(path) or is_picture(path):
        figures, left_out = _locate_figures(reader, path)
    unread: list[str] = []
    numbers = ComparedNumbers()
    if has_passages(path):
        try:
            with bounded_reading(target, time.process_time() - start):
                units = read_units(path)
            numbers = locate_numbers(reader, units, figures, rev, unread)
        except UnreadableError as error:
            if not figures:
                raise
            unread.append(f"numbers: {error}")
    traced = [figure for figure in figures if figure.is_traced]
    of_result = any(number.key for number in numbers.numbers)
    if not figures and not of_result:
        also = f", and none of its {len(numbers.numbers)} numbers is a result's" if numbers.numbers else ""
        raise NotFoundError(f"{target}: no figures in it{also}", hint="; ".join(hints(unread)))
    named = {identity(one.results[0]): one.results[0] for one in traced}
    if numbers.result and (rev or not traced):
        named.setdefault(identity(numbers.result), numbers.result)
    if numbers.result:
        figures = _compared_figures(figures, numbers.result)
    return Located(list(named.values()), [*left_out, *shortened(unread)], figures=figures, numbers=numbers)


def _compared_figures(figures: list[LocatedFigure], compared: Result) -> list[LocatedFigure]:
    """Return figures, with a note on each that the compared result has otherwise at its path.

    Where the compared result's own figure of that path is in the document, too, the others are beside it.
    """
    shown: set[str] = set()
    for figure in figures:
        for result in figure.results:
            if result.rev == compared.rev:
                shown.update(result.roles)
    noted = []
    for figure in figures:
        paths = figure.results[0].roles if figure.is_traced else {}
        is_of_it = any(result.rev == compared.rev for result in figure.results)
        if not is_of_it:
            for path in paths:
                if path not in shown and (
                    path in compared.snapshot.tracked or compared.snapshot.in_git(path)
                ):
                    figure = replace(figure, instead=path)
        noted.append(figure)
    return noted


def _locate_figures(reader: Reader, path: Path) -> tuple[list[LocatedFigure], list[str]]:
    """Return the figures of a document, and what may have kept some from being found."""
    known = KnownFigures(reader)
    figures: list[LocatedFigure] = []
    try:
        with bounded_reading(str(path)):
            if not is_picture(path):
                known.leave_out(path)
            for figure, verdict in _compared(known, path, (reader.top, reader.cache)):
                if len(figures) == MOST_FIGURES:
                    raise UnreadableError(f"more than {MOST_FIGURES:,} figures are not looked at")
                figures.append(_located(known, figure, verdict))
    except UnreadableError as error:
        if not figures:
            raise
        figures.append(LocatedFigure("the rest", "", Match.NONE, reason=error.message))
    left_out = known.left_out
    if not all(figure.is_traced for figure in figures):
        left_out = [*left_out, *_unread(known), *reader.limits()]
    return figures, left_out


def _compared(known: KnownFigures, path: Path, roots: Sequence[Path]) -> Iterator[tuple[Figure, Verdict]]:
    """Yield each figure of a document, or of a figure that is not known its parts, with what it is."""
    # The same picture again, such as a logo on each slide, is compared once.
    before: Seen = {}
    for figure in read_figures(path, (project_of(path), *roots)):
        yield from verdicts(known, figure, before)


def _located(known: KnownFigures, figure: Figure, verdict: Verdict) -> LocatedFigure:
    for path in figure.missing:
        results = known.results_recorded(path)
        if results:
            reason = "the file is not here"
            return LocatedFigure(figure.place, figure.name, Match.RECORDED, results, reason=reason)
    others: list[Result] = []
    for group in verdict.others:
        others += known.results(group)[:1]
    results = known.results(verdict.keys)
    return LocatedFigure(
        figure.place, figure.name, verdict.match, results, others, verdict.closer, verdict.reason
    )


def _unread(known: KnownFigures) -> list[str]:
    """Return lines about figures that cannot be compared, since this machine does not have them."""
    lines = []
    kinds = Counter(key.partition(":")[0] for key in known.index.missing)
    in_git, in_cache = kinds["git"], kinds["md5"]
    if known.unlisted:
        lines.append(f"lists of tracked folders, such as {min(known.unlisted)}, {FETCHED}")
    if in_cache:
        lines.append(f"figures, {in_cache} of them, {FETCHED}")
    if in_git:
        lines.append(
            f"figures, {in_git} of them, which this clone does not have; `git lfs fetch --all` may get them"
        )
    return lines
