"""Figures of DOCX, PPTX, XLSX, ODT, ODP and EPUB: ZIP files whose parts refer to media in the same file.

One reader serves all six formats. It splits a document into sections (slides, sheets, chapters, or a single
text), finds the pictures of each section, and follows their references: to a member of the ZIP file, to a
file next to the document, or to a server, which is never contacted. The reader recognizes the format by the
members of the ZIP file, not by the file's extension. Archives of sources are unpacked to a temporary folder,
within limits, and read there.
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
from . import MOST_BYTES, TEXTS, Encoded, Figure, Form, is_archive, is_document, read_figures
from .references import mentions_in
from .text import Manuscript, text_of

# The most bytes to which all members of a document together may unpack.
MOST_TOGETHER = 2_000_000_000
# The most members of a document. A presentation with 500 slides has about 3,000.
MOST_MEMBERS = 100_000
# The most bytes of an archive's files in total, and the bytes for which even the smallest file counts, so
# that the number of files is bounded too.
MOST_UNPACKED = 500_000_000
LEAST_UNPACKED = 25_000
_BROKEN = (zipfile.BadZipFile, zlib.error, tarfile.TarError, lzma.LZMAError)

# The main part of an OpenDocument file, and the member of an EPUB that names its list of parts.
_OPENDOCUMENT = "content.xml"
_EPUB = "META-INF/container.xml"
# The folder of previews that office programs store of objects which they can also draw themselves.
_PREVIEWS = "ObjectReplacements/"
# Elements of Office formats that show a picture, with the attributes that name the picture's relationship.
_PICTURE_ELEMENTS = {"blip": ("embed", "link"), "imagedata": ("id", "relid")}
_HEADING_STYLES = ("heading", "title")
# Parts of a Word document that are not in its main text.
_SEPARATE_PARTS = ("header", "footer", "footnotes", "endnotes")


@dataclass(frozen=True)
class Reference:
    """A reference to a picture or to a part of the document.

    Attributes:
        target: the name of a member of the package, or a link to something outside of it.
        is_inside: true if the target is a member of the package.
        kind: the type of the relationship, such as "drawing"; empty in formats without such types.
    """

    target: str
    is_inside: bool
    kind: str = ""


@dataclass(frozen=True)
class Section:
    """A section of a document.

    Attributes:
        place: its name, such as "slide 3"; empty for a continuous text, whose pictures are numbered instead.
        part: the member that contains it.
        root: the XML element that contains it; None if the part is HTML.
    """

    place: str
    part: str
    root: ET.Element | None


# One picture in one or several formats, such as SVG and PNG. Bytes are an SVG inside the page itself.
Picture = list[Reference | bytes]


@contextmanager
def opened(path: Path, roots: Sequence[Path]) -> Iterator["Package"]:
    """Open a document.

    Raises:
        UnreadableError: the document is not a ZIP file.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        reason = f"not a ZIP file, as a {path.suffix} has to be"
        raise UnreadableError(f"{path}: encrypted or broken: {reason}") from None
    with archive:
        yield Package(path, archive, roots)


def read(path: Path, roots: Sequence[Path]) -> Iterator[Figure]:
    """Yield the figures of a document in reading order."""
    with opened(path, roots) as package:
        for section in sections(package):
            for number, (heading, picture) in enumerate(_pictures(package, section), start=1):
                below = f', below "{heading}"' if heading else ""
                place = section.place or f"picture {number}{below}"
                yield _figure(package, place, picture)


def read_archive(path: Path, roots: Sequence[Path]) -> Iterator[Figure]:
    """Yield the figures of the manuscripts in an archive of sources, such as Overleaf and arXiv provide."""
    with unpacked(path) as (folder, manuscripts, left_out):
        has_figures = False
        for inside, manuscript in manuscripts.items():
            try:
                for figure in read_figures(manuscript, (folder,)):
                    place = figure.place if len(manuscripts) == 1 else f"{inside} {figure.place}"
                    has_figures = True
                    # Paths in the temporary folder mean nothing in a revision, so `missing` is emptied.
                    yield replace(_in_memory(figure), place=place, missing=())
            except UnreadableError as error:
                yield Figure(inside, problem=str(error).removeprefix(f"{manuscript}: "))
        if left_out and has_figures:
            yield Figure("the rest", problem=left_out)


@contextmanager
def unpacked(path: Path) -> Iterator[tuple[Path, dict[str, Path], str]]:
    """Unpack an archive of sources into a temporary folder.

    Yields:
        The folder, its manuscripts by their path in the folder, and which files of the archive were not
        unpacked and why, which is empty if all files were.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        left_out = _unpack(path, folder)
        manuscripts = {str(file.relative_to(folder)): file for file in _manuscripts(folder)}
        yield folder, manuscripts, left_out


def _in_memory(figure: Figure) -> Figure:
    """Return the figure with its files read into memory, because the temporary folder is deleted soon."""
    forms: list[Form] = []
    for form in figure.forms:
        forms.append(replace(form, stored=form.content) if isinstance(form, Encoded) else form)
    return replace(figure, forms=tuple(forms))


def _manuscripts(folder: Path) -> list[Path]:
    """Return the main LaTeX files of a folder, or all of its documents if it has no main LaTeX file."""
    documents = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and is_document(path) and not is_archive(path):
            documents.append(path)
    texts = [path for path in documents if path.suffix.lower() in TEXTS]
    mains = [path for path in texts if "\\documentclass" in text_of(path)]
    return mains or documents


def _unpack(path: Path, folder: Path) -> str:
    """Write the files of an archive to a folder, and return which were left out and why, or "" if none was.

    Links, devices, archives and paths that lead out of the folder are left out: no source needs them.
    """
    remaining = MOST_UNPACKED
    left_out: list[str] = []
    try:
        for name, member in _members(path):
            parts = name.replace("\\", "/").split("/")
            is_outside = parts[0] == "" or ".." in parts
            if member is None or is_outside or is_archive(Path(name)):
                left_out.append(f"{name}: is in the archive, and not read")
                continue
            content = member.read(remaining + 1)
            remaining -= max(len(content), LEAST_UNPACKED)
            if remaining < 0:
                return f"more than {MOST_UNPACKED // 1_000_000} MB of the archive are not read"
            try:
                file = folder.joinpath(*parts)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            except OSError as error:
                # A file has the same name as a folder or a name that is too long, or the disk is full.
                left_out.append(f"{name}: {error.strerror}")
    except (RuntimeError, EOFError, OSError, NotImplementedError, *_BROKEN) as error:
        reason = joined_lines(error)[:80] or type(error).__name__
        raise UnreadableError(f"{path}: encrypted or broken: {reason}") from None
    if len(left_out) > 1:
        return f"{left_out[0]}; and {len(left_out) - 1} more"
    return "".join(left_out)


def _members(path: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Yield the name and the open file of each member of an archive, with None for links and devices.

    A file that is only compressed counts as an archive with this one member.
    """
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
    """A document that is a ZIP file, whose members are read within limits."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, roots: Sequence[Path]) -> None:
        self.path = path
        # Resolves the links to files outside of the package.
        self.manuscript = Manuscript(path, roots)
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
            # The declared size is checked first. Data that expand to more are cut off just after that size.
            if size > MOST_BYTES or self._read + size > MOST_TOGETHER:
                raise UnreadableError(f"{where}: it unpacks to {size // 1_000_000:,} MB, which is too large")
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
        """Return the figure that a member is: the same object each time, so that it is compared only once.

        Raises:
            UnreadableError: as `read` does.
        """
        if name not in self._files:
            self._files[name] = Encoded(partial(self._content, name))
            self._last = name, self.read(name)
        return self._files[name]

    def _content(self, name: str) -> bytes:
        """Return the content of a member that `read` has checked. The last one stays in memory."""
        if self._last[0] != name:
            # A caller that keeps the figure may ask for its content after the document was closed.
            archive = self._archive if self._archive.fp else zipfile.ZipFile(self.path)
            with archive.open(name) as file:
                self._last = name, file.read(archive.getinfo(name).file_size)
        return self._last[1]

    def xml(self, name: str) -> ET.Element:
        """Return the root element of an XML member."""
        return parse_xml(self.read(name), f"{self.path}: {name}")

    def references(self, part: str) -> dict[str, Reference]:
        """Return the relationships of a part of an Office document, by id; "" is the document as a whole."""
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
        """Return the reference that a link in a part of an OpenDocument file or EPUB stands for."""
        member = target_path(part, link)
        if member in self.names:
            return Reference(member, is_inside=True)
        # OpenDocument treats the package as a folder, so a file next to the document is one level up.
        return Reference(link.removeprefix("../"), is_inside=False)


def parse_xml(content: bytes, where: str) -> ET.Element:
    """Return the root element of an XML document.

    Raises:
        UnreadableError: the content is not XML, or defines entities, which can expand without limit.
    """
    if b"<!ENTITY" in content:
        raise UnreadableError(f"{where}: XML that defines entities is not read")
    try:
        return ET.fromstring(content)  # noqa: S314 - without entities, expat needs no more memory than this
    except (ET.ParseError, ValueError, LookupError) as error:
        raise UnreadableError(f"{where}: not XML: {error}") from None


def local_name(name: str) -> str:
    """Return the name of an element or attribute without its namespace."""
    return name.rpartition("}")[2]


def target_path(member: str, target: str) -> str:
    """Return the name of the member to which a relative or absolute path in `member` leads."""
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
    # The spine lists the ids of the chapters in reading order.
    spine = [item.get("idref", "") for item in _elements(listing, "itemref")]
    chapters = [members[name] for name in spine if name in members]
    for number, chapter in enumerate(chapters, start=1):
        yield Section(f"chapter {number} ({posixpath.basename(chapter)})", chapter, None)


def _office_sections(package: Package) -> Iterator[Section]:
    main = _main_part(package)
    root = package.xml(main)
    references = package.references(main)
    slides = _listed_parts(root, "sldId", references)
    sheets = _listed_parts(root, "sheet", references)
    for number, (_, slide) in enumerate(slides, start=1):
        yield Section(f"slide {number}", slide, package.xml(slide))
    for sheet, part in sheets:
        # A sheet does not contain its pictures. They are in a separate part, to which the sheet refers.
        for reference in package.references(part).values():
            if reference.kind == "drawing" and reference.is_inside:
                drawing = reference.target
                yield Section(f"sheet {sheet.get('name', '')}", drawing, package.xml(drawing))
    if slides or sheets:
        return
    yield Section("", main, root)
    for reference in references.values():
        if reference.kind in _SEPARATE_PARTS:
            yield Section(reference.kind, reference.target, package.xml(reference.target))


def _main_part(package: Package) -> str:
    for reference in package.references("").values():
        if reference.kind == "officeDocument":
            return reference.target
    raise UnreadableError(f"{package.path}: it contains no document")


def _listed_parts(
    root: ET.Element, tag: str, references: dict[str, Reference]
) -> list[tuple[ET.Element, str]]:
    """Return the elements with this tag in document order, each with the part to which it refers."""
    found = []
    for element in _elements(root, tag):
        for name, value in element.attrib.items():
            # Only an `id` with a namespace is a reference: a plain `id` is the slide's own number.
            if name.endswith("}id") and value in references:
                found.append((element, references[value].target))
    return found


def _elements(root: ET.Element, tag: str) -> list[ET.Element]:
    return [element for element in root.iter() if local_name(element.tag) == tag]


def _pictures(package: Package, section: Section) -> Iterator[tuple[str, Picture]]:
    """Yield the pictures of a section, each with the heading above it."""
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
    for element in _visible_elements(section.root):
        heading = _heading(element) or heading
        if local_name(element.tag) == "frame":
            links = _links_of_frame(element)
            picture: Picture = [package.reference(part, link) for link in links]
        else:
            links = _ids_of_picture(element)
            picture = [relationships[link] for link in links if link in relationships]
        if links:
            yield heading, picture


def _visible_elements(root: ET.Element) -> Iterator[ET.Element]:
    """Yield an element and its descendants, without the fallbacks for programs that lack newer elements."""
    stack = [root]
    while stack:
        element = stack.pop()
        yield element
        stack += [child for child in reversed(element) if local_name(child.tag) != "Fallback"]


def _heading(element: ET.Element) -> str:
    """Return the text of the element if it is a heading, otherwise ""."""
    name = local_name(element.tag)
    if name == "h":
        return "".join(element.itertext())
    if name != "p":
        return ""
    # Only these children are searched: searching all descendants would take quadratic time if paragraphs
    # are nested.
    for style in element.iterfind("{*}pPr/{*}pStyle"):
        value = next(iter(style.attrib.values()), "")
        if value.lower().startswith(_HEADING_STYLES):
            return "".join(run.text or "" for run in _elements(element, "t"))
    return ""


def _links_of_frame(frame: ET.Element) -> list[str]:
    """Return the links of the images in an OpenDocument frame, which show one picture in several formats."""
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
    """Return the relationship ids of a picture in an Office document: its own, then that of its SVG."""
    attributes = _PICTURE_ELEMENTS.get(local_name(element.tag))
    if attributes is None:
        return []
    sources: list[tuple[ET.Element, tuple[str, ...]]] = [(element, attributes)]
    for drawing in _elements(element, "svgBlip"):
        sources.append((drawing, ("embed",)))
    ids = []
    for source, names in sources:
        for name, value in source.attrib.items():
            if local_name(name) in names and value:
                ids.append(value)
    return ids


def _figure(package: Package, place: str, picture: Picture) -> Figure:
    """Return the figure that a picture shows, with all of its forms that can be read."""
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
        else:
            # An EPUB is complete in itself: the files next to it do not belong to it.
            folders = () if _EPUB in package.names else (package.path.parent,)
            figure = package.manuscript.linked(place, source.target, folders)
            name = name or figure.name
            forms += figure.forms
            problem = problem or figure.problem
    if forms:
        return Figure(place, name, tuple(forms))
    return Figure(place, name, problem=problem or "it is missing from the document")
