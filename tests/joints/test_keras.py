# /// script
# dependencies = ["keras==3.15.1", "jax==0.10.2", "dvclive==3.49.1"]
#
# [tool.joint]
# question = "Training frameworks"
# tool = "Keras"
# joint = "docs/how-to/keras.md"
# ///
"""Keras: a network as one more model of a generated project, by the how-to."""

import pytest
from trained import (
    Trained,
    check_the_network_is_declared,
    check_the_network_learns,
    check_the_project_s_own_tests_pass,
    check_the_same_bytes_twice,
    check_the_style_is_kept,
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(tmp_path_factory.mktemp("keras"), "keras")


def test_the_network_learns(project: Trained) -> None:
    check_the_network_learns(project)


def test_the_loss_is_recorded_for_every_epoch(project: Trained) -> None:
    series = project.root / "reports/train/plots/metrics/valid/log_loss.tsv"
    assert len(series.read_text().splitlines()) == 1 + 30


def test_the_stages_that_need_the_network_declare_it(project: Trained) -> None:
    check_the_network_is_declared(project)


def test_the_same_bytes_twice(project: Trained) -> None:
    check_the_same_bytes_twice(project)


def test_what_a_person_configured_for_keras_changes_nothing(project: Trained) -> None:
    before = project.hashes()
    settings = project.root.parent / ".keras"
    settings.mkdir()
    (settings / "keras.json").write_text('{"floatx": "float16"}')
    done = project.run("dvc", "repro", "--force", "--single-item", "train")
    assert done.returncode == 0, done.stdout + done.stderr
    assert project.hashes() == before


def test_the_project_s_style_is_kept(project: Trained) -> None:
    check_the_style_is_kept(project)


def test_the_project_s_own_tests_pass(project: Trained) -> None:
    check_the_project_s_own_tests_pass(project)
