"""What belongs under a figure or into an appendix: a result, cited so that others can rebuild it."""

import posixpath
import re
from dataclasses import dataclass, fields
from datetime import UTC, datetime

from ..addresses import redact_urls
from ..errors import ProjectError, UnreadableError
from ..repository.reader import Reader
from ..repository.snapshot import Snapshot
from ..results.coordinates import Coordinates
from ..results.rebuild import rebuild_commands
from ..results.staleness import remedy
from . import bibtex
from .citation_file import Author, CitationFile, read_citation_file
from .result import Report, Result

# Characters of a digest in a paragraph; the entry for BibTeX has all.
DIGITS = 12
# With a host: what is on this machine alone is of no use to a reader, and none of their business.
_HOST = re.compile(r"(?!file:)\w[\w+.-]*://[^/\s]+\S*|(?:[\w.-]+@)?[\w.-]{2,}:(?!//)\S+")


@dataclass(frozen=True)
class Citation:
    """A result, cited.

    Attributes:
        paragraph: in one line, for a caption or an appendix.
        bibtex: an entry `@software`.
        commands: that rebuild the result.
        title: of the project.
        url: of the project; empty where none is known that others can reach.
        warnings: lines about what is missing in it.
    """

    paragraph: str
    bibtex: str
    commands: list[str]
    title: str
    url: str
    warnings: list[str]


@dataclass(frozen=True)
class _Facts:
    """What a citation says, as plain text."""

    subject: str
    title: str
    authors: tuple[Author, ...]
    license: str
    url: str
    time: datetime
    rev: str
    experiment: str
    coordinates: Coordinates
    rebuild: str
    remarks: str


def cite(reader: Reader, result: Result, report: Report, origin: str | None) -> Citation:
    """Cite a result.

    Args:
        reader: of the repository.
        result: one that `locate` found.
        report: on it.
        origin: where the repository can be cloned from, None where it is nowhere but here.

    Raises:
        ProjectError: nobody could rebuild it from a commit.
    """
    _check(report)
    warnings = []
    rev = report.results_of or result.rev
    snapshot = reader.snapshot(rev)
    try:
        file = read_citation_file(reader, rev)
    except UnreadableError as error:
        file = CitationFile()
        warnings.append(f"{error}; cited without it")
    url = origin if origin and _HOST.fullmatch(origin) else file.url
    if not url:
        warnings.append("no remote that others can reach: the citation does not say where to clone from")
    commands = rebuild_commands(snapshot, result.experiment, url)[0 if url else 1 :]
    is_remark = [command.startswith("#") for command in commands]
    facts = _Facts(
        subject=redact_urls(", ".join(f"{path} ({role})" for path, role in report.roles.items())),
        title=file.title or _project_name(reader, url),
        authors=file.authors or _committer(snapshot),
        license=file.license,
        url=file.url or url,
        time=datetime.fromtimestamp(snapshot.time, UTC),
        rev=rev,
        experiment=result.experiment.name if result.experiment else "",
        coordinates=report.coordinates,
        rebuild=" && ".join(one for one, no in zip(commands, is_remark, strict=True) if not no),
        remarks=" ".join(one.lstrip("# ") for one, yes in zip(commands, is_remark, strict=True) if yes),
    )
    return Citation(_paragraph(facts), _entry(facts), commands, facts.title, facts.url, warnings)


def _check(report: Report) -> None:
    if report.uncommitted:
        names = ", ".join(report.uncommitted)
        raise ProjectError(f"{names} in no commit: commit, and cite then", hint="git add --all && git commit")
    if not report.has_results:
        raise ProjectError(f"{report.rev[:7]} has no results to cite yet", hint="dvc repro, then commit")
    if report.stale and not report.results_of:
        raise ProjectError(
            f"{report.rev[:7]} records results of other files than it holds, and no commit that can be read "
            "holds these: nobody could rebuild them",
            hint=remedy(report.stale),
        )


def _project_name(reader: Reader, url: str) -> str:
    name = posixpath.basename(url.rstrip("/")).rpartition(":")[2].removesuffix(".git")
    return name or reader.root.name


def _committer(snapshot: Snapshot) -> tuple[Author, ...]:
    """Who wrote the commit, where nobody says who wrote the project."""
    return (Author(snapshot.author, is_group=True),) if snapshot.author else ()


def _digests(coordinates: Coordinates, digits: int | None) -> str:
    names = [coordinate.name for coordinate in fields(Coordinates)]
    return ", ".join(f"{name} {getattr(coordinates, name).digest[:digits]}" for name in names)


def _paragraph(facts: _Facts) -> str:
    about = [", ".join(str(author) for author in facts.authors), str(facts.time.year), facts.license]
    where = [facts.url, f"commit {facts.rev}", _experiment(facts)]
    subject = f"{facts.subject}: a result" if facts.subject else "Results"
    sentences = [
        f"{subject} of {facts.title} ({'; '.join(filter(None, about))}), {', '.join(filter(None, where))}.",
        f"Coordinates: {_digests(facts.coordinates, DIGITS)}.",
        facts.remarks and f"Mind: {facts.remarks}.",
        f"To rebuild{'' if facts.url else ', in a clone'}: {facts.rebuild}",
    ]
    return " ".join(filter(None, sentences))


def _experiment(facts: _Facts) -> str:
    return f"DVC experiment {facts.experiment}" if facts.experiment else ""


def _entry(facts: _Facts) -> str:
    sentences = [facts.subject, _experiment(facts), f"Coordinates: {_digests(facts.coordinates, None)}"]
    sentences.append(facts.remarks)
    note = " ".join(f"{bibtex.escape(sentence)}." for sentence in sentences if sentence)
    values = {
        "title": f"{{{bibtex.escape(facts.title)}}}",
        "author": " and ".join(bibtex.author(one) for one in facts.authors),
        "year": str(facts.time.year),
        "url": bibtex.url(facts.url) if "://" in facts.url else "",
        "version": f"commit {facts.rev}",
        "license": bibtex.escape(facts.license),
        "note": f"{note} Rebuild: {bibtex.code(facts.rebuild)}",
    }
    return bibtex.entry("software", f"{facts.title} {facts.experiment} {facts.rev[:7]}", values)
