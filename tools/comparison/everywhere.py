"""Checks `locate --everywhere` on real repositories: with what was copied out of them, and foreign files."""

import io
import subprocess
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from locatable.errors import NotFoundError
from locatable.git import git
from locatable.index import find_everywhere, reading, writing
from locatable.index.refresh import address, read_new

COPIES = 20
FOREIGN = 20
PICTURES = (".png", ".jpg", ".jpeg")
# Shorter files, and smaller pictures, are the same in many places.
FEWEST_BYTES = 200
FEWEST_PIXELS = 200
REFS = ("--branches", "--tags", "--glob=refs/exps")


def check(sources: list[str], folder: Path) -> Iterator[tuple[bool, str]]:
    """Yield whether each check holds, and what it found, in a line.

    Args:
        sources: folders and URLs of repositories.
        folder: an empty one.
    """
    index = folder / "index.sqlite"
    with writing(index) as db:
        added = [address(source) for source in sources]
        for source in added:
            read_new(db, source)
    each = -(-COPIES // len(added))
    copies = {source: list(_files(source, folder, each)) for source in added}
    wrong = []
    number = scaled = seen = 0
    for source, files in copies.items():
        for path, content in files:
            number += 1
            if not _is_found(index, folder, path, content, source):
                wrong.append(f"{source} {path}")
            smaller = _smaller(content) if path.lower().endswith(PICTURES) else None
            if smaller:
                scaled += 1
                seen += _is_found(index, folder, "smaller.jpg", smaller, source)
    yield not wrong, f"{number - len(wrong)} of {number} copies found {wrong or ''}".rstrip()
    yield True, f"{seen} of {scaled} pictures found that were made smaller and compressed"
    named = []
    foreign = list(_foreign(copies))
    for name, content in foreign:
        if _found_in(index, folder, name, content):
            named.append(name)
    yield (
        not named,
        f"{len(foreign) - len(named)} of {len(foreign)} foreign files refused {named or ''}".rstrip(),
    )


def _files(source: str, folder: Path, number: int) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of some files in the history of a repository, pictures first."""
    clone = folder / "copied" / str(abs(hash(source)))
    git(folder, "clone", "--quiet", "--bare", source, str(clone))
    git(clone, "fetch", "--quiet", "origin", "+refs/exps/*:refs/exps/*")
    # A snapshot can lack its largest files.
    listed = git(clone, "rev-list", "--objects", "--missing=allow-any", *REFS).splitlines()
    paths = dict(line.split(" ", 1) for line in listed if " " in line)
    form = "--batch-check=%(objectname) %(objecttype) %(objectsize)"
    blobs = []
    for line in git(clone, "cat-file", form, text="\n".join(paths)).splitlines():
        blob, kind, *size = line.split()
        if kind == "blob" and int(size[0]) >= FEWEST_BYTES:
            blobs.append(blob)
    blobs.sort(key=lambda blob: (not paths[blob].lower().endswith(PICTURES), blob))
    for blob in blobs[:number]:
        yield paths[blob], subprocess.check_output(("git", "-C", str(clone), "cat-file", "blob", blob))


def _smaller(content: bytes) -> bytes | None:
    """Return a copy of a picture as it gets into a document; None of one that is too small for that."""
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
    """Yield files of which no repository has the content: pictures of other programs, and edited files."""
    import matplotlib

    pictures = [
        *Path("docs/img").glob("*.png"),
        *Path(matplotlib.get_data_path(), "images").glob("*_large.png"),
    ]
    for picture in sorted(pictures)[: FOREIGN // 2]:
        yield picture.name, picture.read_bytes()
    edited = [(path, content + b"\nforeign\n") for files in copies.values() for path, content in files]
    texts = [(path, content) for path, content in edited if not path.lower().endswith(PICTURES)]
    yield from texts[: FOREIGN - FOREIGN // 2]


def _is_found(index: Path, folder: Path, name: str, content: bytes, source: str) -> bool:
    return source in _found_in(index, folder, name, content)


def _found_in(index: Path, folder: Path, name: str, content: bytes) -> list[str]:
    """Return the repositories that a file is said to come from."""
    file = folder / f"copy{Path(name).suffix}"
    file.write_bytes(content)
    with reading(index) as db:
        try:
            found, _ = find_everywhere(db, str(file))
        except NotFoundError:
            return []
    return [one.repository for one in found]
