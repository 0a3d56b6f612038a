"""Provisional runs of what runs now, in a real MLflow store; records are as DVC's queue writes them."""

import json
import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import tiny_dvc
from mlflow import MlflowClient
from mlflow.entities import Run
from running_records import STASH, lock, write
from tiny_git import commit, git

from locatable.cli import main
from locatable.errors import StoreError
from locatable.mlflow.mirror import MirrorOptions, mirror, show_running
from locatable.mlflow.plan import wanted_runs
from locatable.mlflow.running import RunningRuns, report_running
from locatable.mlflow.settings import read_settings
from locatable.repository.reader import Reader

SERIES = "live/plots/metrics/loss.tsv"
METRICS = "live/metrics.json"
STEPS = ["step\tloss\n", "0\t4.0\n", "1\t3.0\n", "2\t2.0\n"]
PIPELINE = f"""stages:
  train:
    cmd:
    - mkdir -p live/plots/metrics
    - printf 'step\\tloss\\n0\\t9.0\\n' > {SERIES}
    - printf '{{"loss":9.0,"best":9.0}}' > {METRICS}
    params: [lr]
    outs: [live/plots: {{cache: false}}]
    metrics: [{METRICS}: {{cache: false}}]
"""


class Checkout:
    """A mirrored repository in which an experiment runs, in a folder beside it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root.parent / "elsewhere"
        self.baseline = git(root, "rev-parse", "HEAD")
        self.settings = read_settings(root)
        self.client = MlflowClient(self.settings.uri)
        self.watcher = RunningRuns(root, self.settings)

    def record(self, pid: int, status: int = 2, stash: str = STASH, name: str = "forest") -> None:
        """Write DVC's record of the experiment."""
        place = self.root / f".dvc/tmp/exps/run/{stash}/{stash}"
        content = {"baseline_rev": self.baseline, "location": "dvc-task", "name": name, "status": status}
        write(place.with_suffix(".json"), {"pid": pid, "returncode": None})
        content["result_hash"] = "c" * 64 if status in (3, 6) else None
        write(place.with_suffix(".run"), {**content, "root_dir": str(self.folder), "dvc_dir": ".dvc"})

    def write(self, path: str, text: str) -> None:
        write(self.folder / path, text)

    def show(self) -> None:
        show_running(self.watcher)

    def mirror(self, **options: Any) -> str:
        with Reader(self.root) as reader:
            return mirror(reader, self.settings, MirrorOptions(**options)).summary

    def commit(self, steps: list[str], name: str = "forest") -> str:
        """Commit what DVC would of the experiment, and return the commit."""
        recorded = (self.root / "dvc.lock").read_text()
        assert "lr: 1" in recorded
        files = {
            "dvc.lock": recorded.replace("lr: 1", "lr: 2"),
            "params.yaml": "lr: 2\n",
            SERIES: "".join(steps),
            METRICS: '{"loss": 2.0, "best": 2.0}',
        }
        clone = self.root.parent / "clone"
        git(self.root, "clone", "--quiet", ".", str(clone))
        ref = f"refs/exps/{self.baseline[:2]}/{self.baseline[2:]}/{name}"
        rev = commit(clone, files, name)
        git(self.root, "fetch", "--quiet", str(clone), f"HEAD:{ref}")
        return rev

    def runs(self) -> list[Run]:
        """Return the runs beside that of the baseline."""
        (found,) = [one for one in self.client.search_experiments() if one.name == self.settings.experiment]
        runs = self.client.search_runs([found.experiment_id])
        return [run for run in runs if run.data.tags.get("dvc.rev") != self.baseline]

    def run(self) -> Run:
        (run,) = self.runs()
        return run

    def points(self, key: str = "loss") -> list[tuple[int, float]]:
        """Return the points of a metric of the only run."""
        history = self.client.get_metric_history(self.run().info.run_id, key)
        return sorted((point.step, point.value) for point in history)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mirrored repository; copy it."""
    root = tmp_path_factory.mktemp("running") / "project"
    tiny_dvc.with_results(root, {"dvc.yaml": PIPELINE, "params.yaml": "lr: 1\n"})
    with Reader(root) as reader:
        mirror(reader, read_settings(root), MirrorOptions())
    return root


@pytest.fixture
def checkout(template: Path, tmp_path: Path) -> Checkout:
    """A repository in which an experiment runs that has written nothing yet."""
    checkout = Checkout(Path(shutil.copytree(template, tmp_path / "project", symlinks=True)))
    checkout.write("dvc.yaml", PIPELINE)
    checkout.write("params.yaml", "lr: 2\n")
    checkout.record(os.getpid())
    return checkout


def test_what_runs_is_shown_with_its_params(checkout: Checkout) -> None:
    checkout.show()
    run = checkout.run()
    told = (run.info.run_name, run.info.status, run.data.params)
    assert told == ("forest", "RUNNING", {"lr": "2"})


def test_it_claims_no_commit_and_no_coordinates(checkout: Checkout) -> None:
    checkout.show()
    tags = checkout.run().data.tags
    assert "nobody will find this run again" in tags["mirror.provisional"]
    assert [key for key in tags if key.startswith(("coordinate.", "dvc."))] == []


def test_it_is_nested_below_its_baseline(checkout: Checkout) -> None:
    checkout.show()
    parent = checkout.client.get_run(checkout.run().data.tags["mlflow.parentRunId"])
    assert parent.data.tags["dvc.rev"] == checkout.baseline


def test_points_come_as_they_are_written_and_a_line_that_is_cut_when_it_is_whole(checkout: Checkout) -> None:
    seen = []
    for text in ("".join(STEPS[:2]), "".join(STEPS[:3]) + "2\t2", "".join(STEPS)):
        checkout.write(SERIES, text)
        checkout.show()
        seen.append(checkout.points())
    assert seen == [[(0, 4.0)], [(0, 4.0), (1, 3.0)], [(0, 4.0), (1, 3.0), (2, 2.0)]]


@pytest.mark.parametrize("text", ["", "{", "{}", '{"best": 2', '{"best": 2.0, "las'])
def test_metrics_that_are_half_written_are_left_out(checkout: Checkout, text: str) -> None:
    checkout.write(METRICS, text)
    checkout.show()
    assert checkout.run().data.metrics == {}


def test_a_metric_without_steps_has_its_last_value(checkout: Checkout) -> None:
    for value in (4.0, 3.0):
        checkout.write(METRICS, json.dumps({"best": value}))
        checkout.show()
    assert checkout.run().data.metrics == {"best": 3.0}


def test_what_it_started_with_is_not_its_own(checkout: Checkout) -> None:
    for path in (SERIES, METRICS):
        checkout.write(path, (checkout.root / path).read_text())
    checkout.show()
    assert checkout.run().data.metrics == {}


def test_what_an_earlier_run_left_is_not_its_own_until_it_is_written_again(checkout: Checkout) -> None:
    began = (checkout.root / f".dvc/tmp/exps/run/{STASH}/{STASH}.run").stat().st_mtime_ns
    for path, text in {SERIES: "".join(STEPS), METRICS: '{"best": 2.0}'}.items():
        checkout.write(path, text)
        os.utime(checkout.folder / path, ns=(began - 1_000_000, began - 1_000_000))
    checkout.show()
    before = checkout.run().data.metrics
    for path in (SERIES, METRICS):
        os.utime(checkout.folder / path, ns=(began, began))
    checkout.show()
    assert (before, checkout.run().data.metrics) == ({}, {"loss": 2.0, "best": 2.0})


def test_a_pipeline_that_is_half_written_is_shown_when_it_is_whole(checkout: Checkout) -> None:
    checkout.write("dvc.yaml", "stages: {train: {cmd")
    checkout.show()
    before = checkout.runs()
    checkout.write("dvc.yaml", PIPELINE)
    checkout.show()
    assert (before, len(checkout.runs())) == ([], 1)


def test_mlflow_is_asked_nothing_where_nothing_was_written(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout.write(SERIES, "".join(STEPS))
    checkout.show()
    monkeypatch.setattr(checkout.watcher, "_writer", None)
    monkeypatch.setattr("locatable.mlflow.running.runs_in_file", None)
    checkout.show()
    assert checkout.watcher._writer is None


def test_two_watchers_make_one_run_and_each_point_once(checkout: Checkout) -> None:
    other = RunningRuns(checkout.root, checkout.settings)
    for end in (2, 3, 4):
        checkout.write(SERIES, "".join(STEPS[:end]))
        checkout.show()
        show_running(other)
    assert checkout.points() == [(0, 4.0), (1, 3.0), (2, 2.0)]


def test_of_two_runs_that_watchers_created_at_once_one_stays(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout.show()
    late = RunningRuns(checkout.root, checkout.settings)
    answers = [{}, late._known()]
    monkeypatch.setattr(late, "_known", lambda: answers.pop(0))
    late.show()
    checkout.mirror()
    assert len(checkout.runs()) == 1


@pytest.fixture
def committed(checkout: Checkout) -> Any:
    """The run before and after DVC committed the result, and the commit."""
    checkout.write(SERIES, "".join(STEPS[:3]))
    checkout.write(METRICS, '{"loss": 3.0, "best": 3.0}')
    checkout.show()
    before = checkout.run()
    rev = checkout.commit(STEPS)
    checkout.record(os.getpid(), status=6)
    said = checkout.mirror()
    return SimpleNamespace(before=before, after=checkout.run(), rev=rev, said=said, checkout=checkout)


def test_when_the_result_is_committed_the_same_run_is_the_commits(committed: Any) -> None:
    assert committed.after.info.run_id == committed.before.info.run_id
    assert committed.after.data.tags["dvc.rev"] == committed.rev


def test_it_is_complete_then(committed: Any) -> None:
    run = committed.after
    told = (run.info.status, run.data.params, run.data.metrics)
    assert told == ("FINISHED", {"lr": "2"}, {"loss": 2.0, "best": 2.0})
    assert "coordinate.params" in run.data.tags


def test_each_of_its_points_is_there_once(committed: Any) -> None:
    assert committed.checkout.points() == [(0, 4.0), (1, 3.0), (2, 2.0)]


def test_it_is_provisional_no_more(committed: Any) -> None:
    assert not {"mirror.provisional", "mirror.running"} & set(committed.after.data.tags)


def test_the_next_mirror_has_nothing_to_do(committed: Any) -> None:
    said = (committed.said, committed.checkout.mirror())
    assert said == (
        "mirrored 1 new, 1 already there, 0 failed",
        "mirrored 0 new, 2 already there, 0 failed",
    )


def test_what_is_committed_and_not_put_away_yet_is_not_shown_again(checkout: Checkout) -> None:
    checkout.show()
    rev = checkout.commit(STEPS)
    checkout.mirror()
    checkout.show()
    assert checkout.run().data.tags["dvc.rev"] == rev


def test_a_commit_of_other_points_has_a_run_of_its_own(checkout: Checkout) -> None:
    checkout.write(SERIES, "".join(STEPS))
    checkout.show()
    before = checkout.run().info.run_id
    checkout.commit([STEPS[0], "0\t7.0\n", "1\t2.0\n"])
    checkout.mirror()
    assert checkout.run().info.run_id != before
    assert checkout.points() == [(0, 7.0), (1, 2.0)]


@pytest.mark.parametrize(("status", "shown"), [(2, "KILLED"), (4, "FAILED")])
def test_what_ended_without_a_commit_keeps_its_last_point(
    checkout: Checkout, dead: int, status: int, shown: str
) -> None:
    checkout.write(SERIES, "".join(STEPS))
    checkout.show()
    checkout.record(dead, status)
    checkout.mirror()
    assert (checkout.run().info.status, checkout.points()[-1]) == (shown, (2, 2.0))


def test_what_left_no_record_has_failed(checkout: Checkout) -> None:
    checkout.show()
    shutil.rmtree(checkout.root / ".dvc/tmp/exps/run")
    checkout.mirror()
    assert checkout.run().info.status == "FAILED"


def test_what_failed_goes_when_it_is_pruned(checkout: Checkout, dead: int) -> None:
    checkout.show()
    checkout.record(dead)
    checkout.mirror()
    checkout.mirror(prune=True)
    assert checkout.runs() == []


def test_what_runs_is_not_pruned(checkout: Checkout) -> None:
    checkout.show()
    checkout.mirror(prune=True)
    assert len(checkout.runs()) == 1


def test_an_experiment_that_was_removed_leaves_nothing(checkout: Checkout, dead: int) -> None:
    checkout.show()
    checkout.record(dead, status=6)
    checkout.mirror()
    assert checkout.runs() == []


def test_what_failed_goes_when_it_runs_again(checkout: Checkout, dead: int) -> None:
    checkout.show()
    checkout.record(dead, status=4)
    checkout.record(os.getpid(), stash="c" * 40)
    checkout.mirror()
    checkout.show()
    checkout.mirror()
    assert checkout.run().info.status == "RUNNING"


def test_what_runs_in_another_checkout_is_left_alone(checkout: Checkout, tmp_path: Path) -> None:
    checkout.show()
    other = Checkout(Path(shutil.copytree(checkout.root, tmp_path / "other/project", symlinks=True)))
    shutil.rmtree(other.root / ".dvc/tmp/exps/run")
    other.settings = checkout.settings
    other.mirror(prune=True)
    assert checkout.run().info.status == "RUNNING"


def test_a_repro_becomes_the_run_of_the_commit_that_follows(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout.record(0, status=6)
    lock(checkout.root, os.getpid(), "dvc repro")
    checkout.show()
    before = checkout.run()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("locatable.repository.running._birth", lambda pid: 0)
        (checkout.root / ".dvc/tmp/rwlock").write_text("{}")
        (checkout.root / "dvc.lock").touch()
        checkout.mirror()
        ended = checkout.run().info.status
        git(checkout.root, "commit", "--quiet", "--allow-empty", "-m", "Results")
        checkout.mirror()
    (run,) = [run for run in checkout.runs() if run.data.tags.get("dvc.rev")]
    assert (ended, run.info.run_id) == ("FINISHED", before.info.run_id)


def test_another_description_leaves_each_point_once(committed: Any) -> None:
    script = "from locatable.mlflow import RunContent\n\ndef describe(run): run.tags['team'] = 'a'\n"
    write(committed.checkout.root / "scripts/mirror.py", script)
    assert "described again" in committed.checkout.mirror()
    assert committed.checkout.points() == [(0, 4.0), (1, 3.0), (2, 2.0)]


def test_its_name_tells_where_it_runs_and_how_far_it_is(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checkout.write(SERIES, "".join(STEPS) + "3\t1")
    monkeypatch.chdir(checkout.root)
    assert main(["locate", "forest"]) == 0
    said = capsys.readouterr().out
    for fact in ("RUNS NOW (dvc-task)", str(checkout.folder), "lr 2", "loss 2.0", "not committed"):
        assert fact in said
    assert main(["locate", "--json", "forest"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["params"], told["values"]) == ({"lr": 2}, {"loss": 2.0})


def test_a_name_that_does_not_run_any_more_is_not_found(checkout: Checkout, dead: int) -> None:
    checkout.record(dead)
    with Reader(checkout.root) as reader:
        assert report_running(reader, "forest") == []


def test_a_mirror_that_died_while_the_run_became_the_commits_is_continued(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout.write(SERIES, "".join(STEPS[:3]))
    checkout.show()
    before = checkout.run().info.run_id
    checkout.commit(STEPS)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_terminated", Mock(side_effect=OSError))
        with pytest.raises(StoreError):
            checkout.mirror()
    checkout.mirror()
    run = checkout.run()
    assert (run.info.run_id, run.info.status) == (before, "FINISHED")
    assert "mirror.provisional" not in run.data.tags
    assert checkout.points() == [(0, 4.0), (1, 3.0), (2, 2.0)]


def test_how_it_ended_is_all_that_its_page_says(checkout: Checkout, dead: int) -> None:
    checkout.show()
    checkout.record(dead)
    checkout.mirror()
    tags = checkout.run().data.tags
    assert "runs now" not in tags["mirror.provisional"] + tags["mlflow.note.content"]


def test_what_dvc_put_away_without_a_result_was_killed(checkout: Checkout, dead: int) -> None:
    checkout.show()
    file = checkout.root / f".dvc/tmp/exps/run/{STASH}/{STASH}.run"
    checkout.record(dead)
    write(file, {**json.loads(file.read_text()), "status": 6})
    checkout.mirror()
    assert checkout.run().info.status == "KILLED"


def test_a_result_that_is_committed_while_a_mirror_is_at_work_keeps_its_run(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout.show()
    before = checkout.run().info.run_id

    def wanted_before_the_commit(*arguments: Any) -> Any:
        wanted = wanted_runs(*arguments)
        checkout.commit(STEPS)
        checkout.record(os.getpid(), status=6)
        return wanted

    with monkeypatch.context() as patch:
        patch.setattr("locatable.mlflow.mirror.wanted_runs", wanted_before_the_commit)
        checkout.mirror()
    checkout.mirror()
    assert (checkout.run().info.run_id, checkout.run().info.status) == (before, "FINISHED")


def test_what_begins_while_a_mirror_is_at_work_runs(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = checkout.root / ".dvc/tmp/exps/run"
    hidden = record.rename(record.with_name("hidden"))

    def wanted_before_it_began(*arguments: Any) -> Any:
        wanted = wanted_runs(*arguments)
        hidden.rename(record)
        checkout.show()
        return wanted

    monkeypatch.setattr("locatable.mlflow.mirror.wanted_runs", wanted_before_it_began)
    checkout.mirror()
    assert checkout.run().info.status == "RUNNING"


def test_params_that_were_changed_since_another_watcher_logged_them_stay(checkout: Checkout) -> None:
    checkout.show()
    checkout.write("params.yaml", "lr: 3\n")
    checkout.write(SERIES, "".join(STEPS[:2]))
    show_running(RunningRuns(checkout.root, checkout.settings))
    assert (checkout.run().data.params, checkout.points()) == ({"lr": "2"}, [(0, 4.0)])


def test_its_last_points_come_after_its_end(checkout: Checkout, dead: int) -> None:
    checkout.show()
    checkout.write(SERIES, "".join(STEPS))
    checkout.record(dead)
    checkout.show()
    assert checkout.points() == [(0, 4.0), (1, 3.0), (2, 2.0)]


def test_points_of_what_follows_in_its_folder_are_not_its_own(checkout: Checkout, dead: int) -> None:
    checkout.show()
    before = checkout.run().info.run_id
    checkout.record(dead)
    checkout.record(os.getpid(), stash="c" * 40, name="birch")
    checkout.write(SERIES, "".join(STEPS))
    checkout.show()
    assert checkout.client.get_metric_history(before, "loss") == []


def test_before_the_first_commit_there_is_nothing_to_show(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    write(tmp_path / ".dvc/config", "")
    lock(tmp_path, os.getpid(), "dvc repro")
    runs = RunningRuns(tmp_path, read_settings(tmp_path))
    assert runs.ids()
    show_running(runs)


def test_what_cannot_be_read_is_shown_when_it_can(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("locatable.mlflow.running.WorkingTree.of", Mock(side_effect=PermissionError))
        checkout.show()
    before = checkout.runs()
    checkout.show()
    assert (before, len(checkout.runs())) == ([], 1)


def test_an_experiment_that_runs_again_soon_after_its_commit_is_shown(checkout: Checkout) -> None:
    rev = checkout.commit(STEPS)
    file = checkout.root / f".dvc/tmp/exps/run/{STASH}/{STASH}.run"
    began = int(git(checkout.root, "log", "-1", "--format=%ct", rev)) + 3
    os.utime(file, (began, began))
    checkout.show()
    assert checkout.run().info.status == "RUNNING"


def test_of_two_of_one_name_the_later_one_becomes_the_commits(checkout: Checkout) -> None:
    checkout.record(os.getpid(), stash="c" * 40)
    checkout.show()
    earlier, later = sorted(checkout.runs(), key=lambda run: run.info.run_id)
    place, own, began, *more = earlier.data.tags["mirror.running"].split(" ")
    changed = " ".join([place, own, str(int(began) - 1000), *more])
    checkout.client.set_tag(earlier.info.run_id, "mirror.running", changed)
    checkout.commit(STEPS)
    checkout.mirror()
    assert checkout.run().info.run_id == later.info.run_id


def test_a_repro_of_which_not_all_stages_had_to_run_becomes_the_commits_run(checkout: Checkout) -> None:
    checkout.record(0, status=6)
    locks = lock(checkout.root, os.getpid(), "dvc repro")
    checkout.show()
    before = checkout.run().info.run_id
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("locatable.repository.running._birth", lambda pid: 0)
        (checkout.root / "dvc.lock").touch()
        locks.write_text("{}")
        os.utime(locks, (time.time() + 9, time.time() + 9))
        git(checkout.root, "commit", "--quiet", "--allow-empty", "-m", "Results")
        checkout.mirror()
    (run,) = [run for run in checkout.runs() if run.data.tags.get("dvc.rev")]
    assert run.info.run_id == before


def test_a_store_that_was_deleted_gets_what_runs(checkout: Checkout) -> None:
    checkout.show()
    (checkout.root / "mlflow.db").unlink()
    show_running(RunningRuns(checkout.root, checkout.settings))
    checkout.client = MlflowClient(checkout.settings.uri)
    assert checkout.run().info.status == "RUNNING"


@pytest.mark.parametrize("failing", ["mirror", "show_running"])
def test_a_watcher_says_the_same_once(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failing: str
) -> None:
    looks = 0

    def look(seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 5:
            raise KeyboardInterrupt

    monkeypatch.chdir(checkout.root)
    monkeypatch.setattr("locatable.commands.mirror.time.sleep", look)
    locked = Mock(side_effect=StoreError("it is locked"))
    monkeypatch.setattr(f"locatable.mlflow.mirror.{failing}", locked)
    assert main(["mirror", "--watch", "0.001"]) == 130
    said = capsys.readouterr()
    assert (said.err.count("it is locked"), said.out.count("mirrored") <= 1) == (1, True)
