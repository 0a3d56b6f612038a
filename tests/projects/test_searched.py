"""What there is after a search: every trial is an experiment, and the checkout is as it was."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from searching import check_agreement, check_left_alone, checkout, experiments, kept, make, trials
from support import run

from locatable.results.processor import count_cpus, read_processor


@dataclass(frozen=True)
class Searched:
    """A small repository after a search of five trials by two workers; do not change it.

    Attributes:
        folder: the repository.
        before: its checkout before the search.
        ran: what stages have run in it since.
        said: what the search printed.
    """

    folder: Path
    before: dict[str, bytes]
    ran: list[str]
    said: str

    @property
    def best(self) -> str:
        """The name of the best trial."""
        return f"small-{min(trials(self.folder), key=lambda trial: trial.value).number}"


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, rebuilt: Path, env: dict[str, str]) -> Searched:
    top = tmp_path_factory.mktemp("searched")
    user = {**env, "RUNS": str(top / "runs.txt")}
    folder = make(top / "repo", rebuilt, user, {})
    before, ran = checkout(folder), (top / "runs.txt").read_text()
    said = run("locatable", "search", "--trials", "5", "--workers", "2", cwd=folder, env=user).stdout
    return Searched(folder, before, (top / "runs.txt").read_text().removeprefix(ran).splitlines(), said)


def test_a_search_leaves_the_checkout_alone(searched: Searched, env: dict[str, str]) -> None:
    check_left_alone(searched.folder, searched.before, env)


def test_every_trial_is_an_experiment(searched: Searched) -> None:
    check_agreement(searched.folder)
    assert len(experiments(searched.folder)) == 5


def test_the_processor_of_every_experiment_is_noted(searched: Searched) -> None:
    noted = [read_processor(searched.folder, rev) for rev in experiments(searched.folder).values()]
    assert len(noted) == 5
    # With the kernel that NumPy's BLAS has in the environment of the search.
    assert all(processor and processor.cpus == count_cpus() and processor.blas for processor in noted)


def test_a_stage_whose_inputs_no_trial_changes_does_not_run(searched: Searched) -> None:
    assert sorted(line.split()[0] for line in searched.ran) == ["train"] * 5


def test_the_outputs_of_every_trial_are_in_the_cache(searched: Searched) -> None:
    revs = experiments(searched.folder).values()
    locks = [kept(searched.folder, rev, "dvc.lock")["stages"]["train"] for rev in revs]
    cached = {path.parent.name + path.name for path in searched.folder.glob(".dvc/cache/files/md5/*/*")}
    models = [out["md5"] for lock in locks for out in lock["outs"] if out["path"] == "model.bin"]
    assert (len(models), set(models) - cached) == (len(revs), set())


def test_a_search_ends_with_how_to_take_over_the_best_trial(searched: Searched) -> None:
    assert f"dvc exp apply {searched.best}" in searched.said


def test_a_search_draws_figures(searched: Searched) -> None:
    report = searched.folder / "reports/search/small"
    figures = {path.name for path in report.glob("*.png")}
    assert figures == {"history.png", "importances.png", "slices.png", "parallel.png"}
    assert all((report / name).read_bytes().startswith(b"\x89PNG") for name in figures)


def test_a_search_lists_its_trials(searched: Searched) -> None:
    report = searched.folder / "reports/search/small"
    assert {path.name for path in report.iterdir() if path.suffix != ".png"} == {"trials.csv"}
    assert len((report / "trials.csv").read_text().splitlines()) == 6


def test_an_applied_trial_is_up_to_date(
    searched: Searched, user: dict[str, str], runs: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(searched.folder, tmp_path / "repo", symlinks=True))
    run("dvc", "exp", "apply", searched.best, cwd=folder, env=user)
    assert "up to date" in run("dvc", "repro", cwd=folder, env=user).stdout
    assert not runs.exists()
