"""`locatable locate --cite`: a paragraph, and an entry for BibTeX."""

import re
from pathlib import Path

import pytest
from tiny_git import commit, git, write

from locatable.errors import ProjectError
from locatable.locate import locate, report_on
from locatable.locate.cite import (
    Author,
    Citation,
    bibtex_entry,
    cite,
    read_citation_file,
    tex_code,
    tex_text,
    tex_url,
)
from locatable.repository.reader import Reader
from locatable.results.rebuild import origin_url

LOCK = """\
schema: '2.0'
stages:
  train:
    cmd: python train.py
    deps:
    - path: train.py
      hash: md5
      md5: 93a7e58bb7bd2e6a2b5f2bfb0a6fb17f
    outs:
    - path: roc.svg
      hash: md5
      md5: 8d777f385d3dfec8815d20f7496026dc
"""
FILES = {
    ".dvc/config": "",
    "dvc.yaml": "stages:\n  train:\n    cmd: python train.py\n    outs:\n    - roc.svg: {cache: false}\n",
    "dvc.lock": LOCK,
    "train.py": "print()\n",
    "roc.svg": "data",  # its md5 is in the lock
}
CITATION = """\
cff-version: 1.2.0
title: "Tumours & 100% {more}: a_study"
authors:
- {family-names: Lovelace, given-names: Ada}
- {family-names: Beethoven, name-particle: van, given-names: Ludwig, name-suffix: Jr.}
- {name: "Rivers, Mountains and Sons"}
license: [MIT, Apache-2.0]
repository-code: https://ada:secret@example.org/lab/tumours_x
"""
ORIGIN = "https://ada:secret@git.example.org/lab/tumours_x.git"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    commit(tmp_path / "tumours", FILES)
    return tmp_path / "tumours"


def cited(reader: Reader, target: str = "HEAD") -> Citation:
    (result,) = locate(reader, target).results
    url = origin_url(reader)
    return cite(reader, result, report_on(reader, result, url), url)


def field(citation: Citation, name: str) -> str:
    """The value of a field of the entry, as TeX gets it."""
    found = re.search(rf"^  {name} *= \{{(.*)\}},$", citation.bibtex, re.MULTILINE)
    assert found, citation.bibtex
    return found[1]


def is_balanced(text: str) -> bool:
    """Whether BibTeX, which counts every brace, finds the end."""
    depth = 0
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0


def test_the_paragraph_names_file_commit_and_how_to_rebuild(project: Path, reader: Reader) -> None:
    git(project, "remote", "add", "origin", ORIGIN)
    rev = git(project, "rev-parse", "HEAD")
    paragraph = cited(reader, str(project / "roc.svg")).paragraph
    assert paragraph.startswith("roc.svg (output of train): a result of tumours_x (Ada; ")
    assert f", https://git.example.org/lab/tumours_x.git, commit {rev}. Coordinates: data " in paragraph
    assert paragraph.endswith(
        "To rebuild: git clone https://git.example.org/lab/tumours_x.git project && cd project "
        f"&& git checkout --detach {rev} && dvc repro"
    )


def test_the_digest_of_each_coordinate_is_told(project: Path, reader: Reader) -> None:
    (result,) = locate(reader, "HEAD").results
    citation = cited(reader)
    for name, coordinate in vars(report_on(reader, result, None).coordinates).items():
        assert f"{name} {coordinate.digest[:12]}" in citation.paragraph
        assert f"{name} {coordinate.digest}" in field(citation, "note")
    assert "\n" not in citation.paragraph
    assert field(citation, "version") == f"commit {git(project, 'rev-parse', 'HEAD')}"


def test_what_the_citation_file_says_is_written_as_bibtex_has_it(project: Path, reader: Reader) -> None:
    commit(project, {"CITATION.cff": CITATION})
    rev = git(project, "rev-parse", "HEAD")
    citation = cited(reader)
    assert (
        "Results of Tumours & 100% {more}: a_study (Ada Lovelace, Ludwig van Beethoven Jr., "
        "Rivers, Mountains and Sons; 20"
    ) in citation.paragraph
    assert "; MIT OR Apache-2.0)" in citation.paragraph
    # Without a remote, its address is the one to clone.
    assert "git clone https://example.org/lab/tumours_x project" in citation.paragraph
    assert citation.warnings == []
    assert citation.bibtex.startswith(f"@software{{tumours-100-more-a-study-{rev[:7]},\n")
    authors = "Lovelace, Ada and van Beethoven, Jr., Ludwig and {Rivers, Mountains and Sons}"
    assert field(citation, "author") == authors
    title = r"{Tumours \& 100\% \textbraceleft{}more\textbraceright{}: a\_study}"
    assert field(citation, "title") == title


def test_an_experiment_is_named_and_fetched(project: Path, reader: Reader) -> None:
    head = git(project, "rev-parse", "HEAD")
    rev = commit(project, {"train.py": "print( )\n", "dvc.lock": LOCK.replace("93a7", "93a8")}, "wide")
    git(project, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/wide", rev)
    git(project, "reset", "--quiet", "--hard", head)
    git(project, "remote", "add", "origin", ORIGIN)
    citation = cited(reader, "wide")
    assert f"commit {rev}, DVC experiment wide." in citation.paragraph
    assert "git fetch origin 'refs/exps/*:refs/exps/*' && " in citation.paragraph
    assert r"git fetch origin \textquotesingle{}refs/exps/*:refs/exps/*\textquotesingle{} \&\& " in field(
        citation, "note"
    )


def test_no_password_of_any_address_is_told(project: Path, reader: Reader) -> None:
    commit(project, {"CITATION.cff": CITATION})
    git(project, "remote", "add", "origin", ORIGIN)
    citation = cited(reader)
    assert "secret" not in citation.paragraph + citation.bibtex


@pytest.mark.parametrize("remote", [None, "/srv/git/tumours", "file:///srv/git/tumours", "../tumours"])
def test_no_path_of_this_machine_is_told(project: Path, reader: Reader, remote: str | None) -> None:
    if remote:
        git(project, "remote", "add", "origin", remote)
    citation = cited(reader)
    assert "git clone" not in citation.paragraph
    assert str(project) not in citation.paragraph + citation.bibtex
    assert citation.warnings == [
        "no remote that others can reach: the citation does not say where to clone from"
    ]


def test_a_host_without_a_scheme_can_be_cloned(project: Path, reader: Reader) -> None:
    git(project, "remote", "add", "origin", "git@example.org:lab/tumours.git")
    citation = cited(reader)
    assert "git clone git@example.org:lab/tumours.git project" in citation.paragraph
    assert " url " not in citation.bibtex


def test_the_citation_file_of_the_commit_counts_more_than_the_workspace_s(
    project: Path, reader: Reader
) -> None:
    rev = commit(project, {"CITATION.cff": "title: Then"})
    commit(project, {"CITATION.cff": "title: Now"})
    assert read_citation_file(reader, rev).title == "Then"


def test_a_citation_file_that_came_later_serves_the_results_before_it(project: Path, reader: Reader) -> None:
    write(project, {"CITATION.cff": "title: Now"})
    assert "Results of Now (" in cited(reader).paragraph


def test_a_project_in_a_subfolder_has_the_citation_file_of_the_repository(tmp_path: Path) -> None:
    commit(tmp_path, {f"ml/{path}": content for path, content in FILES.items()})
    rev = commit(tmp_path, {"CITATION.cff": "title: Whole"})
    with Reader(tmp_path / "ml") as reader:
        assert read_citation_file(reader, rev).title == "Whole"


@pytest.mark.parametrize(
    "content",
    [
        "title: [",
        "just words",
        "- a\n- b",
        "authors: Ada",
        "authors: [Ada]",
        "title: {a: b}",
        b"\xff\xfe",
        "a: \0",
    ],
)
def test_a_broken_citation_file_is_one_line_and_no_more(
    project: Path, reader: Reader, content: str | bytes
) -> None:
    commit(project, {"CITATION.cff": content})
    git(project, "remote", "add", "origin", ORIGIN)
    citation = cited(reader)
    (warning,) = citation.warnings
    assert warning.startswith("CITATION.cff: ")
    assert warning.endswith("; cited without it")
    assert "\n" not in warning
    assert "Results of tumours_x (" in citation.paragraph


@pytest.mark.parametrize(
    ("entry", "author"),
    [
        ("{given-names: Ada}", Author("Ada", is_group=True)),
        ("{alias: ada}", Author("ada", is_group=True)),
        ("{family-names: 42}", Author("42")),
    ],
)
def test_a_person_with_one_name(project: Path, reader: Reader, entry: str, author: Author) -> None:
    rev = commit(project, {"CITATION.cff": f"authors:\n- {entry}\n"})
    assert read_citation_file(reader, rev).authors == (author,)


def test_the_name_of_a_group_stays_in_one_piece(project: Path, reader: Reader) -> None:
    commit(project, {"CITATION.cff": "title: T\nauthors: [{name: The Institute}]\n"})
    assert field(cited(reader), "author") == "{The Institute}"


def test_what_is_not_committed_is_not_cited(project: Path, reader: Reader) -> None:
    write(project, {"dvc.lock": LOCK.replace("8d777f385d3dfec8815d20f7496026dc", "0" * 32)})
    (result,) = locate(reader, "HEAD").results
    report = report_on(reader, result, None)
    uncommitted = type(report)(**{**vars(report), "uncommitted": ["execution"]})
    with pytest.raises(ProjectError, match="execution in no commit: commit first, then cite"):
        cite(reader, result, uncommitted, None)


def test_results_of_an_earlier_commit_are_cited_as_its_own(project: Path, reader: Reader) -> None:
    first = git(project, "rev-parse", "HEAD")
    commit(project, {"dvc.yaml": FILES["dvc.yaml"].replace("python train.py", "python train.py -v")})
    citation = cited(reader)
    assert field(citation, "version") == f"commit {first}"
    assert f"git checkout --detach {first}" in citation.paragraph


def test_a_commit_without_results_has_nothing_to_cite(project: Path, reader: Reader) -> None:
    git(project, "rm", "--quiet", "dvc.lock")
    commit(project, {})
    with pytest.raises(ProjectError, match="no results to cite yet"):
        cited(reader)


@pytest.mark.parametrize("text", ["a{b", "a}b", "\\{", "{{", 'say "hi"', "50% & more_#$~^<>|\\"])
def test_every_text_leaves_the_braces_of_an_entry_balanced(text: str) -> None:
    assert is_balanced(bibtex_entry("a", {"note": tex_text(text) + tex_code(text)}))


@pytest.mark.parametrize("text", ["https://example.org/a{b", "https://example.org/a b", "https://x.org/\\"])
def test_every_address_leaves_the_braces_of_an_entry_balanced(text: str) -> None:
    address = tex_url(text)
    assert is_balanced(address)
    assert not re.search(r"[\s\\]", address)
