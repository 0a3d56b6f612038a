"""Pictures, as they are put into a page."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass

# How files of a type begin.
_TYPES = {
    "image/png": rb"\x89PNG\r\n\x1a\n",
    "image/jpeg": rb"\xff\xd8\xff",
    "image/gif": rb"GIF8[79]a",
    "image/webp": rb"RIFF....WEBP",
    "image/svg+xml": rb"(\xef\xbb\xbf)?\s*(<svg|(<\?xml|<!--|<!DOCTYPE svg).{,2000}<svg)",
}
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
    for kind, beginning in _TYPES.items():
        if re.match(beginning, content, re.DOTALL):
            return kind
    return None


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
