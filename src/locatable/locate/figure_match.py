"""Which results' figures a figure of a document is: by its bytes, its pixels or drawing, or its looks."""

from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import numpy as np
from PIL import Image

from ..documents.figure import Drawing, Encoded, Figure, Form, Pixels
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
from ..documents.svg import drawing_of, is_svg
from ..errors import UnreadableError
from .figure_index import FigureIndex
from .known_figures import Key, KnownFigures

# Mean grey values by which a reduced picture may be off, and still be looked at.
FAR = 16.0
# How much further than the nearest is looked at closely: what blurs a copy moves it from all alike.
NEAR = 1.0
# Of those, at least so many, for there to be a next one; at most so many at a time, and altogether.
FEWEST_COMPARED = 4
MOST_COMPARED = 48
MOST_LOOKED_AT = 240
_PDF = b"%PDF-"


class Match(Enum):
    """How a figure was found; the values are the words for it."""

    BYTES = "same bytes"
    PIXELS = "same pixels"
    DRAWING = "same drawing"
    SIMILAR = "most similar"
    RECORDED = "recorded at its path"
    TIE = "cannot tell"
    NONE = "not found"


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
    keys: tuple[Key, ...] = ()
    others: tuple[tuple[Key, ...], ...] = ()
    closer: float | None = None
    reason: str = ""


@dataclass
class Matcher:
    """Finds figures among those that are known; the index is built when bytes do not do."""

    known: KnownFigures

    @cached_property
    def index(self) -> FigureIndex:
        """Fingerprints of all known figures."""
        return FigureIndex(self.known)

    def verdicts(self, figure: Figure) -> list[tuple[Figure, Verdict]]:
        """What a figure is; where it is not known as a whole, what its parts are."""
        verdict = self._verdict(figure)
        if verdict.match is not Match.NONE:
            return [(figure, verdict)]
        of_parts = [one for part in figure.parts for one in self.verdicts(part)]
        if of_parts or figure.is_incidental:
            return of_parts
        return [(figure, verdict)]

    def _verdict(self, figure: Figure) -> Verdict:
        for form in figure.forms:
            keys = self.known.keys_of(form.content) if isinstance(form, Encoded) else []
            if keys:
                return Verdict(Match.BYTES, tuple(keys))
        found = Verdict(Match.NONE, reason=figure.problem)
        for form in figure.forms:
            try:
                verdict = self._of_form(form)
            except UnreadableError as error:
                verdict = Verdict(Match.NONE, reason=str(error))
            if verdict.match is not Match.NONE:
                return verdict
            found = verdict
        return found

    def _of_form(self, form: Form) -> Verdict:
        if isinstance(form, Pixels):
            return self._of_picture(form.load())
        if isinstance(form, Drawing):
            return self._of_drawing(form)
        if form.content.startswith(_PDF):
            from ..documents.pdf import drawings_of

            return self._of_drawings(drawings_of(form.content))
        if is_svg(form.content):
            return self._of_drawing(drawing_of(form.content))
        return self._of_picture(opened(form.content))

    def _of_drawings(self, drawings: list[Drawing]) -> Verdict:
        verdicts = [self._of_drawing(drawing) for drawing in drawings]
        found = [verdict for verdict in verdicts if verdict.match is not Match.NONE]
        return found[0] if found else Verdict(Match.NONE)

    def _of_drawing(self, drawing: Drawing) -> Verdict:
        keys = self.index.with_digest(drawing.outline)
        same = [key for key in keys if self.known.places(key) and self._is_drawn_as(key, drawing)]
        return Verdict(Match.DRAWING, tuple(same)) if same else Verdict(Match.NONE)

    def _is_drawn_as(self, key: Key, drawing: Drawing) -> bool:
        """Whether a result's figure uses the same fonts, images and patterns for the same operators."""
        content = self.known.content(key) or b""
        if not content.startswith(_PDF):
            return True  # of an SVG, the outline is all
        from ..documents.pdf import drawings_of

        pages = drawings_of(content)
        # Of several pages that no stage wrote, each is a page of a text, and no figure.
        if len(pages) > 1 and not self.known.is_figure_of_result(key):
            return False
        complete = drawing.complete()
        return any(one.outline == drawing.outline and one.complete() == complete for one in pages)

    def _of_picture(self, picture: Image.Image) -> Verdict:
        print_ = fingerprint(picture)
        keys = self.index.with_digest(print_.pixels)
        if keys:
            return Verdict(Match.PIXELS, tuple(keys))
        rows = self.index.pictures()
        if not len(rows) or not says_something(print_.inside):
            return Verdict(Match.NONE)
        distances = nearest(print_.inside, rows["inside"])
        least = float(distances.min())
        if least > FAR:
            return Verdict(Match.NONE)
        number = max(FEWEST_COMPARED, int((distances <= least + NEAR).sum()))
        near = np.argsort(distances, kind="stable")[:number]
        groups = [tuple(self.index.with_digest(rows["digest"][one].tobytes())) for one in near]
        return self._most_similar(picture, groups)

    def _most_similar(self, picture: Image.Image, groups: list[tuple[Key, ...]]) -> Verdict:
        """Which of some figures, nearest first, a picture is a copy of; a few at a time are in memory."""
        picture = small_enough(picture)
        verdict = Verdict(Match.NONE)
        waiting, ahead = groups[:MOST_LOOKED_AT], list[tuple[Key, ...]]()
        while waiting and len(ahead) < MOST_COMPARED:
            number = MOST_COMPARED - len(ahead)
            verdict = self._compare(picture, [*ahead, *waiting[:number]])
            waiting = waiting[number:]
            ahead = [] if verdict.match is Match.NONE else [verdict.keys, *verdict.others]
        unseen = waiting + groups[MOST_LOOKED_AT:]
        if unseen and verdict.match is Match.NONE:
            return Verdict(Match.NONE, reason="too many figures are nearly like it to look at each")
        if unseen:
            return Verdict(Match.TIE, verdict.keys, (*verdict.others, *unseen))
        return verdict

    def _compare(self, picture: Image.Image, groups: list[tuple[Key, ...]]) -> Verdict:
        """Which of a few figures a picture is a copy of."""
        originals = {}
        for group in groups:
            original = self._original(group)
            if original:
                originals[group] = original
        compared = compare_all(picture, originals)
        best = closest(compared)
        if best is None or not compared[best].is_copy:
            return Verdict(Match.NONE)
        mine = self._revisions(best)
        times = {
            group: times_closer(compared[best], comparison)
            for group, comparison in compared.items()
            if group != best and self._revisions(group) != mine
        }
        tied = [group for group, closer in times.items() if closer < CLEARLY_CLOSER]
        if tied:
            return Verdict(Match.TIE, best, tuple(tied))
        if not times:
            return Verdict(Match.SIMILAR, best)
        following = min(times, key=lambda group: times[group])
        return Verdict(Match.SIMILAR, best, (following,), times[following])

    def _original(self, group: tuple[Key, ...]) -> Image.Image | None:
        for key in group:
            content = self.known.content(key)
            if content is not None:
                return small_enough(opened(content))
        return None

    def _revisions(self, group: tuple[Key, ...]) -> set[str]:
        return {snapshot.rev for key in group for snapshot, _ in self.known.places(key)}
