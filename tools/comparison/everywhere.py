"""Check `locate --everywhere` on real repositories, with copies of their files and with foreign files.

Figures that a pipeline names are copied first, then other files until there are enough.
"""

import hashlib
import io
import subprocess
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from locatable.errors import NotFoundError, UnreadableError
from locatable.git import git
from locatable.index import find_everywhere, reading, writing
from locatable.index.refresh import address, read_new

COPIES = 20
FOREIGN = 20
PICTURES = (".png", ".jpg", ".jpeg")
# Shorter files and smaller pictures are not unique enough.
FEWEST_BYTES = 200
FEWEST_PIXELS = 200
REFS = ("--branches", "--tags", "--glob=refs/exps")


def check(sources: list[str], foreign: list[str], folder: Path) -> Iterator[tuple[bool, str]]:
    """Yield for each check whether it holds, and a line about what it found.

    Args:
        sources: folders and URLs of repositories to index.
        foreign: folders and URLs of repositories whose figures must not be found.
        folder: an empty folder for the index and clones.
    """
    index = folder / "index.sqlite"
    with writing(index) as db:
        added = []
        for source in map(address, sources):
            try:
                read_new(db, source)
                added.append(source)
            except UnreadableError as error:
                yield False, str(error)
    each = -(-COPIES // len(added))
    copies = {source: _files(source, folder, each) for source in added}
    lost: list[str] = []
    unseen: list[str] = []
    number = scaled = 0
    for source, files in copies.items():
        for path, content in files:
            number += 1
            if (source, path) not in _found_in(index, folder, path, content):
                lost.append(f"{source} {path}")
            smaller = _smaller(content) if _is_picture(path) else None
            if smaller:
                scaled += 1
                if (source, path) not in _found_in(index, folder, "smaller.jpg", smaller):
                    unseen.append(f"{source} {path}")
    yield not lost, _line(number, "copies found", lost)
    # This check always holds, because a picture that looks like several figures is attributed to none.
    yield True, _line(scaled, "pictures found that were made smaller and compressed", unseen)
    others = [*_foreign(copies), *_figures_of(foreign, folder)]
    named = []
    for name, content in others:
        if _found_in(index, folder, name, content):
            named.append(name)
    yield not named, _line(len(others), "foreign files refused", named)


def _line(number: int, what: str, wrong: list[str]) -> str:
    """Return a line that counts the files with the right result, and the names of the others."""
    return "\n  ".join([f"{number - len(wrong)} of {number} {what}", *wrong])


def _files(source: str, folder: Path, number: int) -> list[tuple[str, bytes]]:
    """Return the path and content of files in the history of a repository, figures of pipelines first."""
    clone = folder / "copied" / hashlib.sha256(source.encode()).hexdigest()
    git(folder, "clone", "--quiet", "--bare", source, str(clone))
    git(clone, "fetch", "--quiet", "origin", "+refs/exps/*:refs/exps/*")
    # A stored copy of a repository can lack its largest files.
    listed = git(clone, "rev-list", "--objects", "--missing=allow-any", *REFS).splitlines()
    paths = dict(line.split(" ", 1) for line in listed if " " in line)
    form = "--batch-check=%(objectname) %(objecttype) %(objectsize)"
    blobs = []
    for line in git(clone, "cat-file", form, text="\n".join(paths)).splitlines():
        blob, kind, *size = line.split()
        if kind == "blob" and int(size[0]) >= FEWEST_BYTES:
            blobs.append(blob)
    pipelines = [_content(clone, blob).decode() for blob in blobs if paths[blob].endswith("dvc.yaml")]
    named = "\n".join(pipelines)

    def order(blob: str) -> tuple[bool, bool, str]:
        path = paths[blob]
        parent = path.rpartition("/")[0]
        is_named = path in named or bool(parent and parent in named)
        return not _is_picture(path), not is_named, blob

    return [(paths[blob], _content(clone, blob)) for blob in sorted(blobs, key=order)[:number]]


def _content(clone: Path, blob: str) -> bytes:
    return subprocess.check_output(("git", "-C", str(clone), "cat-file", "blob", blob))


def _is_picture(path: str) -> bool:
    return path.lower().endswith(PICTURES)


def _figures_of(sources: list[str], folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the figures of repositories that are not in the index, and reduced copies of them."""
    for source in sources:
        for path, content in _files(source, folder, -(-FOREIGN // len(sources))):
            if _is_picture(path):
                yield f"{source} {path}", content
                smaller = _smaller(content)
                if smaller:
                    yield f"{source} {path} made smaller.jpg", smaller


def _smaller(content: bytes) -> bytes | None:
    """Return a reduced and compressed copy of a picture, or None if the picture is too small."""
    try:
        picture = Image.open(io.BytesIO(content)).convert("RGB")
    except UnidentifiedImageError:
        return None
    if min(picture.size) < FEWEST_PIXELS:
        return None
    copy = io.BytesIO()
    picture.resize((picture.width * 7 // 10, picture.height * 7 // 10)).save(copy, "JPEG", quality=85)
    return copy.getvalue()


def _foreign(copies: dict[str, list[tuple[str, bytes]]]) -> Iterator[tuple[str, bytes]]:
    """Yield files that no repository contains: pictures of other programs, and edited files."""
    import matplotlib

    pictures = [
        *Path("docs/img").glob("*.png"),
        *Path(matplotlib.get_data_path(), "images").glob("*_large.png"),
    ]
    for picture in sorted(pictures)[: FOREIGN // 2]:
        yield picture.name, picture.read_bytes()
    edited = [(path, content + b"\nforeign\n") for files in copies.values() for path, content in files]
    texts = [(path, content) for path, content in edited if not _is_picture(path)]
    yield from texts[: FOREIGN - FOREIGN // 2]


def _found_in(index: Path, folder: Path, name: str, content: bytes) -> set[tuple[str, str]]:
    """Return the repository and path of each file that a look-up returns for this content."""
    file = folder / f"copy{Path(name).suffix}"
    file.write_bytes(content)
    with reading(index) as db:
        try:
            found, _ = find_everywhere(db, str(file))
        except NotFoundError:
            return set()
    places = set()
    for one in found:
        for path in one.report.roles:
            places.add((one.repository, str(Path(one.folder, path))))
    return places
