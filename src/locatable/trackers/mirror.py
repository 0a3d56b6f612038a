"""Writes the runs of a repository's experiments that a tracker does not have yet."""

from tqdm import tqdm

from ..errors import SettingsError, UnreadableError
from ..mlflow.describe import find_script
from ..mlflow.mirrored import MirrorResult
from ..mlflow.plan import Action
from ..mlflow.revision import revision_content
from ..mlflow.wanted import needs_run, wanted_runs
from ..repository.reader import Reader
from ..results.rebuild import origin_url
from .failures import tracker_errors
from .run import Tracker, tracked_run


def mirror_to(tracker: Tracker, reader: Reader, all_commits: bool = False) -> MirrorResult:
    """Write what is missing; what is there as a whole is left alone.

    Args:
        tracker: where the runs go.
        reader: of the DVC repository.
        all_commits: every commit of every branch and tag that has results, not only baselines.

    Raises:
        SettingsError: the project's scripts/mirror.py is wrong.
        StoreError: the tracker failed; what is written stays.
    """
    wanted = {key: run for key, run in wanted_runs(reader, all_commits).items() if not run.is_study}
    with tracker_errors():
        complete = tracker.complete_runs()
    new = [rev for rev in wanted if rev not in complete]
    script = find_script(reader.root)
    describer = script.load() if script and new else None
    url = origin_url(reader)
    result = MirrorResult(present=len(wanted) - len(new))
    for snapshot in tqdm(reader.snapshots(new), total=len(new), unit="run", disable=None):
        run = wanted[snapshot.rev]
        if not needs_run(run, snapshot):
            continue
        try:
            content = revision_content(snapshot, run, url)
            if describer:
                describer.describe(content)
            tracked = tracked_run(content)
            with tracker_errors():
                tracker.write(tracked)
        except (UnreadableError, SettingsError) as error:
            result.fail(run.name, " ".join(str(error).split()))
        else:
            result.count(Action.CREATE, bool(content.lacking))
    return result
