"""Pictures, as they are put into a page."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

# How files of a type begin.
_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg")
# Of one figure, and of all of a page: a browser opens it without pause.
MOST_BYTES = 10_000_000
MOST_FIGURES = 24


@dataclass(frozen=True)
class Figure:
    """A picture with its name; `uri` is empty where it is too large to be put into a page."""

    path: str
    uri: str
    size: int


def is_image(path: str) -> bool:
    """Return whether the name of a file is that of a picture which browsers show."""
    return path.lower().endswith(_ENDINGS)


def image_type(content: bytes) -> str | None:
    """Return the media type of a picture that browsers show, None where the content is none."""
    for beginning, kind in _BEGINNINGS:
        if content.startswith(beginning):
            return kind
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    head = content[:2_000].lstrip(b"\xef\xbb\xbf \t\r\n")
    is_svg = head.startswith((b"<?xml", b"<!--", b"<!DOCTYPE svg", b"<svg")) and b"<svg" in head
    return "image/svg+xml" if is_svg else None


def figure(path: str, content: bytes) -> Figure | None:
    """Return a picture for a page, None where the content is none."""
    kind = image_type(content)
    if kind is None:
        return None
    if len(content) > MOST_BYTES:
        return Figure(path, "", len(content))
    return Figure(path, data_uri(kind, content), len(content))


def data_uri(kind: str, content: bytes) -> str:
    """Return an address that holds a file of this media type itself."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def figures(contents: Mapping[str, bytes]) -> list[Figure]:
    """Return all pictures among some files."""
    found = [figure(path, content) for path, content in contents.items() if is_image(path)]
    return [one for one in found if one]
