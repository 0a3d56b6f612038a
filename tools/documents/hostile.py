"""Row `hostile`: files that are made to exhaust time or memory, to cause errors, or to access other files."""

import io
import json
import os
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from PIL import Image

from .corpus import NotBuiltError, Placement, Row, file_name

DOCX = "word/document.xml"
WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
RELATIONS = 'xmlns="http://schemas.openxmlformats.org/package/2006/relationships"'
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    '<Default Extension="png" ContentType="image/png"/>'
    '<Override PartName="/word/document.xml" ContentType='
    '"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'
)
MEGA = 1_000_000


def build(row: Row) -> None:
    """Build the row. It scores how the command ends on each document, not the answers about figures."""
    for name, make in FAMILIES.items():
        folder = row.folder / file_name(name)
        folder.mkdir(parents=True)
        try:
            path = make(folder)
        except (NotBuiltError, OSError, MemoryError) as error:
            row.not_built.append(f"{name}: {error}")
            continue
        row.add(path, Placement(name, "", "", ""))


def _text(name: str, begin: str, again: str = "", times: int = 0, end: str = "") -> Callable[[Path], Path]:
    """Return a function that writes a text with a repeated part, which it builds only when it is called."""

    def write(folder: Path) -> Path:
        (folder / name).write_text(begin + again * times + end)
        return folder / name

    return write


def _bytes(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def _picture(side: int, colour: int = 7) -> bytes:
    """Return a PNG of a single colour, which is small as a file.

    All pixels are zero, so they are compressed once for all colours, which differ only in the palette.
    """
    header = struct.pack(">IIBBBBB", side, side, 8, 3, 0, 0, 0)
    return _png((b"IHDR", header), (b"PLTE", bytes([colour, 99, 180])), (b"IDAT", _zeros((side + 1) * side)))


def _png(*chunks: tuple[bytes, bytes]) -> bytes:
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, content in (*chunks, (b"IEND", b"")):
        check = zlib.crc32(kind + content)
        parts.append(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check))
    return b"".join(parts)


@cache
def _zeros(number: int) -> bytes:
    return zlib.compress(bytes(number), 1)


def _large_picture_often(folder: Path) -> Path:
    (folder / "a.png").write_bytes(_picture(9_000))
    (folder / "a.html").write_text('<img src="a.png">\n' * 500)
    return folder / "a.html"


def _large_pictures(folder: Path) -> Path:
    lines = []
    for number in range(100):
        (folder / f"{number}.png").write_bytes(_picture(9_900, number))
        lines.append(f"![]({number}.png)\n")
    (folder / "a.md").write_text("".join(lines))
    return folder / "a.md"


def _docx(folder: Path, parts: dict[str, bytes]) -> Path:
    path = folder / "a.docx"
    target = f'<Relationship Id="r1" Type="{OFFICE}/officeDocument" Target="word/document.xml"/>'
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as package:
        package.writestr("[Content_Types].xml", TYPES)
        package.writestr("_rels/.rels", f"<Relationships {RELATIONS}>{target}</Relationships>")
        for name, content in parts.items():
            package.writestr(name, content)
    return path


def _docx_of_pictures(folder: Path, targets: list[str], media: dict[str, bytes], mode: str = "") -> Path:
    """Write a DOCX with pictures.

    Args:
        folder: folder of the document.
        targets: targets of the pictures' relationships.
        media: contents of further members by name.
        mode: further attribute of the relationships.
    """
    relations = []
    blips = []
    for number, target in enumerate(targets):
        kind = f'Type="{OFFICE}/image" Target="{target}" {mode}'
        relations.append(f'<Relationship Id="p{number}" {kind}/>')
        blips.append(f'<w:p><w:r><w:drawing><a:blip r:embed="p{number}"/></w:drawing></w:r></w:p>')
    spaces = f'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" xmlns:r="{OFFICE}"'
    document = f"<w:document {WORD} {spaces}><w:body>{''.join(blips)}</w:body></w:document>"
    links = f"<Relationships {RELATIONS}>{''.join(relations)}</Relationships>"
    parts = {DOCX: document.encode(), "word/_rels/document.xml.rels": links.encode(), **media}
    return _docx(folder, parts)


def _docx_of_large_pictures(folder: Path) -> Path:
    media = {}
    for number in range(100):
        media[f"word/media/{number}.png"] = _picture(9_900, number)
    return _docx_of_pictures(folder, [f"media/{number}.png" for number in range(100)], media)


def _docx_of_huge_xml(folder: Path) -> Path:
    text = (
        f"<w:document {WORD}><w:body>".encode() + b"<w:p><w:r/></w:p>" * 11 * MEGA + b"</w:body></w:document>"
    )
    return _docx(folder, {DOCX: text})


def _docx_of_deep_xml(folder: Path) -> Path:
    text = (
        f"<w:document {WORD}><w:body>".encode()
        + b"<w:p>" * MEGA
        + b"</w:p>" * MEGA
        + b"</w:body></w:document>"
    )
    return _docx(folder, {DOCX: text})


def _docx_of_entities(folder: Path) -> Path:
    entities = '<!ENTITY a "aaaaaaaaaa">'
    for before, name in zip("abcdefghi", "bcdefghij", strict=True):
        entities += f'<!ENTITY {name} "{f"&{before};" * 10}">'
    text = f"<!DOCTYPE d [{entities}]><w:document {WORD}><w:body>&j;</w:body></w:document>"
    return _docx(folder, {DOCX: text.encode()})


def _docx_of_many_parts(folder: Path) -> Path:
    return _docx(folder, {f"word/media/{number}.png": b"" for number in range(100_000)})


def _docx_bomb(folder: Path) -> Path:
    return _docx_of_pictures(folder, ["media/a.png"], {"word/media/a.png": bytes(1_200 * MEGA)})


def _docx_outside(folder: Path) -> Path:
    targets = ["file:///etc/passwd", "../../../../etc/passwd", "/dev/zero", "http://127.0.0.1:9/a.png"]
    return _docx_of_pictures(folder, targets, {}, 'TargetMode="External"')


def _pdf(folder: Path, objects: list[bytes], root: int = 1) -> Path:
    """Write a PDF with these objects, numbered from 1."""
    path = folder / "a.pdf"
    offsets = []
    with path.open("wb") as file:
        file.write(b"%PDF-1.5\n")
        for number, content in enumerate(objects, start=1):
            offsets.append(file.tell())
            file.write(b"%d 0 obj\n%s\nendobj\n" % (number, content))
        start = file.tell()
        file.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
        for offset in offsets:
            file.write(b"%010d 00000 n \n" % offset)
        trailer = b"<</Size %d /Root %d 0 R>>" % (len(objects) + 1, root)
        file.write(b"trailer %s\nstartxref\n%d\n%%%%EOF\n" % (trailer, start))
    return path


def _stream(content: bytes, entries: bytes = b"", packed: int = 1) -> bytes:
    for _ in range(packed):
        content = zlib.compress(content, 9)
    filters = b"[" + b"/FlateDecode " * packed + b"]"
    return b"<<%s /Filter %s /Length %d>>\nstream\n%s\nendstream" % (entries, filters, len(content), content)


def _one_page(resources: bytes, content: bytes, *others: bytes) -> list[bytes]:
    """Return the objects of a PDF with one page. The numbers of `others` begin with 5."""
    page = (
        b"<</Type /Page /Parent 2 0 R /MediaBox [0 0 500 500] /Contents 4 0 R /Resources <<%s>>>>" % resources
    )
    tree = [b"<</Type /Catalog /Pages 2 0 R>>", b"<</Type /Pages /Kids [3 0 R] /Count 1>>"]
    return [*tree, page, content, *others]


def _pdf_of_content(operators: bytes, times: int, packed: int = 1) -> Callable[[Path], Path]:
    return lambda folder: _pdf(folder, _one_page(b"", _stream(operators * times, packed=packed)))


def _pdf_of_forms(folder: Path) -> Path:
    """Write ten forms that each draw the next one ten times, so that the last is drawn ten billion times."""
    forms = []
    for number in range(5, 15):
        entries = b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources <</XObject <</F %d 0 R>>>>" % (
            number + 1
        )
        forms.append(_stream(b"/F Do " * 10, entries))
    forms.append(_stream(b"0 0 9 9 re f", b"/Type /XObject /Subtype /Form /BBox [0 0 9 9]"))
    return _pdf(folder, _one_page(b"/XObject <</F 5 0 R>>", _stream(b"/F Do"), *forms))


def _pdf_form_of_itself(folder: Path) -> Path:
    entries = b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources <</XObject <</F 5 0 R>>>>"
    form = _stream(b"/F Do /F Do", entries)
    return _pdf(folder, _one_page(b"/XObject <</F 5 0 R>>", _stream(b"/F Do"), form))


def _pdf_of_pages(number: int, picture: int) -> Callable[[Path], Path]:
    """Return a function that writes a PDF with a different picture on each page."""

    def write(folder: Path) -> Path:
        objects = [b"<</Type /Catalog /Pages 2 0 R>>", b""]
        kids = []
        for page in range(number):
            first = len(objects) + 1
            resources = b"<</XObject <</I %d 0 R>>>>" % (first + 2)
            kids.append(b"%d 0 R" % first)
            box = b"/MediaBox [0 0 500 500] /Contents %d 0 R" % (first + 1)
            objects.append(b"<</Type /Page /Parent 2 0 R %s /Resources %s>>" % (box, resources))
            objects.append(_stream(b"q 300 0 0 300 50 50 cm /I Do Q"))
            size = b"/Width %d /Height %d" % (picture, picture)
            kind = b"/Type /XObject /Subtype /Image /ColorSpace /DeviceGray /BitsPerComponent 8"
            pixels = struct.pack(">I", page) * (picture * picture // 4)
            objects.append(_stream(pixels, b"%s %s" % (kind, size)))
        objects[1] = b"<</Type /Pages /Kids [%s] /Count %d>>" % (b" ".join(kids), number)
        return _pdf(folder, objects)

    return write


def _pdf_page_tree_of_itself(folder: Path) -> Path:
    return _pdf(
        folder, [b"<</Type /Catalog /Pages 2 0 R>>", b"<</Type /Pages /Kids [2 0 R 2 0 R] /Count 2>>"]
    )


def _pdf_picture_bomb(folder: Path) -> Path:
    kind = b"/Type /XObject /Subtype /Image /ColorSpace /DeviceGray /BitsPerComponent 8"
    pixels = _stream(bytes(1_000 * MEGA), kind + b" /Width 31622 /Height 31622", packed=2)
    content = _stream(b"q 300 0 0 300 50 50 cm /I Do Q")
    return _pdf(folder, _one_page(b"/XObject <</I 5 0 R>>", content, pixels))


def _png_of_huge_size(folder: Path) -> Path:
    header = struct.pack(">IIBBBBB", 200_000, 200_000, 8, 2, 0, 0, 0)
    return _bytes("a.png", _png((b"IHDR", header), (b"IDAT", _zeros(MEGA))))(folder)


def _gif_of_frames(folder: Path) -> Path:
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    screen = struct.pack("<HHBBB", 9_000, 9_000, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return _bytes("a.gif", b"GIF89a" + screen + frame * 200_000 + b"\x3b")(folder)


def _tiff_of_pages(folder: Path) -> Path:
    pages = [Image.new("L", (2_000, 2_000), number) for number in range(60)]
    pages[0].save(folder / "a.tiff", save_all=True, append_images=pages[1:], compression="tiff_deflate")
    return folder / "a.tiff"


def _zip_bomb(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("main.tex", r"\includegraphics{a}")
        with archive.open("a.png", "w", force_zip64=True) as member:
            for _ in range(150):
                member.write(bytes(10 * MEGA))
    return folder / "a.zip"


def _zip_of_many(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        for number in range(60_000):
            archive.writestr(f"{number}.tex", r"\includegraphics{a}")
    return folder / "a.zip"


def _zip_outside(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("main.tex", r"\includegraphics{../../../../etc/hostname}\input{/etc/passwd}")
        archive.writestr("../../outside.tex", "a")
        archive.writestr("/outside.tex", "a")
    return folder / "a.zip"


def _tar_bomb(folder: Path) -> Path:
    with tarfile.open(folder / "a.tar.gz", "w:gz", compresslevel=1) as archive:
        for number in range(2):
            member = tarfile.TarInfo(f"{number}.png")
            member.size = 1_000 * MEGA
            archive.addfile(member, _Zeros())
    return folder / "a.tar.gz"


class _Zeros(io.RawIOBase):
    """An endless file of zeros."""

    def read(self, size: int = -1) -> bytes:
        return bytes(max(size, 0))


def _tar_of_links(folder: Path) -> Path:
    with tarfile.open(folder / "a.tar.gz", "w:gz") as archive:
        for name, kind, target in (
            ("a.png", tarfile.SYMTYPE, "/etc/hostname"),
            ("b.png", tarfile.LNKTYPE, "b.png"),
            ("c.png", tarfile.CHRTYPE, ""),
            ("d.png", tarfile.FIFOTYPE, ""),
            ("main.tex", tarfile.SYMTYPE, "main.tex"),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
    return folder / "a.tar.gz"


def _fifo(folder: Path) -> Path:
    os.mkfifo(folder / "a.png")
    (folder / "link.png").symlink_to("/dev/zero")
    names = [
        "a.png",
        "link.png",
        "/dev/zero",
        "/dev/stdin",
        "/proc/self/mem",
        "/proc/kcore",
        "file:///dev/random",
    ]
    (folder / "a.md").write_text("\n".join(f"![]({name})" for name in names))
    return folder / "a.md"


def _latex_inputs(folder: Path) -> Path:
    os.mkfifo(folder / "b.tex")
    (folder / "a.tex").write_text(
        r"\input{a}\input{b}\input{/dev/zero}\include{./a}\input{/proc/self/environ}"
    )
    return folder / "a.tex"


def _latex_many_inputs(folder: Path) -> Path:
    for number in range(5_000):
        (folder / f"{number}.tex").write_text(
            "".join(f"\\input{{{number + step}}}" for step in range(-20, 20))
        )
    shutil.copy(folder / "0.tex", folder / "a.tex")
    return folder / "a.tex"


def _macros(folder: Path) -> Path:
    lines = [r"\newcommand{\a}{aaaaaaaaaa}"]
    for before, name in zip("abcdefghi", "bcdefghij", strict=True):
        lines.append(r"\newcommand{\%s}{%s}" % (name, rf"\{before}" * 10))  # noqa: UP031
    lines += [r"\newcommand{\z}{\z\z}", r"\includegraphics{\j}", r"\includegraphics{\z}"]
    (folder / "a.tex").write_text("\n".join(lines))
    return folder / "a.tex"


def _notebook(folder: Path) -> Path:
    outputs = [{"output_type": "display_data", "data": {"image/png": "AAAA"}}] * 300_000
    (folder / "a.ipynb").write_text(
        json.dumps({"nbformat": 4, "cells": [{"cell_type": "code", "outputs": outputs}]})
    )
    return folder / "a.ipynb"


def _names(folder: Path) -> Path:
    """Write a text that names many files which do not exist."""
    (folder / "a.md").write_text("".join(f"![](figures/{number}.png)\n" for number in range(200_000)))
    return folder / "a.md"


def _svg(
    begin: str, again: str = "", times: int = 0, end: str = "", declared: str = ""
) -> Callable[[Path], Path]:
    root = f'{declared}<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">{begin}'
    return _text("a.svg", root, again, times, f"{end}</svg>")


def _svg_use_of_use(folder: Path) -> Path:
    groups = []
    for number in range(12):
        groups.append(f'<g id="a{number}">' + f'<use href="#a{number + 1}"/>' * 10 + "</g>")
    return _svg("".join(groups))(folder)


def _svg_entities(folder: Path) -> Path:
    entities = '<!ENTITY a "aaaaaaaaaa">'
    for before, name in zip("abcdefghi", "bcdefghij", strict=True):
        entities += f'<!ENTITY {name} "{f"&{before};" * 10}">'
    return _svg("<text>&j;</text>", declared=f"<!DOCTYPE svg [{entities}]>")(folder)


NOISE = bytes(range(256)) * 999
FAMILIES: dict[str, Callable[[Path], Path]] = {
    "HTML, a large picture 500 times": _large_picture_often,
    "Markdown, 100 large pictures": _large_pictures,
    "Markdown, devices and FIFOs": _fifo,
    "Markdown, names without files": _names,
    "Markdown, brackets": _text("a.md", "", "![", MEGA),
    "Markdown, backticks": _text("a.md", "", "`` a ``` b ```` c ` ", MEGA // 5),
    "Markdown, one word": _text("a.md", "", "a", 100 * MEGA),
    "Markdown, path without an end": _text("a.md", "", "a/", 10 * MEGA, ".png"),
    "Markdown, long data URI": _text("a.md", "![](data:image/png;base64,", "A", 150 * MEGA, ")"),
    "HTML, tags without an end": _text("a.html", "", "<img src=", MEGA),
    "HTML, quotes without an end": _text("a.html", "", "<img src='a\" ", MEGA),
    "HTML, nested SVG": _text("a.html", "", "<svg>", MEGA),
    "HTML, comments without an end": _text("a.html", "", "<!-- <img", MEGA),
    "HTML, srcset": _text("a.html", '<img srcset="', "a.png 1x, ", MEGA, '">'),
    "LaTeX, inputs of itself": _latex_inputs,
    "LaTeX, many inputs": _latex_many_inputs,
    "LaTeX, macros": _macros,
    "LaTeX, braces": _text("a.tex", "\\includegraphics[", "{", MEGA),
    "LaTeX, commands without an end": _text("a.tex", "", "\\includegraphics\n", MEGA),
    "notebook, outputs": _notebook,
    "notebook, deep": _text("a.ipynb", "", "[", MEGA),
    "notebook, not one": _text("a.ipynb", '{"cells": {"a": 1}, "worksheets": 3}'),
    "SVG, deep": _svg("", "<g>", 300_000, "</g>" * 300_000),
    "SVG, long path": _svg('<path d="M0 0', "L1 1", 8 * MEGA, '"/>'),
    "SVG, use of use": _svg_use_of_use,
    "SVG, entities": _svg_entities,
    "SVG, entity of a file": _svg(
        "<text>&a;</text>", declared='<!DOCTYPE svg [<!ENTITY a SYSTEM "/dev/zero">]>'
    ),
    "PNG, huge size": _png_of_huge_size,
    "GIF, frames": _gif_of_frames,
    "TIFF, pages": _tiff_of_pages,
    "PNG, cut short": _bytes("a.png", b"\x89PNG\r\n\x1a\n" + bytes(100)),
    "DOCX, 100 large pictures": _docx_of_large_pictures,
    "DOCX, huge XML": _docx_of_huge_xml,
    "DOCX, deep XML": _docx_of_deep_xml,
    "DOCX, entities": _docx_of_entities,
    "DOCX, many parts": _docx_of_many_parts,
    "DOCX, bomb": _docx_bomb,
    "DOCX, other files": _docx_outside,
    "PDF, nested graphics states": _pdf_of_content(b"q ", 8 * MEGA),
    "PDF, operands without an operator": _pdf_of_content(b"1 ", 20 * MEGA),
    "PDF, nested arrays": _pdf_of_content(b"[", 5 * MEGA),
    "PDF, nested dictionaries": _pdf_of_content(b"<<", 5 * MEGA),
    "PDF, long path": _pdf_of_content(b"0 0 m 100 100 l 200 300 l S ", 3 * MEGA),
    "PDF, text": _pdf_of_content(b"BT (a) Tj ET ", 4 * MEGA),
    "PDF, bomb": _pdf_of_content(bytes(MEGA), 1_000, packed=3),
    "PDF, forms of forms": _pdf_of_forms,
    "PDF, form of itself": _pdf_form_of_itself,
    "PDF, picture bomb": _pdf_picture_bomb,
    "PDF, 10,000 pages with pictures": _pdf_of_pages(10_000, 40),
    "PDF, 100 pages with large pictures": _pdf_of_pages(100, 3_000),
    "PDF, page tree of itself": _pdf_page_tree_of_itself,
    "PDF, cut short": _bytes("a.pdf", b"%PDF-1.5\n1 0 obj\n<</Type /Catalog"),
    "ZIP, bomb": _zip_bomb,
    "ZIP, many sources": _zip_of_many,
    "ZIP, other files": _zip_outside,
    "tar.gz, bomb": _tar_bomb,
    "tar.gz, links": _tar_of_links,
}
ENDINGS = "pdf docx pptx odt xlsx epub html md tex ipynb svg png jpg zip tar.gz rst org typ"
for ending in ENDINGS.split():
    FAMILIES[f"noise as {ending}"] = _bytes(f"a.{ending}", NOISE)
    FAMILIES[f"empty {ending}"] = _bytes(f"a.{ending}", b"")
