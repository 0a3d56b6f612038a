"""Finds out why a stage fails or differs: what it needs undeclared, or what its outputs should not depend on.

A stage that fails in the sandbox, or writes something else, runs again with everything that it does not
declare; if that helps, halving finds the few inputs that make the difference. Nothing is traced, so this
works for any language, and for what libraries read without the language knowing.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .attempts import Attempt, StageRunner
from .comparison import Verdict, in_words
from .inputs import Input, files_below, mentioned, unset_variables
from .sandbox import Conditions

UNSTABLE = "differs from one rebuild to the next: "
NO_SEED = "a random seed is missing, or it holds a time or a path"
# A stage with few possible results gives one of them by luck now and then: so many runs have to agree.
CONFIRMATIONS = 3
SEEDED_RUNS = 4
# Seconds until a second run, so that a time in whole seconds shows.
PAUSE = 1.0
# Times up to this long ago, in seconds, are taken for the time of a run.
LONGEST_RUN = 3600
# Values of each output that are shown in a finding, which is one line.
MOST_VALUES = 3
# Larger files are not searched for times.
MOST_BYTES_OF_OUTPUT = 10_000_000
# As Git itself, GitPython, and whoever runs Git in a process say it.
_NO_REPOSITORY = re.compile(r"not a git repository|InvalidGitRepositoryError|\bgit\b.*\b128\b", re.IGNORECASE)

Helps = Callable[[Attempt], bool]


@dataclass(frozen=True)
class Diagnosis:
    """The findings about a stage.

    Attributes:
        attempt: the run of the stage that its outputs are judged by.
        findings: one line each.
        inputs: undeclared inputs that the stage has to be given to do as it should.
    """

    attempt: Attempt
    findings: tuple[str, ...] = ()
    inputs: tuple[Input, ...] = ()


def diagnose_failure(runner: StageRunner, failed: Attempt, text: str) -> Diagnosis:
    """Find out why a stage fails; `text` is what it printed, and its code."""
    finding = _needs_own_output(runner, failed, ())
    if finding:
        return Diagnosis(failed, (finding,))
    cause = _find_cause(runner, text, (), lambda attempt: not attempt.failed)
    if cause:
        return cause
    *_, reason = ["it printed nothing", *failed.printed.strip().splitlines()]
    finding = f"{runner.stage.address} fails (exit {failed.exit_code}): {reason.strip()}"
    finding += unset_variables(runner.stage, text)
    finding += runner.missing(text)
    if _NO_REPOSITORY.search(failed.printed):
        finding += "; it calls Git, and a stage is proven where there is no Git repository"
    return Diagnosis(failed, (finding,))


def diagnose_difference(
    runner: StageRunner, differing: Attempt, text: str, inputs: tuple[Input, ...]
) -> Diagnosis:
    """Find out why a stage writes something else than what is recorded."""
    address = runner.stage.address
    # Before the next run, which replaces the outputs.
    contents = (_content_of(runner.path_of(path)) for path in runner.stage.outs)
    holds_time = any(map(has_recent_time, contents))
    time.sleep(PAUSE)
    finding = ""
    unstable = differing.unlike(runner.attempt(Conditions(inputs)))
    missing = [each.output for each in differing.verdicts if each.verdict is Verdict.MISSING]
    if unstable:
        reason = NO_SEED
        if holds_time:
            reason = "it holds the time of the run"
        elif _follows_the_hash_seed(runner, inputs):
            reason = "it changes with the hash seed"
        finding = f"{address}: {', '.join(unstable)} {UNSTABLE}{reason}"
    elif missing:
        finding = f"{address} does not write {', '.join(missing)}"
    else:
        finding = _needs_own_output(runner, differing, inputs)
    if finding:
        return Diagnosis(differing, (finding,), inputs)
    cause = _find_cause(runner, text, inputs, lambda attempt: not attempt.wrong)
    if not cause:
        cause = _find_changed_cause(runner, differing, text, inputs)
    if cause:
        return cause
    last = runner.attempt(Conditions(inputs))
    return Diagnosis(last, (_unexplained(runner, differing, last, text),), inputs)


def _needs_own_output(runner: StageRunner, plain: Attempt, inputs: tuple[Input, ...]) -> str:
    """Return a finding where a stage does otherwise if it is given what it wrote last; empty where not."""
    own = runner.own_outputs()
    if not own or not plain.unlike(runner.attempt(Conditions((*inputs, *own)))):
        return ""
    names = ", ".join(item.name for item in own)
    return (
        f"{runner.stage.address} goes on from its own last output, {names} (persist: true), and nothing "
        "records what that was: declare its starting point as a dependency under another name, "
        "or remove persist"
    )


def _find_cause(runner: StageRunner, text: str, given: tuple[Input, ...], helps: Helps) -> Diagnosis | None:
    """Find what helps a stage beside what it is given: undeclared inputs, or else packages installed here."""
    address = runner.stage.address

    def suffices(some: list[Input]) -> bool:
        return helps(runner.attempt(Conditions((*given, *some))))

    def is_confirmed(changed: Conditions) -> bool:
        """Return whether a change helps every time, and nothing helps without it."""
        # No innocent input is to be accused.
        for _ in range(CONFIRMATIONS):
            if not helps(runner.attempt(changed)) or helps(runner.attempt(Conditions(given))):
                return False
        return True

    inputs = given
    found = minimal_inputs(runner.undeclared(text), text, suffices)
    programs = runner.other_programs()
    if found and is_confirmed(Conditions((*given, *found))):
        findings = tuple(map(runner.sentence, found))
        inputs = (*given, *found)
    elif found:
        findings = (f"{address} {UNSTABLE}{NO_SEED}",)
    elif programs and is_confirmed(Conditions(given, programs=programs)):
        names = runner.packages_not_as_locked(text)
        findings = (f"{address} needs packages as installed here and not as locked: {names}",)
    else:
        return None
    return Diagnosis(runner.attempt(Conditions(inputs)), findings, inputs)


def minimal_inputs(
    pool: Sequence[Input], text: str, suffices: Callable[[list[Input]], bool]
) -> list[Input] | None:
    """Return inputs none of which can be left out; None if not even all of them suffice.

    What a text mentions is tried first; `suffices` runs the stage with some of them.
    """

    def fewest(given: list[Input], pool: list[Input]) -> list[Input]:
        """Return the part of `pool` that is needed beside `given`; all of both suffices."""
        # QuickXplain (Junker, 2004): some 2 log2(n) runs for each of the few inputs that matter.
        if given and suffices(given):
            return []
        if len(pool) == 1:
            return pool
        half = len(pool) // 2
        from_left = fewest(given + pool[half:], pool[:half])
        return from_left + fewest(given + from_left, pool[half:])

    likely = [item for item in pool if mentioned(item, text)]
    for candidates in (likely, list(pool)):
        if candidates and suffices(candidates):
            return fewest([], candidates)
    return None


def _follows_the_hash_seed(runner: StageRunner, inputs: tuple[Input, ...]) -> bool:
    """Return whether the outputs of a stage are the same in several runs with one hash seed."""
    seeded = Conditions(inputs, variables={"PYTHONHASHSEED": "0"})
    first = runner.attempt(seeded)
    again = (runner.attempt(seeded) for _ in range(SEEDED_RUNS))
    return not any(map(first.unlike, again))


def _find_changed_cause(
    runner: StageRunner, differing: Attempt, text: str, inputs: tuple[Input, ...]
) -> Diagnosis | None:
    """Find an undeclared input that has changed since: the result follows it, but is not the recorded one."""
    undeclared = runner.undeclared(text)
    with_everything = runner.attempt(Conditions((*inputs, *undeclared)))
    if not differing.unlike(with_everything):
        return None
    return _find_cause(runner, text, inputs, lambda attempt: not with_everything.unlike(attempt))


def _unexplained(runner: StageRunner, differing: Attempt, last: Attempt, text: str) -> str:
    """Return a finding on outputs of which nothing tells why they differ."""
    address = runner.stage.address
    unstable = ", ".join(differing.unlike(last))
    if unstable:
        return f"{address}: {unstable} {UNSTABLE}{NO_SEED}"
    changed: list[str] = []
    largest = 0.0
    for verdict in differing.verdicts:
        changed += verdict.changed[:MOST_VALUES]
        largest = max(largest, verdict.largest or 0.0)
    what = "is not what dvc.lock records, although every input is"
    if all(verdict.verdict is Verdict.CLOSE for verdict in differing.wrong):
        what = "is what dvc.lock records only up to rounding, as on another processor (`--rtol` accepts it)"
    names = ", ".join(verdict.output for verdict in differing.wrong)
    finding = f"{address}: {names} {what}{unset_variables(runner.stage, text)}"
    if changed:
        finding += f": {'; '.join(changed)}"
    if largest:
        finding += f" ({in_words(largest)})"
    return finding


def _content_of(path: Path) -> bytes:
    """Return the bytes of an output; of a folder, those of all its files that are not too large."""
    contents = []
    for file in files_below(path):
        if file.stat().st_size < MOST_BYTES_OF_OUTPUT:
            contents.append(file.read_bytes())
    return b"".join(contents)


def has_recent_time(content: bytes) -> bool:
    """Return whether something that was just written holds the time of its writing, as text."""
    now = time.time()
    for moment in (time.gmtime(now), time.localtime(now)):
        for form in ("%Y-%m-%d", "%d %b %Y"):
            day = time.strftime(form, moment)
            if day.encode() in content:
                return True
    # Seconds since 1970, in whole or with more digits; the decimals of a number are no evidence.
    numbers = [int(digits) for digits in re.findall(rb"(?<![\d.])\d{10}", content)]
    return any(now - LONGEST_RUN < number <= now for number in numbers)
