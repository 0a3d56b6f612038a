"""Brings the runs of an MLflow experiment up to date with Git."""

from collections.abc import Iterator
from contextlib import contextmanager

from ..addresses import redact_urls
from ..errors import StoreError
from ..repository.reader import Reader
from .database import known_runs
from .describe import DescribeScript, find_script
from .mirrored import MirrorOptions, MirrorResult
from .plan import KnownRuns, MirrorPlan, Policy, plan_mirror
from .settings import TrackingSettings
from .wanted import gone_revisions, needs_run, wanted_runs


def mirror(reader: Reader, settings: TrackingSettings, options: MirrorOptions) -> MirrorResult:
    """Bring an MLflow experiment up to date with Git.

    A run's identity is its commit: what is there already is left alone, and what a killed mirror began is
    finished.

    Args:
        reader: of the DVC repository.
        settings: where the runs are.
        options: what was asked for.

    Raises:
        StoreError: the store failed; what is written stays, and the next call goes on from there.
        SettingsError: the project's scripts/mirror.py is wrong.
    """
    planner = Planner(reader, options, find_script(reader.root))
    with _store_errors(settings.uri):
        known = known_runs(settings)
        planner.leave_out_commits_without_results(known or {})
        if known and planner.plan(known).is_empty:
            return MirrorResult(present=len(planner.wanted), pruned=0 if options.prune else None)
        # Imported here: it takes two seconds, which the above does without.
        from .apply import Applier
        from .runs import RunWriter
        from .store import connect, list_runs

        client, experiment_id = connect(settings)
        if known is None:
            known = list_runs(client, experiment_id)
        plan = planner.plan(known)
        describer = planner.script.load() if planner.script and plan.runs else None
        applier = Applier(reader, RunWriter(client, experiment_id), options, describer)
        applier.result.present = len(planner.wanted) - plan.number_of_new
        if plan.runs:
            applier.write_runs(plan.runs, known)
            plan = planner.plan(known_runs(settings) or list_runs(client, experiment_id))
        applier.tidy(plan)
        return applier.result


class Planner:
    """Makes plans from what Git has.

    Attributes:
        wanted: runs that should be there, by key; some are of commits that turn out to have no results.
        script: what a project adds to its runs, None if nothing.
    """

    def __init__(self, reader: Reader, options: MirrorOptions, script: DescribeScript | None) -> None:
        self._reader = reader
        self._options = options
        self.script = script
        self.wanted = wanted_runs(reader, options.all_commits)

    def plan(self, known: KnownRuns) -> MirrorPlan:
        """Return what has to be done where these runs are there."""
        gone = None
        if self._options.prune:
            gone = gone_revisions(self._reader, [key for key in known if key not in self.wanted])
        description = self.script.digest if self.script else ""
        return plan_mirror(self.wanted, known, Policy(self._options.copy_models, description, gone))

    def leave_out_commits_without_results(self, known: KnownRuns) -> None:
        """Take out the first commits that have no run and need none; later ones when their turn comes."""
        unknown = [key for key, run in self.wanted.items() if key not in known and not run.is_study]
        for snapshot in self._reader.snapshots(unknown):
            if needs_run(self.wanted[snapshot.rev], snapshot):
                break
            del self.wanted[snapshot.rev]


@contextmanager
def _store_errors(uri: str) -> Iterator[None]:
    """Turn errors of MLflow, and of what it stores to, into one line."""
    try:
        yield
    except Exception as error:
        # Known only where something failed: both take long to import.
        from sqlalchemy.exc import SQLAlchemyError

        from .client import MlflowException, reason

        if not isinstance(error, MlflowException | SQLAlchemyError | OSError | ImportError):
            raise
        raise StoreError(
            f"{redact_urls(uri)}: {reason(error)}", hint="nothing is lost, the next call goes on from here"
        ) from None
