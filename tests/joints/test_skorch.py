# /// script
# dependencies = ["skorch==1.4.0", "torch==2.15.0", "dvclive==3.49.1"]
#
# [tool.joint]
# question = "Training frameworks"
# tool = "skorch"
# joint = "docs/how-to/skorch.md"
# ///
"""skorch: a network as one more model of a generated project, by the how-to."""

import json

import pytest
from trained import Trained, check_the_network_is_declared, check_the_same_bytes_twice


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(tmp_path_factory.mktemp("skorch"), "skorch")


def test_the_network_learns(project: Trained) -> None:
    scores = json.loads((project.root / "reports/evaluate/metrics.json").read_text())
    assert scores["test"]["accuracy"] > 0.9


def test_the_loss_is_recorded_for_every_epoch(project: Trained) -> None:
    series = project.root / "reports/train/plots/metrics/valid/log_loss.tsv"
    assert len(series.read_text().splitlines()) == 1 + 30


def test_the_stages_that_need_the_network_declare_it(project: Trained) -> None:
    check_the_network_is_declared(project)


def test_the_same_bytes_twice(project: Trained) -> None:
    check_the_same_bytes_twice(project)


def test_the_project_s_style_is_kept(project: Trained) -> None:
    for check in ("check", "format --check"):
        done = project.run("ruff", *check.split())
        assert done.returncode == 0, done.stdout


def test_the_project_s_own_tests_pass(project: Trained) -> None:
    done = project.run("python", "-m", "pytest", "--quiet")
    assert done.returncode == 0, done.stdout + done.stderr
