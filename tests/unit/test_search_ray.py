"""What the nodes of a Ray cluster get; none of it needs Ray."""

import json
import os
import time
from types import SimpleNamespace

import pytest
from tiny_git import commit, git

from locatable.mlflow.running import report_running
from locatable.repository.reader import Reader
from locatable.repository.running import RunningExperiments
from locatable.search.messages import Began, from_json, to_json
from locatable.search.ray_backend import TrialCopy, fill_working_folder, lock_text, prepared_environment
from locatable.search.worker import TrialFiles

SERIES = "live/plots/metrics/loss.tsv"


def project(tmp_path, *names):
    """A project with these files, each with its name as content."""
    root = tmp_path / "project"
    for name in (*names, "secret.txt", "vendor/notes.txt"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}\n")
    return root


def copied(tmp_path, root):
    """Files that nodes get of a project, beside the package."""
    folder = tmp_path / "folder"
    folder.mkdir()
    fill_working_folder(folder, root)
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    assert "locatable/search/worker.py" in files
    return {file for file in files if not file.startswith("locatable/")}


def test_nodes_get_both_locks_and_the_wheels_that_they_name(tmp_path):
    root = project(tmp_path, "requirements.lock", "tools.lock", "vendor/locatable-1.whl")
    assert copied(tmp_path, root) == {"requirements.lock", "tools.lock", "vendor/locatable-1.whl"}


def test_nodes_get_nothing_of_a_repository_without_locks(tmp_path):
    assert copied(tmp_path, project(tmp_path)) == set()


def test_no_byte_code_is_copied(tmp_path):
    copied(tmp_path, project(tmp_path))
    assert list((tmp_path / "folder").rglob("__pycache__")) == []


def test_the_text_of_the_locks_is_that_of_both(tmp_path):
    assert lock_text(project(tmp_path, "requirements.lock", "tools.lock")).split() == [
        "requirements.lock",
        "tools.lock",
    ]


def test_a_repository_without_locks_pins_nothing(tmp_path):
    assert lock_text(project(tmp_path)) == ""


def test_an_environment_is_prepared_from_the_locks_that_there_are(tmp_path):
    environment = prepared_environment(project(tmp_path, "requirements.lock"))
    (package,) = environment["uv"]["packages"]
    assert package.endswith("/requirements.lock")
    assert environment["uv"]["uv_pip_install_options"] == ["--require-hashes"]


PIPELINE = """stages:
  train:
    cmd: touch live
    params: [lr]
    outs: [live: {cache: false}]
    metrics: [../beside.json: {cache: false}, ABSOLUTE: {cache: false}]
"""


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """A repository, the clone of a node in which a trial of it runs, and the way from one to the other."""
    monkeypatch.setattr("locatable.search.worker.SEND_INTERVAL", 0)
    root, node = tmp_path / "project", tmp_path / "node/clone"
    root.mkdir()
    git(root, "init", "--quiet")
    pipeline = PIPELINE.replace("ABSOLUTE", str(tmp_path / "absolute.json"))
    baseline = commit(root, {"dvc.yaml": pipeline, "params.yaml": "lr: 1\n", ".dvc/config": ""})
    git(tmp_path, "clone", "--quiet", str(root), str(node))
    (node / "params.yaml").write_text("lr: 2\n")
    record = node.with_name("clone.run")
    began = round(1000 * time.time())
    told = {"name": "small-7", "baseline_rev": baseline, "location": "search", "status": 2, "pid": 1}
    place = {"root_dir": str(node), "dvc_dir": ".dvc", "began": began, "elsewhere": f"node:{node}"}
    record.write_text(json.dumps({**told, **place}))
    copy = TrialCopy(root / ".dvc/tmp/search/small/small-7")
    sent = []

    def take(message):
        sent.append(message)
        copy.take(from_json(to_json(message)))

    files = TrialFiles(SimpleNamespace(root=node, record=record, baseline=baseline), take)
    return SimpleNamespace(root=root, node=node, record=record, copy=copy, sent=sent, files=files)


def write(trial, text, age=0):
    """What the stage writes, so many seconds ago."""
    place = trial.node / SERIES
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    os.utime(place, (time.time() + 1 - age, time.time() + 1 - age))


def report(trial):
    with Reader(trial.root) as reader:
        (found,) = report_running(reader, "small-7")
    return found


def test_a_trial_of_a_node_is_found_with_its_params_and_where_it_runs(trial):
    trial.files.send()
    found = report(trial)
    assert (found.params, found.folder, found.values) == ({"lr": 2}, f"node:{trial.node}", {})


def test_its_series_grows_on_the_machine_of_the_search(trial):
    seen = []
    for text in ("step\tloss\n0\t4.0\n", "step\tloss\n0\t4.0\n1\t3.0\n2\t2", "step\tloss\n0\t9.0\n"):
        write(trial, text)
        trial.files.send()
        trial.files.send()
        seen.append(report(trial).values)
    assert seen == [{"loss": 4.0}, {"loss": 3.0}, {"loss": 9.0}]


def test_only_what_was_added_is_sent_and_nothing_twice(trial):
    trial.files.send()
    for text in ("step\tloss\n", "step\tloss\n0\t4.0\n"):
        write(trial, text)
        trial.files.send()
        trial.files.send()
    (_, *written) = trial.sent
    assert [(one.start, one.text) for one in written] == [(0, "step\tloss\n"), (10, "0\t4.0\n")]


def test_what_was_there_before_the_trial_is_not_sent(trial):
    write(trial, "step\tloss\n0\t4.0\n", age=60)
    trial.files.send()
    trial.files.send()
    assert list(map(type, trial.sent)) == [Began]


@pytest.mark.parametrize("name", ["node/beside.json", "absolute.json"])
def test_what_is_beside_the_project_stays_on_its_node(trial, tmp_path, name):
    (tmp_path / name).write_text("{}")
    os.utime(tmp_path / name, (time.time() + 1, time.time() + 1))
    trial.files.send()
    trial.files.send()
    assert list(map(type, trial.sent)) == [Began]


def test_nothing_is_sent_before_the_params_of_the_trial_are_written(trial):
    trial.record.unlink()
    trial.files.send()
    assert trial.sent == []


def test_nothing_is_left_of_the_copy_of_a_trial_that_has_ended(trial):
    trial.files.send()
    assert RunningExperiments(trial.root).find()
    trial.copy.remove()
    assert list((trial.root / ".dvc/tmp/search/small").iterdir()) == []
