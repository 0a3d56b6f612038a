"""Figures of an EPUB: pages of XHTML in the order that its package lists, with the files they name."""

import posixpath
from collections.abc import Iterator
from pathlib import Path

from ..errors import UnreadableError
from .figure import Encoded, Figure
from .html import Found, find
from .markup import linked_figure, local_name
from .package import Package, target_path

_CONTAINER = "META-INF/container.xml"


def read(path: Path) -> Iterator[Figure]:
    """Figures of an EPUB, chapter by chapter.

    Raises:
        UnreadableError: it is broken.
    """
    with Package(path) as package:
        for number, chapter in enumerate(_chapters(package), start=1):
            text = package.read(chapter).decode("utf-8-sig", errors="replace")
            place = f"chapter {number} ({posixpath.basename(chapter)})"
            for found in find(text):
                yield _figure(package, chapter, place, found)


def _chapters(package: Package) -> list[str]:
    roots = [one for one in package.xml(_CONTAINER).iter() if local_name(one.tag) == "rootfile"]
    if not roots:
        raise UnreadableError(f"{package.path}: {_CONTAINER} names no package")
    main = roots[0].get("full-path", "")
    manifest, spine = {}, []
    for element in package.xml(main).iter():
        if local_name(element.tag) == "item":
            manifest[element.get("id", "")] = target_path(main, element.get("href", ""))
        elif local_name(element.tag) == "itemref":
            spine.append(element.get("idref", ""))
    return [manifest[one] for one in spine if one in manifest]


def _figure(package: Package, chapter: str, place: str, found: Found) -> Figure:
    if found.drawing:
        return Figure(place, "svg", (Encoded(found.drawing.encode()),))
    member = target_path(chapter, found.link)
    if member not in package.names:
        return linked_figure(place, found.link, None)
    try:
        return Figure(place, posixpath.basename(member), (Encoded(package.read(member)),))
    except UnreadableError as error:
        return Figure(place, posixpath.basename(member), problem=str(error))
