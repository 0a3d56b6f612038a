"""A search: the study is a view of experiments, and search.yaml means what it says."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from searching import (
    SERIES,
    SPACE,
    check_agreement,
    check_left_alone,
    checkout,
    commit,
    experiments,
    kept,
    trials,
)
from support import Search, run

from locatable.clones.trial_clone import CloneSetup
from locatable.search.messages import Began, Complete, Job, Ready, Written, from_json, to_json


@pytest.mark.weekly
def test_the_study_is_made_again_from_git(
    small: Any, search: Search, user: dict[str, str], tmp_path: Path
) -> None:
    folder = small({"series": SERIES, "sampler": {"name": "RandomSampler", "seed": 3}}, steps=2)
    search(folder, "--trials", "4")
    first = trials(folder)
    # A trial that failed has left no experiment; those after it keep their numbers.
    run("dvc", "exp", "remove", "small-1", cwd=folder, env=user)
    run("dvc", "exp", "rename", "small-3", "kept", cwd=folder, env=user)
    said = search(folder, "--trials", "4").stdout.splitlines()
    assert said[0].startswith("small: 1 complete trials have no experiment in Git (removed, or not pulled)")
    assert trials(folder)[1].params == first[1].params
    run("dvc", "exp", "rename", "kept", "small-3", cwd=folder, env=user)
    (folder / "optuna.db").unlink()
    search(folder, "--trials", "5")
    again = trials(folder)
    assert [trial.state.name for trial in again] == ["COMPLETE", "FAIL", *["COMPLETE"] * 4]
    for number in (0, 2, 3):
        assert again[number].params == first[number].params
        assert again[number].values == first[number].values
        assert len(again[number].intermediate_values) == 2
    # A seed does not draw the same values again.
    assert len({trial.params["train.x"] for trial in again if trial.params}) == 5
    assert [len(trial.intermediate_values) for trial in first] == [2] * 4
    check_agreement(folder)

    # A colleague with nothing but Git and the DVC remote goes on.
    remote, colleague = tmp_path / "remote.git", tmp_path / "colleague"
    run("git", "clone", "--quiet", "--bare", folder, remote, cwd=tmp_path, env=user)
    run("git", "remote", "add", "origin", remote, cwd=folder, env=user)
    run("dvc", "remote", "add", "--local", "--default", "store", tmp_path / "store", cwd=folder, env=user)
    run("dvc", "push", "--quiet", cwd=folder, env=user)
    run("dvc", "exp", "push", "--quiet", "--all-commits", "origin", cwd=folder, env=user)
    run("git", "clone", "--quiet", remote, colleague, cwd=tmp_path, env=user)
    run("dvc", "config", "--local", "core.site_cache_dir", tmp_path / "site", cwd=colleague, env=user)
    run("dvc", "remote", "add", "--local", "--default", "store", tmp_path / "store", cwd=colleague, env=user)
    run("dvc", "exp", "pull", "--quiet", "--all-commits", "origin", cwd=colleague, env=user)
    run("dvc", "pull", "--quiet", cwd=colleague, env=user)
    search(colleague, "--trials", "6")
    check_agreement(colleague)
    theirs = trials(colleague)
    assert [trial.params for trial in theirs[:6]] == [trial.params for trial in again]
    assert theirs[6].state.name == "COMPLETE"

    # And back: what the colleague found joins the study here.
    run("dvc", "exp", "push", "--quiet", "--all-commits", "origin", cwd=colleague, env=user)
    run("dvc", "exp", "pull", "--quiet", "--all-commits", "origin", cwd=folder, env=user)
    search(folder, "--trials", "7")
    check_agreement(folder)
    assert trials(folder)[6].params == theirs[6].params
    assert len(experiments(folder)) == 7


def test_pruned_trials_claim_no_result(small: Any, search: Search, user: dict[str, str]) -> None:
    grid = {"train.x": [0.3, 0.95], "train.trouble": ["children"]}
    folder = small(
        {
            "pruner": {"name": "ThresholdPruner", "upper": 1.2},
            "series": SERIES,
            "sampler": {"name": "GridSampler", "search_space": grid},
            "space": {**SPACE, "train.trouble": {"type": "categorical", "choices": ["children"]}},
        },
        steps=8,
        seconds=0.25,
        y=0.0,
    )
    before = checkout(folder)
    search(folder, "--trials", "2")
    complete, pruned = sorted(trials(folder), key=lambda trial: trial.params["train.x"])
    assert (complete.state.name, pruned.state.name) == ("COMPLETE", "PRUNED")
    assert len(complete.intermediate_values) == 8
    assert 0 < len(pruned.intermediate_values) < 8
    assert set(experiments(folder)) == {f"small-{complete.number}"}
    # The children of its stages, in process groups of their own, are gone too.
    check_left_alone(folder, before, user)


def test_an_experiment_of_a_trials_name_is_not_taken_for_a_trial(
    small: Any, search: Search, user: dict[str, str]
) -> None:
    space = {"train.kind": {"type": "categorical", "choices": ["fancy"]}}
    folder = small({"space": space})
    run(
        *("dvc", "exp", "run", "--quiet", "--temp", "--name", "small-0"),
        *("-S", "train.kind=fancy", "-S", "train.y=0.9"),
        cwd=folder,
        env=user,
    )
    search(folder, "--trials", "2")
    params = kept(folder, experiments(folder)["small-1"], "params.yaml")["train"]
    assert (params["kind"], params["y"]) == ("fancy", 0.5)


def test_the_same_params_are_not_run_twice(
    small: Any, search: Search, user: dict[str, str], runs: Path
) -> None:
    space = {"train.kind": {"type": "categorical", "choices": ["plain", "fancy"]}}
    folder = small({"space": space, "sampler": {"name": "RandomSampler", "seed": 1}})
    runs.write_text("")
    search(folder, "--trials", "8")
    check_agreement(folder, keys=("kind",))
    assert len(experiments(folder)) == 8
    kinds = [trial.params["train.kind"] for trial in trials(folder)]
    assert kinds.count("fancy") > 1
    # `plain` is what the baseline has.
    assert runs.read_text().count("train") == 1


def test_several_objectives_and_a_sampler_from_anywhere(small: Any, search: Search) -> None:
    folder = small(
        {
            "metric": ["metrics.json:valid.loss", "metrics.json:valid.cost"],
            "direction": ["minimize", "maximize"],
            "sampler": {"name": "optuna.samplers.NSGAIISampler", "seed": 1, "population_size": 4},
            "space": {**SPACE, "train.y": {"type": "float", "low": 0.0, "high": 1.0, "step": 0.25}},
        }
    )
    other = f"sqlite:///{folder / 'optuna.db.other'}"
    search(folder, "--trials", "3", "--study", "two", "--storage", other)
    for trial in trials(folder, "two", other):
        metrics = kept(folder, experiments(folder)[f"two-{trial.number}"], "metrics.json")["valid"]
        assert trial.values == [metrics["loss"], metrics["cost"]]
    assert not (folder / "optuna.db").exists()
    assert (folder / "reports/search/two/pareto.png").exists()


# Around a stage: notes when it begins and ends, and the GPU that it was given.
NOTE = """
import os
with open(os.environ["DEVICES"], "a") as noted:
    noted.write("%s " + os.environ["CUDA_VISIBLE_DEVICES"] + "\\n")
"""


# tests/unit/test_search_devices.py shares GPUs out.
@pytest.mark.weekly
def test_two_trials_at_a_time_share_no_gpu(small: Any, user: dict[str, str], tmp_path: Path) -> None:
    folder = small({"resources": {"gpu": 1}, "sampler": {"name": "RandomSampler", "seed": 1}}, seconds=0.5)
    code = NOTE % "begin" + (folder / "train.py").read_text() + NOTE % "end"
    (folder / "train.py").write_text(code)
    commit(folder, user)
    noted = tmp_path / "devices"
    devices = {"CUDA_VISIBLE_DEVICES": "3,5", "DEVICES": str(noted)}
    options = ("--allow-stale", "--workers", "2", "--trials", "6")
    run("locatable", "search", *options, cwd=folder, env={**user, **devices})
    using: set[str] = set()
    most = 0
    for line in noted.read_text().splitlines():
        event, device = line.split()
        assert (device in using) == (event == "end")
        using ^= {device}
        most = max(most, len(using))
    assert (most, len(experiments(folder))) == (2, 6)


AWKWARD = [
    "a,b", "[x]", "{x: 1}", "null", "1e-5", "yes", "on", "", " led", 'say "hi"', "it's", "x=1", "$HOME ${y}",
    "#no", "Größe λ", "line\nbreak", "a: b", "~", "010", "2024-01-01", "\\d+", None, True, 7, 0.00001,
    [1, "two", None], {"deep": [1e-7, "no"]},
]  # fmt: skip


# tests/unit/test_params_files.py sets values of all kinds in every format.
@pytest.mark.weekly
def test_awkward_values_arrive_as_meant(small: Any, search: Search) -> None:
    labels = [json.dumps(value) if isinstance(value, list | dict) else value for value in AWKWARD]
    space = {"train.text": {"type": "categorical", "choices": AWKWARD}}
    folder = small({"space": space, "sampler": {"name": "BruteForceSampler", "seed": 1}})
    search(folder, "--trials", str(len(AWKWARD)), "--workers", "2")
    refs = experiments(folder)
    assert len(refs) == len(AWKWARD)
    for trial in trials(folder):
        (place,) = [at for at, label in enumerate(labels) if repr(label) == repr(trial.params["train.text"])]
        rev = refs[f"small-{trial.number}"]
        # What the stage saw (it reads YAML 1.1, as many do), and what DVC recorded.
        assert repr(kept(folder, rev, "metrics.json")["seen"]["text"]) == repr(AWKWARD[place])
        assert repr(kept(folder, rev, "params.yaml")["train"]["text"]) == repr(AWKWARD[place])
    (folder / "optuna.db").unlink()
    assert "no more to propose" not in search(folder, "--trials", "1").stdout
    assert sorted(repr(trial.params) for trial in trials(folder)) == sorted(
        repr({"train.text": label}) for label in labels
    )


def test_params_in_other_formats(small: Any, search: Search, user: dict[str, str]) -> None:
    settings = {
        "more/a.toml": "# by hand\n[deep]\nrate = 1e-05\nname = 'x'\n",
        "more/b.json": '{"width": 3, "list": [1, 2]}',
        "more/c.py": "import os\nDEPTH = 2\n\n\nclass Net:\n    rate = 0.5\n    on = True\n",
    }
    space = {
        "more/a.toml:deep.rate": {"type": "float", "low": 1e-6, "high": 1e-4, "log": True},
        "more/a.toml:deep.name": {"type": "categorical", "choices": ["y", "z"]},
        "more/b.json:list.1": {"type": "int", "low": 3, "high": 9},
        "more/c.py:DEPTH": {"type": "int", "low": 3, "high": 9},
        "more/c.py:Net.rate": {"type": "float", "low": 0.0, "high": 1.0, "when": {"more/c.py:Net.on": True}},
    }
    folder = small({"space": space})
    (folder / "more").mkdir()
    for path, text in settings.items():
        (folder / path).write_text(text)
    pipeline = (folder / "dvc.yaml").read_text()
    declared = "".join(f"    - {path}: []\n" for path in settings)
    (folder / "dvc.yaml").write_text(pipeline.replace("    - train\n", f"    - train\n{declared}"))
    run("dvc", "repro", "--quiet", cwd=folder, env=user)
    commit(folder, user)
    search(folder, "--trials", "2")
    first = trials(folder)
    assert [trial.state.name for trial in first] == ["COMPLETE", "COMPLETE"]
    for trial in first:
        rev = experiments(folder)[f"small-{trial.number}"]
        recorded = kept(folder, rev, "dvc.lock")["stages"]["train"]["params"]
        flat = {
            "more/a.toml:deep.rate": float(recorded["more/a.toml"]["deep"]["rate"]),
            "more/a.toml:deep.name": recorded["more/a.toml"]["deep"]["name"],
            "more/b.json:list.1": recorded["more/b.json"]["list"][1],
            "more/c.py:DEPTH": recorded["more/c.py"]["DEPTH"],
            "more/c.py:Net.rate": recorded["more/c.py"]["Net"]["rate"],
        }
        assert trial.params == flat
    (folder / "optuna.db").unlink()
    assert "2 experiments of the study read from Git" in search(folder, "--trials", "2").stdout
    assert [(trial.params, trial.values) for trial in trials(folder)] == [
        (trial.params, trial.values) for trial in first
    ]


def test_what_is_not_committed_is_refused_by_name(small: Any, search: Search, user: dict[str, str]) -> None:
    folder = small({})
    (folder / "data.csv").write_text("a\n1\n")
    run("dvc", "add", "--quiet", "data.csv", cwd=folder, env=user)
    commit(folder, user)
    (folder / "data.csv").write_text("a\n2\n")
    assert "data.csv" in search(folder, code=1).stderr
    run("dvc", "checkout", "--quiet", "--force", cwd=folder, env=user)
    (folder / "train.py").write_text("raise SystemExit")
    refused = search(folder, code=1).stderr
    assert "train.py" in refused
    assert refused.count("\n") == 1
    assert experiments(folder) == {}


def test_a_worker_of_another_machine(small: Any, user: dict[str, str], tmp_path: Path) -> None:
    """It has nothing but a Git URL and a DVC remote; this is the interface that clusters will use."""
    folder = small({})
    home, store = tmp_path / "home.git", tmp_path / "store"
    run("dvc", "remote", "add", "--default", "store", store, cwd=folder, env=user)
    commit(folder, user)
    run("dvc", "push", "--quiet", cwd=folder, env=user)
    run("git", "clone", "--quiet", "--bare", folder, home, cwd=tmp_path, env=user)
    baseline = run("git", "rev-parse", "HEAD", cwd=folder, env=user).stdout.strip()
    setup = CloneSetup(baseline=baseline, url=home.as_uri(), subdir=".", identity={}, config={}, shared=False)
    trial = Job("far-7", {"train.x": 0.25}, ["metrics.json:valid.loss"])
    with subprocess.Popen(
        ("python", "-m", "locatable.search.worker"),
        cwd=folder,
        env={**user, "SEARCH_CLONE": str(tmp_path / "far" / "clone")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as worker:
        print(to_json(setup), file=worker.stdin, flush=True)
        assert from_json(worker.stdout.readline()) == Ready()
        print(to_json(trial), file=worker.stdin, flush=True)
        # Before it, what there is to watch on this machine.
        told = map(from_json, worker.stdout)
        result = next(message for message in told if not isinstance(message, Began | Written))
        worker.stdin.close()
    assert isinstance(result, Complete)
    assert (result.rev, result.values) == (experiments(home)["far-7"], [(0.25 - 0.3) ** 2 + 0.05])
    # The model is where a colleague can pull it from.
    out = kept(home, result.rev, "dvc.lock")["stages"]["train"]["outs"]
    (model,) = [entry["md5"] for entry in out if entry["path"] == "model.bin"]
    assert (store / "files/md5" / model[:2] / model[2:]).exists()
    assert not (folder / ".dvc/tmp/search").exists()
