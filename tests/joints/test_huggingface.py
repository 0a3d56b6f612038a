# /// script
# dependencies = ["transformers==5.24.0", "accelerate==1.15.0", "torch==2.15.0", "dvclive==3.49.1"]
#
# [tool.joint]
# question = "Training frameworks"
# tool = "Hugging Face Trainer"
# joint = "docs/how-to/huggingface.md"
# ///
"""The Trainer of Hugging Face: it trains a model of a generated project, and continues an interrupted run."""

import re

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
# As if the power went in the middle of a run, after four epochs.
INTERRUPTED = """\
import os
from tumour_classifier import network, train
on_log = network.Series.on_log
def on_log_or_stop(self, args, state, control, logs, **others):
    if logs["epoch"] == 5:
        os._exit(3)
    on_log(self, args, state, control, logs)
network.Series.on_log = on_log_or_stop
train.main()
"""
WITH_THEIR_CALLBACK = """\
from transformers.integrations import DVCLiveCallback
from tumour_classifier import network, train
network.Series = DVCLiveCallback
train.main()
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(tmp_path_factory.mktemp("huggingface"), "huggingface")


def test_the_network_learns(project: Trained) -> None:
    check_the_network_learns(project)


def test_the_callback_records_every_epoch(project: Trained) -> None:
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
    (complete,) = project.root.glob("checkpoints/*/checkpoint-*")
    # As if the power went while the next checkpoint was written.
    complete.with_name("checkpoint-9999").mkdir()
    continued = project.run("dvc", "repro", "--force", "--single-item", "train")
    assert re.findall(r"'epoch': '(\d+)'", continued.stdout)[0] == "5", continued.stdout + continued.stderr
    assert project.hashes() == before
    assert list(project.root.glob("checkpoints/*")) == []


def test_the_project_s_style_is_kept(project: Trained) -> None:
    check_the_style_is_kept(project)


def test_the_project_s_own_tests_pass(project: Trained) -> None:
    check_the_project_s_own_tests_pass(project)


def test_the_callback_of_transformers_would_write_times(project: Trained) -> None:
    done = project.run("python", "-c", WITH_THEIR_CALLBACK)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(project.root.glob("reports/train/plots/metrics/**/*runtime.tsv"))
