"""Compares a figure of a document with the figures of results: by its bytes, its drawing, its pixels."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..documents import Drawing, Encoded, Figure, looks_of
from ..documents.picture import (
    CLEARLY_CLOSER,
    closest,
    compare_all,
    fingerprint,
    nearest,
    opened,
    says_something,
    small_enough,
    times_closer,
)
from ..errors import UnreadableError
from .known_figures import Key, KnownFigures
from .result import Match

# Mean grey values by which a reduced picture may be off, and still be looked at.
FAR = 16.0
# How much further than the nearest is looked at closely: what blurs a copy moves it from all alike.
NEAR = 1.0
# Of those, at least so many, for there to be a next one; at most so many at a time, and altogether.
FEWEST_COMPARED = 4
MOST_COMPARED = 48
MOST_LOOKED_AT = 240

# Keys of figures with the same pixels: they are known, or not, together.
Group = tuple[Key, ...]


@dataclass(frozen=True)
class Verdict:
    """Where a figure comes from, as far as can be said.

    Attributes:
        match: how it was found.
        keys: of the figures of results that it is; of a tie, each group's in turn.
        others: of a similar figure, those of the next result's; of a tie, of each but the first.
        closer: how many times closer a similar one is than the next result's; None where there is no other.
        reason: why it was not found, where that is known.
    """

    match: Match
    keys: Group = ()
    others: tuple[Group, ...] = ()
    closer: float | None = None
    reason: str = ""


# Verdicts by the keys of a figure's forms.
Seen = dict[Hashable, Verdict]
NOT_FOUND = Verdict(Match.NONE)


def verdicts(known: KnownFigures, figure: Figure, before: Seen) -> list[tuple[Figure, Verdict]]:
    """Return what a figure is; where it is not known as a whole, what its parts are.

    Args:
        known: figures of results.
        figure: of a document.
        before: what was found of figures of the same document: none is looked at again.
    """
    key = tuple(form.identity for form in figure.forms)
    verdict = before.get(key)
    if verdict is None:
        verdict = compare(known, figure)
        if key and None not in key:
            before[key] = verdict
    if verdict.match is not Match.NONE:
        return [(figure, verdict)]
    of_parts: list[tuple[Figure, Verdict]] = []
    for part in figure.parts:
        of_parts += verdicts(known, part, before)
    if of_parts or figure.is_incidental:
        return of_parts
    return [(figure, verdict)]


def compare(known: KnownFigures, figure: Figure) -> Verdict:
    """Compare a figure with all that are known; the first of its forms that is one of them decides."""
    for form in figure.forms:
        keys = known.keys_of(form.content) if isinstance(form, Encoded) else []
        if keys:
            return Verdict(Match.BYTES, tuple(keys))
    verdict = Verdict(Match.NONE, reason=figure.problem)
    for form in figure.forms:
        verdict = NOT_FOUND
        try:
            for look in form.looks():
                found = _drawn(known, look) if isinstance(look, Drawing) else _pictured(known, look)
                if found.match is not Match.NONE:
                    return found
                verdict = found
        except UnreadableError as error:
            verdict = Verdict(Match.NONE, reason=str(error))
        except MemoryError:
            verdict = Verdict(Match.NONE, reason="it takes too much memory to look at")
    return verdict


def _drawn(known: KnownFigures, drawing: Drawing) -> Verdict:
    same = []
    for key in known.index.with_digest(drawing.outline):
        if known.places(key) and _is_drawn_as(known, key, drawing):
            same.append(key)
    return Verdict(Match.DRAWING, tuple(same)) if same else NOT_FOUND


def _is_drawn_as(known: KnownFigures, key: Key, drawing: Drawing) -> bool:
    """Return true where a result's figure uses the same fonts, images and patterns for the same operators."""
    content = known.content(key)
    if content is None:
        return True  # the outline is all that this machine knows of it
    pages = looks_of(content)
    # Of several pages that no stage wrote, each is a page of a text, and no figure.
    if len(pages) > 1 and not known.is_output(key):
        return False
    complete = drawing.complete()
    for page in pages:
        if isinstance(page, Drawing) and page.outline == drawing.outline and page.complete() == complete:
            return True
    return False


def _pictured(known: KnownFigures, picture: Image.Image) -> Verdict:
    """Find a picture by its pixels; else compare it with those that are nearest to it once reduced."""
    print_ = fingerprint(picture)
    keys = known.index.with_digest(print_.pixels)
    if keys:
        return Verdict(Match.PIXELS, tuple(keys))
    rows = known.index.pictures()
    if not len(rows) or not says_something(print_.inside):
        return NOT_FOUND
    distances = nearest(print_.inside, rows["inside"])
    least = float(distances.min())
    if least > FAR:
        return NOT_FOUND
    number = max(FEWEST_COMPARED, int((distances <= least + NEAR).sum()))
    near = np.argsort(distances, kind="stable")[:number]
    groups = [tuple(known.index.with_digest(digest.tobytes())) for digest in rows["digest"][near]]
    return _most_similar(known, small_enough(picture), groups)


def _most_similar(known: KnownFigures, picture: Image.Image, groups: list[Group]) -> Verdict:
    """Say which of some figures, nearest first, a picture is a copy of.

    A few at a time are in memory: those that were ahead among the earlier ones, and the next ones.
    """
    verdict = NOT_FOUND
    waiting = groups[:MOST_LOOKED_AT]
    ahead: list[Group] = []
    while waiting and len(ahead) < MOST_COMPARED:
        number = MOST_COMPARED - len(ahead)
        verdict = _compare_closely(known, picture, [*ahead, *waiting[:number]])
        waiting = waiting[number:]
        ahead = [] if verdict.match is Match.NONE else [verdict.keys, *verdict.others]
    unseen = waiting + groups[MOST_LOOKED_AT:]
    if not unseen:
        return verdict
    # One of those could be nearer still: nothing is guessed.
    if verdict.match is Match.NONE:
        return Verdict(Match.NONE, reason="too many figures are nearly like it to look at each")
    return Verdict(Match.TIE, verdict.keys, (*verdict.others, *unseen))


def _compare_closely(known: KnownFigures, picture: Image.Image, groups: list[Group]) -> Verdict:
    """Say which of a few figures a picture is a copy of; a tie where another result's is about as close."""
    originals = {}
    for group in groups:
        for key in group:
            content = known.content(key)
            if content is not None:
                originals[group] = small_enough(opened(content))
                break
    compared = compare_all(picture, originals)
    best = closest(compared)
    if best is None or not compared[best].is_copy:
        return NOT_FOUND
    revisions = _revisions(known, best)
    times: dict[Group, float] = {}
    for group, comparison in compared.items():
        # The same result can have the figure in several sizes.
        if group != best and _revisions(known, group) != revisions:
            times[group] = times_closer(compared[best], comparison)
    tied = [group for group, closer in times.items() if closer < CLEARLY_CLOSER]
    if tied:
        return Verdict(Match.TIE, best, tuple(tied))
    if not times:
        return Verdict(Match.SIMILAR, best)
    following = min(times, key=times.__getitem__)
    return Verdict(Match.SIMILAR, best, (following,), times[following])


def _revisions(known: KnownFigures, group: Group) -> set[str]:
    revisions: set[str] = set()
    for key in group:
        revisions.update(snapshot.rev for snapshot, _ in known.places(key))
    return revisions
