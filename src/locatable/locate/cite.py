"""Cites a result, under a figure or in an appendix, so that others can rebuild it: as text, and for BibTeX.

Who is cited is what CITATION.cff says. Keys are those of https://citation-file-format.github.io, as far as a
citation of ours needs them.
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
# Characters of a digest in a paragraph; the entry for BibTeX has all.
DIGITS = 12
# With a host: what is on this machine alone is of no use to a reader, and none of their business.
_HOST = re.compile(r"(?!file:)\w[\w+.-]*://[^/\s]+\S*|(?:[\w.-]+@)?[\w.-]{2,}:(?!//)\S+")


@dataclass(frozen=True)
class Author:
    """A person, whose name has parts, or a group, which has a name alone.

    Attributes:
        family: the family name, with what comes before it (`von`), or the name of the group.
        given: given names; empty for a group.
        suffix: such as `Jr.`.
        is_group: true if `family` is a name as a whole.
    """

    family: str
    given: str = ""
    suffix: str = ""
    is_group: bool = False

    def __str__(self) -> str:
        return " ".join(filter(None, [self.given, self.family, self.suffix]))


@dataclass(frozen=True)
class CitationFile:
    """What a project says about how to cite it; empty where it does not."""

    title: str = ""
    authors: tuple[Author, ...] = ()
    license: str = ""
    url: str = ""


@dataclass(frozen=True)
class Citation:
    """A result, cited.

    Attributes:
        subject: what the result has of the target, and how; empty where a result is cited as a whole.
        title: of the project.
        authors: of the project.
        license: of the project; empty where it does not say.
        url: of the project; empty where none is known that others can reach.
        year: of the commit.
        rev: the commit that has the result.
        experiment: name of the DVC experiment that it is; empty where it is none.
        digests: of the coordinates, by their names.
        commands: that rebuild the result, and comments on them.
        warnings: lines about what is missing in it.
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
            sentences.append(f"Mind: {self._remarks}.")
        place = "" if self.url else ", in a clone"
        sentences.append(f"To rebuild{place}: {self._rebuild}")
        return " ".join(sentences)

    @property
    def bibtex(self) -> str:
        """An entry `@software`, for BibTeX and biblatex."""
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
    """Cite a result.

    Raises:
        ProjectError: nobody could rebuild it from a commit.
    """
    _require_rebuildable(report)
    warnings = []
    snapshot = reader.snapshot(report.results_of) if report.results_of else result.snapshot
    try:
        file = read_citation_file(reader, snapshot.rev)
    except UnreadableError as error:
        file = CitationFile()
        warnings.append(f"{error}; cited without it")
    url = origin if origin and _HOST.fullmatch(origin) else file.url
    # The first one clones, perhaps from a folder that nobody else has.
    commands = report.rebuild[1:]
    if url:
        commands.insert(0, clone_command(url))
    else:
        warnings.append("no remote that others can reach: the citation does not say where to clone from")
    name = posixpath.basename(url.rstrip("/")).rpartition(":")[2].removesuffix(".git")
    # Where nobody says who wrote the project, it is who wrote the commit.
    committer = (Author(snapshot.author, is_group=True),) if snapshot.author else ()
    subject = ", ".join(f"{path} ({role})" for path, role in report.roles.items())
    return Citation(
        subject=redact_urls(subject),
        title=file.title or name or reader.root.name,
        authors=file.authors or committer,
        license=file.license,
        url=file.url or url,
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
        raise ProjectError(f"{names} in no commit: commit, and cite then", hint="git add --all && git commit")
    if not report.has_results:
        hint = "dvc repro, then commit" if report.can_run else report.rebuild[-1].removeprefix("# ")
        raise ProjectError(f"{report.rev[:7]} has no results to cite yet", hint)
    if report.stale and not report.results_of:
        raise ProjectError(
            f"{report.rev[:7]} records results of other files than it holds, and no commit that can be read "
            "holds these: nobody could rebuild them",
            hint=remedy(report.stale),
        )


def read_citation_file(reader: Reader, rev: str) -> CitationFile:
    """Return what the CITATION.cff of a revision says; where it has none, that of the workspace.

    Raises:
        UnreadableError: it is not what its name says.
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
    """Return the file beside the project, or else in the root of its Git repository."""
    places = [f"{reader.prefix}/{CITATION_FILE}", CITATION_FILE] if reader.prefix else [CITATION_FILE]
    for place in places:
        (answer,) = reader.objects.read([f"{rev}:{place}"])
        if answer:
            return answer[1]
    for place in places:
        file = reader.top / place
        if file.is_file():
            return file.read_bytes()
    return None


def _authors(fields: Mapping[str, Any]) -> tuple[Author, ...]:
    entries = fields.get("authors") or []
    authors = []
    for entry in entries if isinstance(entries, list) else [None]:
        author = _author(entry)
        if author.family:
            authors.append(author)
    return tuple(authors)


def _author(entry: Any) -> Author:
    if not isinstance(entry, dict):
        raise UnreadableError(f"{CITATION_FILE}: authors: expected a list, each with keys and values")
    name = _text(entry, "name")
    if name:
        return Author(name, is_group=True)
    family = f"{_text(entry, 'name-particle')} {_text(entry, 'family-names')}".strip()
    given = _text(entry, "given-names")
    if not family:  # people with one name, and those who go by an alias
        return Author(given or _text(entry, "alias"), is_group=True)
    return Author(family, given, _text(entry, "name-suffix"))


def _license(fields: Mapping[str, Any]) -> str:
    """Return an identifier of SPDX; of several, any can be chosen."""
    value = fields.get("license")
    if isinstance(value, list):
        return " OR ".join(_text({"license": item}, "license") for item in value)
    return _text(fields, "license")


def _text(fields: Mapping[str, Any], key: str) -> str:
    """Return a value in one line; numbers and dates are as good as their text."""
    value = fields.get(key)
    if isinstance(value, dict | list):
        raise UnreadableError(f"{CITATION_FILE}: {key}: expected a text")
    return "" if value is None else joined_lines(value)


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


def tex_text(text: str) -> str:
    """Return a text in one line, escaped for TeX."""
    return " ".join(text.split()).translate(_ESCAPES)


def tex_code(text: str) -> str:
    """Return commands for TeX so that a reader can copy them."""
    escaped = " ".join(text.split()).translate(_CODE_ESCAPES)
    return rf"\texttt{{{escaped.replace('--', '-{}-')}}}"


def tex_url(text: str) -> str:
    """Return an address: TeX takes it as it is, but braces, backslashes and blanks would end it."""
    return quote(text, safe="!#$%&'()*+,-./:;=?@[]_~")


def _tex_author(author: Author) -> str:
    """Return a name; braces keep that of a group, and one with a comma or an `and`, in one piece."""
    if author.is_group:
        return f"{{{tex_text(author.family)}}}"
    parts = []
    for part in filter(None, (author.family, author.suffix, author.given)):
        text = tex_text(part)
        parts.append(f"{{{text}}}" if re.search(r",|\band\b", text) else text)
    return ", ".join(parts)


def bibtex_entry(name: str, values: Mapping[str, str]) -> str:
    """Return an entry `@software`, without fields that have no value.

    Args:
        name: that a text cites it by, once characters that BibTeX does not take are gone.
        values: of its fields, escaped.
    """
    key = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()
    width = max(map(len, values))
    lines = [f"@software{{{key},"]
    for field, value in values.items():
        if value:
            lines.append(f"  {field:<{width}} = {{{value}}},")
    return "\n".join([*lines, "}"])
