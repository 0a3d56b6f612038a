"""Figures of PPTX, DOCX and XLSX, which keep each as a file and refer to it by relationships."""

import posixpath
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import UnreadableError
from .figure import Encoded, Figure, Form
from .markup import linked_figure, local_name
from .package import Package, target_path

# Elements that stand for a picture; the attribute that names its relationship.
_PICTURES = {"blip": ("embed", "link"), "imagedata": ("id", "relid")}
_STYLES_OF_HEADINGS = ("heading", "title")


@dataclass(frozen=True)
class Relationship:
    """What a part of the document refers to: `kind` is the end of its type, `target` a member or a URL."""

    kind: str
    target: str
    is_external: bool


def read_slides(path: Path) -> Iterator[Figure]:
    """Figures of a PPTX, slide by slide.

    Raises:
        UnreadableError: it is broken or encrypted.
    """
    with Package(path) as package:
        for number, slide in enumerate(_parts_in_order(package, "sldId"), start=1):
            yield from _pictures_of(package, slide, f"slide {number}")


def read_sheets(path: Path) -> Iterator[Figure]:
    """Figures of an XLSX, sheet by sheet.

    Raises:
        UnreadableError: it is broken or encrypted.
    """
    with Package(path) as package:
        main = _main_part(package)
        listed = [one for one in package.xml(main).iter() if local_name(one.tag) == "sheet"]
        names = [one.get("name", "") for one in listed]
        sheets = _parts_in_order(package, "sheet")
        for name, sheet in zip(names, sheets, strict=False):
            for relationship in _relationships(package, sheet).values():
                if relationship.kind == "drawing" and not relationship.is_external:
                    yield from _pictures_of(package, relationship.target, f"sheet {name}")


def read_text(path: Path) -> Iterator[Figure]:
    """Figures of a DOCX, in the order of its text, then those of headers, footers and notes.

    Raises:
        UnreadableError: it is broken or encrypted.
    """
    with Package(path) as package:
        main = _main_part(package)
        for number, (heading, figure) in enumerate(_text_pictures(package, main), start=1):
            place = f"picture {number}" + (f', below "{heading}"' if heading else "")
            yield Figure(place, figure.name, figure.forms, figure.problem)
        for relationship in _relationships(package, main).values():
            if relationship.kind in ("header", "footer", "footnotes", "endnotes"):
                yield from _pictures_of(package, relationship.target, relationship.kind)


def _text_pictures(package: Package, main: str) -> Iterator[tuple[str, Figure]]:
    """Each picture of a text, with the heading that it is below."""
    relationships = _relationships(package, main)
    heading = ""
    for paragraph in package.xml(main).iter():
        if local_name(paragraph.tag) != "p":
            continue
        style = next((one for one in paragraph.iter() if local_name(one.tag) == "pStyle"), None)
        values = list(style.attrib.values()) if style is not None else []
        if values and values[0].lower().startswith(_STYLES_OF_HEADINGS):
            heading = "".join(one.text or "" for one in paragraph.iter() if local_name(one.tag) == "t")
        for group in _groups(paragraph):
            yield heading, _figure(package, "", [relationships[one] for one in group if one in relationships])


def _pictures_of(package: Package, part: str, place: str) -> Iterator[Figure]:
    relationships = _relationships(package, part)
    for group in _groups(package.xml(part)):
        yield _figure(package, place, [relationships[one] for one in group if one in relationships])


def _groups(root: ET.Element) -> Iterator[list[str]]:
    """Ids of the relationships of each picture: one picture can be there as SVG, and as PNG for others."""
    for element in _shown(root):
        names = _PICTURES.get(local_name(element.tag))
        if not names:
            continue
        group = []
        for inner in element.iter():
            wanted = ("embed",) if local_name(inner.tag) == "svgBlip" else names if inner is element else ()
            group += [value for name, value in inner.attrib.items() if local_name(name) in wanted and value]
        if group:
            yield group


def _shown(element: ET.Element) -> Iterator[ET.Element]:
    """An element and all below it, without what is there for programs that do not know newer elements."""
    waiting = [element]
    while waiting:
        shown = waiting.pop()
        yield shown
        waiting += [child for child in reversed(shown) if local_name(child.tag) != "Fallback"]


def _figure(package: Package, place: str, relationships: list[Relationship]) -> Figure:
    forms: list[Form] = []
    problem, name = "", ""
    for relationship in relationships:
        name = name or posixpath.basename(relationship.target)
        if relationship.is_external:
            linked = linked_figure(place, relationship.target, package.path.parent)
            forms += linked.forms
            problem = problem or linked.problem
            continue
        try:
            forms.append(Encoded(package.read(relationship.target)))
        except UnreadableError as error:
            problem = problem or str(error).removeprefix(f"{package.path}: ")
    return Figure(place, name, tuple(forms), "" if forms else problem or "the document does not have it")


def _main_part(package: Package) -> str:
    for relationship in _relationships(package, "").values():
        if relationship.kind == "officeDocument":
            return relationship.target
    raise UnreadableError(f"{package.path}: no document in it")


def _parts_in_order(package: Package, tag: str) -> list[str]:
    """Members that the main part lists in elements of this name."""
    main = _main_part(package)
    relationships = _relationships(package, main)
    parts = []
    for element in package.xml(main).iter():
        if local_name(element.tag) != tag:
            continue
        ids = [value for name, value in element.attrib.items() if name.endswith("}id")]
        parts += [relationships[one].target for one in ids if one in relationships]
    return parts


def _relationships(package: Package, part: str) -> dict[str, Relationship]:
    """What a part refers to, by id; of the document as a whole where `part` is empty."""
    member = posixpath.join(posixpath.dirname(part), "_rels", f"{posixpath.basename(part)}.rels")
    if member not in package.names:
        return {}
    found = {}
    for element in package.xml(member):
        target = element.get("Target", "")
        is_external = element.get("TargetMode") == "External"
        kind = element.get("Type", "").rpartition("/")[2]
        place = target if is_external else target_path(part, target)
        found[element.get("Id", "")] = Relationship(kind, place, is_external)
    return found
