"""A search that is killed, stopped, run twice, or whose stages fail: nothing is lost, and nothing is left."""

import os
import random
import re
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from searching import SPACE, check_agreement, check_left_alone, checkout, experiments, start, strays, trials
from servers import needs_postgres, postgres, wait_for
from support import run

COMMAND = ("locatable", "search")


def processes(folder: Path, kind: str) -> list[psutil.Process]:
    """Workers, or stages, of the search in a folder that run now."""
    found = []
    for process in psutil.process_iter():
        try:
            environ = process.environ()
            if environ.get("SEARCH_CLONE", "").startswith(str(folder)) and not process.name().startswith(
                "git"
            ):
                found += [process] if ("DVC_STAGE" in environ) == (kind == "stage") else []
        except psutil.Error:
            continue
    return found


@pytest.mark.long
@pytest.mark.parametrize("times", [3, pytest.param(10, marks=pytest.mark.weekly)])
def test_kills_lose_nothing(small: Any, user: dict[str, str], times: int) -> None:
    folder = small({"sampler": {"name": "RandomSampler", "seed": 1}}, seconds=1.5)
    before = checkout(folder)
    chance = random.Random(20)  # noqa: S311
    victims = "worker search stage search worker stage search worker stage search".split()[:times]
    options = ("--trials", str(times + 4), "--workers", "2")
    search = start(folder, user, *options)
    for victim in victims:
        wait_for(lambda: processes(folder, "stage"))
        time.sleep(chance.uniform(0, 2))
        if victim == "search":
            search.kill()
            search.communicate()
            # Even while what it left is still ending.
            time.sleep(chance.choice([0, 0, 1]))
            search = start(folder, user, *options)
        else:
            found = wait_for(lambda kind=victim: processes(folder, kind))
            chance.choice(found).kill()
        assert search.poll() is None or search.returncode == 0
    said, _ = search.communicate(timeout=300)
    assert search.returncode == 0, said

    check_left_alone(folder, before, user)
    check_agreement(folder)
    states = [trial.state.name for trial in trials(folder)]
    assert set(states) == {"COMPLETE", "FAIL"}
    assert states.count("COMPLETE") == len(experiments(folder)) == times + 4
    assert 1 <= states.count("FAIL") <= 2 * len(victims)


def test_a_push_that_breaks_off_after_it_has_arrived(small: Any, user: dict[str, str]) -> None:
    folder = small({})
    before = checkout(folder)
    hook = folder / ".git/hooks/post-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nkill -9 $PPID\n")
    hook.chmod(0o755)
    done = run(*COMMAND, "--trials", "2", cwd=folder, env=user)
    assert "small: 2 complete, 0 pruned, 0 failed" in done.stdout
    check_left_alone(folder, before, user)
    check_agreement(folder)


def test_ctrl_c_finishes_and_a_second_one_stops(small: Any, user: dict[str, str]) -> None:
    folder = small({}, seconds=1.5)
    before = checkout(folder)
    search = start(folder, user, "--trials", "50", "--workers", "2")
    wait_for(lambda: len(processes(folder, "stage")) >= 2)
    # As a terminal does it: to the whole process group.
    os.killpg(search.pid, signal.SIGINT)
    said, _ = search.communicate(timeout=60)
    assert search.returncode == 130
    assert "run the same command to continue" in said
    assert [trial.state.name for trial in trials(folder)] == ["COMPLETE", "COMPLETE"]
    check_left_alone(folder, before, user)
    check_agreement(folder)

    search = start(folder, user, "--trials", "50")
    wait_for(lambda: processes(folder, "stage"))
    os.killpg(search.pid, signal.SIGINT)
    os.killpg(search.pid, signal.SIGINT)
    search.communicate(timeout=60)
    assert search.returncode == 130
    check_left_alone(folder, before, user)
    check_agreement(folder)

    search = start(folder, user, "--trials", "50")
    wait_for(lambda: processes(folder, "stage"))
    search.terminate()
    said, _ = search.communicate(timeout=60)
    assert re.search(r"pruned, 0 failed, \d stopped \(run again by the next search\)$", said, re.MULTILINE)
    check_left_alone(folder, before, user)
    check_agreement(folder)


def test_a_stage_that_fails_for_some_params(small: Any, user: dict[str, str]) -> None:
    grid = {"name": "GridSampler", "search_space": {"train.x": [0.1, 0.2, 0.8]}}
    folder = small({"sampler": grid}, x=0.3, trouble="above")
    before = checkout(folder)
    done = run(*COMMAND, "--trials", "3", cwd=folder, env=user)
    failed = [trial for trial in trials(folder) if trial.state.name == "FAIL"]
    assert [trial.params for trial in failed] == [{"train.x": 0.8}]
    name = f"small-{failed[0].number}"
    assert f"{name} failed: x = 0.8 does not work" in done.stderr
    path = re.search(r"more in (\S+)\)", done.stderr)[1]
    assert "x = 0.8 does not work" in (folder / path).read_text()
    assert "failed to run: python train.py" in failed[0].user_attrs["error"]
    assert len(experiments(folder)) == 2
    check_agreement(folder)
    check_left_alone(folder, before, user)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("always", "does not work"),
        ("nan", "metrics.json:valid.loss is nan, which is not a finite number"),
        ("children", "and left children"),
    ],
)
def test_a_search_in_which_nothing_works_ends_early(
    small: Any, user: dict[str, str], trouble: str, said: str
) -> None:
    space = {**SPACE, "train.trouble": {"type": "categorical", "choices": [trouble]}}
    folder = small({"space": space})
    before = checkout(folder)
    done = run(*COMMAND, "--trials", "30", cwd=folder, env=user, code=1)
    assert said in done.stderr
    assert "5 trials failed one after another" in done.stderr.splitlines()[-1]
    assert experiments(folder) == {}
    assert {trial.state.name for trial in trials(folder)} == {"FAIL"}
    check_left_alone(folder, before, user)


def test_a_second_search_of_a_study_is_refused(small: Any, user: dict[str, str]) -> None:
    folder = small({}, seconds=1.0)
    first = start(folder, user, "--trials", "3")
    wait_for(lambda: processes(folder, "stage"))
    second = run(*COMMAND, "--trials", "3", cwd=folder, env=user, code=1)
    assert "searched already" in second.stderr
    assert second.stderr.count("\n") == 1
    other = run(*COMMAND, "--trials", "1", "--study", "other", cwd=folder, env=user)
    assert "1 complete" in other.stdout
    said, _ = first.communicate(timeout=60)
    assert first.returncode == 0, said
    assert set(experiments(folder)) == {"small-0", "small-1", "small-2", "other-0"}
    assert strays(folder) == []


COPY = """
import optuna, sys
optuna.copy_study(from_study_name="small", from_storage=sys.argv[1], to_storage="sqlite:///optuna.db")
"""


@needs_postgres
@pytest.mark.weekly
def test_a_search_in_postgresql_that_is_killed(small: Any, user: dict[str, str], with_driver: dict) -> None:
    folder = small({"sampler": {"name": "RandomSampler", "seed": 1}}, seconds=0.4)
    before, user = checkout(folder), {**user, **with_driver}
    with postgres() as address:
        storage = address.replace("postgresql:", "postgresql+psycopg:")
        options = ("--trials", "6", "--workers", "2", "--storage", storage)
        search = start(folder, user, *options)
        wait_for(lambda: len(experiments(folder)) >= 2 and processes(folder, "stage"))
        search.kill()
        search.communicate()
        run(*COMMAND, *options, cwd=folder, env=user)
        check_left_alone(folder, before, user)
        assert not (folder / "optuna.db").exists()
        run("python", "-c", COPY, storage, cwd=folder, env=user)
        check_agreement(folder)
        assert len(experiments(folder)) == 6
    gone = run(*COMMAND, *options, cwd=folder, env=user, code=1)
    assert gone.stderr.startswith("--storage: cannot be used: ")
    assert gone.stderr.count("\n") == 1


def test_a_full_disk_is_said(small: Any, user: dict[str, str], full_disk: Path) -> None:
    space = {**SPACE, "train.bytes": {"type": "categorical", "choices": [20_000_000]}}
    folder = small({"space": space})
    (folder / ".dvc/tmp/search").symlink_to(full_disk)
    done = run(*COMMAND, "--trials", "30", "--workers", "2", cwd=folder, env=user, code=1)
    assert "disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert experiments(folder) == {}
    assert strays(folder) == []
    # With room again, the same command goes on.
    (folder / ".dvc/tmp/search").unlink()
    run(*COMMAND, "--trials", "2", cwd=folder, env=user)
    check_agreement(folder, keys=("x", "bytes"))
    assert len(experiments(folder)) == 2
