"""`locatable diff` in a generated project: what a change of it is called, and what the workspace holds."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

Shell = Callable[..., subprocess.CompletedProcess[str]]


def test_a_variant_differs_by_its_params_alone_in_one_screen_and_its_figures_are_on_one_page(
    project: Path, sh: Shell
) -> None:
    params = ("-S", "train.logistic.alpha=0.1", "-S", "train.logistic.epochs=4")
    sh("dvc", "exp", "run", "--quiet", "--name", "tried", *params)
    # What ran in the workspace, and is not committed.
    found = json.loads(sh("locatable", "diff", "HEAD", "--json").stdout)
    first = found["first_cause"]
    assert first["stage"] == "train"
    assert {change["name"] for change in first["changes"]} == {
        "train.logistic.alpha",
        "train.logistic.epochs",
    }
    assert [stage["stage"] for stage in first["follows"]] == ["evaluate"]
    assert found["other_causes"] == found["without_effect"] == []
    said = json.loads(sh("dvc", "metrics", "diff", "--json").stdout)
    expected = {f"{file}:{key}": value["diff"] for file in said for key, value in said[file].items()}
    assert {value["key"]: value["difference"] for value in found["values"]} == expected
    compared = json.loads(sh("dvc", "plots", "diff", "--json", "-o", project.parent / "plots").stdout)["data"]
    revisions = {rev for plot in compared["reports/evaluate/plots/roc.csv"] for rev in plot["revisions"]}
    assert revisions == {"HEAD", "workspace"}
    lines = sh("locatable", "diff", "HEAD").stdout.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80

    sh("locatable", "diff", "HEAD", "tried", "--html", project.parent / "page.html")
    page = (project.parent / "page.html").read_text()
    assert "A: reports/<wbr>evaluate/<wbr>figures/<wbr>roc.png" in page
    assert "B: reports/<wbr>evaluate/<wbr>figures/<wbr>roc.png" in page
    assert page.count('src="data:image/') > 2
