"""Compares a figure of a document with the figures of results: by its bytes, drawing, pixels, and looks.

Looks come last. What a figure shows is cut into blocks; each is aligned with those blocks of results' figures
that are nearest to it once reduced. It is named after one that it agrees with, if it is clearly further from
the others where they differ from that one.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from ..documents import Drawing, Encoded, Figure, Look, looks_of, project_of, read_figures
from ..documents.picture import (
    COARSE,
    CUT_AT,
    SMALLEST,
    Alignment,
    Comparison,
    FullBox,
    Part,
    agree_closely,
    align,
    align_by_profiles,
    align_finely,
    area,
    blocks,
    compare,
    covers,
    lines_agree,
    nearest,
    pixel_digest,
    says_something,
    scaled,
    shorter_side,
    small_enough,
    square,
    square_shown,
    times_closer,
)
from ..errors import UnreadableError
from .known_figures import MOST_BLOCKS, Key
from .result import Match

# Mean grey values by which a reduced block may be off, and still be looked at: a crop moves what is in it.
FAR = 20.0
# Blocks that are aligned at first; of these, those that are aligned in a second way if none agrees.
FIRST_ALIGNED = 6
SECOND_ALIGNED = 3
# Least share of an original's drawing in a copy for the alignment to be of use for others of its kind.
PLAUSIBLE = 0.5
# And, where both are small, for it to be worth a finer alignment: copies have more.
PROMISING = 0.9
# How much further than the nearest is looked at, once aligned: what blurs a copy moves it from all alike.
NEAR = 1.0
# At most so many are looked at.
MOST_LOOKED_AT = 240
# How many times closer than the next a copy must be, where these differ.
CLEARLY_CLOSER = 1.5

# Keys of figures with the same pixels: they are known, or not, together.
Group = tuple[Key, ...]


class ResultFigures(Protocol):
    """The figures of results, as far as a comparison asks for them."""

    def keys_of(self, content: bytes) -> list[Key]:
        """Return keys of figures that have the same bytes."""

    def revisions(self, key: Key) -> set[str]:
        """Return the revisions that have a figure; none where it is no result's."""

    def is_output(self, key: Key) -> bool:
        """Return true where a stage wrote a figure in any result."""

    def content(self, key: Key) -> bytes | None:
        """Return content of a figure; None where this machine does not have it."""

    def with_digest(self, digest: bytes) -> list[Key]:
        """Return keys of figures that have these pixels, or this outline."""

    @property
    def looks(self) -> np.ndarray:
        """A row for each block of each figure that differs from others, as `LOOK_ROW` says."""

    def with_look(self, row: np.void) -> Group:
        """Return keys of figures that look the same as that of a row of `looks`."""

    def part(self, row: np.void) -> Part | None:
        """Return the block that a row of `looks` is of; None where this machine does not have it."""


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


# What is recognized in a picture, with boxes of which its width and height are 1.
Regions = list[tuple[FullBox, Verdict]]
# What was found of a figure as a whole, and what was recognized in it, by the keys of its forms.
Seen = dict[Hashable, tuple[Verdict, Regions]]
NOT_FOUND = Verdict(Match.NONE)


@dataclass(frozen=True)
class Candidate:
    """A block of a result's figure, aligned with a block of a picture.

    Attributes:
        group: of the figure.
        original: the block.
        alignment: where it is in the picture.
        comparison: of the two.
    """

    group: Group
    original: Part
    alignment: Alignment
    comparison: Comparison


def compared_figures(
    known: ResultFigures, document: Path, roots: Sequence[Path] = ()
) -> Iterator[tuple[Figure, Verdict]]:
    """Yield each figure of a document, or of a figure that is not known its parts, with what it is.

    Args:
        known: figures of results.
        document: a picture, or a document with figures.
        roots: folders beside the document's own project in which files that it names may be.

    Raises:
        UnreadableError: the document is broken, encrypted, or too large.
    """
    # The same picture again, such as a logo on each slide, is compared once.
    before: Seen = {}
    for figure in read_figures(document, (project_of(document), *roots)):
        yield from verdicts(known, figure, before)


def verdicts(known: ResultFigures, figure: Figure, before: Seen) -> list[tuple[Figure, Verdict]]:
    """Return what a figure is; where it is not known as a whole, what its parts are.

    Args:
        known: figures of results.
        figure: of a document.
        before: what was found of figures of the same document: none is looked at again.
    """
    try:
        key = _identity(figure)
    except UnreadableError as error:
        return [(figure, Verdict(Match.NONE, reason=str(error)))]
    of_parts: list[tuple[Figure, Verdict]] = []
    if key in before:
        verdict, seen = before[key]
    else:
        verdict, looks = _compare_exactly(known, figure)
        seen = []
        if verdict.match is Match.NONE:
            for part in figure.parts:
                of_parts += verdicts(known, part, before)
            verdict, seen = _look(known, looks, of_parts, verdict)
        if key:
            before[key] = verdict, seen
    if verdict.match is not Match.NONE:
        return [(figure, verdict)]
    if figure.is_incidental:
        return _on_page(figure, of_parts, seen)
    if of_parts and not seen:
        return of_parts
    if len(seen) < 2:
        return [(figure, seen[0][1] if seen else verdict)]
    return _numbered(figure, seen)


def _numbered(figure: Figure, seen: Regions) -> list[tuple[Figure, Verdict]]:
    """Return what is recognized in a figure, as its parts."""
    numbered = []
    for number, (_, of_part) in enumerate(seen, start=1):
        name = f"{figure.name} part {number}".strip()
        numbered.append((replace(figure, name=name, missing=()), of_part))
    return numbered


def _identity(figure: Figure) -> tuple[Hashable, ...]:
    """Return what the same figure has again, by its forms; nothing where it is not remembered as a whole."""
    identities = tuple(form.identity for form in figure.forms)
    return () if figure.parts or None in identities else identities


def _look(
    known: ResultFigures, looks: list[Look], of_parts: list[tuple[Figure, Verdict]], verdict: Verdict
) -> tuple[Verdict, Regions]:
    """Return what is recognized in the first look that shows a figure of a result, else why there is none."""
    known_boxes = [part.box for part, of_part in of_parts if part.box and of_part.match is not Match.NONE]
    try:
        for look in looks:
            picture = _picture_of(look)
            seen = _recognized_in(known, picture, known_boxes) if picture else []
            if seen:
                return verdict, seen
    except UnreadableError as error:
        return Verdict(Match.NONE, reason=str(error)), []
    except MemoryError:
        return Verdict(Match.NONE, reason="it takes too much memory to look at"), []
    return verdict, []


def _on_page(
    page: Figure, of_parts: list[tuple[Figure, Verdict]], seen: Regions
) -> list[tuple[Figure, Verdict]]:
    """Return the figures placed on a page, and those recognized on it, of which they may be parts."""
    found = [(box, verdict) for box, verdict in seen if verdict.match is not Match.NONE]
    listed = []
    for part, verdict in of_parts:
        if verdict.match is not Match.NONE or not _overlaps(part, found):
            listed.append((part, verdict))
    return [*listed, *((page, verdict) for _, verdict in found)]


def _overlaps(part: Figure, found: Regions) -> bool:
    """Return true where a part is a piece of what was recognized, or a group around it."""
    box = part.box
    return box is not None and any(covers(extent, box) or covers(box, extent) for extent, _ in found)


def _picture_of(look: Look) -> Image.Image | None:
    """Return a look as a picture; None for a drawing that is not rendered."""
    if isinstance(look, Drawing):
        return look.render() if look.render else None
    return look


def _compare_exactly(known: ResultFigures, figure: Figure) -> tuple[Verdict, list[Look]]:
    """Compare a figure with all that are known; the first of its forms that is one of them decides.

    Where none is, its looks are returned, too.
    """
    for form in figure.forms:
        keys = known.keys_of(form.content) if isinstance(form, Encoded) else []
        if keys:
            return Verdict(Match.BYTES, tuple(keys)), []
    verdict = Verdict(Match.NONE, reason=figure.problem)
    looks: list[Look] = []
    for form in figure.forms:
        verdict = NOT_FOUND
        try:
            for look in form.looks():
                found = _drawn(known, look) if isinstance(look, Drawing) else _same_pixels(known, look)
                if found.match is not Match.NONE:
                    return found, []
                looks.append(look)
        except UnreadableError as error:
            verdict = Verdict(Match.NONE, reason=str(error))
        except MemoryError:
            verdict = Verdict(Match.NONE, reason="it takes too much memory to look at")
    return verdict, looks


def _drawn(known: ResultFigures, drawing: Drawing) -> Verdict:
    same = []
    for key in known.with_digest(drawing.outline):
        if known.revisions(key) and _is_drawn_as(known, key, drawing):
            same.append(key)
    return Verdict(Match.DRAWING, tuple(same)) if same else NOT_FOUND


def _is_drawn_as(known: ResultFigures, key: Key, drawing: Drawing) -> bool:
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


def _same_pixels(known: ResultFigures, picture: Image.Image) -> Verdict:
    keys = known.with_digest(pixel_digest(picture))
    return Verdict(Match.PIXELS, tuple(keys)) if keys else NOT_FOUND


def _recognized_in(known: ResultFigures, picture: Image.Image, known_boxes: Iterable[FullBox]) -> Regions:
    """Return what is recognized in a picture, with boxes of which width and height of the picture are 1.

    Where anything is, other blocks of its size that are not recognized are listed, too.

    Args:
        known: figures of results.
        picture: that shows one, or several.
        known_boxes: of parts that are known already.
    """
    picture = small_enough(picture, CUT_AT)
    done: list[FullBox] = [scaled(box, *picture.size) for box in known_boxes]
    found: Regions = []
    others: list[FullBox] = []
    box: FullBox
    for box in blocks(picture)[:MOST_BLOCKS]:
        if shorter_side(box) < SMALLEST or any(covers(outer, box) for outer in done):
            continue
        verdict, extent = _recognize(known, Part(picture, box))
        if verdict.match is Match.NONE:
            others.append(box)
            continue
        done.append(extent)
        found.append((extent, verdict))
    if not found:
        return []
    # A legend or a colour bar beside a figure is smaller than it, and all of the picture is larger.
    smallest = min(area(box) for box, _ in found) / 4
    for box in others[1:]:
        if area(box) > smallest and not any(covers(outer, box) for outer in done):
            found.append((box, NOT_FOUND))
    height = min(box[3] - box[1] for box, _ in found)
    # Of two that are side by side, the left one comes first.
    found.sort(key=lambda one: (round((one[0][1] + one[0][3]) / 2 / height), one[0][0]))
    across, down = 1 / picture.width, 1 / picture.height
    return [(scaled(box, across, down), verdict) for box, verdict in found]


def _recognize(known: ResultFigures, copy: Part) -> tuple[Verdict, FullBox]:
    """Say of which result's figure a block is; with the box that all of that figure would have."""
    rows = known.looks
    inside = square(copy.picture, copy.box)
    if not len(rows) or not says_something(inside):
        return NOT_FOUND, copy.box
    best = _align_first(known, copy, _nearest_rows(rows, inside))
    if best is None or best.comparison.found < PLAUSIBLE:
        return NOT_FOUND, copy.box
    # Once one is aligned, it is known what others of its kind would look like here.
    inside, is_shown = square_shown(copy.picture, best.alignment.placed)
    off = nearest(inside, rows["inside"], is_shown)
    order = np.argsort(off, kind="stable")
    near = order[: max(FIRST_ALIGNED, int((off <= off[order[0]] + NEAR).sum()))]
    candidates = {best.group: best}
    for row in rows[near[:MOST_LOOKED_AT]]:
        group = known.with_look(row)
        if group and group not in candidates:
            candidate = _align_likewise(known, copy, row, best.alignment.placed)
            if candidate is not None:
                candidates[group] = candidate
    unseen = [group for group in map(known.with_look, rows[near[MOST_LOOKED_AT:]]) if group]
    if not any(candidate.comparison.is_copy for candidate in candidates.values()):
        reason = "too many figures are nearly like it to look at each" if unseen else ""
        return Verdict(Match.NONE, reason=reason), copy.box
    verdict = _decide(known, list(candidates.values()), unseen)
    if verdict.match is Match.SIMILAR and not _agrees_closely(known, copy, candidates, verdict.keys):
        return NOT_FOUND, copy.box
    return verdict, best.alignment.in_copy((0, 0, *best.original.picture.size))


def _nearest_rows(rows: np.ndarray, inside: np.ndarray) -> np.ndarray:
    off = nearest(inside, rows["inside"])
    order = np.argsort(off, kind="stable")[:FIRST_ALIGNED]
    return rows[order[off[order] <= FAR]]


def _align_first(known: ResultFigures, copy: Part, rows: np.ndarray) -> Candidate | None:
    """Return the block that agrees most with a picture's, of a few; the first that it copies will do."""
    best: Candidate | None = None
    aligned: list[tuple[float, int, np.void, Part, Alignment]] = []
    for row in rows:
        original = known.part(row) if known.with_look(row) else None
        if original is not None:
            alignment, off = align(copy, original)
            aligned.append((off, len(aligned), row, original, alignment))
    aligned.sort(key=lambda one: one[:2])
    for is_second in (False, True):
        for _, _, row, original, alignment in aligned[: SECOND_ALIGNED if is_second else FIRST_ALIGNED]:
            if is_second:
                alignment, _ = align_by_profiles(copy, original)
            candidate = _candidate(known.with_look(row), copy, original, alignment)
            if candidate is None:
                continue
            # What it has most of can be aligned a pixel beside it, and then its axes do not agree.
            if candidate.comparison.is_copy:
                return candidate
            if best is None or candidate.comparison.found > best.comparison.found:
                best = candidate
    return best


def _align_likewise(known: ResultFigures, copy: Part, row: np.void, placed: FullBox) -> Candidate | None:
    original = known.part(row)
    if original is None:
        return None
    return _candidate(known.with_look(row), copy, original, Alignment(original.box, placed))


def _candidate(group: Group, copy: Part, original: Part, alignment: Alignment) -> Candidate | None:
    """Return a candidate by its alignment, which is made finer where it is promising."""
    comparison = compare(copy, original, alignment, COARSE)
    if comparison is None:
        return None
    if comparison.found >= PROMISING:
        alignment = align_finely(copy, original, alignment)
        comparison = compare(copy, original, alignment) or comparison
    if comparison.is_copy:
        comparison = replace(comparison, lines_agree=lines_agree(copy, original, alignment))
    return Candidate(group, original, alignment, comparison)


def _decide(known: ResultFigures, candidates: list[Candidate], unseen: list[Group]) -> Verdict:
    """Name the one of some candidates that is clearly closest where they differ; else it is a tie."""
    copies = [candidate for candidate in candidates if candidate.comparison.is_copy]
    best = copies[0]
    for candidate in copies[1:]:
        if times_closer(best.comparison, candidate.comparison) < 1:
            best = candidate
    revisions = _revisions(known, best.group)
    times: dict[Group, float] = {}
    for candidate in candidates:
        # The same result can have the figure in several sizes and formats.
        if _revisions(known, candidate.group) != revisions:
            times[candidate.group] = times_closer(best.comparison, candidate.comparison)
    tied = [group for group, closer in times.items() if closer < CLEARLY_CLOSER]
    if tied or unseen:
        # One of those that are unseen could be nearer still: nothing is guessed.
        return Verdict(Match.TIE, best.group, (*tied, *unseen))
    if not times:
        return Verdict(Match.SIMILAR, best.group)
    following = min(times, key=times.__getitem__)
    return Verdict(Match.SIMILAR, best.group, (following,), times[following])


def _agrees_closely(
    known: ResultFigures, copy: Part, candidates: Mapping[Group, Candidate], named: Group
) -> bool:
    """Return true where a picture agrees closely with a figure of a result, in one of its formats."""
    revisions = _revisions(known, named)
    formats = []
    for group, candidate in candidates.items():
        if candidate.comparison.is_copy and _revisions(known, group) == revisions:
            formats.append(candidate)
    # Other programs draw letters otherwise: of several formats, the copy is of the one that it is most like.
    formats.sort(key=lambda one: one.comparison.found, reverse=True)
    return any(agree_closely(copy, one.original, one.alignment) for one in formats)


def _revisions(known: ResultFigures, group: Group) -> set[str]:
    revisions: set[str] = set()
    for key in group:
        revisions |= known.revisions(key)
    return revisions
