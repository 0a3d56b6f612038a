"""Carries out a plan: writes runs into MLflow, and puts those that are there in order. Imports MLflow."""

from collections.abc import Iterator, Sequence

from tqdm import tqdm

from ..errors import SettingsError, UnreadableError
from ..repository.reader import Reader
from ..repository.snapshot import Snapshot
from ..results.rebuild import origin_url
from .content import Content, missing_text, still_missing
from .describe import Describer
from .limits import fit_tags
from .mirrored import MirrorOptions, MirrorResult
from .plan import Action, KnownRuns, MirrorPlan, PlannedRun
from .revision import revision_content, study_content
from .rules import RULES
from .runs import RefusedError, RunDeletedError, RunWriter
from .wanted import needs_run


class Applier:
    """Applies plans to one MLflow experiment.

    Args:
        reader: of the DVC repository.
        writer: of the MLflow experiment.
        options: what was asked for.
        describer: what the project adds to its runs, None if nothing.

    Attributes:
        result: what was done.
    """

    def __init__(
        self, reader: Reader, writer: RunWriter, options: MirrorOptions, describer: Describer | None
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._options = options
        self._describer = describer
        self._url = origin_url(reader)
        self._ids: dict[str, str] = {}
        self.result = MirrorResult()

    def write_runs(self, runs: Sequence[PlannedRun], known: KnownRuns) -> None:
        """Write runs, each whole; those that cannot be written are in `result.failures`.

        Args:
            runs: parents before their children.
            known: the runs that are there.

        Raises:
            MlflowException, sqlalchemy.exc.SQLAlchemyError or OSError: the store failed.
        """
        self._ids = {key: found[0].run_id for key, found in known.items()}
        pairs = with_snapshots(self._reader, runs)
        for planned, snapshot in tqdm(pairs, total=len(runs), unit="run", disable=None):
            if snapshot and not planned.known and not needs_run(planned.wanted, snapshot):
                continue
            try:
                self._write(planned, snapshot)
            except RunDeletedError:
                self.result.present += 1
            except (UnreadableError, SettingsError, RefusedError) as error:
                self.result.fail(planned.wanted.name, " ".join(str(error).split()))

    def tidy(self, plan: MirrorPlan) -> None:
        """Leave one run for each key, with its name and below its parent; delete what the plan prunes."""
        for run_id in plan.duplicates:
            self._writer.delete(run_id)
        for rename in plan.renames:
            self._writer.rename(rename.run_id, rename.name, rename.wanted.identity_tags)
        for move in plan.moves:
            self._writer.move(move.run_id, move.parent_id)
        for run_id in plan.pruned:
            self._writer.delete(run_id)
        self.result.renamed = len(plan.renames)
        if self._options.prune:
            self.result.pruned = len(plan.pruned)

    def _write(self, planned: PlannedRun, snapshot: Snapshot | None) -> None:
        """Write one run, and count it."""
        content = self._content(planned, snapshot)
        if planned.action is Action.EXTEND and self._has_nothing_new(planned, content):
            self.result.missing += 1
            return
        key = planned.wanted.key
        self._ids[key] = self._write_content(planned, content)
        self.result.count(planned.action, bool(content.lacking))

    def _write_content(self, planned: PlannedRun, content: Content) -> str:
        """Write a run; returns its id."""
        parent_id = self._ids.get(planned.wanted.parent or "")
        if not planned.known:
            run_id = self._writer.create(content, parent_id)
            self._ids[content.key] = run_id
            self._writer.complete(run_id, content)
            return run_id
        if planned.action is Action.FINISH:
            return self._writer.finish(planned.known.run_id, content, parent_id)
        return self._writer.update(planned.known.run_id, content, parent_id)

    def _content(self, planned: PlannedRun, snapshot: Snapshot | None) -> Content:
        """Return what the run should hold."""
        if snapshot is None:
            content: Content = study_content(planned.wanted, self._reader)
            fit_tags(content, RULES.tag)
            return content
        known = planned.known
        # Models that were copied once are not taken away again.
        has_models = known is not None and known.has_models
        copy_models = self._options.copy_models or has_models
        content = revision_content(snapshot, planned.wanted, self._url, copy_models)
        if known and known.complete and has_models == copy_models:
            # The run may have files from a machine that had them.
            content.lacking = still_missing(known.missing, content.missing)
        if self._describer:
            self._describer.describe(content)
        fit_tags(content, RULES.tag)
        return content

    def _has_nothing_new(self, planned: PlannedRun, content: Content) -> bool:
        """Return whether a run that lacks files would lack the same ones again."""
        known = planned.known
        if known is None or known.has_models != content.has_models:
            return False
        return bool(content.lacking) and missing_text(content.lacking) == known.missing


def with_snapshots(
    reader: Reader, runs: Sequence[PlannedRun]
) -> Iterator[tuple[PlannedRun, Snapshot | None]]:
    """Yield each run with the snapshot of its revision, None for a study.

    Each is read when its turn comes.
    """
    snapshots = reader.snapshots(run.wanted.key for run in runs if not run.wanted.is_study)
    for run in runs:
        yield run, None if run.wanted.is_study else next(snapshots)
