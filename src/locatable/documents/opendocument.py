"""Figures of ODT and ODP: elements of one XML, which name files beside it."""

import posixpath
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

from ..errors import UnreadableError
from .figure import Encoded, Figure, Form
from .markup import linked_figure, local_name
from .package import Package, target_path

_CONTENT = "content.xml"
# Pictures that office programs keep of what they can also draw themselves.
_REPLACEMENTS = "ObjectReplacements/"


def read_slides(path: Path) -> Iterator[Figure]:
    """Figures of an ODP, slide by slide.

    Raises:
        UnreadableError: it is broken or encrypted.
    """
    with Package(path) as package:
        pages = [one for one in package.xml(_CONTENT).iter() if local_name(one.tag) == "page"]
        for number, page in enumerate(pages, start=1):
            for frame in _frames(page):
                yield _figure(package, f"slide {number}", frame)


def read_text(path: Path) -> Iterator[Figure]:
    """Figures of an ODT, in the order of its text.

    Raises:
        UnreadableError: it is broken or encrypted.
    """
    with Package(path) as package:
        heading, number = "", 0
        for element in package.xml(_CONTENT).iter():
            if local_name(element.tag) == "h":
                heading = "".join(element.itertext())
            elif local_name(element.tag) == "frame" and _links(element):
                number += 1
                place = f"picture {number}" + (f', below "{heading}"' if heading else "")
                yield _figure(package, place, element)


def _frames(page: ET.Element) -> list[ET.Element]:
    return [one for one in page.iter() if local_name(one.tag) == "frame" and _links(one)]


def _links(frame: ET.Element) -> list[str]:
    """What the images of a frame refer to: the same picture, in several formats."""
    images = [child for child in frame if local_name(child.tag) == "image"]
    values = [(name, value) for image in images for name, value in image.attrib.items()]
    links = [value.removeprefix("./") for name, value in values if local_name(name) == "href"]
    return [link for link in links if link and not link.startswith(_REPLACEMENTS)]


def _figure(package: Package, place: str, frame: ET.Element) -> Figure:
    forms: list[Form] = []
    problem = ""
    links = _links(frame)
    for link in links:
        member = target_path(_CONTENT, link)
        if member not in package.names:
            linked = linked_figure(place, link.removeprefix("../"), package.path.parent)
            forms += linked.forms
            problem = problem or linked.problem
            continue
        try:
            forms.append(Encoded(package.read(member)))
        except UnreadableError as error:
            problem = problem or str(error).removeprefix(f"{package.path}: ")
    return Figure(place, posixpath.basename(links[0]), tuple(forms), "" if forms else problem)
