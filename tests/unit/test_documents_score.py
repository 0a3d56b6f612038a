"""The scoring of `make documents`: answers about figures beside the origin of each figure."""

import json
from pathlib import Path

import pytest

from tools.documents.__main__ import PROGRAMS
from tools.documents.corpus import Placement
from tools.documents.score import Answer, LocateRun, Outcome, answers_of, faults, outcomes

WORKFLOW = Path(__file__).parents[2] / ".github/workflows/documents.yml"
MINE = ("1f", "figures/roc")
OTHER = ("2e", "figures/roc")


def placement(truth: tuple[str, str] = MINE, place: str = r"\bone\b") -> Placement:
    return Placement("a way", place, *truth)


def answer(*named: tuple[str, str], where: str = "line 1 one.png", possible: tuple = ()) -> Answer:
    return Answer(where, frozenset(named), frozenset(possible))


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        ([answer(MINE)], Outcome.FOUND),
        ([answer(MINE, OTHER)], Outcome.FOUND),
        ([answer(possible=(MINE, OTHER))], Outcome.CANNOT_TELL),
        ([answer(possible=(OTHER,))], Outcome.MISSED),
        ([answer()], Outcome.MISSED),
        ([answer(MINE, where="line 2 two.png")], Outcome.MISSED),
        ([answer(OTHER)], Outcome.WRONG),
        ([answer(("1f", "figures/loss"))], Outcome.WRONG),
        ([], Outcome.MISSED),
    ],
)
def test_a_figure_of_ours(answers: list[Answer], outcome: Outcome) -> None:
    assert outcomes((placement(),), answers) == [outcome]


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        ([answer()], Outcome.FOUND),
        ([answer(where="line 2 two.png")], Outcome.FOUND),
        ([answer(possible=(MINE, OTHER))], Outcome.CANNOT_TELL),
        ([answer(MINE)], Outcome.WRONG),
        ([], Outcome.MISSED),
    ],
)
def test_a_figure_that_no_experiment_made(answers: list[Answer], outcome: Outcome) -> None:
    assert outcomes((placement(("", "")),), answers) == [outcome]


def test_figures_at_one_place_are_found_in_any_order() -> None:
    montage = (placement(MINE, ""), placement(OTHER, ""))
    assert outcomes(montage, [answer(OTHER), answer(MINE)]) == [Outcome.FOUND, Outcome.FOUND]


def test_what_is_named_and_nowhere_there_is_wrong() -> None:
    montage = (placement(MINE, ""), placement(OTHER, ""))
    assert outcomes(montage, [answer(MINE), answer(("3d", "figures/roc"))]) == [Outcome.FOUND, Outcome.WRONG]


def test_the_command_is_read() -> None:
    result = {"rev": "1f", "paths": {"figures/roc.png": "output of evaluate"}}
    figure = {
        "place": "line 1",
        "name": "one.png",
        "match": "most similar",
        "results": [result],
        "others": [],
    }
    tie = {**figure, "match": "cannot tell", "others": [{**result, "rev": "2e"}]}
    said = json.dumps(
        {"document": "a.md", "figures": [figure, tie, {**figure, "match": "not found", "results": []}]}
    )
    assert answers_of(said) == [answer(MINE), answer(possible=(MINE, OTHER)), answer()]


@pytest.mark.parametrize(
    ("run", "fault"),
    [
        (LocateRun([answer()], 1, "", 59, 10**8), []),
        (LocateRun([], 1, "a.pdf: encrypted", 1, 10**8), []),
        (LocateRun([], 1, "", 1, 10**8), ["no line that says why"]),
        (LocateRun([], 0, "", 61, 10**8), ["61 s of processor time"]),
        (LocateRun([], 0, "", 1, 2 * 10**9), ["2.0 GB of memory"]),
        (LocateRun([], -9, "", 1, 10**8), ["ended with -9"]),
        (LocateRun([], 1, "Traceback (most\nMemoryError", 1, 10**8), ["MemoryError"]),
    ],
)
def test_faults_of_a_run(run: LocateRun, fault: list[str]) -> None:
    assert faults(run)[: len(fault)] == fault
    assert bool(faults(run)) == bool(fault)


def test_the_weekly_job_installs_every_tool() -> None:
    installed = WORKFLOW.read_text().partition("apt-get install")[2].partition("- uses")[0].split()
    assert set(PROGRAMS.values()) <= set(installed)
