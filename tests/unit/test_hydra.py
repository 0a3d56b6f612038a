"""Projects whose params.yaml Hydra composes: trials have what `dvc exp run -S` would give them."""

import contextlib
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Any

import pytest
import tiny_dvc
import tiny_git
import yaml
from dvc.repo import Repo
from tiny_proof import clone_of, proof

from locatable.clones.trial_clone import Clone, read_project
from locatable.errors import ProjectError, SettingsError
from locatable.repository.reader import Reader
from locatable.results.coordinates import coordinates_of
from locatable.search.git_trials import find_experiments
from locatable.search.run import SearchOptions, SearchPlan, plan_search
from locatable.search.settings import load

CONFIG = """
defaults:
  - model: small
  - _self_
lr: 0.1
text: plain
flag: true
sizes: [1, 2]
"""
FILES = {
    "conf/config.yaml": CONFIG,
    "conf/model/small.yaml": "depth: 2\ntwice: ${model.depth}${model.depth}\n",
    "conf/model/big.yaml": "depth: 9\nlayers: 3\ntwice: ${model.depth}${model.depth}\n",
    "train.py": """
import yaml
params = yaml.safe_load(open("params.yaml"))
yaml.safe_dump({"m": int(params["model"]["twice"])}, open("m.yaml", "w"))
""",
}
STAGE = {
    "cmd": f"{quote(sys.executable)} train.py",
    "deps": ["train.py"],
    "params": ["model", "lr", "text", "flag", "sizes"],
    "metrics": [{"m.yaml": {"cache": False}}],
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with results, whose params.yaml DVC had Hydra compose."""
    place = tmp_path_factory.mktemp("hydra")
    root = place / "project"
    with pytest.MonkeyPatch.context() as patch:
        tiny_git.identify(place, patch)
        tiny_dvc.init(root)
        with tiny_dvc.dvc(root) as repo, repo.config.edit() as settings:
            settings["hydra"] = {"enabled": True}
        pipeline = json.dumps({"stages": {"train": STAGE}})
        tiny_git.write(root, {**FILES, "dvc.yaml": pipeline, "params.yaml": "{}\n"})
        tiny_dvc.commit(root)
        with tiny_dvc.dvc(root) as repo:
            repo.experiments.run()
        tiny_dvc.commit(root)
        yield root


def by_dvc(root: Path, name: str, overrides: list[str]) -> Any:
    """Params of an experiment that DVC itself ran."""
    with contextlib.chdir(root), Repo(str(root)) as repo:
        (rev,) = repo.experiments.run(name=name, params=overrides, tmp_dir=True)
    return yaml.safe_load(tiny_git.git(root, "show", f"{rev}:params.yaml"))


@pytest.fixture(scope="module")
def clone(root: Path) -> Clone:
    return clone_of(root)


def test_what_follows_from_a_value_is_composed_as_dvc_does(root: Path, clone: Clone) -> None:
    clone.reset()
    rev = clone.run("s-0", {"model.depth": 7}, ["m.yaml"])
    params = yaml.safe_load(tiny_git.git(clone.folder, "show", f"{rev}:params.yaml"))
    assert params == by_dvc(root, "by-dvc", ["model.depth=7"])
    assert clone.read(rev, "m.yaml:m") == 77


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lr", 1e-05),
        ("lr", 1e22),
        ("lr", 3),
        ("text", "a, b: 'c' \\ d"),
        ("text", "true"),
        ("text", ""),
        ("text", "ä$"),
        ("text", "end\\"),
        ("text", "0o17"),
        ("text", "12:30"),
        ("lr", 8.072307884499749e-07),
        ("lr", -math.inf),
        ("flag", False),
        ("flag", None),
        ("sizes", [3, "x, y", 0.5]),
    ],
)
def test_a_value_of_any_kind_arrives(clone: Clone, key: str, value: Any) -> None:
    clone.reset()
    rev = clone.run("s-1", {key: value}, ["m.yaml"])
    assert repr(clone.read(rev, key)) == repr(value)
    assert repr(yaml.safe_load(tiny_git.git(clone.folder, "show", f"{rev}:params.yaml"))[key]) == repr(value)


def plan(root: Path, space: dict[str, Any]) -> SearchPlan:
    search = {"study": "s", "metric": "m.yaml:m", "direction": "minimize", "space": space}
    (root / "search.yaml").write_text(json.dumps(search))
    return plan_search(root, load(root / "search.yaml"), SearchOptions(trials=1))


DEPTH = {"type": "int", "low": 1, "high": 9}


def test_a_value_can_be_searched(root: Path) -> None:
    assert plan(root, {"model.depth": DEPTH}).remarks == []


MODEL = {"type": "categorical", "choices": ["small", "big"]}


def test_a_group_can_be_searched_and_values_that_only_a_choice_has(root: Path) -> None:
    space = {"model": MODEL, "model.layers": {**DEPTH, "when": {"model": "big"}}}
    assert list(plan(root, space).settings.space) == ["model", "model.layers"]


def test_a_trial_has_what_its_group_stands_for(root: Path, clone: Clone) -> None:
    clone.reset()
    rev = clone.run("s-2", {"model": "big", "model.layers": 5}, ["m.yaml"])
    params = yaml.safe_load(tiny_git.git(clone.folder, "show", f"{rev}:params.yaml"))
    assert params == by_dvc(root, "big", ["model=big", "model.layers=5"])


def test_what_was_chosen_is_known_from_git(root: Path, clone: Clone) -> None:
    clone.reset()
    rev = clone.run("s-3", {"model": "big"}, ["m.yaml"])
    copy = clone.copy_experiment("s-4", rev, {})
    for name, commit in (("s-3", rev), ("s-4", copy)):
        clone.push(name, commit or "")
    settings = plan(root, {"model": MODEL}).settings
    found = find_experiments(root, settings, [])
    assert {trial.number: trial.params for trial in found.unknown} == {
        3: {"model": "big"},
        4: {"model": "big"},
    }


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"model": {**MODEL, "choices": ["big", "huge"]}}, "space: model: .* `choices` among big, small"),
        ({"model": {**MODEL, "choices": [["big"]]}}, "space: model: .* `choices` among big, small"),
        ({"model": DEPTH}, "space: model: .* needs `type: categorical`"),
        (
            {"lr": {**DEPTH, "when": {"model": "big"}}},
            "lr: when: model: a group of Hydra's, which is not",
        ),
        ({"model": MODEL, "model.nothing": DEPTH}, "space: model.nothing: no such param"),
    ],
)
def test_a_group_that_cannot_be_searched_is_refused(root: Path, space: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        plan(root, space)


def test_a_configuration_that_hydra_refuses_is_one_line(root: Path) -> None:
    broken = CONFIG.replace("small", "none")
    tiny_git.write(root, {"conf/config.yaml": broken})
    try:
        with pytest.raises(ProjectError, match=r"^Hydra cannot compose params\.yaml: .*model/none") as raised:
            plan(root, {"model.depth": DEPTH})
    finally:
        tiny_git.write(root, {"conf/config.yaml": CONFIG})
    assert "\n" not in str(raised.value)


def test_params_that_are_composed_anew_are_remarked_on(root: Path) -> None:
    content = (root / "params.yaml").read_text()
    tiny_git.write(root, {"params.yaml": content.replace("0.1", "0.25")})
    setup = read_project(root)
    tiny_git.write(root, {"params.yaml": content})
    assert setup.is_composed_anew
    assert setup.params_files["params.yaml"]["lr"] == 0.1


def test_a_commit_is_proven(root: Path) -> None:
    assert proof(root).proven


def test_the_params_coordinate_has_the_composed_values(root: Path) -> None:
    with Reader(root) as reader:
        content = coordinates_of(reader.snapshot("HEAD")).params.content
    with tiny_dvc.dvc(root) as repo:
        shown = repo.params.show()["HEAD" if "HEAD" in repo.params.show() else ""]["data"]["params.yaml"][
            "data"
        ]
    assert content["model.twice"] == shown["model"]["twice"]
    assert content["lr"] == shown["lr"]
