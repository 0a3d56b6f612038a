# /// script
# dependencies = ["transformers==5.24.0", "accelerate==1.15.0", "torch==2.15.0", "dvclive==3.49.1"]
#
# [tool.joint]
# question = "Training frameworks"
# tool = "Hugging Face Trainer"
# joint = "examples/frameworks/trainer_network.py"
# ///
"""The Trainer of Hugging Face: it trains a model of a generated project, and continues an interrupted run."""

import re

from trained import FrameworkTests, Trained

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


class TestHuggingFace(FrameworkTests):
    """The Trainer also continues an interrupted run."""

    joint = "huggingface"
    example = "trainer_network.py"
    steps = range(1, 31)

    def test_an_interrupted_run_continues_and_ends_with_the_same_bytes(self, project: Trained) -> None:
        before = project.hashes()
        stopped = project.run("python", "-c", INTERRUPTED)
        assert stopped.returncode == 3, stopped.stdout + stopped.stderr
        (complete,) = project.root.glob("checkpoints/*/checkpoint-*")
        # As if the power went while the next checkpoint was written.
        complete.with_name("checkpoint-9999").mkdir()
        continued = project.run("dvc", "repro", "--force", "--single-item", "train")
        assert re.findall(r"'epoch': '(\d+)'", continued.stdout)[0] == "5", (
            continued.stdout + continued.stderr
        )
        assert project.hashes() == before
        assert list(project.root.glob("checkpoints/*")) == []

    def test_the_callback_of_transformers_would_write_times(self, project: Trained) -> None:
        done = project.run("python", "-c", WITH_THEIR_CALLBACK)
        assert done.returncode == 0, done.stdout + done.stderr
        assert list(project.root.glob("reports/train/plots/metrics/**/*runtime.tsv"))
