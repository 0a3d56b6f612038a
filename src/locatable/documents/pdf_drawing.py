"""Vector figures of a PDF, by the operators that draw them and the objects that these use."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from pypdf import PageObject
from pypdf.generic import (
    ArrayObject,
    DictionaryObject,
    FloatObject,
    IndirectObject,
    NumberObject,
    StreamObject,
)

from ..errors import UnreadableError
from . import Drawing

# Entries that differ between copies of an object that draw the same.
_BESIDE = frozenset(
    "/Length /Filter /DecodeParms /Type /Name /Parent /P /StructParent /StructParents /Metadata /PieceInfo "
    "/LastModified /OC /PTEX.FileName /PTEX.PageNumber /PTEX.InfoDict".split()
)
# Objects in objects: a figure has about ten, a damaged or hostile file no end.
_MOST_LEVELS = 40
_STRING = re.compile(rb"\((?:\\.|[^\\()])*\)", re.DOTALL)
_NAME = re.compile(rb"/([^\s()<>\[\]{}/%]+)")
# Operators that save and restore the coordinates, change them, and place an object.
_PLACING = re.compile(
    rb"(?P<state>\b[qQ]\b)|(?P<matrix>(?:[-+]?[\d.]{1,20}\s+){6})cm\b|/(?P<name>[^\s()<>\[\]{}/%]+)\s+Do\b"
)


class _Hasher(Protocol):
    def update(self, data: bytes, /) -> None: ...


@dataclass(frozen=True)
class Placed:
    """A picture or form on a canvas; programs that draw from top to bottom place pictures mirrored."""

    content: StreamObject
    is_mirrored: bool


@dataclass(frozen=True)
class Canvas:
    """A page, or a form that is placed on one: its operators, and the resources that they name."""

    operators: bytes
    resources: DictionaryObject

    @classmethod
    def of_page(cls, page: PageObject) -> "Canvas":
        """Return the canvas that a page is."""
        contents = page.get_contents()
        # An object of pypdf without keys is false.
        operators = contents.get_data() if contents is not None else b""
        return cls(operators, _resources(page, DictionaryObject()))

    @classmethod
    def of_form(cls, form: StreamObject, around: DictionaryObject) -> "Canvas":
        """Return the canvas that a form is; one without resources of its own uses those around it."""
        return cls(form.get_data(), _resources(form, around))

    def placed(self) -> Iterator[Placed]:
        """Yield each picture and form that the operators place, once, in their order."""
        objects = _dictionary(self.resources.get("/XObject"))
        for name, is_mirrored in self._placements().items():
            placed = objects.get(f"/{name}")
            placed = placed.get_object() if placed is not None else None
            if isinstance(placed, StreamObject):
                yield Placed(placed, is_mirrored)

    def _placements(self) -> dict[str, bool]:
        """Return the names of the objects that are placed; the value is true for a mirrored one."""
        found: dict[str, bool] = {}
        is_mirrored = False
        saved: list[bool] = []
        for match in _PLACING.finditer(_STRING.sub(b"()", self.operators)):
            if match["name"]:
                found.setdefault(match["name"].decode("latin-1"), is_mirrored)
            elif match["matrix"]:
                a, b, c, d, _, _ = map(float, match["matrix"].split())
                # A negative determinant turns left into right.
                if a * d < b * c:
                    is_mirrored = not is_mirrored
            elif match["state"] == b"q":
                saved.append(is_mirrored)
            elif saved:
                is_mirrored = saved.pop()
        return found

    def drawing(self) -> Drawing:
        """Return the drawing that all of it is."""
        outline = hashlib.sha256(b" ".join(self.operators.split())).digest()[:16]
        return Drawing(outline, self._complete)

    def _complete(self) -> bytes:
        """Return the digest of the operators and of all that they use."""
        hasher = hashlib.sha256(b" ".join(self.operators.split()))
        used = {name.decode("latin-1") for name in _NAME.findall(self.operators)}
        try:
            for kind in sorted(self.resources):
                group = _dictionary(self.resources[kind])
                # Of resources that pages share, those alone that this one names.
                for name in sorted(name for name in group if name[1:] in used):
                    hasher.update(f"\0{kind}{name}".encode())
                    _feed(hasher, group[name], _MOST_LEVELS)
        except UnreadableError:
            raise
        except Exception as error:  # as many faults as there are ways to break a PDF
            raise UnreadableError(f"not a figure that can be read: {error!r:.80}") from None
        return hasher.digest()[:16]


def _resources(owner: DictionaryObject, otherwise: DictionaryObject) -> DictionaryObject:
    found = owner.get("/Resources")
    return _dictionary(found) if found is not None else otherwise


def _dictionary(value: Any) -> DictionaryObject:
    found = value.get_object() if value is not None else None
    return found if isinstance(found, DictionaryObject) else DictionaryObject()


def _feed(hasher: _Hasher, value: Any, levels: int) -> None:
    """Hash an object and those that it refers to by their values, however these are written."""
    if not levels:
        raise UnreadableError("not a figure that can be read: objects nested too deeply")
    value = value.get_object() if isinstance(value, IndirectObject) else value
    if isinstance(value, DictionaryObject):
        hasher.update(b"<")
        for key in sorted(key for key in value if key not in _BESIDE):
            hasher.update(key.encode())
            _feed(hasher, value.raw_get(key), levels - 1)
        if isinstance(value, StreamObject):
            hasher.update(b" ".join(value.get_data().split()))
        hasher.update(b">")
    elif isinstance(value, ArrayObject):
        hasher.update(b"[")
        for item in value:
            _feed(hasher, item, levels - 1)
        hasher.update(b"]")
    elif isinstance(value, FloatObject | NumberObject):
        # Programs write the same number with more digits or fewer.
        hasher.update(b"%.5g " % float(value))
    else:
        hasher.update(f"{value!r} ".encode())
