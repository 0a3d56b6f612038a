"""Brings the runs of an MLflow experiment up to date with Git: makes a plan and applies it."""

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
from .running import ENDED, RunningRuns, resolve_provisional_runs
from .settings import TrackingSettings

if TYPE_CHECKING:
    from .store import RunWriter


@dataclass(frozen=True)
class MirrorOptions:
    """The options of a mirror.

    Attributes:
        prune: delete the runs of revisions and studies that are gone from Git.
        all_commits: mirror every commit of every branch and tag that has results, not only baselines.
        copy_models: add model files to the artifacts.
    """

    prune: bool = False
    all_commits: bool = False
    copy_models: bool = False


@dataclass
class MirrorResult:
    """The outcome of a mirror, as numbers of runs.

    Attributes:
        new: runs that were created or completed.
        present: runs that existed already.
        renamed: runs that were renamed.
        described: runs that were described again.
        extended: runs that got files that were missing before.
        missing: runs that lack files because this machine does not have them.
        pruned: runs that were deleted because their revision or study is gone; None without `prune`.
        failures: the names of the runs that could not be written, by the reason.
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
        """Count a run that was written."""
        if action in NEW:
            self.new += 1
        elif action is Action.DESCRIBE:
            self.described += 1
        elif action is Action.EXTEND:
            self.extended += 1
        if lacks_files:
            self.missing += 1

    def fail(self, name: str, reason: str) -> None:
        """Record that a run could not be written."""
        self.failures.setdefault(reason, []).append(name)

    @property
    def failure_lines(self) -> list[str]:
        """One line for each reason, with the first run that failed for it and the number of others."""
        lines = []
        for reason, names in self.failures.items():
            others = f" and {len(names) - 1} more" if len(names) > 1 else ""
            lines.append(f"{names[0]}{others}: {reason}")
        return lines

    @property
    def summary(self) -> str:
        """The result in one line for the user."""
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

    A run is identified by its commit. Complete runs are left alone, and a run that a killed mirror began is
    completed. A provisional run whose result has been committed becomes the run of that commit.

    Raises:
        StoreError: the store failed. What was written stays, and the next call continues from there.
        SettingsError: the project's scripts/mirror.py is wrong.
    """
    running = RunningExperiments(reader.root)
    # Read the states before the commits: DVC commits a result before it reports that the experiment finished,
    # so the commit of everything that is finished here is among the wanted runs.
    states = {experiment.id: experiment.state for experiment in running.find()}
    wanted = wanted_runs(reader, options.all_commits)
    script = find_script(reader.root)
    digest = script.digest if script else ""

    def plan(known: KnownRuns) -> MirrorPlan:
        unwanted = [key for key in known if key not in wanted]
        gone = gone_revisions(reader, unwanted) if options.prune else None
        resolved = resolve_provisional_runs(known, wanted, reader, running, states, options.prune)
        copy_models = options.copy_models
        planned = plan_mirror(wanted, resolved.known, copy_models=copy_models, description=digest, gone=gone)
        duplicates = [*planned.duplicates, *resolved.deleted]
        return replace(planned, duplicates=duplicates, endings=resolved.endings)

    with _store_errors(settings.uri):
        known = runs_in_file(settings)
        _leave_out_commits_without_results(reader, wanted, known or {})
        if known and plan(known).is_empty:
            return MirrorResult(present=len(wanted), pruned=0 if options.prune else None)
        # Imported here because importing MLflow takes two seconds, and the code above does not need it.
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
        applier.apply_rest(planned)
        return applier.result


def show_running(runs: RunningRuns) -> None:
    """Log what running experiments have written so far.

    Raises:
        StoreError: the store failed; the next call continues from there.
    """
    with _store_errors(runs.settings.uri):
        runs.show()


def _leave_out_commits_without_results(
    reader: Reader, wanted: dict[str, WantedRun], known: KnownRuns
) -> None:
    """Remove unknown commits without results from the wanted runs, up to the first one that needs a run.

    If only such commits are unknown, there may be nothing to do. The search ends at the first commit that
    needs a run, because the loop that writes the runs reads the others anyway, and skips those without
    results.
    """
    unknown = [key for key, run in wanted.items() if key not in known and not run.is_study]
    for snapshot in reader.snapshots(unknown):
        if needs_run(wanted[snapshot.rev], snapshot):
            break
        del wanted[snapshot.rev]


@contextmanager
def _store_errors(uri: str) -> Iterator[None]:
    """Turn errors of MLflow, and of the database or files it writes to, into an error of one line."""
    try:
        yield
    except LocatableError:
        raise
    except Exception as error:
        # Imported here because both take long to import, and are needed only after a failure.
        from .store import reason  # isort: skip
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        if not isinstance(error, MlflowException | SQLAlchemyError | OSError | ImportError):
            raise
        raise StoreError(
            f"{redact_urls(uri)}: {reason(error)}", hint="nothing is lost, the next call continues from here"
        ) from None


class Applier:
    """Applies plans to one MLflow experiment, and counts in `result` what was done.

    `describe` is the function of the project's own script that changes a run; None if there is no script.
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
        """Write each run completely, parents before their children.

        A run that cannot be written is recorded in `result.failures`, and the others are written.

        Raises:
            MlflowException, sqlalchemy.exc.SQLAlchemyError or OSError: the store failed.
        """
        ids = {key: found[0].run_id for key, found in known.items()}
        # An iterator: each snapshot is read when its run is written.
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

    def apply_rest(self, plan: MirrorPlan) -> None:
        """Apply the rest of a plan: delete duplicates, end, rename, move and prune runs."""
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
        """Create, finish or update a run, and return its id."""
        if not planned.known:
            return self._writer.create(content, parent_id)
        if planned.action is Action.FINISH:
            return self._writer.finish(planned.known.run_id, content, parent_id)
        return self._writer.update(planned.known.run_id, content, parent_id)

    def _content(self, planned: PlannedRun, snapshot: Snapshot | None) -> Content:
        """Return the content that the run should have."""
        if snapshot is None:
            return study_content(planned.wanted, self._reader)
        known = planned.known
        # If the run has model files, copy them again. Otherwise a run that is created again would lose them.
        has_models = known is not None and known.has_models
        copy_models = self._options.copy_models or has_models
        content = revision_content(snapshot, planned.wanted, self._url, copy_models)
        if known and known.complete and has_models == copy_models:
            content.update_lacking(known.missing)
        if self._describe:
            self._describe(content)
        return content

    def _has_nothing_new(self, planned: PlannedRun, content: Content) -> bool:
        """Return whether a run that lacks files would still lack the same files."""
        known = planned.known
        if known is None or known.has_models != content.has_models:
            return False
        return bool(content.lacking) and content.missing_text == known.missing
