"""Rebuild one stage, and find out why if it does not come out as recorded.

Used by `locatable reproduce`.
"""

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dvc.output import Output
from dvc.stage import Stage

from ..errors import CannotTryError
from . import fresh, missed
from .hermetic import Conditions, Input, Room, Run, run
from .record import FINE, verdicts
from .vary import varied

UNSTABLE = "differs from one rebuild to the next: "
SEEDLESS = "a random seed is missing, or it holds a time or a path"


@dataclass(frozen=True)
class Proof:
    """What all stages of a proof share.

    `top` is the Git root of the user's checkout, `cache` the user's DVC cache, `given` all outputs
    that no stage of the proof makes, `kept` the recorded values of outputs by path; `rtol` and
    `vary` as on the command line.
    """

    room: Room
    top: Path
    cache: Path
    given: list[Output]
    kept: Mapping[str, dict[str, Any] | None]
    rtol: float = 0.0
    vary: bool = False


def rebuild(stage: Stage, proof: Proof, trusted: bool) -> tuple[list[dict[str, Any]], list[str], float]:
    """Run a stage in its own company and leave its outputs in the clone.

    Args:
        stage: as loaded by DVC from the clone, its dependencies in place.
        proof: where and how.
        trusted: whether its inputs are as recorded, so that other outputs ask for an explanation.

    Returns:
        A row per output (see `record.verdicts`), one line per finding, and seconds of the first run.
    """
    first, rows = _attempt(stage, proof)
    text, extra, findings = first.said + missed.text_of(stage), [], []
    last = first
    if last.code:
        extra, findings = _explain(stage, proof, text, [], lambda done, _: done.code == 0)
        if not findings:
            said = [line for line in first.said.splitlines() if line.strip()] or ["it printed nothing"]
            why = f"(exit {first.code}): {said[-1].strip()}{missed.unset(stage, text)}"
            return rows, [f"{stage.addressing} fails {why}"], first.seconds
        last, rows = _attempt(stage, proof, extra)
    if trusted and not _fine(rows) and not last.code:
        extra, more, rows = _differs(stage, proof, text, extra, rows)
        findings += more
    if proof.vary and not findings and not last.code:
        findings += _varied(stage, proof, rows)
    return rows, findings, first.seconds


def _attempt(
    stage: Stage,
    proof: Proof,
    extra: Iterable[Input] = (),
    given: Conditions = Conditions(),  # noqa: B008 - immutable
    programs: Path | None = None,
) -> tuple[Run, list[dict[str, Any]]]:
    room = replace(proof.room, programs=programs) if programs else proof.room
    done, hashes = run(stage, room, extra, given), {}
    for out in stage.outs:
        remove(Path(out.fs_path))
        written = done.box / "tree" / Path(out.fs_path).relative_to(room.tree)
        # What a failed command leaves behind is no output.
        if written.exists() and not done.code:
            Path(out.fs_path).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(written, out.fs_path)
        hashes[out.fs_path] = out.get_hash().value if out.exists else None
    shutil.rmtree(done.box, ignore_errors=True)
    return done, verdicts(stage, hashes, proof.kept, proof.rtol)


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _fine(rows: list[dict[str, Any]]) -> bool:
    return all(row["verdict"] in FINE for row in rows)


def _hashes(rows: list[dict[str, Any]]) -> dict[str, str | None]:
    return {row["output"]: row["rebuilt"] for row in rows}


def _unlike(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> list[str]:
    return [name for name, hashed in _hashes(one).items() if hashed != _hashes(other)[name]]


def _explain(
    stage: Stage,
    proof: Proof,
    text: str,
    given: list[Input],
    good: Callable[[Run, list[dict[str, Any]]], bool],
) -> tuple[list[Input], list[str]]:
    """Find what makes the difference: undeclared inputs, or else packages of the current environment."""
    for out in proof.given:
        if not out.exists:
            with contextlib.suppress(CannotTryError):
                fresh.fetch(out, proof.cache)
    pool = missed.undeclared(stage, proof.room, proof.top, text)
    found = missed.needed(pool, text, lambda some: good(*_attempt(stage, proof, given + some)))
    if found and not _confirmed(
        lambda: good(*_attempt(stage, proof, given + found)), lambda: good(*_attempt(stage, proof, given))
    ):
        return [], [f"{stage.addressing} {UNSTABLE}{SEEDLESS}"]
    if found:
        return found, [missed.sentence(stage, item, proof.room.tree) for item in found]
    here = Path(sys.prefix) / "bin"
    if here != proof.room.programs and _confirmed(
        lambda: good(*_attempt(stage, proof, given, programs=here)),
        lambda: good(*_attempt(stage, proof, given)),
    ):
        names = missed.packages(proof.room, text)
        return [], [f"{stage.addressing} needs packages as installed here and not as locked: {names}"]
    return [], []


def _confirmed(helped: Callable[[], bool], plain: Callable[[], bool]) -> bool:
    # A stage of few possible results, and one of them by luck, must not get an innocent input accused.
    return all(helped() and not plain() for _ in range(3))


def _differs(
    stage: Stage, proof: Proof, text: str, extra: list[Input], rows: list[dict[str, Any]]
) -> tuple[list[Input], list[str], list[dict[str, Any]]]:
    name, contents = stage.addressing, [missed.content(out.fs_path) for out in stage.outs]
    wrong = ", ".join(row["output"] for row in rows if row["verdict"] not in FINE)
    # In another second than the first run, so that a time in whole seconds shows.
    time.sleep(1)
    _, again = _attempt(stage, proof, extra)
    if unstable := ", ".join(_unlike(rows, again)):
        why = SEEDLESS
        if any(map(missed.stamped, contents)):
            why = "it holds the time of the run"
        elif _follows_the_hash_seed(stage, proof, extra):
            why = "it changes with the hash seed"
        return extra, [f"{name}: {unstable} {UNSTABLE}{why}"], rows
    if missing := [row["output"] for row in rows if row["verdict"] == "missing"]:
        return extra, [f"{name} does not write {', '.join(missing)}"], rows
    found, findings = _explain(stage, proof, text, extra, lambda _, new: _fine(new))
    if not findings:
        # Or an undeclared input has changed since: the result follows it, but is not the recorded one.
        pool = missed.undeclared(stage, proof.room, proof.top, text)
        _, whole = _attempt(stage, proof, extra + pool)
        if _unlike(rows, whole):
            found, findings = _explain(stage, proof, text, extra, lambda _, new: not _unlike(whole, new))
    _, new = _attempt(stage, proof, extra + found)
    if not findings and (unstable := ", ".join(_unlike(rows, new))):
        findings = [f"{name}: {unstable} {UNSTABLE}{SEEDLESS}"]
    if not findings:
        values = "; ".join(value for row in rows for value in row["changed"][:3])
        why = missed.unset(stage, text) + (f": {values}" if values else "")
        findings = [f"{name}: {wrong} is not what dvc.lock records, although every input is{why}"]
    return extra + found, findings, new


def _follows_the_hash_seed(stage: Stage, proof: Proof, extra: list[Input]) -> bool:
    seeded = Conditions(variables={"PYTHONHASHSEED": "0"})
    _, first = _attempt(stage, proof, extra, seeded)
    # Several times: a result of few possible values can agree by luck.
    return not any(_unlike(first, _attempt(stage, proof, extra, seeded)[1]) for _ in range(4))


def _varied(stage: Stage, proof: Proof, rows: list[dict[str, Any]]) -> list[str]:
    codes = []

    def attempt(given: Conditions) -> dict[str, str | None]:
        done, new = _attempt(stage, proof, given=given)
        codes.append(done.code)
        return _hashes(new)

    changed, guilty = varied(proof.room.work, _hashes(rows), attempt)
    if not changed:
        return []
    if any(codes):
        return [f"{stage.addressing} fails with another {', '.join(guilty)}"]
    return [f"{stage.addressing}: {', '.join(changed)} changes with the {', '.join(guilty)}"]
