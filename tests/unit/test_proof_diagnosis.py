"""Why a stage fails or differs is found out by runs alone; these runs are made up."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from locatable.model import Output, Stage
from locatable.proof import diagnosis
from locatable.proof.attempts import Attempt
from locatable.proof.comparison import judge
from locatable.proof.diagnosis import (
    NO_SEED,
    UNSTABLE,
    diagnose_difference,
    diagnose_failure,
    has_recent_time,
    minimal_inputs,
)
from locatable.proof.inputs import Input, InputKind
from locatable.proof.sandbox import USUAL, Conditions

CLONE = Path("/clone")
OUTPUT = Output("rows.csv", entry={"md5": "recorded"})
STAGE = Stage("make", ".", "python make.py", outs={"rows.csv": OUTPUT})
HERE = Path("/here/bin")


def inputs(*names: str) -> list[Input]:
    """Files that a stage can be given."""
    return [Input(InputKind.FILE, name, CLONE / name) for name in names]


POOL = inputs("a.csv", "b.csv", "c.csv", "d.csv", "e.csv", "f.csv", "g.csv")


class MadeUpRunner:
    """Runs a made-up stage.

    `outcome` takes the names of the inputs that the stage is given, and how it is run; it returns the hash of
    the output, or None where the stage fails.
    """

    stage = STAGE
    own: Sequence[Input] = ()

    def __init__(self, outcome: Callable[[set[str], Conditions], str | None], text: str = "") -> None:
        self.outcome = outcome
        self.text = text
        self.runs: list[Conditions] = []

    def attempt(self, conditions: Conditions = USUAL) -> Attempt:
        """Run the stage."""
        self.runs.append(conditions)
        written = self.outcome({item.name for item in conditions.inputs}, conditions)
        verdict = judge("make", OUTPUT, written)
        failed = written is None
        return Attempt(1 if failed else 0, "KeyError: 'x'\n" if failed else "", (verdict,))

    def undeclared_inputs(self, text: str) -> list[Input]:
        """What it can be given."""
        return POOL

    def finding(self, item: Input) -> str:
        """What is said of an input."""
        return f"make reads {item.name}"

    def last_outputs(self) -> list[Input]:
        """What it wrote last."""
        return list(self.own)

    def remark_on_missing(self, text: str) -> str:
        """What the clone lacks."""
        return "; lib is missing" if "lib" in text else ""

    def path_of(self, path: str) -> Path:
        """Where an output is."""
        return CLONE / path

    def other_programs(self) -> Path | None:
        """An environment to try."""
        return HERE

    def packages_not_as_locked(self, text: str) -> str:
        """Packages of that environment."""
        return "mlflow 3.17.2"


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(diagnosis, "PAUSE", 0.0)


def failure(runner: MadeUpRunner) -> diagnosis.Diagnosis:
    """Diagnose a stage that fails when it is given nothing."""
    return diagnose_failure(runner, runner.attempt(), runner.text)


def difference(runner: MadeUpRunner) -> diagnosis.Diagnosis:
    """Diagnose a stage that differs when it is given nothing."""
    return diagnose_difference(runner, runner.attempt(), runner.text, ())


def sufficient(*needed: str) -> Callable[[list[Input]], bool]:
    """Whether all that is needed is among some inputs."""
    return lambda some: set(needed) <= {item.name for item in some}


@pytest.mark.parametrize("needed", [("a.csv",), ("d.csv",), ("a.csv", "g.csv"), ("b.csv", "c.csv", "f.csv")])
def test_halving_finds_exactly_what_is_needed(needed):
    found = minimal_inputs(POOL, "", sufficient(*needed))
    assert sorted(item.name for item in found) == list(needed)


def test_halving_finds_one_of_two_that_do_the_same():
    found = minimal_inputs(
        POOL, "", lambda some: not {"b.csv", "e.csv"}.isdisjoint(item.name for item in some)
    )
    assert len(found) == 1


def test_nothing_is_found_where_not_even_everything_helps():
    assert minimal_inputs(POOL, "", sufficient("other.csv")) is None


def test_nothing_is_found_among_nothing():
    assert minimal_inputs([], "", lambda some: True) is None


def test_what_the_code_mentions_is_tried_first():
    tried = []

    def suffices(some: list[Input]) -> bool:
        tried.append([item.name for item in some])
        return sufficient("c.csv")(some)

    minimal_inputs(POOL, "open('c.csv')", suffices)
    assert tried[0] == ["c.csv"]


def test_everything_is_tried_where_the_code_mentions_the_wrong_thing():
    found = minimal_inputs(POOL, "open('a.csv')", sufficient("c.csv"))
    assert [item.name for item in found] == ["c.csv"]


def test_few_runs_are_needed_among_many_inputs():
    runs = []

    def suffices(some: list[Input]) -> bool:
        runs.append(some)
        return sufficient("700.csv")(some)

    minimal_inputs(inputs(*(f"{number}.csv" for number in range(1000))), "", suffices)
    assert len(runs) < 25


def test_a_failing_stage_is_told_what_it_needs():
    found = failure(MadeUpRunner(lambda given, _: "recorded" if "b.csv" in given else None))
    assert found.findings == ("make reads b.csv",)


def test_the_outputs_of_a_failing_stage_are_judged_with_what_it_needs():
    found = failure(MadeUpRunner(lambda given, _: "recorded" if "b.csv" in given else None))
    assert (found.attempt.failed, found.attempt.wrong) == (False, [])


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        ("subprocess.CalledProcessError: Command '['git', 'log']' returned non-zero exit status 128.", True),
        ("fatal: not a git repository (or any of the parent directories): .git", True),
        ("git.exc.InvalidGitRepositoryError: /tree", True),
        ("KeyError: 'digit 128'", False),
    ],
)
def test_a_stage_that_calls_git_is_told_that_there_is_no_repository(printed: str, told: bool):
    class CallsGit(MadeUpRunner):
        def attempt(self, conditions: Conditions = USUAL) -> Attempt:
            return replace(super().attempt(conditions), printed=f"{printed}\n")

    (finding,) = failure(CallsGit(lambda given, _: None)).findings
    remark = "; it calls Git, and a stage is proven where there is no Git repository"
    assert finding == f"make fails (exit 1): {printed}{remark if told else ''}"


def test_a_stage_that_nothing_helps_fails_with_its_last_words():
    found = failure(MadeUpRunner(lambda given, _: None))
    assert found.findings == ("make fails (exit 1): KeyError: 'x'",)


def test_a_variable_that_a_failing_stage_asks_for_is_mentioned():
    found = failure(MadeUpRunner(lambda given, _: None, text="os.environ['SHIFT_OF_ROWS']"))
    assert found.findings[0].endswith("; it asks for SHIFT_OF_ROWS, which is not set here")


def test_a_stage_that_only_the_environment_here_helps_needs_packages():
    found = failure(
        MadeUpRunner(lambda given, conditions: "recorded" if conditions.programs == HERE else None)
    )
    assert found.findings == ("make needs packages as installed here and not as locked: mlflow 3.17.2",)


def test_a_differing_stage_is_told_what_it_needs():
    found = difference(MadeUpRunner(lambda given, _: "recorded" if "e.csv" in given else "other"))
    assert (found.findings, found.inputs) == (("make reads e.csv",), tuple(inputs("e.csv")))


def test_an_undeclared_input_that_has_changed_since_is_named():
    found = difference(MadeUpRunner(lambda given, _: "changed" if "e.csv" in given else "other"))
    assert found.findings == ("make reads e.csv",)


def test_a_difference_that_nothing_explains_is_said():
    found = difference(MadeUpRunner(lambda given, _: "other"))
    assert found.findings == ("make: rows.csv is not what dvc.lock records, although every input is",)


def test_a_result_that_changes_from_run_to_run_has_no_seed():
    counter = iter(range(1000))
    found = difference(MadeUpRunner(lambda given, _: str(next(counter))))
    assert found.findings == (f"make: rows.csv {UNSTABLE}{NO_SEED}",)


def test_a_result_that_only_a_fixed_hash_seed_keeps_the_same_depends_on_it():
    counter = iter(range(1000))

    def outcome(given: set[str], conditions: Conditions) -> str:
        return "seeded" if conditions.variables else str(next(counter))

    found = difference(MadeUpRunner(outcome))
    assert found.findings == (f"make: rows.csv {UNSTABLE}it changes with the hash seed",)


def test_an_output_that_the_stage_does_not_write_is_named(monkeypatch):
    runner = MadeUpRunner(lambda given, _: "recorded")
    missing = Attempt(0, "", (judge("make", OUTPUT, None),))
    monkeypatch.setattr(runner, "attempt", lambda conditions=USUAL: missing)
    assert diagnose_difference(runner, missing, "", ()).findings == ("make does not write rows.csv",)


def test_a_lucky_run_accuses_no_input():
    # Twice it is "other", as if it were stable; then it is as recorded once, with everything given.
    outcomes = iter(["other", "other", "recorded", *["other"] * 100])
    found = difference(MadeUpRunner(lambda given, _: next(outcomes)))
    assert found.inputs == ()
    assert "make reads" not in found.findings[0]


def test_the_time_of_a_run_is_recognized_as_a_date():
    assert has_recent_time(time.strftime("made on %Y-%m-%d at noon").encode())


def test_the_time_of_a_run_is_recognized_in_seconds():
    assert has_recent_time(f"at: {int(time.time())}.25".encode())


def test_an_older_time_is_not_the_time_of_the_run():
    assert not has_recent_time(f"at: {int(time.time()) - 100_000}".encode())


def test_the_decimals_of_a_number_are_no_time():
    assert not has_recent_time(f"0.{int(time.time())}".encode())


def test_a_stage_that_goes_on_from_its_own_output_is_named():
    runner = MadeUpRunner(lambda given, conditions: "1" if "net.bin" in given else "2")
    runner.own = inputs("net.bin")
    assert difference(runner).findings == (
        "make goes on from its own last output, net.bin (persist: true), and nothing records what that was: "
        "declare its starting point as a dependency under another name, or remove persist",
    )


def test_a_stage_that_fails_without_its_own_output_is_named():
    runner = MadeUpRunner(lambda given, conditions: "1" if "net.bin" in given else None)
    runner.own = inputs("net.bin")
    (finding,) = failure(runner).findings
    assert finding.startswith("make goes on from its own last output, net.bin (persist: true)")


def test_an_own_output_that_makes_no_difference_is_not_named():
    runner = MadeUpRunner(lambda given, conditions: "recorded" if "b.csv" in given else "other")
    runner.own = inputs("net.bin")
    assert difference(runner).findings == ("make reads b.csv",)


def test_what_the_clone_lacks_is_said_of_a_stage_that_fails():
    (finding,) = failure(MadeUpRunner(lambda given, conditions: None, "python lib/x.py")).findings
    assert finding == "make fails (exit 1): KeyError: 'x'; lib is missing"
