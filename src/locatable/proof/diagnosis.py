"""Find out why a stage fails or differs: what it needs undeclared, or what its outputs should not depend on.

A stage that fails in the sandbox, or writes something else, runs again with everything that it does not
declare; if that helps, halving finds the few inputs that make the difference. Nothing is traced, so this
works for any language, and for what libraries read without the language knowing.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .attempts import Attempt, Runner
from .comparison import Verdict
from .conditions import Conditions
from .differences import in_words
from .inputs import Input, files_below, unset_variables
from .minimal import minimal_inputs
from .sandbox import RunOptions

UNSTABLE = "differs from one rebuild to the next: "
NO_SEED = "a random seed is missing, or it holds a time or a path"
# A stage with few possible results gives one of them by luck now and then: so many runs have to agree.
CONFIRMATIONS = 3
SEEDED_RUNS = 4
# Seconds until a second run, so that a time in whole seconds shows.
PAUSE = 1.0
# Times up to this long ago, in seconds, are taken for the time of a run.
LONGEST_RUN = 3600
# So many values of each output are shown in a finding.
MOST_VALUES = 3
# Larger files are not searched for times.
MOST_BYTES_OF_OUTPUT = 10_000_000

# As Git itself, GitPython, and whoever runs Git in a process say it.
_NO_REPOSITORY = re.compile(r"not a git repository|InvalidGitRepositoryError|\bgit\b.*\b128\b", re.IGNORECASE)

Helps = Callable[[Attempt], bool]


@dataclass(frozen=True)
class Cause:
    """What makes a difference to a stage.

    Attributes:
        findings: one line each; none where nothing was found.
        inputs: undeclared inputs that the stage has to be given to do as it should.
    """

    findings: tuple[str, ...] = ()
    inputs: tuple[Input, ...] = ()


@dataclass(frozen=True)
class Diagnosis:
    """What was found out about a stage.

    Attributes:
        findings: one line each.
        inputs: undeclared inputs that the stage has to be given to do as it should.
        attempt: the run of the stage that its outputs are judged by.
    """

    findings: tuple[str, ...]
    inputs: tuple[Input, ...]
    attempt: Attempt


def diagnose_failure(runner: Runner, failed: Attempt, text: str) -> Diagnosis:
    """Find out why a stage fails.

    Args:
        runner: runs the stage.
        failed: its first run.
        text: what it printed, and its code.
    """
    finding = _needs_own_output(runner, failed)
    if finding:
        return Diagnosis((finding,), (), failed)
    cause = find_cause(runner, text, (), lambda attempt: not attempt.failed)
    if cause.findings:
        return Diagnosis(cause.findings, cause.inputs, runner.attempt(RunOptions(cause.inputs)))
    lines = [line.strip() for line in failed.printed.splitlines() if line.strip()]
    reason = lines[-1] if lines else "it printed nothing"
    remark = unset_variables(runner.stage, text) + runner.missing(text)
    if _NO_REPOSITORY.search(failed.printed):
        remark += "; it calls Git, and a stage is proven where there is no Git repository"
    finding = f"{runner.stage.address} fails (exit {failed.exit_code}): {reason}{remark}"
    return Diagnosis((finding,), (), failed)


def diagnose_difference(
    runner: Runner, differing: Attempt, text: str, inputs: tuple[Input, ...]
) -> Diagnosis:
    """Find out why a stage writes something else than what is recorded.

    Args:
        runner: runs the stage.
        differing: a run of the stage, whose outputs are in the clone.
        text: what it printed, and its code.
        inputs: undeclared inputs that it had to be given.
    """
    address = runner.stage.address
    holds_time = any(has_recent_time(content_of(runner.path_of(path))) for path in runner.stage.outs)
    time.sleep(PAUSE)
    unstable = differing.unlike(runner.attempt(RunOptions(inputs)))
    if unstable:
        reason = _why_unstable(runner, inputs, holds_time)
        return Diagnosis((f"{address}: {', '.join(unstable)} {UNSTABLE}{reason}",), inputs, differing)
    missing = [each.output for each in differing.verdicts if each.verdict is Verdict.MISSING]
    if missing:
        return Diagnosis((f"{address} does not write {', '.join(missing)}",), inputs, differing)
    finding = _needs_own_output(runner, differing, inputs)
    if finding:
        return Diagnosis((finding,), inputs, differing)
    cause = find_cause(runner, text, inputs, lambda attempt: attempt.as_recorded)
    if not cause.findings:
        cause = _find_changed_cause(runner, differing, text, inputs)
    inputs += cause.inputs
    last = runner.attempt(RunOptions(inputs))
    findings = cause.findings or (_unexplained(runner, differing, last, text),)
    return Diagnosis(findings, inputs, last)


def _needs_own_output(runner: Runner, plain: Attempt, inputs: tuple[Input, ...] = ()) -> str:
    """Return a finding where a stage, given what it wrote last, does otherwise than without; empty where not.

    Args:
        runner: runs the stage.
        plain: a run without it.
        inputs: undeclared inputs that it had to be given.
    """
    own = runner.own_outputs()
    if not own or not plain.unlike(runner.attempt(RunOptions((*inputs, *own)))):
        return ""
    names = ", ".join(item.name for item in own)
    return (
        f"{runner.stage.address} goes on from its own last output, {names} (persist: true), and nothing "
        "records what that was: declare its starting point as a dependency under another name, "
        "or remove persist"
    )


def find_cause(runner: Runner, text: str, given: tuple[Input, ...], helps: Helps) -> Cause:
    """Find what makes the difference: undeclared inputs, or else packages installed here.

    Args:
        runner: runs the stage.
        text: what it printed, and its code.
        given: undeclared inputs that it is given anyway.
        helps: whether a run of it is as it should be.
    """

    def suffices(some: list[Input]) -> bool:
        return helps(runner.attempt(RunOptions((*given, *some))))

    found = minimal_inputs(runner.undeclared(text), text, suffices)
    if found:
        inputs = tuple(found)
        if not _confirmed(runner, helps, RunOptions(given), RunOptions(given + inputs)):
            return Cause((f"{runner.stage.address} {UNSTABLE}{NO_SEED}",))
        return Cause(tuple(runner.sentence(item) for item in inputs), inputs)
    programs = runner.other_programs()
    if programs and _confirmed(runner, helps, RunOptions(given), RunOptions(given, programs=programs)):
        names = runner.packages_not_as_locked(text)
        return Cause((f"{runner.stage.address} needs packages as installed here and not as locked: {names}",))
    return Cause()


def _confirmed(runner: Runner, helps: Helps, plain: RunOptions, changed: RunOptions) -> bool:
    """Whether a change helps every time, and nothing helps without it: no innocent input is to be accused."""
    for _ in range(CONFIRMATIONS):
        if not helps(runner.attempt(changed)) or helps(runner.attempt(plain)):
            return False
    return True


def _why_unstable(runner: Runner, inputs: tuple[Input, ...], holds_time: bool) -> str:
    if holds_time:
        return "it holds the time of the run"
    if _follows_the_hash_seed(runner, inputs):
        return "it changes with the hash seed"
    return NO_SEED


def _follows_the_hash_seed(runner: Runner, inputs: tuple[Input, ...]) -> bool:
    seeded = RunOptions(inputs, Conditions(variables={"PYTHONHASHSEED": "0"}))
    first = runner.attempt(seeded)
    return not any(first.unlike(runner.attempt(seeded)) for _ in range(SEEDED_RUNS))


def _find_changed_cause(runner: Runner, differing: Attempt, text: str, inputs: tuple[Input, ...]) -> Cause:
    """An undeclared input that has changed since: the result follows it, but is not the recorded one."""
    everything = tuple(runner.undeclared(text))
    with_everything = runner.attempt(RunOptions(inputs + everything))
    if not differing.unlike(with_everything):
        return Cause()
    return find_cause(runner, text, inputs, lambda attempt: not with_everything.unlike(attempt))


def _unexplained(runner: Runner, differing: Attempt, last: Attempt, text: str) -> str:
    address = runner.stage.address
    unstable = ", ".join(differing.unlike(last))
    if unstable:
        return f"{address}: {unstable} {UNSTABLE}{NO_SEED}"
    wrong = [each for each in differing.verdicts if not each.as_recorded]
    names = ", ".join(each.output for each in wrong)
    changed: list[str] = []
    for verdict in differing.verdicts:
        changed += verdict.changed[:MOST_VALUES]
    values = f": {'; '.join(changed)}" if changed else ""
    largest = max((verdict.largest or 0.0 for verdict in differing.verdicts), default=0.0)
    if largest:
        values += f" ({in_words(largest)})"
    remark = unset_variables(runner.stage, text)
    if all(each.verdict is Verdict.CLOSE for each in wrong):
        what = "is what dvc.lock records only up to rounding, as on another processor (`--rtol` accepts it)"
    else:
        what = "is not what dvc.lock records, although every input is"
    return f"{address}: {names} {what}{remark}{values}"


def content_of(path: Path) -> bytes:
    """Return the bytes of an output; of a folder, those of all its files."""
    small = [file for file in files_below(path) if file.stat().st_size < MOST_BYTES_OF_OUTPUT]
    return b"".join(file.read_bytes() for file in small)


def has_recent_time(content: bytes) -> bool:
    """Return whether something that was just written holds the time of its writing, as text."""
    now = time.time()
    for moment in (time.gmtime(now), time.localtime(now)):
        for form in ("%Y-%m-%d", "%d %b %Y"):
            if time.strftime(form, moment).encode() in content:
                return True
    # Seconds since 1970, in whole or with more digits; the decimals of a number are no evidence.
    numbers = [int(digits) for digits in re.findall(rb"(?<![\d.])\d{10}", content)]
    return any(now - LONGEST_RUN < number <= now for number in numbers)
