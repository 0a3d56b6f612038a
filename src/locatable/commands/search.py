"""Search for better params: Optuna proposes, and every trial becomes a DVC experiment, `<study>-<number>`.

    locatable search [--study NAME] [--trials N] [--workers N] [--timeout S] [--storage URL]
                             [--ray ADDRESS] [--mirror]

What to search is in search.yaml. Ctrl-C finishes the running trials, a second one stops them; the same
command goes on from there. Workers run the trials in clones of their own: the checkout is left alone.
With --ray they are on the nodes of a cluster, and get and bring everything by the Git and DVC remotes.
What Git knows counts: the Optuna study can be deleted, and is made again from the experiments.
"""

import argparse
import platform
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from types import FrameType

import optuna
from filelock import FileLock, Timeout
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from tqdm import tqdm

from ..dvc.clone import describe
from ..errors import GitError, ProjectError, UsageError
from ..git import git
from ..search.local import Local
from ..search.pool import Crew, Pool
from ..search.remote import Remote
from ..search.sampling import equip, rehearse
from ..search.settings import Search, check, load
from ..search.study import open_study, reconcile
from ..search.worker import sweep


def search_for(
    search: Search,
    root: Path,
    storage: str | None,
    trials: int,
    workers: int | None,
    timeout: float,
    ray: str | None,
) -> bool:
    """Go on with a study until it has enough finished trials, and report what it found.

    Args:
        search: search.yaml.
        root: the project.
        storage: any URL that Optuna takes; None for a file of this project.
        trials: how many to have complete or pruned in the end, earlier ones included.
        workers: how many to run at a time; None for one here, or as many as a cluster has room for.
        timeout: seconds after which none is begun.
        ray: address of a cluster to run them on.

    Returns:
        Whether someone asked it to stop.

    Raises:
        ProjectError: it cannot begin, or cannot go on; the message says why.
    """
    deadline = time.monotonic() + timeout
    project = describe(root)
    check(search, project["files"], project["outputs"])
    rehearse(search, project["files"])
    if (absent := project["absent"]) and not ray:
        raise ProjectError(f"not in DVC's cache: {', '.join(absent)}; dvc pull")
    setup = {**project["setup"], "baseline": _refuse_dirty(root, project["modified"])}
    remote = Remote(root, search.study) if ray else None
    folder = (root / ".dvc/tmp/search" / search.study).resolve()
    # A storage of all can have trials of other machines; a project's own goes where it goes.
    owner = f"{platform.node()}:{root}" if storage else "this project"
    crew: Crew = Local(setup, folder, workers or 1)
    if remote:
        from ..search import cluster

        remote.check()
        cluster.connect(ray, root)
        crew = cluster.Cluster(setup, search.resources, workers or float("inf"), remote)
    # What a killed search left. Git is asked only then: its worker could still be bringing a trial home.
    sweep(folder)
    shutil.rmtree(folder, ignore_errors=True)
    with FileLock(folder.parent / "studies.lock"):  # Optuna makes its tables in more than one step
        study = open_study(search, storage or f"sqlite:///{root / 'optuna.db'}")

    def settle(busy: set[int]) -> Counter[str]:
        if remote:
            remote.fetch()
        return reconcile(study, search, root, owner, busy)

    _say(settle(set()), search.study)
    equip(study, search)
    pool = Pool(
        study,
        search,
        crew=crew,
        files=project["files"],
        owner=owner,
        settle=settle,
        report=lambda name, error, log: _keep(
            root / "reports/search" / search.study / "failed", name, error, log
        ),
    )

    def interrupt(number: int, frame: FrameType | None) -> None:
        pool.interrupts += 1 if number == signal.SIGINT else 2
        if pool.interrupts == 1:
            tqdm.write("Finishing the trials that run; Ctrl-C once more stops them", file=sys.stderr)

    for name in {"SIGINT", "SIGTERM", "SIGHUP"} & set(dir(signal)):
        # `nohup` asks for one of them to be ignored.
        if signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN:
            signal.signal(getattr(signal, name), interrupt)
    try:
        pool.run(trials, deadline)
    finally:
        sweep(folder)
        shutil.rmtree(folder, ignore_errors=True)
        settle(set())
        _summarize(study, pool, root, trials, setup["baseline"])
    return pool.interrupts > 0


def _refuse_dirty(root: Path, data: list[str]) -> str:
    """The last commit, which trials start from: what is not in it would be left out without a word."""
    try:
        baseline = git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    except GitError:
        raise ProjectError("nothing is committed yet: trials start from a commit") from None
    if changed := git(root, "diff", "--name-only", "HEAD").splitlines():
        raise ProjectError(
            f"not committed: {', '.join(changed)}; commit or stash first, since trials start from HEAD"
        )
    if data:
        raise ProjectError(
            f"data not as committed: {', '.join(data)}; `dvc add` it and commit, or `dvc checkout` it"
        )
    return baseline


def _say(counts: Counter[str], study: str) -> None:
    said = {
        "added": "{} experiments of the study read from Git",
        "complete": "{} trials that were running are complete",
        "lost": "{} trials that were running are lost, with what ran them",
        "again": "{} of these are run again",
        "unfit": "{} experiments named like trials lie outside of search.yaml and are left out",
        "elsewhere": "{} trials run elsewhere",
        "gone": "{} complete trials have no experiment in Git (removed, or not pulled) and count; "
        "to forget them, delete the Optuna study, which is made again from Git",
    }
    for what, count in counts.items():
        print(f"{study}: {said[what].format(count)}")


def _keep(folder: Path, name: str, error: str, log: str) -> None:
    """Keep what a failed trial said last, and show its last line."""
    from ..search.report import keep

    keep(folder.parent)
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.txt"
    path.write_text(f"{log}\n\n{error}\n", encoding="utf-8")
    # A stage that failed has said more about it than DVC does.
    last = (
        log.strip().splitlines()[-1:] if error.startswith("failed to reproduce") else error.splitlines()[:1]
    )
    tqdm.write(f"{name} failed: {''.join(last)} (more in {path.relative_to(Path.cwd())})", file=sys.stderr)


def _summarize(study: optuna.Study, pool: Pool, root: Path, trials: int, baseline: str) -> None:
    folder = root / "reports/search" / study.study_name
    states = Counter(trial.state.name for trial in study.get_trials(deepcopy=False))
    complete, pruned = states["COMPLETE"], states["PRUNED"]
    print(f"{study.study_name}: {complete} complete, {pruned} pruned, {states['FAIL']} failed")
    if complete:
        from ..search import report

        print(report.write(study, folder))
        print(f"Figures, and all trials as a table, are in {folder.relative_to(Path.cwd())}")
        print(report.recommend(study, root, baseline))
    if pool.interrupts:
        print("Stopped; the same command goes on from here")
    elif complete + pruned >= trials:
        print(f"For more:  locatable search --study {study.study_name} --trials {2 * trials}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `locatable search`."""
    parser.add_argument("--study", metavar="NAME", help="instead of the one in search.yaml")
    parser.add_argument(
        "--trials", type=int, metavar="N", help="finished trials to have in the end, earlier ones included"
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="trials to run at a time (1; with --ray as many as it can)"
    )
    parser.add_argument(
        "--timeout", type=float, default=float("inf"), metavar="S", help="begin none after S seconds"
    )
    parser.add_argument("--storage", metavar="URL", help="any that Optuna takes (sqlite:///optuna.db)")
    parser.add_argument(
        "--ray", metavar="ADDRESS", help="a cluster to run them on: auto, local, HOST:PORT or ray://HOST:PORT"
    )
    parser.add_argument("--mirror", action="store_true", help="mirror the experiments into MLflow afterwards")


def run(arguments: argparse.Namespace) -> int:
    """Search; the exit code is 130 if someone stopped it."""
    if min(1 if n is None else n for n in (arguments.workers, arguments.timeout, arguments.trials)) <= 0:
        raise UsageError("--trials, --workers and --timeout are to be positive")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", ExperimentalWarning)

    root = Path.cwd().resolve()
    search = load(Path("search.yaml"), arguments.study)
    lock = root / ".dvc/tmp/search" / f"{search.study}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            stopped = search_for(
                search,
                root,
                arguments.storage,
                search.trials if arguments.trials is None else arguments.trials,
                arguments.workers,
                arguments.timeout,
                arguments.ray,
            )
    except Timeout:
        raise ProjectError(f"study {search.study} is being searched already, in this folder") from None
    except StorageInternalError as error:
        raise ProjectError(
            f"the storage failed: {' '.join(str(error).split())}; the same command goes on"
        ) from None
    except KeyboardInterrupt:
        stopped = True
    failed = (
        subprocess.run((sys.executable, "-m", "locatable", "mirror"), check=False).returncode
        if arguments.mirror
        else 0
    )
    return 130 if stopped else failed
