"""Compare a figure of a document with the figures of results: by its bytes, drawing, pixels, and looks.

Looks are compared last. The picture is cut into blocks, such as the plots of a row. Each block is aligned
with those blocks of results' figures that are most similar to it when both are reduced to a small square. A
block is identified as a figure that it agrees with, if it is clearly further from all other candidates. The
distance from another candidate is measured only where the two candidates differ.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
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

# Largest mean difference, in grey values, between reduced blocks that are aligned at all. It is generous,
# because cropping a copy moves what is in it.
FAR = 20.0
# Number of nearest blocks that are aligned first; and if none of them agrees, how many of them are aligned
# again by their profiles.
FIRST_ALIGNED = 6
SECOND_ALIGNED = 3
# Share of an original's drawing that must be found in a copy for their alignment to be reused for other
# figures of the same kind.
PLAUSIBLE = 0.5
# Share that must be found by the coarse comparison for a finer alignment to be worth its time: that of copies
# is higher.
PROMISING = 0.9
# Figures are candidates if their distance exceeds that of the nearest by at most this. A small margin is
# enough, because blur moves a copy away from all figures by the same amount.
NEAR = 1.0
# Number of candidates that are compared. If there are more, no figure is named.
MOST_LOOKED_AT = 240
# How many times closer a copy must be to one figure than to the next one, where these two differ.
CLEARLY_CLOSER = 1.5

# Keys of figures with the same pixels. A comparison cannot tell them apart.
Group = tuple[Key, ...]


class ResultFigures(Protocol):
    """The figures of results, with what a comparison needs to know about them."""

    def keys_of(self, content: bytes) -> list[Key]:
        """Return the keys of figures with exactly these bytes."""

    def revisions(self, key: Key) -> set[str]:
        """Return the revisions that have a figure; empty if no result has it."""

    def is_output(self, key: Key) -> bool:
        """Return true if a stage of any result wrote a figure."""

    def content(self, key: Key) -> bytes | None:
        """Return the content of a figure; None if this machine does not have it."""

    def with_digest(self, digest: bytes) -> list[Key]:
        """Return the keys of figures with a digest, which is one of pixels or of a drawing's outline."""

    @property
    def looks(self) -> np.ndarray:
        """The distinct blocks of all figures, as an array of `LOOK_ROW`."""

    def with_look(self, row: np.void) -> Group:
        """Return the keys of all figures that look like the figure of a row of `looks`."""

    def part(self, row: np.void) -> Part | None:
        """Return the block of a row of `looks`; None if this machine does not have the figure."""


@dataclass(frozen=True)
class Verdict:
    """What a comparison found out about the origin of a figure.

    Attributes:
        match: how the figure was found.
        keys: the keys of the results' figures that it is. In a tie, the keys of the first candidate.
        others: the runners-up. For a similar figure, the most similar figure of the next result; in a tie,
            the other candidates.
        closer: how many times closer a similar figure is than the next result's; None if there is no other.
        reason: why the figure was not found; empty if unknown.
    """

    match: Match
    keys: Group = ()
    others: tuple[Group, ...] = ()
    closer: float | None = None
    reason: str = ""

    @property
    def is_found(self) -> bool:
        """True if the figure is known, or a tie."""
        return self.match is not Match.NONE


Verdicts = list[tuple[Figure, Verdict]]
# Regions of a picture in which figures were recognized. Boxes are in units of the picture's width and height.
Regions = list[tuple[FullBox, Verdict]]
# Verdicts on the figures of a document, and the regions in them, by the identities of their forms.
Seen = dict[Hashable, tuple[Verdict, Regions]]
NOT_FOUND = Verdict(Match.NONE)


@dataclass(frozen=True)
class Candidate:
    """A block of a result's figure, aligned with a block of a picture.

    Attributes:
        group: the keys of the result's figure.
        original: the block of that figure.
        alignment: where the block is in the picture.
        comparison: how the two agree.
    """

    group: Group
    original: Part
    alignment: Alignment
    comparison: Comparison


def compared_figures(
    known: ResultFigures, document: Path, roots: Sequence[Path] = ()
) -> Iterator[tuple[Figure, Verdict]]:
    """Yield each figure of a document with its verdict. An unknown figure may be replaced by its parts.

    Args:
        known: the figures of results.
        document: the path of a picture, or of a document with figures.
        roots: folders, in addition to the document's own project, from which files that it names may be read.

    Raises:
        UnreadableError: the document is broken, encrypted, or too large.
    """
    # A picture that is repeated, such as a logo on each slide, is compared once.
    seen: Seen = {}
    for figure in read_figures(document, (project_of(document), *roots)):
        yield from _verdicts(known, figure, seen)


def _verdicts(known: ResultFigures, figure: Figure, seen: Seen) -> Verdicts:
    """Return the verdict on a figure; if it is not known as a whole, the verdicts on its parts.

    Args:
        known: the figures of results.
        figure: the figure of a document.
        seen: the verdicts on figures of the same document so far, which are reused and added to.
    """
    try:
        identity = _identity(figure)
    except UnreadableError as error:
        return [(figure, Verdict(Match.NONE, reason=str(error)))]
    parts: Verdicts = []
    if identity in seen:
        verdict, regions = seen[identity]
    else:
        verdict, looks = _compare_exactly(known, figure)
        regions = []
        if not verdict.is_found:
            for part in figure.parts:
                parts += _verdicts(known, part, seen)
            verdict, regions = _compare_looks(known, looks, parts, verdict)
        if identity:
            seen[identity] = verdict, regions
    if verdict.is_found:
        return [(figure, verdict)]
    if figure.is_incidental:
        return _on_page(figure, parts, regions)
    if not regions:
        return parts or [(figure, verdict)]
    if len(regions) == 1:
        return [(figure, regions[0][1])]
    return _numbered(figure, regions)


def _numbered(figure: Figure, regions: Regions) -> Verdicts:
    """Return the regions of a figure as its numbered parts."""
    numbered = []
    for number, (_, verdict) in enumerate(regions, start=1):
        name = f"{figure.name} part {number}".strip()
        numbered.append((replace(figure, name=name, missing=()), verdict))
    return numbered


def _identity(figure: Figure) -> tuple[Hashable, ...]:
    """Return the identities of a figure's forms, equal if the document shows the figure again.

    The tuple is empty if the verdict cannot be reused: the figure has parts, or a form without identity.
    """
    identities = tuple(form.identity for form in figure.forms)
    return () if figure.parts or None in identities else identities


def _compare_looks(
    known: ResultFigures, looks: list[Look], parts: Verdicts, verdict: Verdict
) -> tuple[Verdict, Regions]:
    """Return the regions of the first look in which a figure of a result is recognized.

    If none is recognized, the regions are empty, and the verdict may say why.

    Args:
        known: the figures of results.
        looks: the looks of the figure.
        parts: the verdicts on its parts; regions that they cover are not compared again.
        verdict: the verdict of the exact comparison.
    """
    found_boxes = [part.box for part, found in parts if part.box and found.is_found]
    try:
        for look in looks:
            picture = _picture_of(look)
            regions = _recognized_in(known, picture, found_boxes) if picture else []
            if regions:
                return verdict, regions
    except UnreadableError as error:
        return Verdict(Match.NONE, reason=str(error)), []
    except MemoryError:
        return Verdict(Match.NONE, reason="comparing it takes too much memory"), []
    return verdict, []


def _on_page(page: Figure, parts: Verdicts, regions: Regions) -> Verdicts:
    """Return the figures placed on a page, and those recognized on the page as a whole.

    A placed picture that is unknown is left out if it belongs to a recognized figure, as one of many pieces.
    """
    found = [(box, verdict) for box, verdict in regions if verdict.is_found]
    listed = []
    for part, verdict in parts:
        if verdict.is_found or not _overlaps(part, found):
            listed.append((part, verdict))
    return [*listed, *((page, verdict) for _, verdict in found)]


def _overlaps(part: Figure, regions: Regions) -> bool:
    """Return true if a part lies within a region, or is a group around one."""
    if part.box is None:
        return False
    return any(covers(region, part.box) or covers(part.box, region) for region, _ in regions)


def _picture_of(look: Look) -> Image.Image | None:
    """Return a look as a picture; None for a drawing that cannot be rendered."""
    if isinstance(look, Drawing):
        return look.render() if look.render else None
    return look


def _compare_exactly(known: ResultFigures, figure: Figure) -> tuple[Verdict, list[Look]]:
    """Look up the bytes, drawings and pixels of a figure among those of results; the first hit decides.

    Returns:
        The verdict; and the looks of the figure, which are empty if it was found.
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
                found = _find_drawing(known, look) if isinstance(look, Drawing) else _find_pixels(known, look)
                if found.is_found:
                    return found, []
                looks.append(look)
        except UnreadableError as error:
            verdict = Verdict(Match.NONE, reason=str(error))
        except MemoryError:
            verdict = Verdict(Match.NONE, reason="comparing it takes too much memory")
    return verdict, looks


def _find_drawing(known: ResultFigures, drawing: Drawing) -> Verdict:
    same = []
    for key in known.with_digest(drawing.outline):
        if known.revisions(key) and _is_drawn_as(known, key, drawing):
            same.append(key)
    return Verdict(Match.DRAWING, tuple(same)) if same else NOT_FOUND


def _is_drawn_as(known: ResultFigures, key: Key, drawing: Drawing) -> bool:
    """Return true if a result's figure also uses the same fonts, images and patterns as a drawing."""
    content = known.content(key)
    if content is None:
        return True  # this machine has only the outline of the figure, which agrees
    pages = looks_of(content)
    # A PDF of several pages that no stage wrote is a text, so none of its pages is a figure.
    if len(pages) > 1 and not known.is_output(key):
        return False
    complete = drawing.complete()
    for page in pages:
        if isinstance(page, Drawing) and page.outline == drawing.outline and page.complete() == complete:
            return True
    return False


def _find_pixels(known: ResultFigures, picture: Image.Image) -> Verdict:
    keys = known.with_digest(pixel_digest(picture))
    return Verdict(Match.PIXELS, tuple(keys)) if keys else NOT_FOUND


def _recognized_in(known: ResultFigures, picture: Image.Image, found_boxes: Iterable[FullBox]) -> Regions:
    """Return the regions of a picture that show figures of results.

    If there are any, other blocks of about their size are listed as not found.

    Args:
        known: the figures of results.
        picture: a picture that shows one or several figures.
        found_boxes: the boxes of parts that are identified already.
    """
    picture = small_enough(picture, CUT_AT)
    identified: list[FullBox] = [scaled(box, *picture.size) for box in found_boxes]
    regions: Regions = []
    unknown: list[FullBox] = []
    box: FullBox
    for box in blocks(picture)[:MOST_BLOCKS]:
        if shorter_side(box) < SMALLEST or _is_covered(box, identified):
            continue
        verdict, extent = _recognize(known, Part(picture, box))
        if verdict.is_found:
            identified.append(extent)
            regions.append((extent, verdict))
        else:
            unknown.append(box)
    if not regions:
        return []
    # Much smaller blocks are left out, because they are legends or colour bars; and so is the first block,
    # which is the whole picture.
    smallest = min(area(box) for box, _ in regions) / 4
    for box in unknown[1:]:
        if area(box) > smallest and not _is_covered(box, identified):
            regions.append((box, NOT_FOUND))
    row_height = min(box[3] - box[1] for box, _ in regions)

    def row_and_column(region: tuple[FullBox, Verdict]) -> tuple[int, float]:
        left, upper, _, lower = region[0]
        return round((upper + lower) / 2 / row_height), left

    regions.sort(key=row_and_column)
    return [(scaled(box, 1 / picture.width, 1 / picture.height), verdict) for box, verdict in regions]


def _is_covered(box: FullBox, outers: list[FullBox]) -> bool:
    return any(covers(outer, box) for outer in outers)


def _recognize(known: ResultFigures, copy: Part) -> tuple[Verdict, FullBox]:
    """Return the verdict on a block, and the box of the whole figure that the block shows.

    The box is that of the block itself if the figure is not found.
    """
    if not len(known.looks):
        return NOT_FOUND, copy.box
    best = _align_first(known, copy)
    if best is None or best.comparison.found < PLAUSIBLE:
        return NOT_FOUND, copy.box
    candidates, unseen = _align_others(known, copy, best)
    if not any(candidate.comparison.is_copy for candidate in candidates):
        reason = "there are too many similar figures to compare each of them" if unseen else ""
        return Verdict(Match.NONE, reason=reason), copy.box
    verdict = _decide(known, candidates, unseen)
    if verdict.match is Match.SIMILAR and not _agrees_closely(known, copy, candidates, verdict.keys):
        return NOT_FOUND, copy.box
    return verdict, best.alignment.in_copy((0, 0, *best.original.picture.size))


def _align_first(known: ResultFigures, copy: Part) -> Candidate | None:
    """Align a few blocks with a copy; return the first that it is a copy of, or else the most similar."""
    best: Candidate | None = None
    for group, original, alignment in _alignments(known, copy):
        candidate = _candidate(group, copy, original, alignment)
        if candidate is None:
            continue
        # The most similar block may be aligned a pixel beside its place, so that its axes do not agree. So a
        # block with less similarity is preferred if the alignment shows that it was copied.
        if candidate.comparison.is_copy:
            return candidate
        if best is None or candidate.comparison.found > best.comparison.found:
            best = candidate
    return best


def _alignments(known: ResultFigures, copy: Part) -> Iterator[tuple[Group, Part, Alignment]]:
    """Yield blocks aligned with a copy, the nearest first; then a few of them, aligned by their profiles.

    Blank copies are not aligned.
    """
    reduced = square(copy.picture, copy.box)
    if not says_something(reduced):
        return
    distances = nearest(reduced, known.looks["inside"])
    order = np.argsort(distances, kind="stable")[:FIRST_ALIGNED]
    near = order[distances[order] <= FAR]
    aligned: list[tuple[float, Group, Part, Alignment]] = []
    for row in known.looks[near]:
        group = known.with_look(row)
        original = known.part(row) if group else None
        if original is not None:
            alignment, distance = align(copy, original)
            aligned.append((distance, group, original, alignment))
    aligned.sort(key=itemgetter(0))
    for _, group, original, alignment in aligned:
        yield group, original, alignment
    for _, group, original, _ in aligned[:SECOND_ALIGNED]:
        yield group, original, align_by_profiles(copy, original)[0]


def _align_others(known: ResultFigures, copy: Part, first: Candidate) -> tuple[list[Candidate], list[Group]]:
    """Return all candidates, and the figures that were not compared because there are too many.

    Figures of the same kind have the same layout. So the alignment of the first candidate shows which part of
    the copy to compare with all other figures. This ranks them far better than the unaligned block did.
    """
    reduced, is_shown = square_shown(copy.picture, first.alignment.placed)
    distances = nearest(reduced, known.looks["inside"], is_shown)
    order = np.argsort(distances, kind="stable")
    count_of_near = int((distances <= distances[order[0]] + NEAR).sum())
    near = known.looks[order[: max(FIRST_ALIGNED, count_of_near)]]
    candidates = {first.group: first}
    for row in near[:MOST_LOOKED_AT]:
        group = known.with_look(row)
        original = known.part(row) if group and group not in candidates else None
        if original is not None:
            alignment = Alignment(original.box, first.alignment.placed)
            candidate = _candidate(group, copy, original, alignment)
            if candidate is not None:
                candidates[group] = candidate
    unseen = [group for group in map(known.with_look, near[MOST_LOOKED_AT:]) if group]
    return list(candidates.values()), unseen


def _candidate(group: Group, copy: Part, original: Part, alignment: Alignment) -> Candidate | None:
    """Return a candidate with a coarse alignment, or a finer one if the coarse comparison is promising."""
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
    """Return the candidate that is clearly closest, or a tie if several are about as close.

    Args:
        known: the figures of results.
        candidates: the figures that were compared; at least one of them is a copy.
        unseen: the figures that were not compared because there are too many.
    """
    copies = [candidate for candidate in candidates if candidate.comparison.is_copy]
    best = copies[0]
    for candidate in copies[1:]:
        if times_closer(best.comparison, candidate.comparison) < 1:
            best = candidate
    revisions = _revisions(known, best.group)
    # How many times closer the best candidate is than each other one.
    factors: dict[Group, float] = {}
    for candidate in candidates:
        # The same result can have the figure in several sizes and formats, which do not compete.
        if _revisions(known, candidate.group) != revisions:
            factors[candidate.group] = times_closer(best.comparison, candidate.comparison)
    tied = [group for group, factor in factors.items() if factor < CLEARLY_CLOSER]
    if tied or unseen:
        # A figure that was not compared could be closer still, so no figure is named.
        return Verdict(Match.TIE, best.group, (*tied, *unseen))
    if not factors:
        return Verdict(Match.SIMILAR, best.group)
    runner_up = min(factors, key=factors.__getitem__)
    return Verdict(Match.SIMILAR, best.group, (runner_up,), factors[runner_up])


def _agrees_closely(known: ResultFigures, copy: Part, candidates: list[Candidate], group: Group) -> bool:
    """Return true if a copy agrees with a figure in small details, too, in one of the figure's formats."""
    revisions = _revisions(known, group)
    formats = []
    for candidate in candidates:
        if candidate.comparison.is_copy and _revisions(known, candidate.group) == revisions:
            formats.append(candidate)
    # Programs render letters differently, so that a copy of one format may not agree closely with another
    # format. The most similar format is tried first.
    formats.sort(key=lambda candidate: candidate.comparison.found, reverse=True)
    return any(agree_closely(copy, candidate.original, candidate.alignment) for candidate in formats)


def _revisions(known: ResultFigures, group: Group) -> set[str]:
    revisions: set[str] = set()
    for key in group:
        revisions |= known.revisions(key)
    return revisions
