"""Finds out why a stage fails or differs: undeclared inputs, other packages, or randomness.

A stage that fails in the sandbox, or writes other outputs, runs again with everything that it does not
declare. If that helps, repeated halving finds the few inputs that make the difference. No system calls are
traced, so this works for every language, and finds files that a compiled library reads.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .attempts import Attempt, StageRunner
from .comparison import Verdict, largest_in_words
from .inputs import Input, files_below, is_mentioned, unset_variables
from .sandbox import Conditions

UNSTABLE = "differs from one rebuild to the next: "
NO_SEED = "a random seed is missing, or it holds a time or a path"
# A stage with few possible results can write the right one by chance, so this many runs have to agree.
CONFIRMATIONS = 3
# As many more runs have to agree with the first one that has a fixed hash seed.
SEEDED_RUNS = 4
# Seconds to wait before a second run, so that an output with the time in whole seconds changes.
PAUSE = 1.0
# A time in an output that is at most this many seconds ago is taken for the time of the run.
LONGEST_RUN = 3600
# A finding is one line, so it shows this many differing values of each output.
MOST_VALUES = 3
# Larger output files are not searched for times.
MOST_BYTES_OF_OUTPUT = 10_000_000
# The messages of Git, of GitPython, and of programs that report Git's exit code 128.
_NO_REPOSITORY = re.compile(r"not a git repository|InvalidGitRepositoryError|\bgit\b.*\b128\b", re.IGNORECASE)

Helps = Callable[[Attempt], bool]


@dataclass(frozen=True)
class Diagnosis:
    """The findings about a stage.

    Attributes:
        attempt: the run by which the outputs of the stage are judged.
        findings: the reasons for the failure or the difference, one line each.
        inputs: the undeclared inputs that the stage needs.
    """

    attempt: Attempt
    findings: tuple[str, ...] = ()
    inputs: tuple[Input, ...] = ()


def diagnose_failure(runner: StageRunner, failed: Attempt, text: str) -> Diagnosis:
    """Find out why a stage fails. `text` contains its printed lines, commands and declared files."""
    finding = _depends_on_last_output(runner, failed, ())
    if finding:
        return Diagnosis(failed, (finding,))
    cause = _find_cause(runner, text, (), lambda attempt: not attempt.failed)
    if cause:
        return cause
    lines = failed.printed.strip().splitlines()
    reason = lines[-1].strip() if lines else "it printed nothing"
    finding = f"{runner.stage.address} fails (exit {failed.exit_code}): {reason}"
    finding += unset_variables(runner.stage, text)
    finding += runner.remark_on_missing(text)
    if _NO_REPOSITORY.search(failed.printed):
        finding += "; it calls Git, and a stage is proven where there is no Git repository"
    return Diagnosis(failed, (finding,))


def diagnose_difference(
    runner: StageRunner, differing: Attempt, text: str, inputs: tuple[Input, ...]
) -> Diagnosis:
    """Find out why the outputs of a stage differ from the recorded ones.

    Args:
        runner: runs the stage.
        differing: the run whose outputs differ. They are still in the clone.
        text: the printed lines of the stage, its commands and its declared files.
        inputs: undeclared inputs that the stage was given in this run.
    """
    address = runner.stage.address
    # Look for times now, because the next run replaces the outputs.
    holds_time = any(has_recent_time(_content_of(runner.path_of(path))) for path in runner.stage.outs)
    time.sleep(PAUSE)
    finding = ""
    unstable = differing.changed_outputs(runner.attempt(Conditions(inputs)))
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
        finding = _depends_on_last_output(runner, differing, inputs)
    if finding:
        return Diagnosis(differing, (finding,), inputs)
    cause = _find_cause(runner, text, inputs, lambda attempt: not attempt.wrong)
    if not cause:
        cause = _find_changed_cause(runner, differing, text, inputs)
    if cause:
        return cause
    last = runner.attempt(Conditions(inputs))
    return Diagnosis(last, (_unexplained(runner, differing, last, text),), inputs)


def _depends_on_last_output(runner: StageRunner, attempt: Attempt, inputs: tuple[Input, ...]) -> str:
    """Return a finding if the outputs depend on the stage's own last outputs, otherwise an empty text."""
    last = runner.last_outputs()
    if not last:
        return ""
    with_last = runner.attempt(Conditions((*inputs, *last)))
    if not attempt.changed_outputs(with_last):
        return ""
    names = ", ".join(item.name for item in last)
    return (
        f"{runner.stage.address} goes on from its own last output, {names} (persist: true), and nothing "
        "records what that was: declare its starting point as a dependency under another name, "
        "or remove persist"
    )


def _find_cause(runner: StageRunner, text: str, inputs: tuple[Input, ...], helps: Helps) -> Diagnosis | None:
    """Find undeclared inputs that help a stage, or else packages as they are installed here.

    Args:
        runner: runs the stage.
        text: the printed lines of the stage, its commands and its declared files.
        inputs: undeclared inputs that are known to be needed. Every run gets them.
        helps: returns whether a run is as it should be.

    Returns:
        None if neither undeclared inputs nor packages help.
    """
    address = runner.stage.address

    def suffices(more: list[Input]) -> bool:
        return helps(runner.attempt(Conditions((*inputs, *more))))

    def is_confirmed(changed: Conditions) -> bool:
        """Return whether a change helps in every run, and no run without it succeeds.

        One lucky run must not lead to a finding about an input that has nothing to do with it.
        """
        for _ in range(CONFIRMATIONS):
            if not helps(runner.attempt(changed)) or helps(runner.attempt(Conditions(inputs))):
                return False
        return True

    all_inputs = inputs
    needed = minimal_inputs(runner.undeclared_inputs(text), text, suffices)
    programs = runner.other_programs()
    if needed and is_confirmed(Conditions((*inputs, *needed))):
        findings = tuple(map(runner.finding, needed))
        all_inputs = (*inputs, *needed)
    elif needed:
        findings = (f"{address} {UNSTABLE}{NO_SEED}",)
    elif programs and is_confirmed(Conditions(inputs, programs=programs)):
        names = runner.packages_not_as_locked(text)
        findings = (f"{address} needs packages as installed here and not as locked: {names}",)
    else:
        return None
    return Diagnosis(runner.attempt(Conditions(all_inputs)), findings, all_inputs)


def minimal_inputs(
    pool: Sequence[Input], text: str, suffices: Callable[[list[Input]], bool]
) -> list[Input] | None:
    """Return a smallest set of sufficient inputs, from which none can be left out.

    Args:
        pool: all inputs to choose from.
        text: inputs that this text mentions are tried first.
        suffices: runs the stage with some inputs, and returns whether they are enough.

    Returns:
        None if not even all inputs together suffice.
    """

    def fewest(chosen: list[Input], candidates: list[Input]) -> list[Input]:
        """Return the part of `candidates` that is needed besides `chosen`. Both together suffice."""
        # This is QuickXplain (Junker, 2004). It needs about 2 log2(n) runs for each input that matters.
        if chosen and suffices(chosen):
            return []
        if len(candidates) == 1:
            return candidates
        half = len(candidates) // 2
        from_left = fewest(chosen + candidates[half:], candidates[:half])
        return from_left + fewest(chosen + from_left, candidates[half:])

    likely = [item for item in pool if is_mentioned(item, text)]
    for candidates in (likely, list(pool)):
        if candidates and suffices(candidates):
            return fewest([], candidates)
    return None


def _follows_the_hash_seed(runner: StageRunner, inputs: tuple[Input, ...]) -> bool:
    """Return whether the outputs of a stage are equal in several runs with the same hash seed."""
    seeded = Conditions(inputs, variables={"PYTHONHASHSEED": "0"})
    first = runner.attempt(seeded)
    again = (runner.attempt(seeded) for _ in range(SEEDED_RUNS))
    return not any(map(first.changed_outputs, again))


def _find_changed_cause(
    runner: StageRunner, differing: Attempt, text: str, inputs: tuple[Input, ...]
) -> Diagnosis | None:
    """Find an undeclared input that changed after the result was recorded.

    The outputs depend on such an input, but its present content does not rebuild the recorded outputs.
    """
    undeclared = runner.undeclared_inputs(text)
    with_everything = runner.attempt(Conditions((*inputs, *undeclared)))
    if not differing.changed_outputs(with_everything):
        return None
    return _find_cause(runner, text, inputs, lambda attempt: not with_everything.changed_outputs(attempt))


def _unexplained(runner: StageRunner, differing: Attempt, last: Attempt, text: str) -> str:
    """Return the finding about outputs that differ for no known reason."""
    address = runner.stage.address
    unstable = ", ".join(differing.changed_outputs(last))
    if unstable:
        return f"{address}: {unstable} {UNSTABLE}{NO_SEED}"
    changed: list[str] = []
    largest = 0.0
    for verdict in differing.verdicts:
        changed += verdict.changed[:MOST_VALUES]
        largest = max(largest, verdict.largest or 0.0)
    problem = "is not what dvc.lock records, although every input is"
    if all(verdict.verdict is Verdict.CLOSE for verdict in differing.wrong):
        problem = (
            "is what dvc.lock records only up to rounding, as on another processor (`--rtol` accepts it)"
        )
    names = ", ".join(verdict.output for verdict in differing.wrong)
    finding = f"{address}: {names} {problem}{unset_variables(runner.stage, text)}"
    if changed:
        finding += f": {'; '.join(changed)}"
    if largest:
        finding += f" ({largest_in_words(largest)})"
    return finding


def _content_of(path: Path) -> bytes:
    """Return the bytes of a file, or of all files in a folder together. Large files are left out."""
    contents = []
    for file in files_below(path):
        if file.stat().st_size < MOST_BYTES_OF_OUTPUT:
            contents.append(file.read_bytes())
    return b"".join(contents)


def has_recent_time(content: bytes) -> bool:
    """Return whether bytes that were just written contain today's date or the current time as text."""
    now = time.time()
    for moment in (time.gmtime(now), time.localtime(now)):
        for form in ("%Y-%m-%d", "%d %b %Y"):
            day = time.strftime(form, moment)
            if day.encode() in content:
                return True
    # Seconds since 1970 have ten digits, which more can follow. Ten decimals of a number are not a time.
    numbers = [int(digits) for digits in re.findall(rb"(?<![\d.])\d{10}", content)]
    return any(now - LONGEST_RUN < number <= now for number in numbers)
