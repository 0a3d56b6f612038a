"""A clone runs experiments and pushes them to the user's repository, which it leaves alone otherwise."""

import json
import sys
import threading
from concurrent.futures import Future
from pathlib import Path
from shlex import quote

import pytest
import tiny_dvc
import tiny_git
from tiny_proof import clone_of

from locatable.clones.trial_clone import read_project
from locatable.errors import ProjectError, UnreadableError
from locatable.repository.dvc_repo import with_causes
from locatable.results.processor import Processor
from locatable.search.messages import Job
from locatable.search.worker import run_trial

STAGE = {
    "cmd": f"{quote(sys.executable)} train.py",
    "deps": ["train.py"],
    "params": ["x"],
    "outs": [{"metrics.json": {"cache": False}}, "model.bin"],
}
TRAIN = """
import json, yaml
x = yaml.safe_load(open("params.yaml"))["x"]
assert x >= 0, "x is negative"
json.dump({"loss": x * 2}, open("metrics.json", "w"))
open("model.bin", "w").write(str(x))
"""


PROCESSOR = Processor("Xeon", 4)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder for all that these tests make."""
    return tmp_path_factory.mktemp("clone")


@pytest.fixture(scope="module")
def project(place):
    """A DVC repository with results."""
    # A name as people give them.
    folder = place / "größe é? #1 100%"
    pipeline = json.dumps({"stages": {"train": STAGE}})
    with pytest.MonkeyPatch.context() as patch:
        tiny_git.identify(place, patch)
        tiny_dvc.with_results(folder, {"train.py": TRAIN, "params.yaml": "x: 1\n", "dvc.yaml": pipeline})
        yield folder


@pytest.fixture(scope="module")
def shared_clone(project):
    """A clone at the last commit."""
    return clone_of(project)


@pytest.fixture
def clone(shared_clone):
    """The clone, as each trial gets it."""
    shared_clone.reset()
    return shared_clone


@pytest.fixture(scope="module")
def rev(shared_clone):
    """An experiment that ran in the clone."""
    return shared_clone.run("small-0", {"x": 3})


def test_the_project_is_read_as_dvc_reads_it(project):
    setup = read_project(project)
    assert setup.top == str(project)
    assert setup.subdir == "."
    assert setup.params_files == {"params.yaml": {"x": 1}}
    assert setup.outputs == {"metrics.json": False, "model.bin": True}
    assert setup.identity == {"user.name": "Ada", "user.email": "ada@example.org"}
    assert setup.modified == []
    assert setup.missing == []


def test_an_experiment_has_its_params_and_metrics(clone, rev):
    assert clone.read(rev, "x") == 3
    assert clone.read(rev, "metrics.json:loss") == 6


def test_an_experiment_starts_from_the_baseline(clone, rev):
    parent_and_subject = tiny_git.git(clone.folder, "log", "-1", "--format=%P %s", rev)
    assert parent_and_subject == f"{clone.baseline} search: small-0"


def test_the_current_folder_stays_what_it_was(clone):
    before = Path.cwd()
    clone.run("small-1", {"x": 3})
    assert Path.cwd() == before


def test_a_pushed_experiment_is_in_the_users_repository(clone, rev, project):
    clone.push("small-9", rev)
    assert clone.has_arrived("small-9", rev)
    assert tiny_git.git(project, "rev-parse", clone.ref("small-9")) == rev


def test_a_reset_leaves_nothing_of_a_trial(clone):
    (clone.root / "left.txt").touch()
    (clone.root / "params.yaml").write_text("x: 9\n")
    clone.reset()
    assert not (clone.root / "left.txt").exists()
    assert (clone.root / "params.yaml").read_text() == "x: 1\n"


def test_a_copied_experiment_has_the_same_results_under_another_name(clone, rev):
    copy = clone.copy_experiment("small-1", rev, {})
    assert copy != rev
    assert clone.read(copy, "metrics.json:loss") == 6


def test_a_commit_that_is_no_trial_is_not_copied(clone):
    assert clone.copy_experiment("small-1", clone.baseline, {}) is None


@pytest.mark.parametrize("is_copied", [True, False])
def test_the_processor_of_a_trial_is_that_of_its_machine_unless_it_is_copied(clone, rev, tmp_path, is_copied):
    same_params_rev = rev if is_copied else clone.baseline  # which is no trial
    job = Job(f"copied-{is_copied:d}", {"x": 3}, ["metrics.json:loss"], same_params_rev=same_params_rev)
    here = Future()
    here.set_result(PROCESSOR)
    result = run_trial(clone, job, threading.Event(), tmp_path / "log", lambda message: None, here)
    assert result.processor == (None if is_copied else PROCESSOR)


def test_a_stage_that_fails_is_one_line(clone):
    with pytest.raises(ProjectError, match=r"failed to reproduce 'train'.*failed to run: ") as raised:
        clone.run("small-0", {"x": -1})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("metrics.json:none", "metrics.json: none is missing"),
        ("none.json:loss", "none.json: Git has no such file in the experiment"),
    ],
)
def test_a_value_that_is_not_there_is_one_line(clone, key, message):
    with pytest.raises(UnreadableError, match=message):
        clone.read(clone.baseline, key)


def test_causes_are_said_once_each():
    error = ValueError("cannot write")
    error.__cause__ = OSError("disk\nfull")
    error.__cause__.__cause__ = ValueError("cannot write")
    assert with_causes(error) == "cannot write; disk full"


def test_an_error_without_words_is_called_by_its_name():
    assert with_causes(MemoryError()) == "MemoryError"
