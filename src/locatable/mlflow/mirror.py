"""Brings the runs of an MLflow experiment up to date with Git: has it planned, and applies the plan."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..errors import LocatableError, SettingsError, StoreError, UnreadableError, joined_lines
from ..output import progress_bar, redact_urls
from ..repository.reader import Reader
from ..repository.running import RunningExperiments
from ..repository.snapshot import Snapshot
from ..results.rebuild import origin_url
from .content import Content, RunContent
from .describe import find_script
from .known import KnownRuns, RefusedError, RunDeletedError, runs_in_file
from .plan import (
    NEW,
    Action,
    MirrorPlan,
    PlannedRun,
    WantedRun,
    gone_revisions,
    needs_run,
    plan_mirror,
    wanted_runs,
)
from .revision import revision_content, study_content
from .running import ENDED, RunningRuns, settle
from .settings import TrackingSettings

if TYPE_CHECKING:
    from .store import RunWriter


@dataclass(frozen=True)
class MirrorOptions:
    """What a mirror was asked for.

    Attributes:
        prune: delete the runs of what is gone from Git.
        all_commits: mirror every commit of every branch and tag that has results, not only baselines.
        copy_models: add model files to the artifacts.
    """

    prune: bool = False
    all_commits: bool = False
    copy_models: bool = False


@dataclass
class MirrorResult:
    """What a mirror did.

    Attributes:
        new: how many runs were created or finished.
        present: how many were there already.
        renamed: how many have another name now.
        described: how many were described again.
        extended: how many got files that were missing.
        missing: how many lack files that this machine does not have.
        pruned: how many were deleted, because what they show is gone; None if that was not asked for.
        failures: names of runs by the reason why they could not be written.
    """

    new: int = 0
    present: int = 0
    renamed: int = 0
    described: int = 0
    extended: int = 0
    missing: int = 0
    pruned: int | None = None
    failures: dict[str, list[str]] = field(default_factory=dict)

    def count(self, action: Action, lacks_files: bool) -> None:
        """Note that a run was written."""
        if action in NEW:
            self.new += 1
        elif action is Action.DESCRIBE:
            self.described += 1
        elif action is Action.EXTEND:
            self.extended += 1
        if lacks_files:
            self.missing += 1

    def fail(self, name: str, reason: str) -> None:
        """Note that a run could not be written."""
        self.failures.setdefault(reason, []).append(name)

    @property
    def failure_lines(self) -> list[str]:
        """A line for each reason, with the run that it was first met with."""
        lines = []
        for reason, names in self.failures.items():
            others = f" and {len(names) - 1} more" if len(names) > 1 else ""
            lines.append(f"{names[0]}{others}: {reason}")
        return lines

    @property
    def summary(self) -> str:
        """One line for the user."""
        failed = sum(map(len, self.failures.values()))
        parts = [f"mirrored {self.new} new", f"{self.present} already there", f"{failed} failed"]
        if self.renamed:
            parts.append(f"{self.renamed} renamed")
        if self.described:
            parts.append(f"{self.described} described again")
        if self.extended:
            parts.append(f"{self.extended} of them with more files now")
        if self.pruned is not None:
            parts.append(f"{self.pruned} pruned")
        if self.missing:
            parts.append(f"{self.missing} without files that this machine does not have (tag mirror.missing)")
        return ", ".join(parts)


def mirror(reader: Reader, settings: TrackingSettings, options: MirrorOptions) -> MirrorResult:
    """Bring an MLflow experiment up to date with Git.

    A run's identity is its commit: what is there already is left alone, and what a killed mirror began is
    finished. A provisional run whose result is committed now becomes that commit's.

    Raises:
        StoreError: the store failed; what is written stays, and the next call goes on from there.
        SettingsError: the project's scripts/mirror.py is wrong.
    """
    running = RunningExperiments(reader.root)
    # Before it is known what is committed: DVC commits a result first, and then says that it has finished.
    states = {one.id: one.state for one in running.find()}
    wanted = wanted_runs(reader, options.all_commits)
    script = find_script(reader.root)
    digest = script.digest if script else ""

    def plan(known: KnownRuns) -> MirrorPlan:
        unwanted = [key for key in known if key not in wanted]
        gone = gone_revisions(reader, unwanted) if options.prune else None
        settled = settle(known, wanted, reader, running, states, options.prune)
        copy_models = options.copy_models
        planned = plan_mirror(wanted, settled.known, copy_models=copy_models, description=digest, gone=gone)
        duplicates = [*planned.duplicates, *settled.deleted]
        return replace(planned, duplicates=duplicates, endings=settled.endings)

    with _store_errors(settings.uri):
        known = runs_in_file(settings)
        _leave_out_commits_without_results(reader, wanted, known or {})
        if known and plan(known).is_empty:
            return MirrorResult(present=len(wanted), pruned=0 if options.prune else None)
        # Imported here: MLflow takes two seconds, which the above does without.
        from .store import RunWriter, connect

        writer = RunWriter(*connect(settings))
        if known is None:
            known = writer.list_runs()
        planned = plan(known)
        describe = script.load() if script and planned.runs else None
        applier = Applier(reader, writer, options, describe)
        applier.result.present = len(wanted) - planned.number_of_new
        if planned.runs:
            applier.write_runs(planned.runs, known)
            planned = plan(runs_in_file(settings) or writer.list_runs())
        applier.tidy(planned)
        return applier.result


def show_running(runs: RunningRuns) -> None:
    """Show what runs, as far as it is written.

    Raises:
        StoreError: the store failed; the next call goes on from there.
    """
    with _store_errors(runs.settings.uri):
        runs.show()


def _leave_out_commits_without_results(
    reader: Reader, wanted: dict[str, WantedRun], known: KnownRuns
) -> None:
    """Take out the first commits that have no run and need none; later ones when their turn comes."""
    unknown = [key for key, run in wanted.items() if key not in known and not run.is_study]
    for snapshot in reader.snapshots(unknown):
        if needs_run(wanted[snapshot.rev], snapshot):
            break
        del wanted[snapshot.rev]


@contextmanager
def _store_errors(uri: str) -> Iterator[None]:
    """Turn errors of MLflow, and of what it stores to, into one line."""
    try:
        yield
    except LocatableError:
        raise
    except Exception as error:
        # Known only where something failed: both take long to import.
        from .store import reason  # isort: skip
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        if not isinstance(error, MlflowException | SQLAlchemyError | OSError | ImportError):
            raise
        raise StoreError(
            f"{redact_urls(uri)}: {reason(error)}", hint="nothing is lost, the next call goes on from here"
        ) from None


class Applier:
    """Applies plans to one MLflow experiment; `result` says what was done.

    `describe` changes what runs show as the project's own script does; None where it has none.
    """

    def __init__(
        self,
        reader: Reader,
        writer: "RunWriter",
        options: MirrorOptions,
        describe: Callable[[RunContent], None] | None,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._options = options
        self._describe = describe
        self._url = origin_url(reader)
        self.result = MirrorResult()

    def write_runs(self, runs: Sequence[PlannedRun], known: KnownRuns) -> None:
        """Write runs, parents before their children, each whole; `result.failures` has those that cannot be.

        Raises:
            MlflowException, sqlalchemy.exc.SQLAlchemyError or OSError: the store failed.
        """
        ids = {key: found[0].run_id for key, found in known.items()}
        # Each is read when its turn comes.
        snapshots = self._reader.snapshots(run.wanted.key for run in runs if not run.wanted.is_study)
        for planned in progress_bar("wrote {n_fmt} of {total_fmt} runs", iterable=runs, unit="run"):
            wanted = planned.wanted
            snapshot = None if wanted.is_study else next(snapshots)
            if snapshot and not planned.known and not needs_run(wanted, snapshot):
                continue
            try:
                content = self._content(planned, snapshot)
                if planned.action is Action.EXTEND and self._has_nothing_new(planned, content):
                    self.result.missing += 1
                    continue
                ids[wanted.key] = self._write(planned, content, ids.get(wanted.parent or ""))
            except RunDeletedError:
                self.result.present += 1
            except (UnreadableError, SettingsError, RefusedError) as error:
                self.result.fail(wanted.name, joined_lines(error))
            else:
                self.result.count(planned.action, bool(content.lacking))

    def tidy(self, plan: MirrorPlan) -> None:
        """Leave one run for each key, with its name and below its parent; delete what the plan prunes."""
        for run_id in plan.duplicates:
            self._writer.delete(run_id)
        for run_id, state in plan.endings.items():
            with suppress(RunDeletedError):
                self._writer.end(run_id, state.value, ENDED[state])
        for rename in plan.renames:
            self._writer.rename(rename.run_id, rename.name, rename.wanted.identity_tags)
        for run_id, parent_id in plan.moves.items():
            self._writer.move(run_id, parent_id)
        for run_id in plan.pruned:
            self._writer.delete(run_id)
        self.result.renamed = len(plan.renames)
        if self._options.prune:
            self.result.pruned = len(plan.pruned)

    def _write(self, planned: PlannedRun, content: Content, parent_id: str | None) -> str:
        """Write a run, and return its id."""
        if not planned.known:
            return self._writer.create(content, parent_id)
        if planned.action is Action.FINISH:
            return self._writer.finish(planned.known.run_id, content, parent_id)
        return self._writer.update(planned.known.run_id, content, parent_id)

    def _content(self, planned: PlannedRun, snapshot: Snapshot | None) -> Content:
        """Return what the run should hold."""
        if snapshot is None:
            return study_content(planned.wanted, self._reader)
        known = planned.known
        # Models that were copied once are not taken away again.
        has_models = known is not None and known.has_models
        copy_models = self._options.copy_models or has_models
        content = revision_content(snapshot, planned.wanted, self._url, copy_models)
        if known and known.complete and has_models == copy_models:
            content.find_elsewhere(known.missing)
        if self._describe:
            self._describe(content)
        return content

    def _has_nothing_new(self, planned: PlannedRun, content: Content) -> bool:
        """Return whether a run that lacks files would lack the same ones again."""
        known = planned.known
        if known is None or known.has_models != content.has_models:
            return False
        return bool(content.lacking) and content.missing_text == known.missing
