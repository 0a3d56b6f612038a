"""Entries for BibTeX and biblatex."""

import re
from collections.abc import Mapping
from urllib.parse import quote

from .citation_file import Author

# What means something to TeX, and what stands for it in a text.
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\symbol{34}",
    # BibTeX counts braces, escaped ones, too.
    "{": r"\textbraceleft{}",
    "}": r"\textbraceright{}",
    **{character: f"\\{character}" for character in "$&#%_"},
}
_ESCAPES = str.maketrans(_SPECIAL)
# In code, quotes and dashes are to stay as they are typed.
_CODE_ESCAPES = str.maketrans({**_SPECIAL, "'": r"\textquotesingle{}", "`": r"\textasciigrave{}"})


def escape(text: str) -> str:
    """A text in one line, as TeX prints it."""
    return " ".join(text.split()).translate(_ESCAPES)


def code(text: str) -> str:
    """Commands as a reader can copy them."""
    escaped = " ".join(text.split()).translate(_CODE_ESCAPES)
    return rf"\texttt{{{escaped.replace('--', '-{}-')}}}"


def url(text: str) -> str:
    """An address: TeX takes it as it is, but braces, backslashes and blanks would end it."""
    return quote(text, safe="!#$%&'()*+,-./:;=?@[]_~")


def author(person: Author) -> str:
    """A name; braces keep that of a group, and one with a comma or an `and`, in one piece."""
    if person.is_group:
        return f"{{{escape(person.family)}}}"
    parts = [person.family, person.suffix, person.given]
    return ", ".join(_part(part) for part in parts if part)


def _part(name: str) -> str:
    text = escape(name)
    return f"{{{text}}}" if re.search(r",|\band\b", text) else text


def entry(kind: str, name: str, values: Mapping[str, str]) -> str:
    """An entry, without fields that have no value.

    Args:
        kind: such as `software`.
        name: that a text cites it by, once characters that BibTeX does not take are gone.
        values: of its fields, escaped.
    """
    key = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()
    width = max(len(field) for field in values)
    lines = [f"  {field:<{width}} = {{{value}}}," for field, value in values.items() if value]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])
