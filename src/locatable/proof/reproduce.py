"""Prove that a result can be rebuilt: the course of a whole proof."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ..clones.checkout import Checkout, project_root
from ..errors import CannotTryError
from ..model import Stage, overlaps
from ..repository.dvc_repo import dvc_errors
from ..repository.reader import resolve
from ..results.processor import Processor, read_processor
from .attempts import Attempt, StageRunner
from .comparison import OutputVerdict, Verdict, compare
from .conditions import runs_programs
from .contents import has_numbers
from .diagnosis import Diagnosis, diagnose_difference, diagnose_failure
from .environment import EnvironmentLock, build_environment, current_programs, find_lock, recorded_variables
from .installer import programs_in
from .plan import ProofPlan, plan_proof
from .preparation import StageRecord, prepare
from .record import foreign_paths, wrong_inputs
from .recorded import RecordedOutputs, remove
from .report import Report, Seconds
from .sandbox import Sandbox, make_sandbox, processor_of_stages
from .stage_folder import seen_whole
from .tolerance import accept_by_what_follows
from .variation import Variation

Progress = Callable[[str], None]


@dataclass(frozen=True)
class ProofOptions:
    """What to prove, and how.

    Attributes:
        rev: a Git revision or the name of an experiment.
        stage: name or address of the one stage to rebuild, from recorded inputs; None for all.
        fresh_environment: build an environment from the revision's lock; otherwise use the current one.
        vary: run every stage once more under other conditions.
        rtol: relative difference up to which numbers in outputs count as equal.
        wheels: a folder with all packages of the lock, for machines without a package index.
        allow_build: whether packages of the lock may run what they hold while they are installed.
    """

    rev: str = "HEAD"
    stage: str | None = None
    fresh_environment: bool = True
    vary: bool = False
    rtol: float = 0.0
    wheels: Path | None = None
    allow_build: bool = False


@dataclass
class Proof:
    """A proof under way.

    Attributes:
        options: what to prove, and how.
        plan: which stages to rebuild.
        checkout: the clean clone, ready for them.
        sandbox: where they run.
        records: what is known of each stage before it is rebuilt, by address.
        recorded: recorded outputs, to compare with.
        variation: runs stages under other conditions, None where that was not asked for.
        verdicts: on the outputs of the stages so far.
        findings: what was found in them so far, one line each.
        seen_whole: params files by stage, of which it declares a part and saw all.
        postponed: first runs to be diagnosed unless the tolerance accepts them by what follows.
    """

    options: ProofOptions
    plan: ProofPlan
    checkout: Checkout
    sandbox: Sandbox
    records: dict[str, StageRecord]
    recorded: RecordedOutputs
    variation: Variation | None = None
    verdicts: list[OutputVerdict] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    postponed: list[tuple[StageRunner, Attempt]] = field(default_factory=list)
    seen_whole: dict[str, list[str]] = field(default_factory=dict)


def reproduce(options: ProofOptions, progress: Progress) -> Report:
    """Rebuild the stages of a revision and compare; the user's checkout, cache and remote are only read.

    Args:
        options: what to prove, and how.
        progress: is called with a line whenever something new begins.

    Raises:
        CannotTryError: it cannot be done here.
    """
    root = project_root()
    commit = resolve(options.rev)
    seconds = Seconds()
    with (
        dvc_errors(CannotTryError),
        TemporaryDirectory(prefix="reproduce-", ignore_cleanup_errors=True) as folder,
    ):
        work = Path(folder).resolve()
        _check_programs_run(work)
        progress("preparing a clean clone")
        begun = time.perf_counter()
        with Checkout(root, commit, work / "clone", work / "dvc") as checkout:
            plan = plan_proof(checkout.stages, checkout.outputs, options.stage)
            if plan.frozen:
                progress(f"frozen, so taken as recorded and not proven: {_addresses(plan.frozen)}")
            # Where a stage writes the record of the environment, it is not there any more when stages run.
            lock = _lock(options, checkout)
            variables = recorded_variables(checkout.root)
            environment = work / "env"
            programs = programs_in(environment) if lock else current_programs()
            sandbox, isolation = make_sandbox(
                work, programs, checkout.user_top, checkout.user_cache, variables
            )
            for line in _announcement(plan, checkout, lock, isolation):
                progress(line)
            recorded = RecordedOutputs(checkout, work / "recorded", options.rtol)
            records = prepare(plan, checkout, recorded)
            seconds.preparation = time.perf_counter() - begun

            begun = time.perf_counter()
            if lock:
                progress("building the environment")
                build_environment(lock, checkout.root, environment, sandbox)
            seconds.environment = time.perf_counter() - begun

            proof = Proof(options, plan, checkout, sandbox, records, recorded)
            if options.vary:
                processor = processor_of_stages(sandbox)
                proof.variation = Variation(work, processor, variables, options.rtol)
            for planned in plan.stages:
                progress(f"rebuilding {planned.stage.address}")
                seconds.stages[planned.stage.address] = _prove_stage(planned.stage, proof)
            if options.rtol > 0:
                _tolerate(proof)
            here = _processor(proof)

            begun = time.perf_counter()
            remove(environment)
            seconds.environment += time.perf_counter() - begun
    return Report(
        revision=commit,
        environment=f"fresh, from {lock.name}" if lock else "the current one",
        isolation=isolation,
        varied=tuple(proof.variation.varied) if proof.variation else (),
        seen_whole=proof.seen_whole,
        outputs=(*_frozen(plan), *proof.verdicts),
        findings=tuple(dict.fromkeys(proof.findings)),
        seconds=seconds,
        processor=here,
        recorded_processor=read_processor(root, commit),
    )


def _announcement(
    plan: ProofPlan, checkout: Checkout, lock: EnvironmentLock | None, isolation: str
) -> list[str]:
    """Return what a proof is about to run and to ask the network for: the revision can be a stranger's."""
    lines = [f"runs {_addresses(planned.stage for planned in plan.stages)}; {isolation}"]
    if lock:
        lines.append(f"installs {lock.source}")
    needed = [output for planned in plan.stages for output in planned.fetched if output.cached]
    remotes = {checkout.remote_of(output) for output in needed} - {""}
    if remotes:
        lines.append(f"takes data that this machine lacks from {', '.join(sorted(remotes))}")
    return lines


def _lock(options: ProofOptions, checkout: Checkout) -> EnvironmentLock | None:
    """Return what the environment is built from; None where stages use the current one."""
    if not options.fresh_environment:
        return None
    return find_lock(checkout.root, checkout.stages, options.wheels, allow_build=options.allow_build)


def _check_programs_run(work: Path) -> None:
    # Stages would fail here that do not fail in the checkout.
    if not runs_programs(work):
        raise CannotTryError(
            f"no program may run in {work.parent} (mounted noexec): "
            "set TMPDIR to a folder of another file system"
        )


def _frozen(plan: ProofPlan) -> Iterator[OutputVerdict]:
    """Yield verdicts on outputs that nothing is known of but their record."""
    for stage in plan.frozen:
        for output in stage.outs.values():
            yield compare(stage.address, output, None, Verdict.FROZEN)


def _addresses(stages: Iterable[Stage]) -> str:
    return ", ".join(stage.address for stage in stages)


def _prove_stage(stage: Stage, proof: Proof) -> float:
    """Rebuild a stage if its inputs could be rebuilt; returns the seconds of its first run."""
    record = proof.records[stage.address]
    proof.findings += record.findings
    runner = StageRunner(
        stage=stage,
        checkout=proof.checkout,
        sandbox=proof.sandbox,
        recorded=proof.recorded,
        taken_as_recorded=proof.plan.taken_as_recorded,
        kept=record.kept,
    )
    differing = [each.output for each in proof.verdicts if each.verdict is not Verdict.IDENTICAL]
    differing_inputs = [path for path in differing if overlaps(path, stage.deps)]
    foreign = foreign_paths(stage, proof.checkout)
    if foreign or not all(proof.checkout.path_of(path).exists() for path in differing_inputs):
        proof.findings += foreign
        proof.verdicts += runner.not_tried()
        return 0.0
    wrong = wrong_inputs(stage, proof.checkout, differing)
    proof.findings += wrong
    # What differs in the inputs explains what differs in the outputs.
    trusted = not (record.contradictory or wrong or differing_inputs)
    if whole := seen_whole(stage, proof.checkout):
        proof.seen_whole[stage.address] = whole
    first = runner.attempt()
    diagnosis = Diagnosis((), (), first)
    if proof.options.rtol > 0 and trusted and _can_wait(first):
        proof.postponed.append((runner, first))
    else:
        diagnosis = _diagnose(runner, first, trusted)
    findings = list(diagnosis.findings)
    if proof.variation and not findings and not diagnosis.attempt.failed:
        findings += proof.variation.findings(runner, diagnosis.attempt)
    proof.findings += findings
    proof.verdicts += diagnosis.attempt.verdicts
    return first.seconds


def _diagnose(runner: StageRunner, first: Attempt, trusted: bool) -> Diagnosis:
    """Find out what is wrong with a stage, if anything is.

    Args:
        runner: runs the stage.
        first: its first run.
        trusted: whether its inputs are as recorded, so that a difference asks for an explanation.
    """
    diagnosis = Diagnosis((), (), first)
    text = first.printed + runner.text()
    if first.failed:
        diagnosis = diagnose_failure(runner, first, text)
    last = diagnosis.attempt
    if not trusted or last.failed or last.as_recorded:
        return diagnosis
    difference = diagnose_difference(runner, last, text, diagnosis.inputs)
    return replace(difference, findings=diagnosis.findings + difference.findings)


def _can_wait(first: Attempt) -> bool:
    """Whether a stage differs, and only in outputs that are judged by what later stages make of them."""
    wrong = [verdict for verdict in first.verdicts if not verdict.as_recorded]
    return bool(wrong) and all(verdict.only_opaque for verdict in wrong)


def _tolerate(proof: Proof) -> None:
    """Accept what the tolerance accepts by what follows, and diagnose what it does not."""
    checkout = proof.checkout

    def output_has_numbers(path: str) -> bool:
        return has_numbers(checkout.path_of(path))

    proof.verdicts = accept_by_what_follows(proof.verdicts, checkout.stages, output_has_numbers)
    wrong = {verdict.stage for verdict in proof.verdicts if not verdict.as_recorded}
    for runner, first in proof.postponed:
        if runner.stage.address in wrong:
            proof.findings += _diagnose(runner, first, trusted=True).findings


def _processor(proof: Proof) -> Processor | None:
    """Return the processor of this machine, where it can be why something is not identical."""
    if proof.variation:
        return proof.variation.processor
    if all(verdict.verdict is Verdict.IDENTICAL for verdict in proof.verdicts):
        return None
    return processor_of_stages(proof.sandbox)
