"""What a document holds: figures, each with its place, in one form or several."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Encoded:
    """A figure as a file of its own: PNG, JPEG, SVG, PDF and the like; `content` are its bytes."""

    content: bytes


@dataclass(frozen=True)
class Pixels:
    """A figure that its document keeps as pixels.

    Attributes:
        load: returns the picture, on white paper; raises `UnreadableError` where it cannot.
    """

    load: "Callable[[], Image.Image]"


@dataclass(frozen=True)
class Drawing:
    """A vector figure, by digests that are equal where it is drawn by the same operators.

    Attributes:
        outline: of the operators alone.
        complete: returns the digest of these and of all that they use: fonts, images, patterns.
    """

    outline: bytes
    complete: Callable[[], bytes]


Form = Encoded | Pixels | Drawing


@dataclass(frozen=True)
class Figure:
    """A figure of a document.

    Attributes:
        place: where it is, in words: page, slide, sheet, chapter, cell or line.
        name: how the document calls it, empty where it does not.
        forms: the same figure in different formats; one that is known is enough.
        problem: why there is no form of it, empty where there is one.
        parts: figures that this one is made of; they count where it is not known as a whole.
        missing: where the file of the figure would be, if it is not here.
        is_incidental: whether it counts only where it is known: bullets and icons, or a page as a whole.
    """

    place: str
    name: str = ""
    forms: tuple[Form, ...] = ()
    problem: str = ""
    parts: "tuple[Figure, ...]" = ()
    missing: tuple[Path, ...] = ()
    is_incidental: bool = False
