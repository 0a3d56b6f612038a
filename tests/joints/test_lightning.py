# /// script
# dependencies = ["lightning==2.6.6", "torch==2.15.0", "dvclive==3.49.1"]
#
# [tool.joint]
# question = "Training frameworks"
# tool = "Lightning"
# joint = "examples/frameworks/lightning_network.py"
# ///
"""Lightning: it trains a model of a generated project, by the how-to, and continues an interrupted run."""

from trained import FrameworkTests, Trained

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


class TestLightning(FrameworkTests):
    """Lightning also continues an interrupted run."""

    joint = "lightning"
    example = "lightning_network.py"
    steps = range(1, 31)

    def test_an_interrupted_run_continues_and_ends_with_the_same_bytes(self, project: Trained) -> None:
        before = project.hashes()
        stopped = project.run("python", "-c", INTERRUPTED)
        assert stopped.returncode == 3, stopped.stdout + stopped.stderr
        assert len(list(project.root.glob("checkpoints/*/last.ckpt"))) == 1
        continued = project.run("dvc", "repro", "--force", "--single-item", "train")
        assert "Restored all states from the checkpoint" in continued.stdout + continued.stderr
        assert project.hashes() == before
        assert list(project.root.glob("checkpoints/*")) == []
