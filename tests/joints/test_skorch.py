# /// script
# dependencies = ["skorch==1.4.0", "torch==2.15.0", "dvclive==3.49.1"]
#
# [tool.joint]
# question = "Training frameworks"
# tool = "skorch"
# joint = "examples/frameworks/skorch_network.py"
# ///
"""skorch: a network as one more model of a generated project, by the how-to."""

from trained import FrameworkTests


class TestSkorch(FrameworkTests):
    """What holds of every framework."""

    joint = "skorch"
    example = "skorch_network.py"
