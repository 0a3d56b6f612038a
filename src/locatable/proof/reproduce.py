"""Runs a whole proof, and writes its report.

`reproduce` plans the proof, prepares a clean clone, builds the environment, then rebuilds one stage after
the other. Each stage is compared with its record and, if it differs, diagnosed before the next one runs.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..clones.checkout import Checkout, project_root
from ..errors import CannotTryError
from ..model import Stage, overlaps
from ..repository.dvc_repo import dvc_errors
from ..repository.reader import resolve
from ..results.processor import Processor, read_processor
from ..results.rebuild import first_results
from .attempts import Attempt, RecordedOutputs, StageRunner, remove
from .comparison import OutputVerdict, Verdict, accept_by_later_results, has_numbers, unproven
from .conditions import runs_programs, vary
from .diagnosis import Diagnosis, diagnose_difference, diagnose_failure
from .environment import current_programs, recorded_variables
from .inputs import seen_whole, text_of
from .lock_files import EnvironmentLock, build_environment, find_lock, present_locks
from .plan import CheckedRecord, ProofPlan, addresses, foreign_paths, plan_proof, prepare, wrong_inputs
from .sandbox import Sandbox, make_sandbox, processor_of_stages

Progress = Callable[[str], None]


@dataclass(frozen=True)
class ProofOptions:
    """The options of a proof.

    Attributes:
        rev: a Git revision or the name of an experiment.
        stage: name or address of the one stage to rebuild from its recorded inputs, or None for all stages.
        fresh_environment: true to build an environment from the revision's lock, false for the current one.
        vary: true to run every stage again under other conditions.
        rtol: largest relative difference at which two numbers in outputs count as equal.
        wheels: a folder with all packages of the lock, for machines without a package index.
        allow_build: true if packages of the lock may run their own code while they are installed.
        follow: called before a stage runs, with the file that receives its printed lines, so that a caller
            can show them. None to show nothing.
    """

    rev: str = "HEAD"
    stage: str | None = None
    fresh_environment: bool = True
    vary: bool = False
    rtol: float = 0.0
    wheels: Path | None = None
    allow_build: bool = False
    follow: Callable[[Path], object] | None = None


@dataclass
class Seconds:
    """The seconds that each part of a proof took.

    Attributes:
        preparation: the time to plan the proof and to prepare the clone.
        stages: the time of the first run of each stage, by address.
        environment: the time to build the environment and to remove it.
    """

    preparation: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    environment: float = 0.0


@dataclass(frozen=True)
class Report:
    """The result of a proof.

    Attributes:
        revision: the commit that was rebuilt.
        environment: the environment in which the stages ran, in words.
        isolation: how strictly the stages were isolated, in words.
        varied: names of the conditions that were changed.
        outputs: one verdict for each output.
        findings: what is wrong, one line each.
        seconds: how long the parts of the proof took.
        processor: the processor of this machine. None if every output is identical, because then it does not
            matter, unless conditions were varied.
        recorded_processor: the processor that computed the recorded results, None if it is not recorded.
        seen_whole: params files of which a stage declares some keys but saw all, by address of the stage.
    """

    revision: str
    environment: str
    isolation: str
    varied: tuple[str, ...]
    outputs: tuple[OutputVerdict, ...]
    findings: tuple[str, ...]
    seconds: Seconds
    processor: Processor | None = None
    recorded_processor: Processor | None = None
    seen_whole: dict[str, list[str]] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """One line with the numbers of outputs, of unproven outputs and of findings."""
        as_recorded = [verdict for verdict in self.outputs if verdict.as_recorded]
        parts = [f"{len(as_recorded)} of {len(self.outputs)} outputs rebuilt as recorded"]
        frozen = [verdict for verdict in self.outputs if verdict.verdict is Verdict.FROZEN]
        if frozen:
            parts.append(f"{len(frozen)} of frozen stages not proven")
        parts.append(f"{len(self.findings)} findings")
        return ", ".join(parts)

    @property
    def proven(self) -> bool:
        """True if all outputs are as recorded and there are no findings."""
        return not self.findings and all(verdict.as_recorded for verdict in self.outputs)

    def to_json(self) -> dict[str, Any]:
        """Return the report as `--json` prints it."""
        return {
            "revision": self.revision,
            "environment": self.environment,
            "isolation": self.isolation,
            "varied": list(self.varied),
            "params_files_seen_whole": self.seen_whole,
            "outputs": [verdict.to_json() for verdict in self.outputs],
            "findings": list(self.findings),
            "seconds": asdict(self.seconds),
            "processor": self.processor.to_json() if self.processor else None,
            "recorded_processor": self.recorded_processor.to_json() if self.recorded_processor else None,
        }


def reproduce(options: ProofOptions, progress: Progress) -> Report:
    """Rebuild the stages of a revision and compare their outputs with the recorded ones.

    The user's checkout, cache and remote are only read.

    Raises:
        CannotTryError: the proof cannot be run on this machine, or the revision has nothing to prove.
    """
    root = project_root()
    commit = resolve(options.rev)
    seconds = Seconds()
    with (
        dvc_errors(CannotTryError),
        TemporaryDirectory(prefix="reproduce-", ignore_cleanup_errors=True) as folder,
    ):
        work = Path(folder).resolve()
        # Otherwise stages would fail here that run well in the user's checkout.
        if not runs_programs(work):
            raise CannotTryError(
                f"no program may run in {work.parent} (mounted noexec): "
                "set TMPDIR to a folder of another file system"
            )
        progress("preparing a clean clone")
        begun = time.perf_counter()
        with Checkout(root, commit, work / "clone", work / "dvc") as checkout:
            plan = plan_proof(
                checkout.stages, checkout.outputs, options.stage, partial(first_results, checkout.snapshot)
            )
            if plan.frozen:
                progress(f"frozen, so taken as recorded and not proven: {addresses(plan.frozen)}")
            lock = None
            if options.fresh_environment:
                lock = find_lock(
                    checkout.root, checkout.stages, options.wheels, allow_build=options.allow_build
                )
            # Read them now: `prepare` removes the record of the environment if a stage writes it.
            variables = recorded_variables(checkout.root)
            environment = work / "env"
            programs = environment / "bin" if lock else current_programs()
            sandbox, isolation = make_sandbox(
                work, programs, checkout.user_top, checkout.user_cache, variables
            )
            sandbox = replace(sandbox, follow=options.follow)
            _announce(plan, checkout, lock, isolation, progress)
            recorded = RecordedOutputs(checkout, work / "recorded", options.rtol)
            records = prepare(plan, checkout, recorded)
            seconds.preparation = time.perf_counter() - begun

            begun = time.perf_counter()
            if lock:
                progress("building the environment")
                build_environment(lock, checkout.root, environment, sandbox)
            seconds.environment = time.perf_counter() - begun

            processor = processor_of_stages(sandbox) if options.vary else None
            proof = _Proof(plan, checkout, sandbox, recorded, records, processor)
            for number, stage in enumerate(plan.stages, start=1):
                progress(f"rebuilding {stage.address} ({number} of {len(plan.stages)})")
                seconds.stages[stage.address] = proof.rebuild(stage)
            proof.accept_by_later_results()
            if not options.vary and not proof.is_identical:
                # A different processor can be the reason for the differences.
                processor = processor_of_stages(sandbox)

            begun = time.perf_counter()
            remove(environment)
            seconds.environment += time.perf_counter() - begun
    frozen: list[OutputVerdict] = []
    for stage in plan.frozen:
        frozen += unproven(stage, Verdict.FROZEN)
    return Report(
        revision=commit,
        environment=f"fresh, from {lock.name}" if lock else "the current one",
        isolation=isolation,
        varied=tuple(proof.varied),
        outputs=(*frozen, *proof.verdicts),
        findings=tuple(dict.fromkeys(proof.findings)),
        seconds=seconds,
        processor=processor,
        recorded_processor=read_processor(root, commit),
        seen_whole=proof.seen_whole,
    )


def _announce(
    plan: ProofPlan, checkout: Checkout, lock: EnvironmentLock | None, isolation: str, progress: Progress
) -> None:
    """Report what will run and what will be downloaded, because the revision can be a stranger's."""
    progress(f"runs {addresses(plan.stages)}; {isolation}")
    if lock:
        progress(f"installs {lock.source}")
        others = [name for name in present_locks(checkout.root) if name != lock.name]
        is_declared = any(lock.name in stage.deps for stage in checkout.stages)
        if others and not is_declared:
            progress(f"takes {lock.name}, and not {', '.join(others)}, which this revision has as well")
    remotes: set[str] = set()
    for stage in plan.stages:
        for output in plan.recorded_inputs(stage):
            remotes.add(checkout.remote_of(output))
    # The remote is empty for data without a remote: nothing can be downloaded for it.
    remotes.discard("")
    if remotes:
        progress(f"takes data that this machine lacks from {', '.join(sorted(remotes))}")


@dataclass
class _Proof:
    """The state of a running proof.

    Attributes:
        plan: the stages to rebuild.
        checkout: the clean clone, prepared for the stages.
        sandbox: the sandbox in which the stages run.
        recorded: the recorded outputs to compare with.
        records: the checked record of each stage, by address.
        processor: the processor of this machine, None if stages are not run under other conditions.
        verdicts: the verdicts on the outputs of the stages that ran so far.
        findings: the findings about these stages, one line each.
        varied: names of the conditions that were changed so far. A dictionary keeps their order.
        seen_whole: params files of which a stage declares some keys but saw all, by address of the stage.
        postponed: stages with their first run whose diagnosis waits, because later stages can show that their
            outputs are as good as the recorded ones.
    """

    plan: ProofPlan
    checkout: Checkout
    sandbox: Sandbox
    recorded: RecordedOutputs
    records: dict[str, CheckedRecord]
    processor: Processor | None
    verdicts: list[OutputVerdict] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    varied: dict[str, None] = field(default_factory=dict)
    seen_whole: dict[str, list[str]] = field(default_factory=dict)
    postponed: list[tuple[StageRunner, Attempt]] = field(default_factory=list)

    def rebuild(self, stage: Stage) -> float:
        """Rebuild a stage, unless one of its inputs could not be rebuilt.

        Returns the seconds of its first run, 0 if it did not run.
        """
        record = self.records[stage.address]
        self.findings += record.findings
        differing = [each.output for each in self.verdicts if each.verdict is not Verdict.IDENTICAL]
        differing_inputs = [path for path in differing if overlaps(path, stage.deps)]
        # An earlier stage may have failed to write an input. Then this stage cannot run.
        inputs_exist = all(self.checkout.path_of(path).exists() for path in differing_inputs)
        foreign = foreign_paths(stage, self.checkout)
        if foreign or not inputs_exist:
            self.findings += foreign
            self.verdicts += unproven(stage, Verdict.NOT_TRIED)
            return 0.0
        wrong = wrong_inputs(stage, self.checkout, differing)
        self.findings += wrong
        whole = seen_whole(stage, self.checkout)
        if whole:
            self.seen_whole[stage.address] = whole
        runner = StageRunner(
            stage=stage,
            checkout=self.checkout,
            sandbox=self.sandbox,
            recorded=self.recorded,
            taken_as_recorded=self.plan.taken_as_recorded,
            persistent=record.persistent,
        )
        first = runner.attempt()
        # These findings already explain why outputs differ, so that is not diagnosed.
        is_explained = bool(record.contradictory or wrong or differing_inputs)
        # An output without numbers, such as a model, is accepted if the numbers computed from it are.
        can_wait = bool(first.wrong) and all(verdict.only_opaque for verdict in first.wrong)
        if self.recorded.rtol > 0 and can_wait and not is_explained:
            self.postponed.append((runner, first))
            diagnosis = Diagnosis(first)
        else:
            diagnosis = _diagnose(runner, first, is_explained)
        self.findings += diagnosis.findings
        self.verdicts += diagnosis.attempt.verdicts
        # Other conditions tell nothing about a stage that already fails or differs under the usual ones.
        if self.processor and not diagnosis.findings and not diagnosis.attempt.failed:
            varied, findings = vary(runner, diagnosis.attempt, self.processor)
            self.varied |= dict.fromkeys(varied)
            self.findings += findings
        return first.seconds

    def accept_by_later_results(self) -> None:
        """Judge outputs without numbers by the numbers of later stages, and diagnose the rest.

        Does nothing without a tolerance. To be called when all stages have run.
        """
        if not self.recorded.rtol > 0:
            return

        def output_has_numbers(path: str) -> bool:
            return has_numbers(self.checkout.path_of(path))

        self.verdicts = accept_by_later_results(self.verdicts, self.checkout.stages, output_has_numbers)
        wrong = {verdict.stage for verdict in self.verdicts if not verdict.as_recorded}
        for runner, first in self.postponed:
            if runner.stage.address in wrong:
                self.findings += _diagnose(runner, first, is_explained=False).findings

    @property
    def is_identical(self) -> bool:
        """True if every output has the recorded bytes."""
        return all(verdict.verdict is Verdict.IDENTICAL for verdict in self.verdicts)


def _diagnose(runner: StageRunner, first: Attempt, is_explained: bool) -> Diagnosis:
    """Diagnose the first run of a stage if it failed, or if its outputs differ for an unknown reason."""
    diagnosis = Diagnosis(first)
    text = first.printed + text_of(runner.stage, runner.checkout.root)
    if first.failed:
        diagnosis = diagnose_failure(runner, first, text)
    last = diagnosis.attempt
    if is_explained or last.failed or not last.wrong:
        return diagnosis
    # The stage runs, if need be with undeclared inputs, but still writes other outputs.
    difference = diagnose_difference(runner, last, text, diagnosis.inputs)
    return replace(difference, findings=diagnosis.findings + difference.findings)
