"""Where the figures of a document come from."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..documents import Figure, bounded_reading, instead_of, is_picture, project_of, read_figures
from ..errors import NotFoundError, UnreadableError
from ..repository.reader import Reader
from .figure_match import Seen, Verdict, verdicts
from .known_figures import KnownFigures
from .result import Located, LocatedFigure, Match, Result, identity

# Figures of a document that are looked at.
MOST_FIGURES = 2_000
FETCHED = "which are not in this machine's DVC cache; `dvc fetch --all-commits` gets them"


def locate_document(reader: Reader, target: str) -> Located:
    """Find the results that the figures of a document come from.

    Raises:
        UnreadableError: the document is broken, encrypted, or of a format that is not read.
        NotFoundError: it has no figures.
    """
    path = Path(target)
    if instead_of(path):
        raise UnreadableError(f"{target}: {path.suffix} is not read", hint=f"save it as {instead_of(path)}")
    known = KnownFigures(reader)
    figures: list[LocatedFigure] = []
    try:
        with bounded_reading(target):
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
    if not figures:
        raise NotFoundError(f"{target}: no figures in it")
    traced = [figure for figure in figures if figure.is_traced]
    left_out = known.left_out
    if len(traced) < len(figures):
        left_out = [*left_out, *_unread(known), *reader.limits()]
    named = {identity(one.results[0]): one.results[0] for one in traced}
    return Located(list(named.values()), left_out, figures=figures)


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
