"""What runs now, by records as DVC and the workers of a search write them."""

import json
import os
import threading
import time
from pathlib import Path
from unittest.mock import Mock

import psutil
import pytest
from running_records import BASELINE, PLACES, STASH, lock, record, write

from locatable.repository.running import Running, RunningExperiments, State


def only(root: Path) -> Running:
    (found,) = RunningExperiments(root).find()
    return found


@pytest.mark.parametrize("location", PLACES)
def test_an_experiment_whose_process_lives_runs(tmp_path: Path, location: str) -> None:
    record(tmp_path, location, os.getpid())
    found = only(tmp_path)
    told = (found.state, found.name, found.baseline, found.location)
    assert told == (State.RUNNING, "forest", BASELINE, location)


@pytest.mark.parametrize("location", PLACES)
def test_an_experiment_whose_process_has_ended_was_killed(tmp_path: Path, location: str, dead: int) -> None:
    record(tmp_path, location, dead)
    assert only(tmp_path).state is State.KILLED


@pytest.mark.parametrize("location", PLACES)
def test_a_process_that_is_younger_than_the_record_is_another_one(tmp_path: Path, location: str) -> None:
    record(tmp_path, location, os.getpid())
    for file in tmp_path.rglob("*"):
        os.utime(file, (1000, 1000))
    assert only(tmp_path).state is State.KILLED


@pytest.mark.parametrize(
    ("status", "state"), [(4, State.FAILED), (6, State.FINISHED), (3, State.RUNNING)], ids=str
)
def test_dvc_says_how_an_experiment_ended(tmp_path: Path, dead: int, status: int, state: State) -> None:
    record(tmp_path, "dvc-task", dead, status)
    assert only(tmp_path).state is state


def test_a_result_that_dvc_never_put_away_was_killed(tmp_path: Path, dead: int) -> None:
    os.utime(record(tmp_path, "dvc-task", dead, status=3), (1000, 1000))
    assert only(tmp_path).state is State.KILLED


def test_what_was_interrupted_has_finished_without_a_result(tmp_path: Path, dead: int) -> None:
    file = record(tmp_path, "dvc-task", dead, status=6)
    write(file, {**json.loads(file.read_text()), "result_hash": None})
    assert only(tmp_path).state is State.KILLED


def test_what_waits_or_is_prepared_does_not_run(tmp_path: Path) -> None:
    record(tmp_path, "tempdir", os.getpid(), status=1)
    assert RunningExperiments(tmp_path).find() == []


@pytest.mark.parametrize("text", ["", '{"status": 2, "na', "[]", '{"status": 2}', "2", '{"status": "2"}'])
def test_a_record_that_is_half_written_is_none_yet(tmp_path: Path, text: str) -> None:
    write(tmp_path / f"{PLACES['dvc-task']}.run", text)
    assert RunningExperiments(tmp_path).find() == []


def test_a_record_is_read_again_when_it_was_written_again(tmp_path: Path) -> None:
    running = RunningExperiments(tmp_path)
    file = record(tmp_path, "dvc-task", os.getpid())
    before = running.find()
    record(tmp_path, "dvc-task", os.getpid(), status=4)
    os.utime(file, (time.time() + 9, time.time() + 9))
    (after,) = running.find()
    assert ([one.state for one in before], after.state) == ([State.RUNNING], State.FAILED)


@pytest.mark.parametrize("location", PLACES)
def test_an_experiment_keeps_its_id_to_the_end(tmp_path: Path, location: str) -> None:
    record(tmp_path, location, os.getpid())
    before = only(tmp_path).id
    content = json.loads((tmp_path / f"{PLACES[location]}.run").read_text())
    write(tmp_path / f"{PLACES[location]}.run", {**content, "status": 4})
    assert only(tmp_path).id == before


def test_of_a_trial_the_record_says_when_it_began(tmp_path: Path) -> None:
    record(tmp_path, "search", os.getpid())
    assert only(tmp_path).began == 7000


def test_the_locks_of_its_folder_tell_the_process_of_an_experiment(tmp_path: Path, dead: int) -> None:
    record(tmp_path, "tempdir", dead)
    lock(tmp_path / "elsewhere", os.getpid(), "dvc exp run --temp")
    assert only(tmp_path).state is State.RUNNING


def test_a_repro_is_known_by_its_locks(tmp_path: Path) -> None:
    lock(tmp_path, os.getpid(), "/usr/bin/dvc repro train")
    found = only(tmp_path)
    began = round(1000 * psutil.Process().create_time())
    assert (found.location, found.name, found.began) == ("repro", "", began)


@pytest.mark.parametrize("command", ["dvc commit", "dvc checkout", "dvc add data", "dvc commit repro"])
def test_other_commands_that_write_outputs_run_nothing(tmp_path: Path, command: str) -> None:
    lock(tmp_path, os.getpid(), command)
    assert RunningExperiments(tmp_path).find() == []


def test_the_locks_of_an_experiment_in_the_workspace_are_no_repro(tmp_path: Path) -> None:
    record(tmp_path, "workspace", os.getpid())
    lock(tmp_path, os.getpid(), "dvc exp run repro")
    assert only(tmp_path).location == "workspace"


def test_a_repro_between_two_stages_runs(tmp_path: Path) -> None:
    file = lock(tmp_path, os.getpid(), "dvc repro")
    own = only(tmp_path).id
    file.write_text("{}")
    began = round(1000 * psutil.Process().create_time())
    assert RunningExperiments(tmp_path).ending_of(own, began) is State.RUNNING


def test_a_repro_that_was_found_runs_as_long_as_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = lock(tmp_path, os.getpid(), "dvc repro")
    running = RunningExperiments(tmp_path)
    found = [running.find()]
    file.write_text("{}")
    found.append(running.find())
    monkeypatch.setattr("locatable.repository.running._birth", lambda pid: 0)
    found.append(running.find())
    assert list(map(len, found)) == [1, 1, 0]


def test_a_repro_that_kept_its_locks_was_killed(tmp_path: Path, dead: int) -> None:
    lock(tmp_path, dead, "dvc repro")
    assert RunningExperiments(tmp_path).ending_of(f"repro-{dead}-50", 5000) is State.KILLED


@pytest.mark.parametrize(
    ("recorded", "locked", "state"),
    [(4, 3, State.FAILED), (7, 6, State.FINISHED), (6, 7, State.KILLED)],
    ids=["nothing", "all", "not its last stage"],
)
def test_a_repro_has_finished_if_its_last_stage_was_recorded(
    tmp_path: Path, dead: int, recorded: int, locked: int, state: State
) -> None:
    os.utime(write(tmp_path / "dvc.lock", ""), (recorded, recorded))
    os.utime(write(tmp_path / ".dvc/tmp/rwlock", "{}"), (locked, locked))
    assert RunningExperiments(tmp_path).ending_of(f"repro-{dead}-50", 5000) is state


@pytest.mark.parametrize(
    ("own", "state"), [(f"tempdir-{STASH}", State.FAILED), ("search-wide-7-7000", State.KILLED)]
)
def test_what_left_no_record_has_failed_and_a_trial_was_stopped(
    tmp_path: Path, own: str, state: State
) -> None:
    assert RunningExperiments(tmp_path).ending_of(own, 0) is state


def test_a_record_is_waited_for_while_it_is_written(tmp_path: Path) -> None:
    file = record(tmp_path, "dvc-task", os.getpid())
    text = file.read_text()
    file.write_text("")
    writer = threading.Timer(0.2, file.write_text, [text])
    writer.start()
    found = only(tmp_path).state
    writer.join()
    assert found is State.RUNNING


def test_a_process_that_may_not_be_looked_at_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path, "dvc-task", os.getpid())
    monkeypatch.setattr(psutil.Process, "create_time", Mock(side_effect=psutil.AccessDenied))
    assert only(tmp_path).state is State.RUNNING


def test_a_repro_is_the_same_when_the_clock_was_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock(tmp_path, os.getpid(), "dvc repro")
    before = only(tmp_path).id
    booted = psutil._psplatform.boot_time
    monkeypatch.setattr(psutil._psplatform, "boot_time", lambda: booted() + 1)
    assert only(tmp_path).id == before


def test_what_has_ended_is_not_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path, "dvc-task", os.getpid(), status=6)
    running = RunningExperiments(tmp_path)
    before = running.find()
    monkeypatch.setattr(running, "_json", None)
    monkeypatch.setattr(running, "_owners", lambda root: {})
    assert running.find() == before
