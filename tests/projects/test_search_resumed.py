"""A search that goes on: with any sampler, after an edit of search.yaml, on a new commit, elsewhere."""

import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
from searching import check_agreement, check_left_alone, checkout, commit, experiments, trials, write
from support import Search, run

GRID = {
    "train.x": {"type": "float", "low": 0.0, "high": 1.0, "step": 0.5},
    "train.y": {"type": "categorical", "choices": [0.1, 0.2]},
}
POINTS = {(x, y) for x in (0.0, 0.5, 1.0) for y in (0.1, 0.2)}


def complete(folder: Path) -> list[tuple[float, float]]:
    """Values of all complete trials."""
    done = [trial.params for trial in trials(folder) if trial.state.name == "COMPLETE"]
    return [(params["train.x"], params["train.y"]) for params in done]


def stages(folder: Path) -> list[psutil.Process]:
    """What runs for the stage `train` in a search's clones."""
    clones, found = folder / ".dvc/tmp/search", []
    for process in psutil.process_iter():
        try:
            if "train.py" in process.cmdline() and Path(process.cwd()).is_relative_to(clones):
                found.append(process)
        # It has ended meanwhile, which psutil says in two ways.
        except (psutil.Error, FileNotFoundError):
            continue
    return found


def start(folder: Path, env: dict[str, str], *options: str) -> subprocess.Popen[bytes]:
    """Begin a search, and return when it runs a stage."""
    command = ("locatable", "search", *options)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    begun = subprocess.Popen(command, cwd=folder, env=env, start_new_session=True, **quiet)
    end = time.monotonic() + 60
    while not stages(folder):
        assert time.monotonic() < end, "no stage has begun"
        time.sleep(0.1)
    return begun


def test_a_grid_is_searched_to_its_end_though_killed_and_moved(
    small: Any, search: Search, user: dict[str, str]
) -> None:
    points = {"train.x": [0.0, 0.5, 1.0], "train.y": [0.1, 0.2]}
    sampler = {"name": "GridSampler", "seed": 1, "search_space": points}
    folder = small({"space": GRID, "sampler": sampler}, seconds=0.5)
    # Its first trial is lost with it.
    killed = start(folder, user, "--trials", "6")
    killed.kill()
    killed.wait()
    folder = folder.rename(folder.with_name("moved"))
    said = search(folder, "--trials", "6").stdout
    assert "1 trials that were running are lost" in said
    assert "1 of these are run again" in said
    assert sorted(complete(folder)) == sorted(POINTS)
    check_agreement(folder, keys=("x", "y"))


def test_trials_of_an_earlier_commit_are_named(small: Any, search: Search, user: dict[str, str]) -> None:
    folder = small({"sampler": {"name": "RandomSampler", "seed": 1}})
    said = search(folder, "--trials", "3").stdout
    assert "Take a trial over:  dvc exp apply small-" in said
    assert "of this commit" not in said
    before = run("git", "rev-parse", "HEAD", cwd=folder, env=user).stdout[:7]
    # All that come now are worse.
    write(folder, {"sampler": {"name": "RandomSampler", "seed": 1}}, {"y": 50.0})
    run("dvc", "repro", "--quiet", cwd=folder, env=user)
    commit(folder, user)
    said = search(folder, "--trials", "4").stdout
    assert f"Some of these trials start from other commits: {before}" in said
    assert "dvc exp apply" not in said
    name = said.partition("How to take the best one over:  locatable locate ")[2].split()[0]
    best = min(trials(folder), key=lambda trial: trial.value)
    assert name == f"small-{best.number}"
    # What has no experiment any more cannot be taken over.
    run("dvc", "exp", "remove", *experiments(folder), cwd=folder, env=user)
    said = search(folder, "--trials", "4").stdout
    assert "None of these has an experiment any more" in said


def scrubbed(folder: Path, user: dict[str, str], cmd: str) -> None:
    """Give the stage `train` this command, for ten minutes."""
    pipeline = (folder / "dvc.yaml").read_text()
    (folder / "dvc.yaml").write_text(pipeline.replace("cmd: python train.py", f"cmd: {cmd}"))
    write(folder, {}, {"seconds": 600.0})
    run("dvc", "commit", "--quiet", "--force", cwd=folder, env=user)
    commit(folder, user)


def test_a_stage_that_scrubs_its_environment_is_stopped(small: Any, user: dict[str, str]) -> None:
    folder = small({})
    scrubbed(folder, user, "env -i PATH=$PATH python train.py && true")
    before = checkout(folder)
    stopped = start(folder, user, "--trials", "2")
    left = stages(folder)
    stopped.send_signal(signal.SIGTERM)
    assert stopped.wait(60) == 130
    assert psutil.wait_procs(left, 10)[1] == []
    check_left_alone(folder, before, user)


def test_a_stage_without_its_environment_that_was_left_by_a_killed_search(
    small: Any, user: dict[str, str], search: Search
) -> None:
    folder = small({})
    scrubbed(folder, user, "exec env -i PATH=$PATH python train.py")
    before = checkout(folder)
    killed = start(folder, user, "--trials", "2")
    left = stages(folder)
    killed.kill()
    killed.wait()
    search(folder, "--trials", "2", "--timeout", "0.001")
    assert psutil.wait_procs(left, 10)[1] == []
    check_left_alone(folder, before, user)


def test_no_trial_is_begun_after_the_timeout(small: Any, search: Search) -> None:
    folder = small({}, seconds=3.0)
    said = search(folder, "--trials", "50", "--timeout", "10").stdout
    done = len(experiments(folder))
    assert 1 <= done < 5
    assert f"small: {done} complete, 0 pruned, 0 failed" in said
    assert {trial.state.name for trial in trials(folder)} == {"COMPLETE"}


def test_what_keeps_it_from_starting_is_one_line(small: Any, search: Search, user: dict[str, str]) -> None:
    folder = small({})
    (folder / "data.csv").write_text("a\n1\n")
    run("dvc", "add", "--quiet", "data.csv", cwd=folder, env=user)
    commit(folder, user)
    shutil.rmtree(folder / ".dvc/cache/files")
    assert search(folder, code=1).stderr == "not in DVC's cache: data.csv; dvc pull\n"
    (folder / "data.csv.dvc").unlink()
    text = (folder / "search.yaml").read_bytes()
    (folder / "search.yaml").write_bytes(text + b"# \xff\n")
    assert search(folder, code=1).stderr.startswith("search.yaml: not UTF-8: ")
    (folder / "search.yaml").write_bytes(text)
    shutil.rmtree(folder / ".git")
    run("git", "init", "--quiet", cwd=folder, env=user)
    assert search(folder, code=1).stderr == "nothing is committed yet: trials start from a commit\n"
