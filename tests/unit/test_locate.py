"""`locate`: which revisions a file or a name belongs to, and how."""

import json
from pathlib import Path

import pytest
from tiny_git import commit, git, md5, write

from locatable.errors import NotFoundError
from locatable.locate import Located, locate, report_on
from locatable.repository.hashes import md5_of
from locatable.repository.reader import Reader

MODEL, DATA, SCAN, SCRIPT, FIGURE = b"model", b"data", b"scan", b"print()\n", b"figure"


def entry(path: str, content: bytes) -> str:
    return f"    - path: {path}\n      hash: md5\n      md5: {md5(content)}\n      size: {len(content)}\n"


def lock(model: bytes = MODEL) -> str:
    """A dvc.lock: `train` reads data and a script, and writes a model and a figure."""
    return (
        "schema: '2.0'\nstages:\n  train:\n    cmd: python train.py\n    deps:\n"
        + entry("data.csv", DATA)
        + entry("train.py", SCRIPT)
        + "    outs:\n"
        + entry("figure.svg", FIGURE)
        + entry("model.bin", model)
    )


FILES = {
    ".dvc/config": "",
    "data.csv.dvc": f"outs:\n- md5: {md5(DATA)}\n  size: 4\n  path: data.csv\n",
    "dvc.lock": lock(),
    "figure.svg": FIGURE,
    "train.py": SCRIPT,
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose only commit has results."""
    commit(tmp_path / "project", FILES)
    return tmp_path / "project"


def experiment(project: Path, name: str, files: dict[str, str]) -> str:
    """Add an experiment to the last commit, and go back to that; return the experiment's commit."""
    head = git(project, "rev-parse", "HEAD")
    rev = commit(project, files, name)
    git(project, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name}", rev)
    git(project, "reset", "--quiet", "--hard", head)
    return rev


def copy_of(content: bytes, folder: Path) -> str:
    """A file with that content, away from the project."""
    path = folder / "copied"
    path.write_bytes(content)
    return str(path)


def roles(located: Located) -> list[dict[str, str]]:
    return [{path: str(role) for path, role in result.roles.items()} for result in located.results]


def revisions(located: Located) -> list[str]:
    return [result.rev for result in located.results]


VERSIONED = (
    f"outs:\n- path: scans\n  files:\n  - relpath: one.txt\n    md5: {md5(SCAN)}\n    version_id: '7'\n"
)


@pytest.mark.parametrize(
    ("content", "files", "role"),
    [
        (MODEL, {}, {"model.bin": "output of train"}),
        (FIGURE, {}, {"figure.svg": "output of train"}),
        (DATA, {}, {"data.csv": "source data"}),
        (SCRIPT, {}, {"train.py": "read by train"}),
        (b"a note", {"notes/one.txt": "a note"}, {"notes/one.txt": "kept in Git"}),
        (
            b"roc",
            {"plots/roc.svg": "roc", "dvc.lock": lock() + entry("plots", b"any")},
            {"plots/roc.svg": "output of train"},
        ),
        (
            SCAN,
            {"scans.dvc": VERSIONED},
            {"scans": "source data"},
        ),
    ],
    ids=[
        *("an output that DVC keeps", "an output that Git keeps", "source data", "code"),
        *("no stage's", "of an output folder that Git keeps", "of a folder in a store that keeps versions"),
    ],
)
def test_a_file_is_found_by_its_content_in_its_role(
    project: Path, reader: Reader, tmp_path: Path, content: bytes, files: dict[str, str], role: dict[str, str]
) -> None:
    if files:
        commit(project, files)
    assert roles(locate(reader, copy_of(content, tmp_path))) == [role]


@pytest.mark.parametrize(
    ("name", "definition", "role"),
    [
        ("dvclive/dvc.yaml", "artifacts: {net: {path: ../data.csv}}", "made by no stage, artifact net"),
        ("other/dvc.yaml", "artifacts: {net: {path: data.csv}}", "source data"),
        ("data.csv.dvc", f"cmd: make\n{FILES['data.csv.dvc']}", "output of data.csv.dvc"),
    ],
)
def test_what_a_dvc_file_tracks_is_not_always_source_data(
    project: Path, tmp_path: Path, name: str, definition: str, role: str
) -> None:
    commit(project, {name: definition})
    with Reader(project) as reader:
        assert {"data.csv": role} in roles(locate(reader, copy_of(DATA, tmp_path)))


def test_a_file_of_a_tracked_folder(project: Path, reader: Reader, tmp_path: Path) -> None:
    listed = json.dumps([{"md5": md5(SCAN), "relpath": "one.txt"}])
    folder = md5(listed.encode())
    commit(project, {"scans.dvc": f"outs:\n- md5: {folder}.dir\n  path: scans\n"})
    write(project, {f".dvc/cache/files/md5/{folder[:2]}/{folder[2:]}.dir": listed})
    assert roles(locate(reader, copy_of(SCAN, tmp_path))) == [{"scans": "source data"}]


def test_what_made_a_file_comes_before_what_used_it(project: Path, reader: Reader, tmp_path: Path) -> None:
    first = git(project, "rev-parse", "HEAD")
    commit(
        project, {"dvc.lock": lock(b"another"), "model.dvc": f"outs:\n- md5: {md5(MODEL)}\n  path: old.bin\n"}
    )
    second = experiment(project, "later", {"dvc.lock": lock()})
    located = locate(reader, copy_of(MODEL, tmp_path))
    assert revisions(located)[-1] == git(project, "rev-parse", "HEAD")
    assert set(revisions(located)[:2]) == {first, second}


def test_an_experiment_has_its_name(project: Path, reader: Reader, tmp_path: Path) -> None:
    rev = experiment(project, "wide", {"dvc.lock": lock(b"wide")})
    (result,) = locate(reader, copy_of(b"wide", tmp_path)).results
    assert result.experiment is not None
    assert (result.rev, result.experiment.name) == (rev, "wide")


def test_an_experiment_whose_baseline_is_on_no_branch(project: Path, reader: Reader, tmp_path: Path) -> None:
    commit(project, {"dvc.lock": lock(b"gone")})
    experiment(project, "wide", {"dvc.lock": lock(b"wide")})
    git(project, "reset", "--quiet", "--hard", "HEAD~1")
    assert len(locate(reader, copy_of(b"gone", tmp_path)).results) == 1


def test_an_experiment_whose_baseline_is_missing(project: Path, reader: Reader, tmp_path: Path) -> None:
    rev = experiment(project, "wide", {"dvc.lock": lock(b"wide")})
    missing = "1" * 40
    git(project, "update-ref", f"refs/exps/11/{missing[2:]}/moved", rev)
    assert set(revisions(locate(reader, copy_of(b"wide", tmp_path)))) == {rev}


def test_a_commit_that_only_a_tag_has(project: Path, reader: Reader, tmp_path: Path) -> None:
    rev = commit(project, {"dvc.lock": lock(b"tagged")})
    git(project, "tag", "v1")
    git(project, "reset", "--quiet", "--hard", "HEAD~1")
    assert revisions(locate(reader, copy_of(b"tagged", tmp_path))) == [rev]


def test_a_repository_with_long_ids(tmp_path: Path) -> None:
    (tmp_path / "long").mkdir()
    git(tmp_path / "long", "init", "--quiet", "--object-format=sha256")
    commit(tmp_path / "long", FILES)
    with Reader(tmp_path / "long") as reader:
        located = locate(reader, copy_of(FIGURE, tmp_path))
    assert roles(located) == [{"figure.svg": "output of train"}]


def test_a_repository_without_commits(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "--quiet")
    with Reader(tmp_path / "empty") as reader, pytest.raises(NotFoundError):
        locate(reader, copy_of(MODEL, tmp_path))


def test_a_mention_alone_makes_no_result(project: Path, reader: Reader, tmp_path: Path) -> None:
    commit(project, {"environment.json": json.dumps({"lock": md5(b"a lock")})})
    with pytest.raises(NotFoundError):
        locate(reader, copy_of(b"a lock", tmp_path))


def test_an_unknown_file(reader: Reader, tmp_path: Path) -> None:
    target = copy_of(b"not ours", tmp_path)
    with pytest.raises(NotFoundError) as error:
        locate(reader, target)
    assert str(error.value) == (
        f"{target}: no experiment and no commit of a branch or tag has a file with this content"
    )


def test_a_revision_that_cannot_be_read_is_left_out_and_named(
    project: Path, reader: Reader, tmp_path: Path
) -> None:
    good = git(project, "rev-parse", "HEAD")
    bad = commit(project, {"dvc.lock": lock() + "    - path: [\n"})
    located = locate(reader, copy_of(MODEL, tmp_path))
    assert revisions(located) == [good]
    assert [line.partition(": ")[0] for line in located.left_out] == [f"{bad[:7]}:dvc.lock"]


def test_a_file_that_only_unreadable_revisions_have_is_not_simply_unknown(
    project: Path, reader: Reader, tmp_path: Path
) -> None:
    bad = commit(project, {"dvc.lock": lock(b"wide") + "    - path: [\n"})
    with pytest.raises(NotFoundError) as error:
        locate(reader, copy_of(b"wide", tmp_path))
    assert error.value.hint.startswith(f"left out: {bad[:7]}:dvc.lock: ")


def test_the_name_or_the_short_commit_id_of_an_experiment(project: Path, reader: Reader) -> None:
    rev = experiment(project, "wide", {"dvc.lock": lock(b"wide")})
    assert revisions(locate(reader, "wide")) == [rev]
    (result,) = locate(reader, rev[:9]).results
    assert result.experiment is not None
    assert result.experiment.name == "wide"


def test_a_name_that_experiments_of_two_baselines_share(project: Path, reader: Reader) -> None:
    first = experiment(project, "wide", {"dvc.lock": lock(b"one")})
    commit(project, {"note.txt": "next"})
    second = experiment(project, "wide", {"dvc.lock": lock(b"two")})
    assert set(revisions(locate(reader, "wide"))) == {first, second}


def test_a_revision(project: Path, reader: Reader) -> None:
    (result,) = locate(reader, "HEAD").results
    assert (result.rev, result.experiment, result.roles) == (git(project, "rev-parse", "HEAD"), None, {})


@pytest.mark.parametrize("name", ["nobody", "two\nlines", "HEAD\nHEAD", "", "0" * 32])
def test_an_unknown_name(reader: Reader, name: str) -> None:
    with pytest.raises(NotFoundError) as error:
        locate(reader, name)
    assert str(error.value).startswith(f"{name}: no file, experiment")


def test_an_uncommitted_result(project: Path, reader: Reader, tmp_path: Path) -> None:
    write(project, {"dvc.lock": lock(b"new"), "model.bin": b"new"})
    (result,) = locate(reader, copy_of(b"new", tmp_path)).results
    assert result.uncommitted == ["execution"]
    assert {path: str(role) for path, role in result.roles.items()} == {"model.bin": "output of train"}


def test_each_uncommitted_coordinate_is_named_and_the_params_that_changed(
    project: Path, reader: Reader, tmp_path: Path
) -> None:
    params = "    params:\n      params.yaml:\n        lr: {}\n"
    pipeline = (
        "stages:\n  train:\n    cmd: python train.py\n    deps: [data.csv, train.py]\n    params: [lr]\n"
    )
    pipeline += "    outs: [figure.svg, model.bin]\n"
    committed = lock().replace("    outs:\n", params.format(1) + "    outs:\n")
    commit(project, {"dvc.lock": committed, "dvc.yaml": pipeline, "params.yaml": "lr: 1\n"})
    changed = lock(b"new").replace("    outs:\n", params.format(2) + "    outs:\n")
    changed = changed.replace(entry("train.py", SCRIPT), entry("train.py", b"other"))
    write(project, {"dvc.lock": changed, "params.yaml": "lr: 2\n", "train.py": b"other", "model.bin": b"new"})
    for target in (str(project / "model.bin"), copy_of(b"new", tmp_path)):
        (result,) = locate(reader, target).results
        assert result.uncommitted == ["code", "params", "execution"]
        assert report_on(reader, result, None).params_changed == {"lr": (1, 2)}


def test_an_output_that_is_not_as_the_workspace_s_lock_says_is_no_result(
    project: Path, reader: Reader, tmp_path: Path
) -> None:
    write(project, {"dvc.lock": lock(b"new"), "model.bin": b"edited"})
    with pytest.raises(NotFoundError):
        locate(reader, copy_of(b"edited", tmp_path))


def test_a_committed_result_is_not_called_uncommitted(project: Path, reader: Reader) -> None:
    write(project, {"model.bin": MODEL})
    (result,) = locate(reader, str(project / "model.bin")).results
    assert result.uncommitted == []


def test_another_project_below_makes_no_result_uncommitted(project: Path, reader: Reader) -> None:
    commit(project, {"other/.dvc/config": "", "other/dvc.lock": lock(b"other"), "model.bin": MODEL})
    located = locate(reader, str(project / "model.bin"))
    assert [result.uncommitted for result in located.results if result.uncommitted] == []


def test_a_workspace_that_cannot_be_read_is_named(project: Path, reader: Reader, tmp_path: Path) -> None:
    write(project, {"dvc.lock": lock(b"new") + "    - path: [\n"})
    located = locate(reader, copy_of(MODEL, tmp_path))
    assert len(located.results) == 1
    assert [line.split()[0:2] for line in located.left_out] == [["workspace", "on"]]


def test_a_workspace_is_read_as_dvc_reads_it(project: Path, reader: Reader, tmp_path: Path) -> None:
    write(project, {".dvcignore": "/templates\n", "templates/raw.dvc": "{{ outs }\n"})
    write(project, {"dvc.lock": lock(b"new"), "model.bin": b"new"})
    (result,) = locate(reader, copy_of(b"new", tmp_path)).results
    assert result.uncommitted == ["execution"]


def test_a_project_in_a_folder_whose_name_begins_with_a_dot(tmp_path: Path) -> None:
    commit(tmp_path, {f".ml/{path}": content for path, content in FILES.items()})
    with Reader(tmp_path / ".ml") as reader:
        located = locate(reader, copy_of(MODEL, tmp_path))
        with pytest.raises(NotFoundError, match=r"has a file with this content in \.ml$"):
            locate(reader, copy_of(b"not ours", tmp_path))
    assert roles(located) == [{"model.bin": "output of train"}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder away from the project."""
    write(tmp_path / "copied", {"one.txt": SCAN, "two.txt": FIGURE})
    return tmp_path / "copied"


def folder_lock(folder: Path, path: str = "net") -> str:
    """A dvc.lock whose `train` also writes that folder."""
    return lock() + f"    - path: {path}\n      hash: md5\n      md5: {md5_of(folder)}\n      size: 10\n"


def test_a_folder_that_dvc_keeps(project: Path, reader: Reader, folder: Path) -> None:
    rev = commit(project, {"dvc.lock": folder_lock(folder)})
    located = locate(reader, str(folder))
    assert (revisions(located), roles(located)) == ([rev], [{"net": "output of train"}])


def test_a_folder_in_a_store_that_keeps_versions(project: Path, reader: Reader, folder: Path) -> None:
    files = "".join(
        f"  - {{relpath: {name}, md5: {md5(content)}}}\n"
        for name, content in (("one.txt", SCAN), ("two.txt", FIGURE))
    )
    commit(project, {"net.dvc": f"outs:\n- path: net\n  hash: md5\n  files:\n{files}"})
    assert roles(locate(reader, str(folder))) == [{"net": "source data"}]


def test_a_folder_that_git_keeps(project: Path, reader: Reader, folder: Path) -> None:
    commit(project, {"sub/net/one.txt": SCAN, "sub/net/two.txt": FIGURE})
    assert roles(locate(reader, str(folder))) == [{"sub/net": "kept in Git"}]


def test_a_folder_of_files_from_elsewhere(project: Path, reader: Reader, tmp_path: Path) -> None:
    write(tmp_path / "talk", {"a.svg": FIGURE, "b.bin": MODEL, "notes.txt": "mine"})
    first = git(project, "rev-parse", "HEAD")
    commit(project, {"dvc.lock": lock(b"other")})
    located = locate(reader, str(tmp_path / "talk"))
    assert revisions(located) == [first]
    assert roles(located) == [{"figure.svg": "output of train", "model.bin": "output of train"}]


def test_a_folder_of_the_workspace_that_is_not_committed(project: Path, reader: Reader, folder: Path) -> None:
    write(project, {"dvc.lock": folder_lock(folder), "net/one.txt": SCAN, "net/two.txt": FIGURE})
    (result,) = locate(reader, str(folder)).results
    assert {path: str(role) for path, role in result.roles.items()} == {"net": "output of train"}
    assert result.uncommitted == ["execution"]


def test_an_unknown_folder(reader: Reader, tmp_path: Path) -> None:
    write(tmp_path / "other", {"a": "no"})
    with pytest.raises(NotFoundError, match="has the content of this folder, nor of a file in it"):
        locate(reader, str(tmp_path / "other"))


@pytest.mark.parametrize("name", [".", ".."])
def test_a_folder_around_the_project_is_not_hashed(
    project: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(project)
    with pytest.raises(NotFoundError, match="no file, experiment"):
        locate(reader, name)


def test_an_experiment_comes_before_a_folder_of_its_name(
    project: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    rev = experiment(project, "wide", {"dvc.lock": lock(b"wide")})
    write(project, {"wide/a.svg": FIGURE})
    monkeypatch.chdir(project)
    assert revisions(locate(reader, "wide")) == [rev]


def test_a_text_that_an_older_dvc_hashed_with_the_line_breaks_of_unix(
    project: Path, reader: Reader, tmp_path: Path
) -> None:
    entries = f"outs:\n- md5: {md5(b'a' + bytes([10]))}\n  path: old.txt\n"
    commit(
        project,
        {
            "old.txt.dvc": entries,
            "new.txt.dvc": entries.replace("path", "hash: md5\n  path").replace("old", "new"),
        },
    )
    assert roles(locate(reader, copy_of(b"a\r\n", tmp_path))) == [{"old.txt": "source data"}]


def test_folders_whose_lists_are_missing_are_told_where_nothing_is_found(
    project: Path, reader: Reader, tmp_path: Path
) -> None:
    commit(project, {"scans.dvc": f"outs:\n- md5: {'a' * 32}.dir\n  path: scans\n"})
    with pytest.raises(NotFoundError) as error:
        locate(reader, copy_of(SCAN, tmp_path))
    assert error.value.hint == (
        "left out: lists of files in tracked folders, 1 of which are not in this machine's DVC cache; "
        "`dvc fetch --all-commits` gets them, with the files"
    )


LISTING = json.dumps([{"md5": md5(b"roc"), "relpath": "roc.svg"}])
TRACKED = f"    - path: plots\n      hash: md5\n      md5: {md5(LISTING.encode())}.dir\n"
CACHED = f".dvc/cache/files/md5/{md5(LISTING.encode())[:2]}/{md5(LISTING.encode())[2:]}.dir"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("model.bin", {"model.bin": "output of train"}),
        ("data.csv", {"data.csv": "source data"}),
        ("figure.svg", {"figure.svg": "output of train"}),
        ("train.py", {"train.py": "read by train"}),
        ("plots", {"plots": "output of train"}),
        ("plots/roc.svg", {"plots": "output of train"}),
    ],
)
def test_a_path_whose_file_is_not_here_is_answered_from_the_record(
    project: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch, path: str, expected: dict[str, str]
) -> None:
    """A clone has what `dvc.lock`, `.dvc` files and Git say of a file, and need not have the file."""
    revs = [git(project, "rev-parse", "HEAD")] if "plots" not in path else []
    revs.append(commit(project, {"dvc.lock": lock() + TRACKED}))
    for name in ("figure.svg", "train.py"):
        (project / name).unlink()
    monkeypatch.chdir(project)
    located = locate(reader, path)
    assert roles(located) == [expected] * len(revs)
    assert sorted(revisions(located)) == sorted(revs)
    (note,) = located.notes
    assert note.startswith(f"{path}: not here; this is what {revs[-1][:7]} records of it")
    assert ("dvc pull" in note) == (path not in ("figure.svg", "train.py"))


def test_a_path_in_a_tracked_folder_whose_list_is_here(
    project: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(project, {"dvc.lock": lock() + TRACKED})
    write(project, {CACHED: LISTING})
    monkeypatch.chdir(project)
    assert roles(locate(reader, "plots/roc.svg")) == [{"plots": "output of train"}]
    with pytest.raises(NotFoundError, match=r"plots/other\.svg: no file"):
        locate(reader, "plots/other.svg")


def test_a_path_that_is_recorded_without_a_hash(
    project: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(project, {"far.csv.dvc": "deps:\n- path: s3://far/far.csv\n  etag: aa\nouts:\n- path: far.csv\n"})
    monkeypatch.chdir(project)
    assert roles(locate(reader, "far.csv")) == [{"far.csv": "source data"}]
