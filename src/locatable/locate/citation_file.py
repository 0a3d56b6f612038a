"""CITATION.cff: who wrote a project, what it is called, and under which licence it is.

The format is that of https://citation-file-format.github.io, as far as a citation of ours needs it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from ..addresses import redact_urls
from ..errors import UnreadableError
from ..repository.parsing import parse_yaml
from ..repository.reader import Reader

NAME = "CITATION.cff"


@dataclass(frozen=True)
class Author:
    """A person, whose name has parts, or a group, which has a name alone.

    Attributes:
        family: the family name, with what comes before it (`von`), or the name of the group.
        given: given names; empty for a group.
        suffix: such as `Jr.`.
        is_group: whether `family` is a name as a whole.
    """

    family: str
    given: str = ""
    suffix: str = ""
    is_group: bool = False

    def __str__(self) -> str:
        return " ".join(part for part in (self.given, self.family, self.suffix) if part)


@dataclass(frozen=True)
class CitationFile:
    """What a project says about how to cite it; empty where it does not."""

    title: str = ""
    authors: tuple[Author, ...] = ()
    license: str = ""
    url: str = ""


def read_citation_file(reader: Reader, rev: str) -> CitationFile:
    """The CITATION.cff of a revision; where it has none, that of the workspace.

    Raises:
        UnreadableError: it is not what its name says.
    """
    content = _content(reader, rev)
    if content is None:
        return CitationFile()
    try:
        fields = parse_yaml(content)
    except (yaml.YAMLError, ValueError) as error:
        raise UnreadableError(f"{NAME}: {' '.join(str(error).split())}") from None
    if not isinstance(fields, dict):
        raise UnreadableError(f"{NAME}: expected keys and values, found {fields!r:.60}")
    return CitationFile(
        title=_text(fields, "title"),
        authors=tuple(_authors(fields)),
        license=_license(fields),
        url=redact_urls(_text(fields, "repository-code") or _text(fields, "url")),
    )


def _content(reader: Reader, rev: str) -> bytes | None:
    """The file, beside the project or in the root of its Git repository."""
    places = [f"{reader.prefix}/{NAME}", NAME] if reader.prefix else [NAME]
    for answer in reader.objects.read(f"{rev}:{place}" for place in places):
        if answer:
            return answer[1]
    for place in places:
        file = reader.top / place
        if file.is_file():
            return file.read_bytes()
    return None


def _authors(fields: Mapping[str, Any]) -> list[Author]:
    entries = fields.get("authors") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UnreadableError(f"{NAME}: authors: expected a list, each with keys and values")
    authors = [_author(entry) for entry in entries]
    return [author for author in authors if author.family]


def _author(entry: Mapping[str, Any]) -> Author:
    name = _text(entry, "name")
    if name:
        return Author(name, is_group=True)
    family = " ".join(filter(None, [_text(entry, "name-particle"), _text(entry, "family-names")]))
    given = _text(entry, "given-names")
    if not family:  # people with one name, and those who go by an alias
        return Author(given or _text(entry, "alias"), is_group=True)
    return Author(family, given, _text(entry, "name-suffix"))


def _license(fields: Mapping[str, Any]) -> str:
    """An identifier of SPDX; of several, any can be chosen."""
    value = fields.get("license")
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return " OR ".join(value)
    return _text(fields, "license")


def _text(fields: Mapping[str, Any], key: str) -> str:
    """A value in one line; numbers and dates are as good as their text."""
    value = fields.get(key)
    if isinstance(value, dict | list):
        raise UnreadableError(f"{NAME}: {key}: expected a text")
    return "" if value is None else " ".join(str(value).split())
