# /// script
# dependencies = ["keras==3.15.1", "jax==0.10.2", "dvclive==3.49.1"]
#
# [tool.joint]
# question = "Training frameworks"
# tool = "Keras"
# joint = "examples/frameworks/keras_network.py"
# ///
"""Keras: a network as one more model of a generated project, by the how-to."""

from trained import FrameworkTests, Trained


class TestKeras(FrameworkTests):
    """Keras also has settings of a person, outside of the project."""

    joint = "keras"
    example = "keras_network.py"

    def test_what_a_person_configured_for_keras_changes_nothing(self, project: Trained) -> None:
        before = project.hashes()
        settings = project.root.parent / ".keras"
        settings.mkdir()
        (settings / "keras.json").write_text('{"floatx": "float16"}')
        done = project.run("dvc", "repro", "--force", "--single-item", "train")
        assert done.returncode == 0, done.stdout + done.stderr
        assert project.hashes() == before
