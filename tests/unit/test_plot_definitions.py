"""Plots as a dvc.yaml defines them: which there are, and which files they are drawn from, as DVC says."""

from pathlib import Path

import pytest
from tiny_dvc import commit, dvc, init
from tiny_git import write

from locatable.repository.reader import Reader

TABLE = "step,loss,acc\n0,1,0.5\n1,0.5,0.75\n"
STAGE = """\
stages:
  draw:
    cmd: x
    wdir: work
    plots:
    - of_stage.csv: {cache: false, x: step, y: loss}
    - plain.csv
"""
DEFINITIONS = {
    "a path": "plots:\n- top.csv\n",
    "a path with settings": "plots:\n- top.csv: {x: step, y: acc, title: Top}\n",
    "a name with files": "plots:\n- both: {x: step, y: {top.csv: loss, work/plain.csv: [loss, acc]}}\n",
    "of a stage": STAGE,
    "of a stage, and of the top": f"{STAGE}plots:\n- work/of_stage.csv: {{x: step, y: acc}}\n",
    "a template": "vars: [{name: top}]\nplots:\n- ${name}.csv: {x: step, y: loss}\n",
}


@pytest.mark.parametrize("kind", DEFINITIONS)
@pytest.mark.parametrize("folder", ["", "sub"])
def test_plots_are_those_that_dvc_draws(tmp_path: Path, kind: str, folder: str) -> None:
    init(tmp_path / "project")
    place = tmp_path / "project" / folder
    tables = {name: TABLE for name in ("top.csv", "work/of_stage.csv", "work/plain.csv")}
    write(place, {**tables, "dvc.yaml": DEFINITIONS[kind]})
    commit(tmp_path / "project")
    with dvc(tmp_path / "project") as repo:
        found = next(iter(repo.plots.collect()))["workspace"]["definitions"]["data"]
    # What a stage and the top define, DVC draws twice, and we once, as the top says.
    sources = [found[source]["data"] for source in sorted(found)]
    theirs = {name: settings for source in sources for name, settings in source.items()}
    with Reader(tmp_path / "project") as reader:
        pipelines = reader.snapshot("HEAD").pipelines.values()
        ours = {name: settings for one in pipelines for name, settings in one.plot_definitions.items()}
    assert ours.keys() == theirs.keys()
    for name, settings in theirs.items():
        drawn = {key: ours[name][key] for key in ("x", "y", "title", "template") if key in ours[name]}
        assert drawn == {
            key: value for key, value in settings.items() if key in ("x", "y", "title", "template")
        }
