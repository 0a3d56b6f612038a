"""What a run shows of a revision."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_git import commit, write

from locatable.errors import UnreadableError
from locatable.mlflow.content import Content, RunContent
from locatable.mlflow.plan import WantedRun
from locatable.mlflow.revision import revision_content, study_content
from locatable.model import Experiment, experiment_message
from locatable.repository.reader import Reader

Show = Callable[..., RunContent]

LOCK = """schema: '2.0'
stages:
  train:
    cmd: python train.py
    deps:
    - path: data/raw.csv
      hash: md5
      md5: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
      size: 11
    params:
      params.yaml:
        url: https://ada:secret@host/data
        alpha: 0.1
    outs:
    - path: metrics.json
      hash: md5
      md5: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
      size: 12
    - path: models
      hash: md5
      md5: cccccccccccccccccccccccccccccccc.dir
      size: 13
      nfiles: 2
"""
PIPELINE = """stages:
  train:
    cmd: python train.py
    outs: [models]
    metrics: [metrics.json]
artifacts:
  net: {path: models/net.bin, type: model, desc: The net.}
"""
SOURCE = "outs:\n- {path: raw.csv, md5: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, size: 11}\n"
FILES = {
    ".dvc/config": "",
    "dvc.lock": LOCK,
    "dvc.yaml": PIPELINE,
    "data/raw.csv.dvc": SOURCE,
    "params.yaml": "alpha: 0.1\n",
}


@pytest.fixture
def show(tmp_path: Path) -> Iterator[Show]:
    """Commits files beside the usual ones, and returns the content of the commit's run."""
    readers = []

    def call(files: dict[str, str] | None = None, url: str | None = None, copy: bool = False) -> RunContent:
        rev = commit(tmp_path, {**FILES, **(files or {})})
        readers.append(Reader(tmp_path))
        wanted = WantedRun(rev, "forest", "base", Experiment("forest", rev, "base", 1))
        return revision_content(readers[-1].snapshot(rev), wanted, url, copy)

    yield call
    for reader in readers:
        reader.objects.close()


def cache(root: Path, files: dict[str, str]) -> None:
    """Content by hash, in the DVC cache."""
    write(root / ".dvc/cache/files/md5", {f"{md5[:2]}/{md5[2:]}": text for md5, text in files.items()})


def test_params_hold_no_password(show: Show) -> None:
    assert show().params == {"url": "https://host/data", "alpha": 0.1}


def test_the_run_has_the_times_of_its_commit(show: Show) -> None:
    content = show()
    assert content.start == content.end == 1000 * content.snapshot.time


def test_tags_say_which_revision_and_experiment_it_is(show: Show) -> None:
    content = show()
    names = ("dvc.rev", "mlflow.source.git.commit", "dvc.exp", "dvc.baseline", "mlflow.user")
    rev = content.snapshot.rev
    assert [content.tags[name] for name in names] == [rev, rev, "forest", "base", "Ada"]


@pytest.mark.parametrize("name", ["data", "code", "params", "environment", "execution"])
def test_each_coordinate_has_a_tag(show: Show, name: str) -> None:
    assert re.fullmatch("[0-9a-f]{32}", show().tags[f"coordinate.{name}"])


def test_the_address_of_the_repository_is_shown(show: Show) -> None:
    assert show(url="https://host/x.git").tags["mlflow.source.git.repoURL"] == "https://host/x.git"


def test_source_data_is_a_dataset(show: Show) -> None:
    (dataset,) = show(url="https://host/x.git").datasets
    assert (dataset.name, dataset.digest) == ("data/raw.csv", "a" * 32)
    assert dataset.source == {
        "dvc": "data/raw.csv",
        "md5": "a" * 32,
        "repo": "https://host/x.git",
        "size": 11,
    }


def test_a_model_says_where_its_file_is(show: Show) -> None:
    content = show(url="https://host/x.git")
    (model,) = content.models
    assert (model.name, model.path, model.tags["dvc.md5"]) == ("net", "models/net.bin", f"{'c' * 32}.dir")
    command = f"dvc get https://host/x.git models/net.bin --rev {content.snapshot.rev}"
    assert command in model.tags["mlflow.note.content"]


def test_a_model_in_a_folder_has_its_own_hash_where_the_cache_lists_it(show: Show, tmp_path: Path) -> None:
    cache(tmp_path, {f"{'c' * 32}.dir": json.dumps([{"relpath": "net.bin", "md5": "d" * 32}])})
    (model,) = show().models
    assert model.tags["dvc.md5"] == "d" * 32


def test_a_metric_in_the_cache_is_shown(show: Show, tmp_path: Path) -> None:
    cache(tmp_path, {"b" * 32: '{"acc": 0.9}'})
    assert show().metrics == {"acc": 0.9}


def test_a_metric_in_git_is_shown(show: Show) -> None:
    assert show({"metrics.json": '{"acc": 0.8}'}).metrics == {"acc": 0.8}


def test_a_file_that_is_not_in_the_cache_is_missing(show: Show) -> None:
    assert show().missing == ["metrics.json"]


def test_models_are_missing_only_where_they_are_to_be_copied(show: Show) -> None:
    assert show(copy=True).missing == ["metrics.json", "models"]


def test_a_model_file_is_copied_where_it_is_asked_for(show: Show, tmp_path: Path) -> None:
    listing = json.dumps([{"relpath": "net.bin", "md5": "d" * 32}, {"relpath": "x", "md5": "e" * 32}])
    cache(tmp_path, {f"{'c' * 32}.dir": listing, "d" * 32: "weights", "e" * 32: "other"})
    artifacts = show(copy=True).artifacts
    assert artifacts["models/net.bin"] == b"weights"
    assert "models/x" not in artifacts


def test_files_that_define_the_run_are_artifacts(show: Show) -> None:
    assert {"dvc.lock", "dvc.yaml", "params.yaml"} <= show().artifacts.keys()


def test_artifacts_hold_no_password(show: Show) -> None:
    lock = show().artifacts["dvc.lock"]
    assert lock
    assert b"https://host/data" in lock


def test_a_file_that_cannot_be_read_is_an_artifact_and_says_why(show: Show) -> None:
    content = show({"metrics.json": "[1]"})
    assert "expected keys and values" in content.unread["metrics.json"]
    assert content.artifacts["metrics.json"] == b"[1]"


@pytest.mark.parametrize(
    "plots", ["[{Loss: {x: {a.csv: n}, y: {b.csv: m}}}]", "[a.csv, {b.csv: {x: n}}]", "['${out}.csv', b.csv]"]
)
def test_plots_are_artifacts_however_they_are_declared(show: Show, plots: str) -> None:
    content = show(
        {"dvc.yaml": f"{PIPELINE}plots: {plots}\n", "params.yaml": "out: a\n", "a.csv": "1", "b.csv": "2"}
    )
    assert {"a.csv", "b.csv"} <= content.artifacts.keys()


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ("artifacts: {net: models/net.bin}", "artifacts.net: expected a dictionary"),
        ("plots: 5", "plots: expected a list"),
    ],
)
def test_a_pipeline_that_dvc_refuses_is_named_with_its_reason(show: Show, section: str, reason: str) -> None:
    with pytest.raises(UnreadableError, match=rf"dvc\.yaml: {reason}"):
        show({"dvc.yaml": f"stages: {{}}\n{section}\n"})


class Study:
    """A study with a trial for each of these values, in a repository."""

    def __init__(self, root: Path) -> None:
        commit(root, {".dvc/config": ""})
        self.root = root
        self.trials: list[Experiment] = []

    def add(self, loss: float, **memory: Any) -> None:
        """Add a trial."""
        number = len(self.trials)
        usual = {"metrics": ["m.json:valid.loss"], "directions": ["minimize"]}
        trial = {"params": {"train.rate": 10 * loss}}
        said = experiment_message(f"wide-{number}", {}, {**usual, "trial": trial, **memory})
        rev = commit(self.root, {"m.json": json.dumps({"valid": {"loss": loss}})}, said)
        self.trials.append(Experiment(f"wide-{number}", rev, "base", number + 3, "wide"))

    def show(self) -> Content:
        """What its run shows."""
        with Reader(self.root) as reader:
            return study_content(WantedRun("study wide", "wide", trials=tuple(self.trials)), reader)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """One with three trials."""
    wide = Study(tmp_path)
    for loss in (0.5, 0.25, 0.75):
        wide.add(loss)
    return wide


def test_a_study_lasts_from_its_first_trial_to_its_last(study: Study) -> None:
    content = study.show()
    assert (content.start, content.end) == (3000, 5000)


def test_a_study_has_the_report_of_its_search(study: Study) -> None:
    write(study.root, {"reports/search/wide/best.json": "{}"})
    assert study.show().artifacts == {"reports/search/wide/best.json": b"{}"}


def test_a_study_shows_its_best_trial_and_that_ones_params(study: Study) -> None:
    tags = study.show().tags
    assert (tags["dvc.best"], tags["dvc.best.train.rate"]) == ("wide-1", "2.5")


def test_a_study_shows_the_best_value_after_each_trial(study: Study) -> None:
    assert [float(point.value) for point in study.show().series["best_valid.loss"]] == [0.5, 0.25, 0.25]


def test_the_highest_value_is_best_where_it_is_maximized(tmp_path: Path) -> None:
    study = Study(tmp_path)
    for loss in (0.5, 0.75, 0.25):
        study.add(loss, directions=["maximize"])
    content = study.show()
    assert content.tags["dvc.best"] == "wide-1"
    assert content.series["best_valid.loss"][-1].value == "0.75"


def test_no_trial_is_the_best_one_of_several_objectives(tmp_path: Path) -> None:
    study = Study(tmp_path)
    study.add(0.5, metrics=["m.json:valid.loss", "m.json:size"], directions=["minimize"] * 2)
    assert "dvc.best" not in study.show().tags


def test_a_file_that_a_run_has_from_another_machine_is_not_missing_in_it() -> None:
    content = Content(key="a", name="a", start=0, end=0, missing=["p.csv", "q.csv"])
    content.update_lacking("this machine does not have: p.csv")
    assert content.lacking == ["p.csv"]


def test_a_file_is_not_missing_because_a_longer_path_contains_its_own() -> None:
    content = Content(key="a", name="a", start=0, end=0, missing=["p.csv", "plots/p.csv", "z.csv"])
    content.update_lacking("this machine does not have: plots/p.csv, z.csv")
    assert content.lacking == ["plots/p.csv", "z.csv"]


def test_a_file_of_a_folder_in_a_store_that_keeps_versions_is_found_in_the_cache(
    show: Show, tmp_path: Path
) -> None:
    lock = "schema: '2.0'\nstages:\n  train:\n    cmd: x\n    outs:\n    - path: curves\n      hash: md5\n"
    lock += f"      files:\n      - relpath: loss.csv\n        md5: {'a' * 32}\n        size: 1\n"
    definition = "stages:\n  train:\n    cmd: x\n    outs: [curves]\nplots: [curves]\n"
    write(tmp_path, {f".dvc/cache/files/md5/aa/{'a' * 30}": "1"})
    content = show({"dvc.yaml": definition, "dvc.lock": lock})
    assert (content.artifacts.get("curves/loss.csv"), content.missing) == (b"1", [])


def test_a_run_of_results_that_are_not_of_its_commit_says_so(show: Show) -> None:
    pipeline = PIPELINE.replace("    outs:", "    params: [alpha]\n    outs:")
    run = show({"params.yaml": "alpha: 0.2\n", "dvc.yaml": pipeline})
    assert run.tags["dvc.stale"] == "alpha was 0.1, is 0.2"
    warning = "**These results are not of this commit**: alpha was 0.1, is 0.2."
    assert run.tags["mlflow.note.content"].startswith(warning)


def test_a_run_of_results_of_its_own_has_no_such_tag(show: Show) -> None:
    assert "dvc.stale" not in show().tags


@pytest.mark.parametrize(("section", "is_copied"), [("outs", False), ("plots", True)])
def test_a_large_output_that_git_keeps_is_copied_only_if_it_is_a_plot(
    show: Show, section: str, is_copied: bool
) -> None:
    entry = f"    - path: large.html\n      hash: md5\n      md5: {'d' * 32}\n      size: 1\n"
    declared = f"    {section}:\n    - large.html: {{cache: false}}\n    - small.html: {{cache: false}}\n"
    pipeline = f"stages:\n  train:\n    cmd: python train.py\n{declared}"
    lock = LOCK + entry + entry.replace("large", "small")
    files = {"dvc.yaml": pipeline, "dvc.lock": lock, "large.html": "x" * 1_000_001, "small.html": "x"}
    content = show(files)
    assert "small.html" in content.artifacts
    assert ("large.html" in content.artifacts) is is_copied
    assert ("large.html" in content.tags.get("mirror.in_git", "")) is not is_copied
