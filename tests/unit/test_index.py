"""An index of many repositories: what is read into it, what is found in it, and what is said of the rest."""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_dvc
from figures import curves, picture, saved, scaled
from tiny_git import commit, experiment, git, md5, write

from locatable.cli import main
from locatable.errors import ProjectError
from locatable.index import reading, refresh, repositories, writing

PIPELINE = """
stages:
  train:
    cmd: x
    deps: [train.py]
    params: [lr]
    metrics: [metrics.json: {cache: false}]
    outs: [model.bin]
"""


def results(lr: float, loss: float) -> dict[str, str]:
    """A project in which DVC keeps the model, and Git the metrics, as DVC itself records them."""
    metrics = json.dumps({"loss": loss})
    lock = f"""schema: '2.0'
stages:
  train:
    cmd: x
    deps:
    - {{path: train.py, hash: md5, md5: {md5("print()")}}}
    params: {{params.yaml: {{lr: {lr}}}}}
    outs:
    - {{path: metrics.json, hash: md5, md5: {md5(metrics)}}}
    - {{path: model.bin, hash: md5, md5: {md5(f"model {lr}")}}}
"""
    files = {".dvc/config": "", "dvc.yaml": PIPELINE, "dvc.lock": lock, "train.py": "print()"}
    return files | {"params.yaml": f"lr: {lr}\n", "metrics.json": metrics}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the current one and in no repository, with an index of its own."""
    monkeypatch.setenv("LOCATABLE_INDEX", str(tmp_path / "shared/index.sqlite"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def found(place: Path, capsys: pytest.CaptureFixture[str]):
    """What `locate --everywhere --json` says; nothing where it finds nothing."""

    def call(target: str | Path) -> list[dict]:
        capsys.readouterr()
        exit_code = main(["locate", "--everywhere", str(target), "--json"])
        said = capsys.readouterr()
        return [] if exit_code else json.loads(said.out)

    return call


def said(capsys: pytest.CaptureFixture[str], *command: str | Path) -> tuple[int, str]:
    """Exit code, and all that a command prints."""
    exit_code = main(list(map(str, command)))
    output = capsys.readouterr()
    return exit_code, output.out + output.err


def bare(source: Path) -> str:
    """The URL of a repository without a checkout, in which everything of another one is."""
    folder = source.with_suffix(".git")
    git(source.parent, "clone", "--quiet", "--mirror", str(source), str(folder))
    return f"file://{folder}"


def test_a_file_that_dvc_keeps_leads_to_what_made_it(place: Path, tmp_path: Path, found) -> None:
    first = commit(tmp_path / "one", results(0.1, 0.5))
    commit(tmp_path / "one", results(0.2, 0.4))
    write(place, {"copy.bin": "model 0.1"})
    main(["index", "add", str(tmp_path / "one")])
    (told,) = found("copy.bin")
    assert (told["repository"], told["rev"]) == (str(tmp_path / "one"), first)
    assert told["roles"] == {"model.bin": "output of train"}
    assert told["coordinates"]["params"]["content"] == {"lr": 0.1}
    assert told["coordinates"]["execution"]["content"]["commit"] == first
    assert f"git checkout --detach {first}" in told["rebuild"]


def test_it_says_what_locate_says_in_the_repository(
    place: Path, tmp_path: Path, found, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(tmp_path / "one", results(0.1, 0.5))
    experiment(tmp_path / "one", results(0.2, 0.4), "weak")
    main(["index", "add", str(tmp_path / "one")])
    (told,) = found("weak")
    capsys.readouterr()
    monkeypatch.chdir(tmp_path / "one")
    main(["locate", "weak", "--json"])
    (expected,) = json.loads(capsys.readouterr().out)
    assert expected["params_changed"] == {"lr": [0.1, 0.2]}
    # To bring it into a workspace is for a checkout.
    assert {key: told[key] for key in expected} == expected | {"apply": ""}


def test_experiments_of_a_url_are_fetched_and_nothing_is_checked_out(
    place: Path, tmp_path: Path, found
) -> None:
    commit(tmp_path / "one", results(0.1, 0.5))
    rev = experiment(tmp_path / "one", results(0.2, 0.4), "weak")
    url = bare(tmp_path / "one")
    write(place, {"copy": json.dumps({"loss": 0.4})})
    main(["index", "add", url])
    (told,) = found("copy")
    assert (told["repository"], told["rev"], told["experiment"]["name"]) == (url, rev, "weak")
    assert told["roles"] == {"metrics.json": "output of train"}
    assert told["rebuild"][0] == f"git clone {url} project && cd project"
    assert not list((tmp_path / "cache").rglob("train.py"))


def test_of_several_repositories_the_one_whose_stage_made_a_file_comes_first(
    place: Path, tmp_path: Path, found
) -> None:
    metrics = json.dumps({"loss": 0.5})
    commit(tmp_path / "copied", {"copy.json": metrics})
    commit(tmp_path / "made", results(0.1, 0.5))
    write(place, {"mine.json": metrics})
    main(["index", "add", str(tmp_path / "copied"), str(tmp_path / "made")])
    roles = [(Path(told["repository"]).name, told["roles"]) for told in found("mine.json")]
    assert roles == [("made", {"metrics.json": "output of train"}), ("copied", {"copy.json": "kept in Git"})]


def test_a_refresh_reads_what_is_new(
    place: Path, tmp_path: Path, found, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(tmp_path / "one", results(0.1, 0.5))
    url = bare(tmp_path / "one")
    main(["index", "add", url])
    git(tmp_path / "one", "push", "--quiet", url, "HEAD")
    rev = commit(tmp_path / "one", results(0.2, 0.4))
    assert found(rev[:10]) == []
    git(tmp_path / "one", "push", "--quiet", url, "HEAD")
    assert f"{url}: new results: 1" in said(capsys, "index", "refresh")[1]
    assert [told["rev"] for told in found(rev[:10])] == [rev]
    assert f"{url}: new results: 0" in said(capsys, "index", "refresh")[1]


@pytest.mark.parametrize("name", ["wide/model", "paper", "released"])
def test_a_branch_or_tag_leads_to_its_commit_as_it_is_now(
    place: Path, tmp_path: Path, found, name: str
) -> None:
    repository = tmp_path / "one"
    first = commit(repository, results(0.1, 0.5))
    git(repository, "branch", "wide/model")
    git(repository, "tag", "paper")
    git(repository, "tag", "--annotate", "released", "--message", "x")
    url = bare(repository)
    main(["index", "add", url])
    assert [told["rev"] for told in found(name)] == [first]
    second = commit(repository, results(0.2, 0.4))
    full_name = git(repository, "rev-parse", "--symbolic-full-name", name)
    git(repository, "push", "--quiet", "--force", url, f"{second}:{full_name}")
    main(["index", "refresh"])
    assert [told["rev"] for told in found(name)] == [second]


def test_the_line_for_cron_reads_what_is_new(place: Path, tmp_path: Path, found) -> None:
    page = Path(__file__).parents[2] / "docs/how-to/everywhere.md"
    (line,) = re.findall(r"^```cron\n\S+ \S+ \S+ \S+ \S+ (.*)\n```$", page.read_text(), re.MULTILINE)
    commit(tmp_path / "one", results(0.1, 0.5))
    main(["index", "add", str(tmp_path / "one")])
    rev = commit(tmp_path / "one", results(0.2, 0.4))
    program = f'{sys.executable} -m locatable "$@"'
    command = line.replace("/shared/index.sqlite", str(tmp_path / "shared/index.sqlite"))
    # Cron has the user's home, and few variables.
    subprocess.run(("sh", "-c", f"locatable() {{ {program}; }}; {command}"), cwd="/", check=True)
    assert [told["rev"] for told in found(rev)] == [rev]


def test_a_repository_that_is_gone_stays_known_with_since_when(
    place: Path, tmp_path: Path, found, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(tmp_path / "one", results(0.1, 0.5))
    write(place, {"copy.bin": "model 0.1"})
    main(["index", "add", str(tmp_path / "one")])
    shutil.rmtree(tmp_path / "one")
    assert said(capsys, "index", "refresh")[0] == 1
    (told,) = found("copy.bin")
    assert f"UNREACHABLE since {told['unreachable_since']}" in said(capsys, "index")[1]
    assert "UNREACHABLE since" in said(capsys, "locate", "--everywhere", "copy.bin")[1]


def test_a_result_that_is_removed_is_gone_and_another_one_takes_its_place(
    place: Path, tmp_path: Path, found
) -> None:
    commit(tmp_path / "one", results(0.1, 0.5))
    experiment(tmp_path / "one", results(0.2, 0.4), "first")
    main(["index", "add", str(tmp_path / "one")])
    write(place, {"copy.bin": "model 0.2"})
    (ref,) = git(tmp_path / "one", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    git(tmp_path / "one", "update-ref", "-d", ref)
    main(["index", "refresh"])
    (told,) = found("copy.bin")
    assert told["experiment"]["name"] == "first"
    assert told["gone_since"]
    kept = commit(tmp_path / "one", results(0.2, 0.4))
    main(["index", "refresh"])
    (told,) = found("copy.bin")
    assert (told["rev"], told["gone_since"]) == (kept, None)


def test_a_file_in_a_folder_that_dvc_tracks_is_found_once_its_list_is_in_the_cache(
    place: Path, tmp_path: Path, found, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "one"
    tiny_dvc.with_results(project, {"data/a.txt": "a in data", "data/b.txt": "b in data"}, "data")
    shutil.move(project / ".dvc/cache", tmp_path / "away")
    write(place, {"copy.txt": "b in data"})
    main(["index", "add", str(project)])
    assert "files in tracked folders (1)" in said(capsys, "locate", "--everywhere", "copy.txt")[1]
    shutil.move(tmp_path / "away", project / ".dvc/cache")
    main(["index", "refresh"])
    (told,) = found("copy.txt")
    assert told["roles"] == {"data/b.txt": "source data"}


def test_a_metric_in_the_dvc_cache_is_found_once_it_is_there(place: Path, tmp_path: Path, found) -> None:
    project = tmp_path / "one"
    pipeline = """stages: {train: {cmd: "echo 'loss: 0.75' > m.yaml", metrics: [m.yaml]}}"""
    tiny_dvc.with_results(project, {"dvc.yaml": pipeline})
    shutil.move(project / ".dvc/cache", tmp_path / "away")
    main(["index", "add", str(project)])
    assert found("loss 0.75") == []
    shutil.move(tmp_path / "away", project / ".dvc/cache")
    main(["index", "refresh"])
    (told,) = found("loss 0.75")
    assert told["roles"] == {"m.yaml:loss": "metric, 0.75"}


def test_projects_in_folders_of_a_repository_are_read_each(place: Path, tmp_path: Path, found) -> None:
    files = {f"two/{path}": content for path, content in results(0.1, 0.5).items()}
    commit(tmp_path / "one", files | {"README.md": "outside"})
    write(place, {"copy.bin": "model 0.1", "readme": "outside"})
    main(["index", "add", bare(tmp_path / "one")])
    (told,) = found("copy.bin")
    assert (told["folder"], told["roles"]) == ("two", {"model.bin": "output of train"})
    assert "cd two" in told["rebuild"]
    (told,) = found("readme")
    assert (told["folder"], told["roles"]) == ("", {"README.md": "kept in Git"})


def test_a_folder_that_leads_out_of_a_clone_is_left_alone(place: Path, tmp_path: Path) -> None:
    commit(tmp_path / "one", {".dvc/config": ""})
    tree = git(tmp_path / "one", "rev-parse", "HEAD^{tree}")
    entry = b"40000 ..\0" + bytes.fromhex(tree)
    hash_object = ("git", "hash-object", "-t", "tree", "-w", "--literally", "--stdin")
    made = subprocess.run(hash_object, cwd=tmp_path / "one", input=entry, capture_output=True, check=True)
    rev = git(tmp_path / "one", "commit-tree", "-m", "Lead away", made.stdout.decode().strip())
    git(tmp_path / "one", "update-ref", "refs/heads/away", rev)
    url = bare(tmp_path / "one")
    assert main(["index", "add", url]) == 0
    clones = tmp_path / "cache/locatable/repositories"
    assert [path for path in clones.rglob(".dvc") if path.parent.parent != clones] == []
    assert not (clones / ".dvc").exists()


def test_a_revision_with_a_broken_file_is_said_to_be_left_out(
    place: Path, tmp_path: Path, found, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = commit(tmp_path / "one", results(0.1, 0.5) | {"dvc.lock": "{"})
    commit(tmp_path / "one", results(0.1, 0.5))
    main(["index", "add", str(tmp_path / "one")])
    write(place, {"foreign": "foreign", "copy.py": "print()"})
    text = said(capsys, "locate", "--everywhere", "foreign")[1]
    assert f"parts of revisions (1), such as {tmp_path / 'one'} {broken[:7]}:dvc.lock" in text
    (told,) = found("copy.py")
    assert told["roles"] == {"train.py": "read by train"}


@pytest.mark.parametrize(
    ("target", "keys"),
    [
        ("0.50", {"metrics.json:loss": "metric, 0.5"}),
        ("loss 0.5", {"metrics.json:loss": "metric, 0.5"}),
        ("50 %", {"metrics.json:loss": "metric, 0.5"}),
        ("lr = 0.1", {"lr": "param, 0.1"}),
        ("lr 0.5", None),
        ("0.51", None),
    ],
)
def test_a_number_leads_to_the_oldest_result_that_rounds_to_it(
    place: Path, tmp_path: Path, found, target: str, keys: dict[str, str] | None
) -> None:
    rev = commit(tmp_path / "one", results(0.1, 0.5))
    commit(tmp_path / "one", {"other.txt": "x"})
    main(["index", "add", str(tmp_path / "one")])
    assert [(told["rev"], told["roles"]) for told in found(target)] == ([(rev, keys)] if keys else [])


def test_a_removed_repository_leaves_nothing_in_the_file(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(tmp_path / "one", {"secret-name.txt": "x"})
    commit(tmp_path / "two", {"other.txt": "y"})
    main(["index", "add", str(tmp_path / "one"), str(tmp_path / "two")])
    file = tmp_path / "shared/index.sqlite"
    assert b"secret-name.txt" in file.read_bytes()
    main(["index", "remove", str(tmp_path / "one")])
    assert b"secret-name.txt" not in file.read_bytes()
    assert b"other.txt" in file.read_bytes()


def test_an_address_with_a_password_is_refused_and_not_shown(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code, text = said(capsys, "index", "add", "https://ada:hunter2@example.org/one.git")
    assert exit_code == 1
    assert "credential helper" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"no database", "file is not a database"), (b"", "not an index of locatable")],
)
def test_a_file_that_is_no_index_is_said_in_a_line(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, reason: str
) -> None:
    write(tmp_path, {"shared/index.sqlite": content})
    for command in (("locate", "--everywhere", "abc"), ("index", "refresh"), ("index",)):
        exit_code, text = said(capsys, *command)
        assert exit_code == 1
        assert reason in text
        assert text.count("\n") == 1


@pytest.mark.parametrize(("version", "words"), [(99, "newer locatable"), (1, "an older locatable made it")])
def test_an_index_of_another_version_is_said_and_left_as_it_is(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], version: int, words: str
) -> None:
    commit(tmp_path / "one", {"a": "a"})
    main(["index", "add", str(tmp_path / "one")])
    file = tmp_path / "shared/index.sqlite"
    with sqlite3.connect(file) as db:
        db.execute(f"PRAGMA user_version = {version}")
    before = file.read_bytes()
    exit_code, text = said(capsys, "index", "refresh")
    assert exit_code == 1
    assert words in text
    assert file.read_bytes() == before


def test_of_two_who_write_at_the_same_time_the_later_one_is_told(place: Path, tmp_path: Path) -> None:
    commit(tmp_path / "one", {"a": "a"})
    main(["index", "add", str(tmp_path / "one")])
    file = tmp_path / "shared/index.sqlite"
    with pytest.raises(ProjectError, match="another process has changed it"), writing(file):
        main(["index", "remove", str(tmp_path / "one")])
    with reading(file) as db:
        assert repositories(db) == []


def test_what_was_read_before_ctrl_c_stays(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read_new = refresh.read_new

    def interrupted(db: sqlite3.Connection, source: str) -> int:
        if source.endswith("two"):
            raise KeyboardInterrupt
        return read_new(db, source)

    monkeypatch.setattr(refresh, "read_new", interrupted)
    for name in ("one", "two"):
        commit(tmp_path / name, {"a": name})
    assert main(["index", "add", str(tmp_path / "one"), str(tmp_path / "two")]) == 130
    text = said(capsys, "index")[1]
    assert f"{tmp_path / 'one'}  results: 1  experiments: 0" in text
    assert str(tmp_path / "two") not in text


def test_readers_need_no_right_to_write(place: Path, tmp_path: Path, found) -> None:
    rev = commit(tmp_path / "one", results(0.1, 0.5))
    main(["index", "add", str(tmp_path / "one")])
    (tmp_path / "shared/index.sqlite").chmod(0o444)
    (tmp_path / "shared").chmod(0o555)
    assert [told["rev"] for told in found(rev)] == [rev]
    (tmp_path / "shared").chmod(0o755)


@pytest.fixture
def figures(place: Path, tmp_path: Path) -> Path:
    """The current folder; two repositories with figures are in the index, one by its URL."""
    commit(tmp_path / "one", {".dvc/config": "", "loss.png": curves(1)})
    commit(
        tmp_path / "two",
        {".dvc/config": "", "plots/loss.png": curves(2), "loss.pdf": curves(2, format="pdf")},
    )
    main(["index", "add", bare(tmp_path / "one"), str(tmp_path / "two")])
    return place


@pytest.mark.parametrize(
    ("name", "content", "match", "repository", "path"),
    [
        ("same.png", curves(1), "", "one.git", "loss.png"),
        (
            "stripped.png",
            saved(picture(curves(2)), "PNG", optimize=True),
            "same pixels",
            "two",
            "plots/loss.png",
        ),
        ("small.png", saved(scaled(curves(1), 0.6), "PNG"), "most similar", "one.git", "loss.png"),
        ("draft.pdf", saved(scaled(curves(1), 0.6), "PDF"), "most similar", "one.git", "loss.png"),
        ("paper.pdf", curves(2, format="pdf"), "same bytes", "two", "loss.pdf"),
    ],
)
def test_a_changed_copy_of_a_figure_leads_to_its_repository(
    figures: Path, found, name: str, content: bytes, match: str, repository: str, path: str
) -> None:
    write(figures, {name: content})
    (told,) = found(name)
    assert (told["match"] or "same bytes", list(told["roles"])) == (match or "same bytes", [path])
    assert told["repository"].endswith(f"/{repository}")


def test_figures_of_a_document_are_told_by_their_places(
    figures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs, foreign = picture(curves(1)), picture(curves(99))
    theirs.save(figures / "paper.pdf", save_all=True, append_images=[foreign])
    exit_code, text = said(capsys, "locate", "--everywhere", "paper.pdf")
    assert exit_code == 0
    assert re.search(r"^page 1  most similar \(a lead\)  file://\S+/one.git$", text, re.MULTILINE)
    assert "page 2: not a known figure" in text


def test_a_foreign_figure_is_refused(figures: Path, found) -> None:
    write(figures, {"foreign.png": curves(99)})
    assert found("foreign.png") == []


def test_who_has_no_clone_is_told_that_figures_were_not_compared(
    figures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(tmp_path / "cache")
    shutil.rmtree(tmp_path / "two")
    write(figures, {"small.png": saved(scaled(curves(1), 0.6), "PNG"), "same.png": curves(1)})
    exit_code, text = said(capsys, "locate", "--everywhere", "small.png")
    assert exit_code == 1
    assert "not a known figure; not compared with some of " in text
    assert f"{tmp_path / 'two'}, file://{tmp_path / 'one.git'}" in text
    assert said(capsys, "locate", "--everywhere", "same.png")[0] == 0


@pytest.mark.parametrize("options", [("--cite",), ("--rev", "HEAD")])
def test_what_needs_the_repository_itself_is_refused(
    options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code, text = said(capsys, "locate", "--everywhere", "abc", *options)
    assert (exit_code, "need a clone of the repository" in text) == (2, True)
