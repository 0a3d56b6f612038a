# /// script
# dependencies = ["lightning==2.6.6", "torch==2.15.0", "dvclive==3.49.1"]
#
# [tool.joint]
# question = "Training frameworks"
# tool = "Lightning"
# joint = "docs/how-to/lightning.md"
# ///
"""Lightning: it trains a model of a generated project, by the how-to, and continues an interrupted run."""

import pytest
from trained import (
    Trained,
    check_the_network_is_declared,
    check_the_network_learns,
    check_the_project_s_own_tests_pass,
    check_the_same_bytes_twice,
    check_the_style_is_kept,
)

EPOCHS = 30
# As if the power went in the middle of a run.
INTERRUPTED = """\
import os
from tumour_classifier import network, train
record = network.Network.record
def record_or_stop(self, values):
    if len(self.series) == 4:
        os._exit(3)
    record(self, values)
network.Network.record = record_or_stop
train.main()
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(tmp_path_factory.mktemp("lightning"), "lightning")


def test_the_network_learns(project: Trained) -> None:
    check_the_network_learns(project)


def test_the_logger_records_every_epoch(project: Trained) -> None:
    series = (project.root / "reports/train/plots/metrics/valid/log_loss.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in series] == ["step", *map(str, range(1, EPOCHS + 1))]


def test_the_stages_that_need_the_network_declare_it(project: Trained) -> None:
    check_the_network_is_declared(project)


def test_the_same_bytes_twice(project: Trained) -> None:
    check_the_same_bytes_twice(project)


def test_an_interrupted_run_continues_and_ends_with_the_same_bytes(project: Trained) -> None:
    before = project.hashes()
    stopped = project.run("python", "-c", INTERRUPTED)
    assert stopped.returncode == 3, stopped.stdout + stopped.stderr
    assert len(list(project.root.glob("checkpoints/*/last.ckpt"))) == 1
    continued = project.run("dvc", "repro", "--force", "--single-item", "train")
    assert "Restored all states from the checkpoint" in continued.stdout + continued.stderr
    assert project.hashes() == before
    assert list(project.root.glob("checkpoints/*")) == []


def test_the_project_s_style_is_kept(project: Trained) -> None:
    check_the_style_is_kept(project)


def test_the_project_s_own_tests_pass(project: Trained) -> None:
    check_the_project_s_own_tests_pass(project)
