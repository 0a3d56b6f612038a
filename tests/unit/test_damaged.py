"""Clones that lack some of Git's objects: what one revision lacks keeps no other from being read."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tiny_git import commit, git

from locatable.errors import CannotTryError, UnreadableError
from locatable.git.objects import subject
from locatable.locate import find_name
from locatable.locate.by_content import find_content
from locatable.mlflow.plan import WantedRun, needs_run, wanted_runs
from locatable.mlflow.revision import revision_content
from locatable.repository.reader import Reader, resolve
from locatable.results.coordinates import coordinates_of

LOCK = """schema: '2.0'
stages:
  train:
    cmd: python train.py
    outs:
    - path: out.txt
      hash: md5
      md5: 900150983cd24fb0d6963f7d28e17f72
      size: 3
"""
MISSING = "is missing from this clone"
# What the second commit alone has, by its path there: files, and folders.
OF_RESULTS = ["ml/dvc.lock", "ml/.dvcignore", "ml/deep", "ml", ""]


@dataclass(frozen=True)
class Damaged:
    """A repository whose second of three commits lacks an object.

    Attributes:
        root: its folder.
        reader: of it.
        whole: commits that lack nothing.
        lacking: the one that does.
    """

    root: Path
    reader: Reader
    whole: list[str]
    lacking: str


@pytest.fixture(scope="module", params=[*OF_RESULTS, "ml/params.yaml"])
def damaged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Damaged]:
    """Repositories in which one object of any kind is missing."""
    root = tmp_path_factory.mktemp("damaged") / "repo"
    project = {"ml/.dvc/config": "", "ml/dvc.lock": LOCK, "ml/deep/a": "a"}
    first = commit(root, {**project, "ml/params.yaml": "a: 1"})
    odd = {"ml/dvc.lock": LOCK + "# odd\n", "ml/deep/a": "b", "ml/params.yaml": "a: 2"}
    second = commit(root, {**odd, "ml/.dvcignore": "/odd\n"})
    git(root, "rm", "-q", "ml/.dvcignore")
    third = commit(root, {**project, "ml/params.yaml": "a: 3"})
    missing = git(root, "rev-parse", f"{second}:{request.param}")
    (root / ".git/objects" / missing[:2] / missing[2:]).unlink()
    with Reader(root / "ml") as reader:
        yield Damaged(root, reader, [first, third], second)


def test_other_revisions_are_read(damaged: Damaged) -> None:
    first, third = damaged.whole
    snapshots = damaged.reader.snapshots([first, damaged.lacking, third])
    read = {one.rev: coordinates_of(one).params.content for one in snapshots if one.rev != damaged.lacking}
    assert read == {first: {"a": 1}, third: {"a": 3}}


def test_the_revision_says_what_is_missing(damaged: Damaged) -> None:
    snapshot = damaged.reader.snapshot(damaged.lacking)
    with pytest.raises(UnreadableError, match=MISSING):
        coordinates_of(snapshot)


def test_its_run_in_mlflow_fails_alone(damaged: Damaged) -> None:
    snapshot = damaged.reader.snapshot(damaged.lacking)
    with pytest.raises(UnreadableError, match=MISSING):
        revision_content(snapshot, WantedRun(damaged.lacking, "damaged"))


def test_it_is_not_taken_for_a_revision_without_results(damaged: Damaged) -> None:
    assert needs_run(WantedRun(damaged.lacking, "damaged"), damaged.reader.snapshot(damaged.lacking))


def test_a_result_of_other_revisions_is_located(damaged: Damaged, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("abc")
    found = find_content(damaged.reader, tmp_path / "target")
    assert {one.rev for one in found.results} - {damaged.lacking} == set(damaged.whole)


# A params file says nothing of results.
@pytest.mark.parametrize("damaged", OF_RESULTS, indirect=True)
def test_a_revision_that_may_have_the_target_is_named(damaged: Damaged, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("of no revision")
    found = find_content(damaged.reader, tmp_path / "target")
    assert [line for line in found.left_out if damaged.lacking[:7] in line and MISSING in line]


@pytest.fixture(scope="module")
def without_commit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Damaged]:
    """A repository with two experiments, of which `lost` lacks its own commit."""
    root = tmp_path_factory.mktemp("without") / "repo"
    baseline = commit(root, {".dvc/config": "", "dvc.lock": LOCK, "params.yaml": "a: 1"})
    revs = []
    for name in ("lost", "there"):
        rev = commit(
            root, {"dvc.lock": LOCK, "params.yaml": "a: 2", "of": name}, f"search: a-study-{len(revs)}"
        )
        git(root, "update-ref", f"refs/exps/{baseline[:2]}/{baseline[2:]}/{name}", rev)
        git(root, "reset", "--quiet", "--hard", baseline)
        revs.append(rev)
    lost, there = revs
    (root / ".git/objects" / lost[:2] / lost[2:]).unlink()
    git(root, "reflog", "expire", "--expire=now", "--all")
    with Reader(root) as reader:
        yield Damaged(root, reader, [baseline, there], lost)


def test_an_experiment_without_its_commit_is_listed_with_the_others(without_commit: Damaged) -> None:
    listed = {one.name: one.study for one in without_commit.reader.experiments()}
    assert listed == {"lost": None, "there": "a-study"}


def test_the_others_are_located(without_commit: Damaged, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("abc")
    found = find_content(without_commit.reader, tmp_path / "target")
    assert {one.rev for one in found.results} == set(without_commit.whole)


def test_it_is_named_where_nothing_is_found(without_commit: Damaged, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("of no revision")
    found = find_content(without_commit.reader, tmp_path / "target")
    lost = without_commit.lacking
    assert found.left_out[0] == f"{lost[:7]}: Git's object {lost} {MISSING}"


def test_it_is_found_by_its_name_and_says_what_is_missing(without_commit: Damaged) -> None:
    (result,) = find_name(without_commit.reader, "lost")
    with pytest.raises(UnreadableError, match=MISSING):
        coordinates_of(result.snapshot)


def test_its_proof_says_what_is_missing(without_commit: Damaged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(without_commit.root)
    with pytest.raises(CannotTryError, match=f"lost: Git's object {without_commit.lacking} {MISSING}"):
        resolve("lost")


def test_its_commit_alone_gets_no_run(without_commit: Damaged) -> None:
    wanted = wanted_runs(without_commit.reader)
    failed = []
    for snapshot in without_commit.reader.snapshots(key for key, run in wanted.items() if not run.trials):
        try:
            revision_content(snapshot, wanted[snapshot.rev])
        except UnreadableError:
            failed.append(snapshot.rev)
    assert failed == [without_commit.lacking]


def test_an_experiment_is_dated_as_git_dates_it(without_commit: Damaged) -> None:
    there = without_commit.whole[1]
    dates = [one.committed for one in without_commit.reader.experiments() if one.rev == there]
    assert dates == [int(git(without_commit.root, "show", "-s", "--format=%ct", there))]


@pytest.mark.parametrize(
    "message", ["one", "one\ntwo", "one\n\ntwo", "\n\none  \ntwo\n\nthree", "one\r\ntwo"]
)
def test_a_subject_is_what_git_takes_for_it(message: str, tmp_path: Path) -> None:
    rev = commit(tmp_path / "repo", {"a": "a"}, message)
    text = git(tmp_path / "repo", "cat-file", "commit", rev)
    assert subject(text) == git(tmp_path / "repo", "show", "-s", "--format=%s", rev)
