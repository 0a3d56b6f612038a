"""Run `locatable locate` on a document, and compare its answers with the true origin of each figure."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from threading import Timer
from typing import Any
from urllib.parse import unquote

import locatable

from .corpus import Placement

# The seconds of processor time and the bytes of memory within which the command must end on any document.
MOST_SECONDS = 60
MOST_MEMORY = 1_000_000_000
# The seconds of processor time, bytes of memory and seconds of waiting after which a run is killed, to
# protect the machine.
LIMIT_SECONDS = 90
LIMIT_MEMORY = 6_000_000_000
MOST_WAIT = 600
# The two matches with which the command names no result. All other matches name one.
NOTHING = "not found"
TIE = "cannot tell"


class Outcome(Enum):
    """The outcome for a figure."""

    FOUND = "found"
    CANNOT_TELL = "cannot tell"
    MISSED = "missed"
    WRONG = "wrong"


@dataclass(frozen=True)
class Answer:
    """The command's answer about a figure.

    Attributes:
        where: the place of the figure in the document, and its name.
        named: the results that it names: commits, each with the figure's path in it without the extension.
        possible: the results between which the command cannot decide.
    """

    where: str
    named: frozenset[tuple[str, str]] = frozenset()
    possible: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True)
class LocateRun:
    """A run of the command.

    Attributes:
        answers: its answers about figures.
        code: its exit code, or the negative number of the signal that ended it.
        stderr: its messages.
        seconds: the processor time that it took.
        memory: the most memory that it used, in bytes.
    """

    answers: list[Answer]
    code: int
    stderr: str
    seconds: float
    memory: int


def run_locate(document: Path, repository: Path) -> LocateRun:
    """Run the command on a document, within limits."""
    environment = os.environ | {"PYTHONPATH": os.fspath(Path(locatable.__file__).parents[1].resolve())}
    command = [sys.executable, "-m", "locatable", "locate", os.fspath(document.resolve()), "--json"]
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        child = subprocess.Popen(
            command,
            cwd=repository,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            preexec_fn=_limit,
        )
        # A process that waits forever, for example for a FIFO, never reaches the limit of processor time.
        timer = Timer(MOST_WAIT, os.kill, (child.pid, signal.SIGKILL))
        timer.start()
        _, status, usage = os.wait4(child.pid, 0)
        timer.cancel()
        child.returncode = os.waitstatus_to_exitcode(status)
        stdout.seek(0)
        stderr.seek(0)
        answers = answers_of(stdout.read())
        seconds = usage.ru_utime + usage.ru_stime
        return LocateRun(answers, child.returncode, stderr.read(), seconds, usage.ru_maxrss * 1024)


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_SECONDS, LIMIT_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_MEMORY, LIMIT_MEMORY))


def answers_of(stdout: str) -> list[Answer]:
    """Return the answers in the command's output, or an empty list if it ended with an error."""
    try:
        report = json.loads(stdout)
    except ValueError:
        return []
    if not isinstance(report, dict):
        return []
    return [_answer(figure) for figure in report["figures"]]


def _answer(figure: dict[str, Any]) -> Answer:
    where = unquote(f"{figure['place']} {figure['name']}")
    named = _results(figure["results"])
    if figure["match"] == NOTHING:
        return Answer(where)
    if figure["match"] == TIE:
        return Answer(where, possible=named | _results(figure["others"]))
    return Answer(where, named)


def _results(results: list[dict[str, Any]]) -> frozenset[tuple[str, str]]:
    found = set()
    for result in results:
        for path in result["paths"]:
            found.add((result["rev"], path.rpartition(".")[0]))
    return frozenset(found)


def outcomes(placements: tuple[Placement, ...], answers: list[Answer]) -> list[Outcome]:
    """Return the outcome for each figure of a document.

    If an answer names only results whose figures are not at its place, every figure at that place which was
    not found is wrong.
    """
    if not answers:
        return [Outcome.MISSED] * len(placements)
    result = []
    for placement in placements:
        at_place = [answer for answer in answers if re.search(placement.place, answer.where)]
        truths = {(other.rev, other.stem) for other in placements if other.place == placement.place}
        result.append(_outcome(placement, at_place, truths))
    return result


def _outcome(placement: Placement, answers: list[Answer], truths: set[tuple[str, str]]) -> Outcome:
    truth = (placement.rev, placement.stem)
    is_foreign = not placement.rev
    if any(truth in answer.named for answer in answers):
        return Outcome.FOUND
    if any(answer.named and not answer.named & truths for answer in answers):
        return Outcome.WRONG
    if any(truth in answer.possible or (is_foreign and answer.possible) for answer in answers):
        return Outcome.CANNOT_TELL
    # The right answer about a figure that no experiment made is to name no result.
    return Outcome.FOUND if is_foreign else Outcome.MISSED


def faults(run: LocateRun) -> list[str]:
    """Return the faults of a run that no document excuses: its time, its memory, and how it ended."""
    problems = []
    if run.seconds > MOST_SECONDS:
        problems.append(f"{run.seconds:.0f} s of processor time")
    if run.memory > MOST_MEMORY:
        problems.append(f"{run.memory / 1e9:.1f} GB of memory")
    if run.code not in (0, 1, 2):
        problems.append(f"ended with {run.code}")
    if "Traceback" in run.stderr:
        problems.append(run.stderr.strip().splitlines()[-1][:100])
    elif run.code and not run.answers and not run.stderr.strip():
        problems.append("no line that says why")
    return problems
