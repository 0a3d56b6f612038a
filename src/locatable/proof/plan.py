"""Plans a proof, and prepares a clean clone in which its stages can be rebuilt.

No stage runs here. The records of the stages in dvc.lock are checked against the revision's own files.
"""

import contextlib
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

from ..clones.checkout import Checkout
from ..clones.recorded_data import damaged_objects, fetch
from ..errors import CannotTryError
from ..model import Key, Output, Stage, is_inside, overlaps, recorded_hash
from ..repository.hashes import differs_in_line_ends
from ..results.staleness import Difference, Kind, differences
from .attempts import RecordedOutputs
from .inputs import declared_files


@dataclass(frozen=True)
class ProofPlan:
    """The stages that a proof rebuilds, and the data that it does not.

    Attributes:
        stages: the stages to rebuild. Each comes after the stages that it depends on.
        frozen: the frozen stages. They are not rebuilt, so their outputs are not proven.
        taken_as_recorded: data that DVC stores and no stage of the proof writes, such as tracked data.
    """

    stages: tuple[Stage, ...]
    frozen: tuple[Stage, ...]
    taken_as_recorded: tuple[Output, ...]

    @property
    def rebuilt(self) -> list[Output]:
        """The outputs of all stages that the proof rebuilds."""
        return [output for stage in self.stages for output in stage.outs.values()]

    def recorded_inputs(self, stage: Stage) -> list[Output]:
        """Return the inputs of a stage that DVC stores and no stage of the proof writes."""
        read = [*stage.deps, *stage.params]
        return [output for output in self.taken_as_recorded if overlaps(output.path, read)]


def plan_proof(
    stages: Sequence[Stage],
    outputs: Sequence[Output],
    only: str | None,
    advise: Callable[[], str] = lambda: "`dvc repro`, then commit",
) -> ProofPlan:
    """Decide which stages to rebuild, and which data to take as recorded.

    Args:
        stages: all stages of a revision. Each comes after the stages that it depends on.
        outputs: all outputs of stages and all files and folders tracked by .dvc files.
        only: name or address of the one stage to rebuild, or None for every stage that is not frozen.
        advise: returns the advice for a revision without recorded results, see `first_results`.

    Raises:
        CannotTryError: no stage is left to rebuild, or a stage has no record, or a path of a stage lies
            outside the project.
    """
    frozen: list[Stage] = []
    if only is None:
        frozen = [stage for stage in stages if stage.frozen]
        chosen = [stage for stage in stages if not stage.frozen]
    else:
        chosen = [stage for stage in stages if only in (stage.name, stage.address)]
    if not chosen:
        names = addresses(stages)
        if frozen:
            raise CannotTryError(f"all stages are frozen: {names}; `--stage NAME` rebuilds one all the same")
        raise CannotTryError(f"no stage {only or 'to rebuild'} in this revision; it has: {names or 'none'}")
    if only is None and not any(map(_is_recorded, chosen)):
        raise CannotTryError(f"no results are recorded yet in this revision: {advise()}")
    written: set[str] = set()
    for stage in chosen:
        if not _is_recorded(stage):
            raise CannotTryError(f"{stage.address}: no record in this revision's dvc.lock: {advise()}")
        _check_inside(stage)
        written.update(stage.outs)
    taken = []
    for output in outputs:
        if output.cached and output.recorded and output.path not in written:
            taken.append(output)
    return ProofPlan(tuple(chosen), tuple(frozen), tuple(taken))


def addresses(stages: Iterable[Stage]) -> str:
    """Return the addresses of some stages, joined by commas."""
    return ", ".join(stage.address for stage in stages)


def _check_inside(stage: Stage) -> None:
    """Raise if a stage reads or writes a path outside the project."""
    for path in (*stage.deps, *stage.params, *stage.outs):
        if not is_inside(path):
            raise CannotTryError(f"{stage.address}: {path} is outside the project")


def _is_recorded(stage: Stage) -> bool:
    """Return whether dvc.lock records an output to compare with. A stage without outputs needs no record."""
    return not stage.outs or any(output.recorded for output in stage.outs.values())


@dataclass
class CheckedRecord:
    """The result of checking the record of a stage, before the stage is rebuilt.

    Attributes:
        findings: problems of the record, one line each.
        contradictory: true if dvc.lock contradicts the files of the revision.
        persistent: copies of the recorded persistent outputs, by path. Unavailable ones are missing.
    """

    findings: list[str]
    contradictory: bool
    persistent: dict[str, Path] = field(default_factory=dict)


def prepare(plan: ProofPlan, checkout: Checkout, recorded: RecordedOutputs) -> dict[str, CheckedRecord]:
    """Check the records of the stages, move recorded outputs out of the clone, and fetch the inputs.

    Returns:
        The checked record of each stage, by address.

    Raises:
        CannotTryError: an input of a stage is not available.
    """
    contradictions_by_stage = contradictions(plan.stages, checkout)
    records = {}
    # Set the outputs of all stages aside before inputs are fetched, because one stage can read a folder that
    # another stage writes into.
    for stage in plan.stages:
        findings = contradictions_by_stage.get(stage.address, [])
        record = CheckedRecord(findings, contradictory=bool(findings))
        records[stage.address] = record
        for output in stage.outs.values():
            if output.cached and output.recorded:
                record.findings += damaged_objects(checkout, output)
                # Fetch the last output of a stage that may continue from it, for the diagnosis. If it is not
                # available, the proof goes on without it.
                if output.persistent and not checkout.path_of(output.path).exists():
                    with contextlib.suppress(CannotTryError):
                        fetch(checkout, output)
            copy = recorded.set_aside(output)
            if output.persistent and copy:
                # A stage does not see its last output, except when a diagnosis tests whether that matters.
                record.persistent[output.path] = copy
    rebuilt = [output.path for output in plan.rebuilt]
    for stage in plan.stages:
        record = records[stage.address]
        for path in stage.deps:
            _check_links(checkout.path_of(path), checkout)
        for output in plan.recorded_inputs(stage):
            if not checkout.exists(output.path):
                record.findings += fetch(checkout, output)
        _check_dependencies(stage, checkout, rebuilt)
    return records


def _check_links(path: Path, checkout: Checkout) -> None:
    """Refuse a dependency that is or contains a link out of the clone, because no revision has its target."""
    tree = checkout.tree.resolve()
    for each in (path, *path.rglob("*")):
        target = each.resolve()
        if not target.is_relative_to(tree):
            name = each.relative_to(checkout.root)
            raise CannotTryError(f"{name} is a link to {target}, which is outside the project")


def _check_dependencies(stage: Stage, checkout: Checkout, rebuilt: list[str]) -> None:
    """Raise if a dependency or params file of a stage is missing and no stage of the proof rebuilds it."""
    missing = []
    for path in stage.deps:
        problem = checkout.content_problem(path, stage)
        if problem:
            raise CannotTryError(f"{stage.address} depends on {path}: {problem}")
        if not checkout.exists(path, stage):
            missing.append(path)
    # A params file can be missing too: Hydra can compose it, and Git can ignore it.
    missing += [file for file in stage.params if not checkout.path_of(file).exists()]
    for path in missing:
        if overlaps(path, rebuilt):
            continue
        problem = f"{stage.address} depends on {path}, which neither Git nor DVC holds"
        name = checkout.path_of(path).relative_to(checkout.tree)
        if (checkout.user_top / name).exists():
            problem += f": your checkout does, so `git add {quote(str(name))}`, or `dvc add` it, and commit"
        raise CannotTryError(problem)


def contradictions(stages: Collection[Stage], checkout: Checkout) -> dict[str, list[str]]:
    """Return where dvc.lock contradicts dvc.yaml, the params or outputs in Git, as lines by stage address.

    The outputs of the stages have to lie inside the project, because DVC would ask servers for other outputs.
    """
    lines: dict[str, list[str]] = defaultdict(list)
    for difference in differences(checkout.snapshot):
        # Dependencies are compared later, by `wrong_inputs`: an earlier stage can still rebuild them.
        if difference.kind in (Kind.COMMAND, Kind.PARAM, Kind.OUTPUT):
            lines[difference.stage].append(f"{difference.stage}: {_sentence(difference)}")
    found = {}
    for stage in stages:
        findings = lines[stage.address]
        for output in stage.outs.values():
            if not output.recorded or output.cached:
                continue
            is_here = checkout.exists(output.path) and checkout.path_of(output.path).exists()
            if not is_here:
                findings.append(
                    f"{stage.address}: dvc.lock records {output.path}, which this revision does not hold"
                )
        if findings:
            found[stage.address] = findings
    return found


def _sentence(difference: Difference) -> str:
    """Return the sentence by which a proof reports a difference, told from the side of dvc.lock."""
    name = difference.name
    recorded = difference.recorded
    present = difference.present
    has_both = recorded is not None and present is not None
    match difference.kind:
        case Kind.COMMAND:
            return "dvc.lock records another command than dvc.yaml has"
        case Kind.PARAM if has_both:
            return f"dvc.lock records {name} = {recorded!r}, {Key.parse(name).file} has {present!r}"
        case Kind.OUTPUT if recorded is None:
            return f"dvc.lock does not record {name}"
        case Kind.OUTPUT if has_both:
            return f"{name} in Git is not the one that dvc.lock records"
    return f"dvc.lock is not of this revision: {difference.sentence}"


def wrong_inputs(stage: Stage, checkout: Checkout, differing: list[str]) -> list[str]:
    """Return a line for each dependency whose hash is not the one in dvc.lock.

    Args:
        stage: a stage of the checkout.
        checkout: the clean clone, with every dependency of the stage in place.
        differing: paths of rebuilt outputs that differ. They are reported already, so they are skipped here.
    """
    lines = []
    recorded = stage.record.deps if stage.record else {}
    for path in stage.deps:
        if overlaps(path, differing):
            continue
        expected = recorded_hash(recorded.get(path))
        actual = checkout.hash_of(path, stage) or "missing"
        if actual == expected:
            continue
        line = f"{stage.address}: dvc.lock records {path} as {expected}, and it is {actual}"
        place = checkout.path_of(path)
        if expected and place.is_file() and differs_in_line_ends(place.read_bytes(), expected):
            line = (
                f"{stage.address}: dvc.lock records {path} with other line ends than Git "
                "checks out here: settle them in .gitattributes (core.autocrlf is each user's own)"
            )
        lines.append(line)
    return lines


def path_pattern(paths: Iterable[str]) -> str:
    """Return a pattern that finds absolute paths in a text, also at the beginning of a longer path."""
    return rf"(?<![\w.:/-])({'|'.join(map(re.escape, paths))})(?![\w.-])"


def foreign_paths(stage: Stage, checkout: Checkout) -> list[str]:
    """Return a line for the command, and for each declared file, that contains the user's checkout path."""
    top = checkout.user_top
    path_in_text = re.compile(path_pattern([str(top)]))
    places = ["its command"] if any(map(path_in_text.search, stage.commands)) else []
    for file in declared_files(stage, checkout.root):
        if path_in_text.search(file.read_text(errors="ignore")):
            places.append(str(file.relative_to(checkout.root)))
    return [f"{stage.address}: {place} names {top}, a folder that only this machine has" for place in places]
