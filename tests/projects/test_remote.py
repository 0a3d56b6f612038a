"""The DVC remote that a project has by default, a relative folder, for a user who cannot write to `/`.

For commits that are not checked out, DVC itself looks for such a folder in `/`.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from hashlib import md5
from pathlib import Path

import pytest
from support import as_ordinary_user, generate, run
from test_docs import SET_UP, Shell, ours

Command = Callable[..., subprocess.CompletedProcess[str]]
TABLES = ["x,y\n1,2\n", "x,y\n3,4\n"]
STAGE = "stages: {copy: {cmd: cp params.yaml copy.yaml, params: [train.seed], outs: [copy.yaml]}}\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder of the user."""
    place = tmp_path / "place"
    (place / "home").mkdir(parents=True)
    (place / "home/.gitconfig").write_text("[user]\nname = Ada\nemail = ada@example.org\n")
    return place


@pytest.fixture
def project(place: Path) -> Path:
    """A project that was just generated."""
    return generate(place)


@pytest.fixture
def ada(project: Path, place: Path, env: Mapping[str, str]) -> Command:
    """Run a command as an ordinary user, in the project unless another folder is given."""
    start = as_ordinary_user(place)
    identity = {"HOME": str(place / "home"), "XDG_CACHE_HOME": str(place / "jürgen")}

    def call(*command: str | Path, cwd: Path = project, **options: object):
        return run(*start, *command, cwd=cwd, env={**env, **identity}, **options)

    return call


@pytest.fixture
def set_up(ada: Command) -> Command:
    """Write the settings of DVC that each clone has of its own."""
    return lambda **options: ada("python", "-c", SET_UP, **options)


@pytest.fixture
def history(project: Path, ada: Command, set_up: Command) -> list[str]:
    """Commit two tables in place of the example; returns the hashes of all three, oldest first."""
    hashes = [md5((project / "data/raw.csv").read_bytes(), usedforsecurity=False).hexdigest()]
    (project / "dvc.yaml").write_text(STAGE)
    set_up()
    for table in TABLES:
        (project / "data/raw.csv").write_text(table)
        ada("dvc", "add", "--quiet", "data/raw.csv")
        ada("git", "commit", "--quiet", "--all", "--message", table)
        hashes.append(md5(table.encode(), usedforsecurity=False).hexdigest())
    return hashes


def stored(folder: Path) -> set[str]:
    """Hashes of the files that a DVC remote or cache holds."""
    return {path.parent.name + path.name for path in folder.rglob("files/md5/*/*")}


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user already")
def test_an_ordinary_user_owns_what_they_write_and_writes_nowhere_else(ada, place, tmp_path):
    ada("touch", place / "own")
    assert (place / "own").stat().st_uid != 0
    for other in (tmp_path / "other", Path("/of-an-ordinary-user")):
        assert "Permission denied" in ada("touch", other, code=1).stderr


def test_the_data_of_every_commit_is_pushed_to_the_folder_beside_the_project(ada, place, history):
    pushed = ada("dvc", "push", "--all-commits")
    assert stored(place / "tumour-classifier-dvc") == set(history)
    # The table that came with the project is among them, though nobody has used it.
    assert "Missing cache files" not in pushed.stderr


def test_a_colleague_gets_the_data_of_an_older_commit(ada, project, place, history):
    ada("dvc", "push", "--all-commits")
    ada("git", "clone", "--quiet", project, place / "clone")
    ada("git", "checkout", "--quiet", "HEAD~1", cwd=place / "clone")
    ada("dvc", "pull", "data/raw.csv", cwd=place / "clone")
    assert (place / "clone/data/raw.csv").read_text() == TABLES[0]


def test_a_colleague_gets_the_data_of_all_commits_and_of_experiments(ada, set_up, project, place, history):
    ada("git", "clone", "--quiet", "--bare", project, place / "server.git")
    ada("git", "remote", "add", "origin", place / "server.git")
    ada("dvc", "push", "--all-commits")
    ada("dvc", "exp", "run", "--quiet", "--temp", "--name", "two", "-S", "train.seed=2")
    ada("dvc", "exp", "push", "--quiet", "origin", "two")
    clone = place / "clone"
    ada("git", "clone", "--quiet", place / "server.git", clone)
    set_up(cwd=clone)
    ada("dvc", "fetch", "--all-commits", cwd=clone)
    assert stored(clone / ".dvc/cache") == set(history)
    ada("dvc", "exp", "pull", "--quiet", "origin", "two", cwd=clone)
    assert len(stored(clone / ".dvc/cache")) == len(history) + 1


def test_after_a_push_that_failed_the_next_one_brings_all(ada, set_up, project, place, history):
    (project / ".dvc/config.local").unlink()
    assert ada("dvc", "push", "--all-commits", code=None).returncode != 0
    set_up()
    ada("dvc", "push", "--all-commits")
    assert stored(place / "tumour-classifier-dvc") == set(history)


def test_a_project_that_was_moved_has_its_remote_beside_it(ada, project, place, history):
    (place / "elsewhere").mkdir()
    as_ordinary_user(place / "elsewhere")
    moved = Path(shutil.move(project, place / "elsewhere"))
    ada("dvc", "push", "--all-commits", cwd=moved)
    assert stored(place / "elsewhere/tumour-classifier-dvc") == set(history)
    assert not (place / "tumour-classifier-dvc").exists()


@pytest.mark.parametrize(
    ("committed", "own", "counts"),
    [
        ("../shared", "../tumour-classifier-dvc", "{place}/shared"),
        ("s3://bucket/path", "../tumour-classifier-dvc", "s3://bucket/path"),
        ("/srv/shared", "", "/srv/shared"),
        ("../shared", "/mnt/own", "/mnt/own"),
        ("../größe", "", "{place}/größe"),
    ],
)
def test_a_set_up_clone_follows_what_is_committed_but_not_over_the_user_s_own(
    ada, set_up, project, place, committed, own, counts
):
    local = ("dvc", "remote", "modify", "--local", "storage", "url")
    ada(*local, *([own] if own else ["--unset"]))
    config = (project / ".dvc/config").read_text()
    address = committed.replace("../", "../../")
    (project / ".dvc/config").write_text(config.replace("../../tumour-classifier-dvc", address))
    set_up()
    # DVC breaks the line where a terminal of that width ends.
    listed = ada("env", "COLUMNS=500", "dvc", "remote", "list")
    assert listed.stdout.split()[:2] == ["storage", counts.format(place=place)]


@pytest.mark.weekly
def test_the_page_on_moving_the_data_brings_that_of_every_commit(ada, project, place, history, env):
    ada("dvc", "push", "--all-commits")
    notes = place / "notes"
    shell = Shell(project, {**env, "HOME": str(place / "home")}, notes, as_ordinary_user(place))
    shell.follow(ours("docs/how-to/storage.md"))
    assert stored(place / "shared-storage") == set(history)
    shutil.rmtree(place / "tumour-classifier-dvc")
    shutil.rmtree(project / ".dvc/cache")
    (project / "data/raw.csv").unlink()
    ada("git", "checkout", "--quiet", "HEAD~2")
    ada("dvc", "pull", "data/raw.csv")
    assert (project / "data/raw.csv").read_text() == TABLES[0]
