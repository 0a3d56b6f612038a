"""Stages that go on from their own last output (`persist: true`): a proof, a search and a rebuild say so."""

from pathlib import Path

import pytest
import tiny_dvc
import tiny_git
from tiny_proof import clone_of, proof

from locatable.errors import ProjectError
from locatable.proof import diagnosis
from locatable.repository.reader import Reader
from locatable.results.rebuild import rebuild_commands
from locatable.search.run import SearchOptions, plan_search
from locatable.search.settings import load

# Each run adds a line for each epoch to what the last run left.
PIPELINE = """
stages:
  train:
    cmd: head -c $(cut -d' ' -f2 params.yaml) /dev/zero >> net.bin && echo "m:" $(wc -c < net.bin) > m.yaml
    params: [epochs]
    outs: [net.bin: {persist: true}]
    metrics: [m.yaml: {cache: false}]
"""
SEARCH = """
study: s
metric: m.yaml:m
direction: minimize
space: {epochs: {type: int, low: 5, high: 9}}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose second commit has a model of 2 + 3 epochs."""
    monkeypatch.setattr(diagnosis, "PAUSE", 0.0)
    tiny_git.identify(tmp_path, monkeypatch)
    root = tmp_path / "project"
    tiny_dvc.init(root)
    tiny_git.write(root, {"dvc.yaml": PIPELINE, "search.yaml": SEARCH})
    for epochs in (2, 3):
        # Not of the same size: Git could miss a change within the same second.
        tiny_git.write(root, {"params.yaml": f"epochs: {epochs}" + "\n" * epochs})
        with tiny_dvc.dvc(root) as repo:
            repo.reproduce()
        tiny_dvc.commit(root)
    assert (root / "m.yaml").read_text() == "m: 5\n"
    return root


def test_a_result_that_began_from_nothing_is_proven(root: Path) -> None:
    assert proof(root, "HEAD~1").proven


def test_a_proof_names_what_a_result_went_on_from(root: Path) -> None:
    assert proof(root, "HEAD").findings == (
        "train goes on from its own last output, net.bin (persist: true), and nothing records what that was: "
        "declare its starting point as a dependency under another name, or remove persist",
    )


def remarks(root: Path) -> list[str]:
    return plan_search(root, load(root / "search.yaml"), SearchOptions(trials=1)).remarks


def test_a_search_says_what_its_trials_go_on_from(root: Path) -> None:
    assert remarks(root) == [
        "train finds its own last output (persist: true): every trial starts with the baseline's net.bin"
    ]


def test_a_search_says_nothing_where_there_is_nothing_to_go_on_from(root: Path) -> None:
    (root / "dvc.lock").unlink()
    tiny_dvc.commit(root)
    assert remarks(root) == []


def test_a_search_does_not_begin_without_it(root: Path) -> None:
    (root / "net.bin").unlink()
    with tiny_dvc.dvc(root) as repo:
        repo.cache.local.clear()
    with pytest.raises(ProjectError, match=r"not in DVC's cache: net\.bin; dvc pull"):
        remarks(root)


def epochs_of_trials(root: Path) -> list[object]:
    """Epochs of the models of two trials of 4 epochs each."""
    clone = clone_of(root)
    epochs = []
    for name in ("s-0", "s-1"):
        clone.reset()
        epochs.append(clone.read(clone.run(name, {"epochs": 4}, ["m.yaml"]), "m.yaml:m"))
    return epochs


def test_every_trial_goes_on_from_the_baseline(root: Path) -> None:
    assert epochs_of_trials(root) == [9, 9]


def test_no_trial_goes_on_from_another_one(root: Path) -> None:
    (root / "dvc.lock").unlink()
    tiny_git.git(root, "rm", "--quiet", "--cached", "m.yaml", "dvc.lock")
    tiny_git.git(root, "commit", "--quiet", "-m", "No results")
    assert epochs_of_trials(root) == [4, 4]


def test_the_commands_that_rebuild_it_say_so(root: Path) -> None:
    with Reader(root) as reader:
        commands = rebuild_commands(reader.snapshot("HEAD"), None, "url")
    assert commands[-2:] == [
        "# train finds its own last output, net.bin (persist: true): run without it, "
        "it can have other results",
        "dvc repro",
    ]


@pytest.fixture
def checked(root: Path) -> Path:
    """The project, whose stage is one that DVC runs every time, as a check of the environment is."""
    (root / "dvc.yaml").write_text(PIPELINE + "    always_changed: true\n")
    tiny_dvc.commit(root)
    return root


def test_a_search_says_nothing_of_a_stage_that_replaces_its_output_every_time(checked: Path) -> None:
    assert remarks(checked) == []


def test_the_commands_say_nothing_of_a_stage_that_replaces_its_output_every_time(checked: Path) -> None:
    with Reader(checked) as reader:
        assert "train" not in " ".join(rebuild_commands(reader.snapshot("HEAD"), None, "url"))
