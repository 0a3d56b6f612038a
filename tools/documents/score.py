"""What `locatable locate` says of a document, beside the truth about it."""

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

# Any document ends within this much processor time, and memory in bytes.
MOST_SECONDS = 60
MOST_MEMORY = 1_000_000_000
# A run is ended after so much, for the machine's sake.
LIMIT_SECONDS = 90
LIMIT_MEMORY = 6_000_000_000
MOST_WAIT = 600
# What the command says of a figure that it does not name; all else that it says names a result.
NOTHING = "not found"
TIE = "cannot tell"


class Outcome(Enum):
    """What came of a figure."""

    FOUND = "found"
    CANNOT_TELL = "cannot tell"
    MISSED = "missed"
    WRONG = "wrong"


@dataclass(frozen=True)
class Answer:
    """What was said of a figure.

    Attributes:
        where: its place in the document, and its name.
        named: commits that have the figure, and its path in each, without the format.
        possible: those between which the command cannot tell.
    """

    where: str
    named: frozenset[tuple[str, str]] = frozenset()
    possible: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True)
class Said:
    """What came of a run of the command.

    Attributes:
        answers: about figures.
        code: its exit code; negative where a signal ended it.
        stderr: what it said beside them.
        seconds: of processor time.
        memory: the most that it had, in bytes.
    """

    answers: list[Answer]
    code: int
    stderr: str
    seconds: float
    memory: int


def ask(document: Path, repository: Path) -> Said:
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
        # What waits for ever, on a FIFO for example, needs no processor time.
        watch = Timer(MOST_WAIT, os.kill, (child.pid, signal.SIGKILL))
        watch.start()
        _, status, usage = os.wait4(child.pid, 0)
        watch.cancel()
        child.returncode = os.waitstatus_to_exitcode(status)
        stdout.seek(0)
        stderr.seek(0)
        answers = answers_of(stdout.read())
        seconds = usage.ru_utime + usage.ru_stime
        return Said(answers, child.returncode, stderr.read(), seconds, usage.ru_maxrss * 1024)


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_SECONDS, LIMIT_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_MEMORY, LIMIT_MEMORY))


def answers_of(stdout: str) -> list[Answer]:
    """Return the answers in what the command writes; none where it ended with an error."""
    try:
        said = json.loads(stdout)
    except ValueError:
        return []
    if not isinstance(said, dict):
        return []
    return [_answer(figure) for figure in said["figures"]]


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
    """Return what came of each figure of a document.

    An answer that names nothing of what is at its place makes each figure there wrong that is not found.
    """
    if not answers:
        return [Outcome.MISSED] * len(placements)
    result = []
    for placement in placements:
        here = [answer for answer in answers if re.search(placement.place, answer.where)]
        truths = {(one.rev, one.stem) for one in placements if one.place == placement.place}
        result.append(_outcome(placement, here, truths))
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
    # Nothing is to be said of what no experiment made.
    return Outcome.FOUND if is_foreign else Outcome.MISSED


def faults(said: Said) -> list[str]:
    """Return what is wrong with a run, whatever the document: time, memory, how it ended."""
    found = []
    if said.seconds > MOST_SECONDS:
        found.append(f"{said.seconds:.0f} s of processor time")
    if said.memory > MOST_MEMORY:
        found.append(f"{said.memory / 1e9:.1f} GB of memory")
    if said.code not in (0, 1, 2):
        found.append(f"ended with {said.code}")
    if "Traceback" in said.stderr:
        found.append(said.stderr.strip().splitlines()[-1][:100])
    elif said.code and not said.answers and not said.stderr.strip():
        found.append("no line that says why")
    return found
