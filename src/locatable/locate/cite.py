"""Cite a result so that others can rebuild it: as a paragraph for a caption or an appendix, and for BibTeX.

Title, authors, license and URL are read from CITATION.cff. Its keys are documented at
https://citation-file-format.github.io; keys that a citation does not show are ignored.
"""

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import yaml

from ..errors import ProjectError, UnreadableError, joined_lines
from ..output import redact_urls
from ..repository.parsing import parse_yaml
from ..repository.reader import Reader
from ..results.rebuild import clone_command
from ..results.staleness import remedy
from .result import Report, Result

CITATION_FILE = "CITATION.cff"
# Characters of a digest that the paragraph shows; the BibTeX entry has all of them.
DIGITS = 12
# A URL or scp-like address with a host. A path on this machine is useless to readers, and would disclose
# something private.
_HOST = re.compile(r"(?!file:)\w[\w+.-]*://[^/\s]+\S*|(?:[\w.-]+@)?[\w.-]{2,}:(?!//)\S+")


@dataclass(frozen=True)
class Author:
    """A person, whose name has several parts, or a group, which has a single name.

    Attributes:
        family: the family name with its particle (`von`), or the name of the group.
        given: the given names; empty for a group.
        suffix: a suffix of the name, such as `Jr.`.
        is_group: true if `family` is the whole name.
    """

    family: str
    given: str = ""
    suffix: str = ""
    is_group: bool = False

    def __str__(self) -> str:
        return " ".join(filter(None, [self.given, self.family, self.suffix]))


@dataclass(frozen=True)
class CitationFile:
    """The fields of CITATION.cff that a citation shows; a field is empty if the file does not have it."""

    title: str = ""
    authors: tuple[Author, ...] = ()
    license: str = ""
    url: str = ""


@dataclass(frozen=True)
class Citation:
    """The citation of a result.

    Attributes:
        subject: the paths of the target with their roles in the result; empty if the whole result is cited.
        title: the title of the project.
        authors: the authors of the project.
        license: the license of the project; empty if unknown.
        url: the URL of the project; empty if there is none that others can reach.
        year: the year of the commit.
        rev: the id of the commit that has the result.
        experiment: the name of the DVC experiment; empty if the result is not an experiment.
        digests: the digests of the coordinates, by name.
        commands: the commands that rebuild the result; an item that begins with `#` is a remark.
        warnings: lines for the user about what the citation lacks.
    """

    subject: str
    title: str
    authors: tuple[Author, ...]
    license: str
    url: str
    year: int
    rev: str
    experiment: str
    digests: Mapping[str, str]
    commands: list[str]
    warnings: list[str]

    @property
    def paragraph(self) -> str:
        """The citation in one line, for a caption or an appendix."""
        authors = ", ".join(map(str, self.authors))
        about = "; ".join(filter(None, [authors, str(self.year), self.license]))
        where = ", ".join(filter(None, [self.url, f"commit {self.rev}", self._experiment]))
        subject = f"{self.subject}: a result" if self.subject else "Results"
        sentences = [f"{subject} of {self.title} ({about}), {where}.", f"{self._coordinates(DIGITS)}."]
        if self._remarks:
            sentences.append(f"Note: {self._remarks}.")
        place = "" if self.url else ", in a clone"
        sentences.append(f"To rebuild{place}: {self._rebuild}")
        return " ".join(sentences)

    @property
    def bibtex(self) -> str:
        """An `@software` entry, for BibTeX and biblatex."""
        sentences = [self.subject, self._experiment, self._coordinates(), self._remarks]
        note = " ".join(f"{tex_text(sentence)}." for sentence in filter(None, sentences))
        values = {
            "title": f"{{{tex_text(self.title)}}}",
            "author": " and ".join(map(_tex_author, self.authors)),
            "year": str(self.year),
            "url": tex_url(self.url) if "://" in self.url else "",
            "version": f"commit {self.rev}",
            "license": tex_text(self.license),
            "note": f"{note} Rebuild: {tex_code(self._rebuild)}",
        }
        return bibtex_entry(f"{self.title} {self.experiment} {self.rev[:7]}", values)

    @property
    def _experiment(self) -> str:
        return f"DVC experiment {self.experiment}" if self.experiment else ""

    def _coordinates(self, digits: int | None = None) -> str:
        digests = [f"{name} {digest[:digits]}" for name, digest in self.digests.items()]
        return f"Coordinates: {', '.join(digests)}"

    @property
    def _rebuild(self) -> str:
        return " && ".join(command for command in self.commands if not command.startswith("#"))

    @property
    def _remarks(self) -> str:
        return " ".join(command.lstrip("# ") for command in self.commands if command.startswith("#"))


def cite(reader: Reader, result: Result, report: Report, origin: str | None) -> Citation:
    """Return the citation of a result.

    Args:
        reader: the reader of its repository.
        result: the result to cite.
        report: the report on that result.
        origin: the URL of the remote; None if there is none.

    Raises:
        ProjectError: the result cannot be rebuilt from a commit.
    """
    _require_rebuildable(report)
    warnings = []
    snapshot = reader.snapshot(report.results_of) if report.results_of else result.snapshot
    try:
        fields = read_citation_file(reader, snapshot.rev)
    except UnreadableError as error:
        fields = CitationFile()
        warnings.append(f"{error}; cited without it")
    url = origin if origin and _HOST.fullmatch(origin) else fields.url
    # The first command clones, perhaps from a folder that only this machine has: it is replaced.
    commands = report.rebuild[1:]
    if url:
        commands.insert(0, clone_command(url))
    else:
        warnings.append("no remote that others can reach: the citation does not say where to clone from")
    name = posixpath.basename(url.rstrip("/")).rpartition(":")[2].removesuffix(".git")
    # If CITATION.cff names no authors, the author of the commit is cited.
    author_of_commit = (Author(snapshot.author, is_group=True),) if snapshot.author else ()
    subject = ", ".join(f"{path} ({role})" for path, role in report.roles.items())
    return Citation(
        subject=redact_urls(subject),
        title=fields.title or name or reader.root.name,
        authors=fields.authors or author_of_commit,
        license=fields.license,
        url=fields.url or url,
        year=datetime.fromtimestamp(snapshot.time, UTC).year,
        rev=snapshot.rev,
        experiment=result.experiment.name if result.experiment else "",
        digests=report.coordinates.digests,
        commands=commands,
        warnings=warnings,
    )


def _require_rebuildable(report: Report) -> None:
    if report.uncommitted:
        names = ", ".join(report.uncommitted)
        raise ProjectError(
            f"{names} in no commit: commit first, then cite", hint="git add --all && git commit"
        )
    if not report.has_results:
        hint = "dvc repro, then commit" if report.can_run else report.rebuild[-1].removeprefix("# ")
        raise ProjectError(f"{report.rev[:7]} has no results to cite yet", hint)
    if report.stale and not report.results_of:
        raise ProjectError(
            f"{report.rev[:7]} records results that were made from other files than it holds, and no commit "
            "that can be read holds those: the results cannot be rebuilt",
            hint=remedy(report.stale),
        )


def read_citation_file(reader: Reader, rev: str) -> CitationFile:
    """Read the CITATION.cff of a revision, or that of the workspace if the revision has none.

    Raises:
        UnreadableError: the file is not valid YAML, or a field has an unexpected type.
    """
    content = _content_of_citation_file(reader, rev)
    if content is None:
        return CitationFile()
    try:
        fields = parse_yaml(content)
    except (yaml.YAMLError, ValueError) as error:
        raise UnreadableError(f"{CITATION_FILE}: {joined_lines(error)}") from None
    if not isinstance(fields, dict):
        raise UnreadableError(f"{CITATION_FILE}: expected keys and values, found {fields!r:.60}")
    return CitationFile(
        title=_text(fields, "title"),
        authors=_authors(fields),
        license=_license(fields),
        url=redact_urls(_text(fields, "repository-code") or _text(fields, "url")),
    )


def _content_of_citation_file(reader: Reader, rev: str) -> bytes | None:
    """Return the content of CITATION.cff in the project's folder, or else in the root of its repository."""
    paths = [f"{reader.prefix}/{CITATION_FILE}", CITATION_FILE] if reader.prefix else [CITATION_FILE]
    for path in paths:
        (blob,) = reader.objects.read([f"{rev}:{path}"])
        if blob:
            return blob.content
    for path in paths:
        file = reader.top / path
        if file.is_file():
            return file.read_bytes()
    return None


def _authors(fields: Mapping[str, Any]) -> tuple[Author, ...]:
    entries = fields.get("authors") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UnreadableError(f"{CITATION_FILE}: authors: expected a list, each with keys and values")
    authors = map(_author, entries)
    return tuple(author for author in authors if author.family)


def _author(entry: Mapping[str, Any]) -> Author:
    name = _text(entry, "name")
    if name:
        return Author(name, is_group=True)
    family = f"{_text(entry, 'name-particle')} {_text(entry, 'family-names')}".strip()
    given = _text(entry, "given-names")
    if not family:  # a person with a single name, or known by an alias
        return Author(given or _text(entry, "alias"), is_group=True)
    return Author(family, given, _text(entry, "name-suffix"))


def _license(fields: Mapping[str, Any]) -> str:
    """Return the SPDX identifier of the license; several identifiers are joined by OR."""
    value = fields.get("license")
    if isinstance(value, list):
        return " OR ".join(_text({"license": item}, "license") for item in value)
    return _text(fields, "license")


def _text(fields: Mapping[str, Any], key: str) -> str:
    """Return a value as text in one line; numbers and dates are accepted as well."""
    value = fields.get(key)
    if isinstance(value, dict | list):
        raise UnreadableError(f"{CITATION_FILE}: {key}: expected a text")
    return "" if value is None else joined_lines(value)


# Characters with a meaning in TeX, and the commands that print them.
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\symbol{34}",
    # `\{` would not do, because BibTeX counts escaped braces, too.
    "{": r"\textbraceleft{}",
    "}": r"\textbraceright{}",
    **{character: f"\\{character}" for character in "$&#%_"},
}
_ESCAPES = str.maketrans(_SPECIAL)
# In code, TeX must not replace straight quotes by curly ones.
_CODE_ESCAPES = str.maketrans({**_SPECIAL, "'": r"\textquotesingle{}", "`": r"\textasciigrave{}"})


def tex_text(text: str) -> str:
    """Return a text in one line, escaped for TeX."""
    return " ".join(text.split()).translate(_ESCAPES)


def tex_code(text: str) -> str:
    """Return shell commands as TeX, printed so that a reader can copy them: `--` does not become a dash."""
    escaped = " ".join(text.split()).translate(_CODE_ESCAPES)
    return rf"\texttt{{{escaped.replace('--', '-{}-')}}}"


def tex_url(text: str) -> str:
    """Quote the characters of a URL that TeX cannot print as they are, such as braces and backslashes."""
    return quote(text, safe="!#$%&'()*+,-./:;=?@[]_~")


def _tex_author(author: Author) -> str:
    """Return a name for BibTeX.

    BibTeX splits names at commas and at `and`. Braces around a name prevent this.
    """
    if author.is_group:
        return f"{{{tex_text(author.family)}}}"
    parts = []
    for part in filter(None, (author.family, author.suffix, author.given)):
        text = tex_text(part)
        parts.append(f"{{{text}}}" if re.search(r",|\band\b", text) else text)
    return ", ".join(parts)


def bibtex_entry(name: str, values: Mapping[str, str]) -> str:
    """Return an `@software` entry, without the fields that have no value.

    Args:
        name: the text that the citation key is made of; each run of characters other than letters and digits
            becomes a hyphen.
        values: the escaped values of the fields, by name.
    """
    key = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()
    width = max(map(len, values))
    lines = [f"@software{{{key},"]
    for field, value in values.items():
        if value:
            lines.append(f"  {field:<{width}} = {{{value}}},")
    return "\n".join([*lines, "}"])
