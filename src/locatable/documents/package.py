"""Figures of DOCX, PPTX, XLSX, ODT, ODP and EPUB, ZIP files whose parts refer to the media beside them.

One reader serves all six. It splits a document into sections (slides, sheets, chapters, or one text), finds
the pictures of each, and follows their references: to a member of the ZIP file, to a file beside it, or to a
server, which is not asked. The members of a file tell which format it has, whatever its name is.
Archives of sources are unpacked to a temporary folder, within limits, and read there.
"""

import gzip
import lzma
import posixpath
import stat
import tarfile
import tempfile
import xml.etree.ElementTree as ET
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, cast
from urllib.parse import unquote

from ..errors import UnreadableError, joined_lines
from . import ARCHIVES, MOST_BYTES, TEXTS, Encoded, Figure, Form, is_document, read_figures
from .references import mentions_in
from .text import Manuscript, text_of

# Bytes that all members of a document together may unpack to.
MOST_TOGETHER = 2_000_000_000
# Members of a document; a presentation of 500 slides has some 3,000.
MOST_MEMBERS = 100_000
# Bytes of an archive's files, and what each counts at least.
MOST_UNPACKED = 500_000_000
LEAST_UNPACKED = 25_000
_BROKEN = (zipfile.BadZipFile, zlib.error, tarfile.TarError, lzma.LZMAError)

# The main part of an OpenDocument file, and what lists the parts of an EPUB.
_OPENDOCUMENT = "content.xml"
_EPUB = "META-INF/container.xml"
# Previews that office programs keep of objects that they can also draw themselves.
_PREVIEWS = "ObjectReplacements/"
# Elements of Office formats that show a picture, with the attributes that name its relationship.
_PICTURES = {"blip": ("embed", "link"), "imagedata": ("id", "relid")}
_STYLES_OF_HEADINGS = ("heading", "title")
# Parts of a Word document beside its main text.
_BESIDE_TEXT = ("header", "footer", "footnotes", "endnotes")


@dataclass(frozen=True)
class Reference:
    """A reference to a picture or part; `target` is a member of the package, or a link that leads outside."""

    target: str
    is_inside: bool
    kind: str = ""


@dataclass(frozen=True)
class Section:
    """A section of a document.

    Attributes:
        place: its name, such as "slide 3"; empty for a text, whose pictures are counted instead.
        part: the member that it is in.
        root: the element that holds it; None where the part is HTML.
    """

    place: str
    part: str
    root: ET.Element | None


# The same picture in one form or several, such as SVG and PNG; bytes are a drawing in the page itself.
Picture = list[Reference | bytes]


@contextmanager
def opened(path: Path, roots: Sequence[Path]) -> Iterator["Package"]:
    """Open a document.

    Raises:
        UnreadableError: it is no ZIP file.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        what = f"not the ZIP file that a {path.suffix} is"
        raise UnreadableError(f"{path}: encrypted or broken: {what}") from None
    with archive:
        yield Package(path, archive, roots)


def read(path: Path, roots: Sequence[Path]) -> Iterator[Figure]:
    """Yield the figures of a document in reading order."""
    with opened(path, roots) as package:
        for section in sections(package):
            if section.place:
                for _, picture in _pictures(package, section):
                    yield _figure(package, section.place, picture)
                continue
            for number, (heading, picture) in enumerate(_pictures(package, section), start=1):
                below = f', below "{heading}"' if heading else ""
                yield _figure(package, f"picture {number}{below}", picture)


def read_archive(path: Path, roots: Sequence[Path]) -> Iterator[Figure]:
    """Yield the figures of the manuscripts in an archive of sources, as Overleaf and arXiv have them."""
    with unpacked(path) as (folder, manuscripts, left_out):
        has_figures = False
        for inside, manuscript in manuscripts.items():
            try:
                for figure in read_figures(manuscript, (folder,)):
                    place = figure.place if len(manuscripts) == 1 else f"{inside} {figure.place}"
                    # What is not in the archive is nowhere that a revision has.
                    has_figures = True
                    yield replace(_kept(figure), place=place, missing=())
            except UnreadableError as error:
                problem = str(error).removeprefix(f"{manuscript}: ")
                yield Figure(inside, problem=problem)
        if left_out and has_figures:
            yield Figure("the rest", problem=left_out)


@contextmanager
def unpacked(path: Path) -> Iterator[tuple[Path, dict[str, Path], str]]:
    """Unpack an archive of sources for a while.

    Yields:
        The folder, its manuscripts by their path in it, and why something is left out, if it is.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        left_out = _unpack(path, folder)
        yield folder, {str(each.relative_to(folder)): each for each in _manuscripts(folder)}, left_out


def _kept(figure: Figure) -> Figure:
    """Return a figure that does not need its file, which is deleted soon."""
    forms = tuple(
        replace(form, stored=form.content) if isinstance(form, Encoded) else form for form in figure.forms
    )
    return replace(figure, forms=forms)


def _manuscripts(folder: Path) -> list[Path]:
    """Return the documents of a folder: what TeX begins with; where there is nothing like it, all."""
    documents = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and is_document(path) and path.suffix.lower() not in ARCHIVES:
            documents.append(path)
    mains = [
        path for path in documents if path.suffix.lower() in TEXTS and "\\documentclass" in text_of(path)
    ]
    return mains or documents


def _unpack(path: Path, folder: Path) -> str:
    """Write the files of an archive to a folder, and return why some are left out; empty where none is.

    Links, devices and paths that lead out of the archive are left out: no source needs them.
    """
    left = MOST_UNPACKED
    left_out = ""
    try:
        for name, member in _members(path):
            parts = name.replace("\\", "/").split("/")
            is_outside = parts[0] == "" or ".." in parts
            if member is None or is_outside or Path(name).suffix.lower() in ARCHIVES:
                left_out = f"{name}: is in the archive, and not read"
                continue
            content = member.read(left + 1)
            left -= max(len(content), LEAST_UNPACKED)
            if left < 0:
                return f"more than {MOST_UNPACKED // 1_000_000} MB of the archive are not read"
            try:
                file = folder.joinpath(*parts)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            except OSError as error:
                # One has the name of another's folder, or a name that is too long; or the disk is full.
                left_out = f"{name}: {error.strerror}"
    except (RuntimeError, EOFError, OSError, NotImplementedError, *_BROKEN) as error:
        reason = joined_lines(error)[:80] or type(error).__name__
        raise UnreadableError(f"{path}: encrypted or broken: {reason}") from None
    return left_out


def _members(path: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Yield names and files of an archive, or of what is compressed alone; None for a link or a device."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                is_link = stat.S_ISLNK(info.external_attr >> 16)
                if not info.is_dir() and not info.filename.startswith("__MACOSX"):
                    yield info.filename, None if is_link else archive.open(info)
    elif tarfile.is_tarfile(path):
        with tarfile.open(path) as tar:
            for member in tar:
                if not member.isdir():
                    yield member.name, tar.extractfile(member) if member.isreg() else None
    else:
        with gzip.open(path) as file:
            is_text = Path(path.stem).suffix.lower() in TEXTS
            yield path.stem if is_text else f"{path.stem}.tex", cast(IO[bytes], file)


class Package:
    """A document that is a ZIP file, read within limits."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, roots: Sequence[Path]) -> None:
        self.path = path
        self.beside = Manuscript(path, roots)
        self._archive = archive
        self._read = 0
        self._files: dict[str, Encoded] = {}
        self._last = "", b""
        self.names = frozenset(archive.namelist())
        if len(self.names) > MOST_MEMBERS:
            raise UnreadableError(f"{path}: more than {MOST_MEMBERS:,} files in it are not read")

    def read(self, name: str) -> bytes:
        """Return the content of a member.

        Raises:
            UnreadableError: the member is missing, encrypted, broken or too large.
        """
        where = f"{self.path}: {name}"
        try:
            size = self._archive.getinfo(name).file_size
            # The declared size is checked first; no more than that is read, whatever the data expand to.
            if size > MOST_BYTES or self._read + size > MOST_TOGETHER:
                raise UnreadableError(f"{where}: it unpacks to {size // 1_000_000:,} MB, which is not read")
            self._read += size
            with self._archive.open(name) as file:
                return file.read(size + 1)
        except KeyError:
            raise UnreadableError(f"{where}: is missing from the document") from None
        except RuntimeError:
            raise UnreadableError(f"{where}: is encrypted") from None
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError) as error:
            raise UnreadableError(f"{where}: {error}") from None

    def file(self, name: str) -> Encoded:
        """Return a member that is a figure, the same one each time; raises what `read` does."""
        if name not in self._files:
            self._files[name] = Encoded(partial(self._content, name))
            self._last = name, self.read(name)
        return self._files[name]

    def _content(self, name: str) -> bytes:
        """Return a member that was read before; the last one is in memory."""
        if self._last[0] != name:
            # Whoever keeps a figure reads it after the document was closed.
            archive = self._archive if self._archive.fp else zipfile.ZipFile(self.path)
            with archive.open(name) as file:
                self._last = name, file.read(archive.getinfo(name).file_size)
        return self._last[1]

    def xml(self, name: str) -> ET.Element:
        """Return the root of a member that is XML."""
        return parse_xml(self.read(name), f"{self.path}: {name}")

    def references(self, part: str) -> dict[str, Reference]:
        """Return the relationships of a part of an Office document, by id; an empty part is the document."""
        folder, name = posixpath.split(part)
        member = posixpath.join(folder, "_rels", f"{name}.rels")
        if member not in self.names:
            return {}
        found = {}
        for element in self.xml(member):
            target = element.get("Target", "")
            kind = posixpath.basename(element.get("Type", ""))
            is_inside = element.get("TargetMode") != "External"
            if is_inside:
                target = target_path(part, target)
            found[element.get("Id", "")] = Reference(target, is_inside, kind)
        return found

    def reference(self, part: str, link: str) -> Reference:
        """Return what a link in a part of an OpenDocument file or EPUB refers to."""
        member = target_path(part, link)
        if member in self.names:
            return Reference(member, is_inside=True)
        # OpenDocument counts the package as a folder, so a file beside it is one level up.
        return Reference(link.removeprefix("../"), is_inside=False)


def parse_xml(content: bytes, where: str) -> ET.Element:
    """Return the root of an XML document, which may not define entities: these can expand without limit.

    Raises:
        UnreadableError: it is not XML, or defines entities.
    """
    if b"<!ENTITY" in content:
        raise UnreadableError(f"{where}: XML with entities of its own is not read")
    try:
        return ET.fromstring(content)  # noqa: S314 - without entities, expat needs no more memory than this
    except (ET.ParseError, ValueError, LookupError) as error:
        raise UnreadableError(f"{where}: not XML: {error}") from None


def local_name(name: str) -> str:
    """Return the name of an element or attribute without its namespace."""
    return name.rpartition("}")[2]


def target_path(member: str, target: str) -> str:
    """Return the member that a relative or absolute path in another member leads to."""
    target = unquote(target.partition("#")[0])
    if target.startswith("/"):
        return target[1:]
    return posixpath.normpath(posixpath.join(posixpath.dirname(member), target))


def sections(package: Package) -> Iterator[Section]:
    """Yield the sections of a document in reading order."""
    if _OPENDOCUMENT in package.names:
        return _opendocument_sections(package)
    if _EPUB in package.names:
        return _chapters(package)
    return _office_sections(package)


def _opendocument_sections(package: Package) -> Iterator[Section]:
    root = package.xml(_OPENDOCUMENT)
    slides = _elements(root, "page")
    for number, slide in enumerate(slides, start=1):
        yield Section(f"slide {number}", _OPENDOCUMENT, slide)
    if not slides:
        yield Section("", _OPENDOCUMENT, root)


def _chapters(package: Package) -> Iterator[Section]:
    roots = _elements(package.xml(_EPUB), "rootfile")
    if not roots:
        raise UnreadableError(f"{package.path}: {_EPUB} names no package")
    main = roots[0].get("full-path", "")
    listing = package.xml(main)
    members = {}
    for item in _elements(listing, "item"):
        members[item.get("id", "")] = target_path(main, item.get("href", ""))
    # The spine lists ids of members in reading order.
    spine = [item.get("idref", "") for item in _elements(listing, "itemref")]
    chapters = [members[name] for name in spine if name in members]
    for number, chapter in enumerate(chapters, start=1):
        yield Section(f"chapter {number} ({posixpath.basename(chapter)})", chapter, None)


def _office_sections(package: Package) -> Iterator[Section]:
    main = _main_part(package)
    root = package.xml(main)
    references = package.references(main)
    slides = _listed(root, "sldId", references)
    sheets = _listed(root, "sheet", references)
    for number, (_, slide) in enumerate(slides, start=1):
        yield Section(f"slide {number}", slide, package.xml(slide))
    for sheet, part in sheets:
        # The pictures of a sheet are not in it, but in a part that it refers to.
        for reference in package.references(part).values():
            if reference.kind == "drawing" and reference.is_inside:
                drawing = reference.target
                yield Section(f"sheet {sheet.get('name', '')}", drawing, package.xml(drawing))
    if slides or sheets:
        return
    yield Section("", main, root)
    for reference in references.values():
        if reference.kind in _BESIDE_TEXT:
            yield Section(reference.kind, reference.target, package.xml(reference.target))


def _main_part(package: Package) -> str:
    for reference in package.references("").values():
        if reference.kind == "officeDocument":
            return reference.target
    raise UnreadableError(f"{package.path}: no document in it")


def _listed(root: ET.Element, tag: str, references: dict[str, Reference]) -> list[tuple[ET.Element, str]]:
    """Return the elements of this name, each with the part that it refers to, in their order."""
    found = []
    for element in _elements(root, tag):
        for name, value in element.attrib.items():
            # With a namespace: `id` alone is a number of the slide itself.
            if name.endswith("}id") and value in references:
                found.append((element, references[value].target))
    return found


def _elements(root: ET.Element, tag: str) -> list[ET.Element]:
    return [element for element in root.iter() if local_name(element.tag) == tag]


def _pictures(package: Package, section: Section) -> Iterator[tuple[str, Picture]]:
    """Yield the pictures of a section, each with the heading that it is below."""
    part = section.part
    if section.root is None:
        text = package.read(part).decode("utf-8-sig", errors="replace")
        for mention in mentions_in(text):
            if mention.drawing:
                yield "", [mention.drawing.encode()]
            elif mention.links and mention.is_certain:
                yield "", [package.reference(part, link) for link in mention.links]
        return
    relationships = package.references(part)
    heading = ""
    for element in _shown(section.root):
        heading = _heading(element) or heading
        if local_name(element.tag) == "frame":
            links = _links_of_frame(element)
            picture: Picture = [package.reference(part, link) for link in links]
        else:
            links = _ids_of_picture(element)
            picture = [relationships[link] for link in links if link in relationships]
        if links:
            yield heading, picture


def _shown(root: ET.Element) -> Iterator[ET.Element]:
    """Yield an element and all below it, without fallbacks for programs that lack newer elements."""
    waiting = [root]
    while waiting:
        element = waiting.pop()
        yield element
        waiting += [child for child in reversed(element) if local_name(child.tag) != "Fallback"]


def _heading(element: ET.Element) -> str:
    """Return the text of a heading; empty for other elements."""
    name = local_name(element.tag)
    if name == "h":
        return "".join(element.itertext())
    if name != "p":
        return ""
    # Not all elements below it: paragraphs in paragraphs would take the square of their number.
    for style in element.iterfind("{*}pPr/{*}pStyle"):
        value = next(iter(style.attrib.values()), "")
        if value.lower().startswith(_STYLES_OF_HEADINGS):
            return "".join(run.text or "" for run in _elements(element, "t"))
    return ""


def _links_of_frame(frame: ET.Element) -> list[str]:
    """Return the links of the images of an OpenDocument frame: the same picture, in several formats."""
    links = []
    for image in frame:
        if local_name(image.tag) != "image":
            continue
        for name, value in image.attrib.items():
            link = value.removeprefix("./")
            if local_name(name) == "href" and link and not link.startswith(_PREVIEWS):
                links.append(link)
    return links


def _ids_of_picture(element: ET.Element) -> list[str]:
    """Return the relationships of a picture of an Office document, by id: the picture, and its SVG."""
    attributes = _PICTURES.get(local_name(element.tag))
    if attributes is None:
        return []
    wanted: list[tuple[ET.Element, tuple[str, ...]]] = [(element, attributes)]
    for drawing in _elements(element, "svgBlip"):
        wanted.append((drawing, ("embed",)))
    ids = []
    for owner, names in wanted:
        for name, value in owner.attrib.items():
            if local_name(name) in names and value:
                ids.append(value)
    return ids


def _figure(package: Package, place: str, picture: Picture) -> Figure:
    """Return the figure that a picture is, in all forms that can be read."""
    forms: list[Form] = []
    name = ""
    problem = ""
    for source in picture:
        if isinstance(source, bytes):
            return Figure(place, "svg", (Encoded(source),))
        if source.is_inside:
            name = name or posixpath.basename(source.target)
            try:
                forms.append(package.file(source.target))
            except UnreadableError as error:
                problem = problem or str(error).removeprefix(f"{package.path}: ")
            continue
        # A book is read anywhere: no file beside it belongs to it.
        folders = () if _EPUB in package.names else (package.path.parent,)
        linked = package.beside.linked(place, source.target, folders)
        name = name or linked.name
        forms += linked.forms
        problem = problem or linked.problem
    if forms:
        return Figure(place, name, tuple(forms))
    return Figure(place, name, problem=problem or "the document does not have it")
