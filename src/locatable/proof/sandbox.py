"""Run one stage where nothing exists but what it declares.

The stage gets a folder with its dependencies and a params file of its declared keys, a home of its own and
a short list of environment variables. Where bubblewrap (`bwrap`) is installed and allowed, it sees the
system's programs, read-only, and nothing else: no user's files, no service of the machine, no network.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from ..clones.checkout import Checkout
from ..model import Stage
from ..results.processor import Processor, describe_processor
from .bubblewrap import allowed_limits, bubblewrap, hidden_folders, is_under, view_options
from .conda_prefix import active_variables
from .conditions import USUAL, Conditions
from .inputs import Input, InputKind
from .stage_folder import fill_folder

# Where Linux says which processors there are: more than a process may use.
ONLINE_CPUS = Path("/sys/devices/system/cpu/online")
# Where an active environment is.
ACTIVE = ("CONDA_PREFIX", "VIRTUAL_ENV")
# Of what a stage prints, the end is kept.
MOST_BYTES_PRINTED = 20_000


@dataclass(frozen=True)
class Sandbox:
    """Where stages run.

    Attributes:
        work: a folder in which each run gets a folder of its own.
        programs: the folder of programs of the environment that stages use.
        user_top: Git root of the user's checkout; its programs are not for stages.
        hidden: folders that stages cannot see where bubblewrap is used.
        limits: what bubblewrap forbids, as options; empty where it is not used.
        recorded: environment variables that were set when the results were made.
    """

    work: Path
    programs: Path
    user_top: Path
    hidden: tuple[Path, ...] = ()
    limits: tuple[str, ...] = ()
    recorded: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunOptions:
    """How a run of a stage differs from that of a plain rebuild.

    Attributes:
        inputs: what the stage sees beyond what it declares.
        conditions: what the run is like.
        programs: the folder of programs of another environment, None for the sandbox's own.
    """

    inputs: tuple[Input, ...] = ()
    conditions: Conditions = USUAL
    programs: Path | None = None


@dataclass(frozen=True)
class StageRun:
    """What came of a run.

    Attributes:
        tree: the folder in which the stage's outputs are, where they are in the Git root of a checkout.
        folder: the folder around it, to be removed.
        exit_code: of the last command that ran.
        printed: the end of what the stage printed.
        seconds: how long it took.
    """

    tree: Path
    folder: Path
    exit_code: int
    printed: str
    seconds: float


@dataclass(frozen=True)
class Place:
    """The folder of one run, and where in it commands run.

    Attributes:
        folder: all that the run can write to.
        working: the folder that commands run in.
        online_cpus: a file to show in place of the machine's list of processors, None to show the machine's.
        variables: the environment of its commands.
    """

    folder: Path
    working: Path
    online_cpus: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


def make_sandbox(
    work: Path, programs: Path, user_top: Path, user_cache: Path, recorded: Mapping[str, str]
) -> tuple[Sandbox, str]:
    """The best sandbox that this machine allows, and a phrase for the user that says what it keeps out.

    Args:
        work: a folder in which each run gets a folder of its own.
        programs: the folder of programs of the environment that stages use.
        user_top: Git root of the user's checkout.
        user_cache: the user's DVC cache.
        recorded: environment variables that were set when the results were made.
    """
    limits, problem = allowed_limits()
    hidden = hidden_folders(user_top, user_cache)
    sandbox = Sandbox(work, programs, user_top, hidden, limits, recorded)
    if not limits:
        return sandbox, f"folders only, a stage can read and write what you can: {problem}"
    return sandbox, "bubblewrap: the system's programs, and no user's files, services or network"


def processor_of_stages(sandbox: Sandbox) -> Processor:
    """Describe the processor as the environment's own Python sees it, which is not to be trusted either."""
    place = Place(sandbox.work / "probe", sandbox.work / "probe", variables=sandbox.recorded)
    place.folder.mkdir(exist_ok=True)
    python = [*isolation_command(sandbox, place), str(sandbox.programs / "python")]
    return describe_processor(python, {} if sandbox.limits else sandbox.recorded)


def run_stage(stage: Stage, checkout: Checkout, sandbox: Sandbox, options: RunOptions) -> StageRun:
    """Run a stage's commands in a new folder.

    Args:
        stage: a stage of the checkout.
        checkout: the clean clone, with every dependency of the stage in place.
        sandbox: where to run.
        options: what is different from a plain rebuild.
    """
    conditions = options.conditions
    if options.programs:
        sandbox = replace(sandbox, programs=options.programs)
    place = _make_place(stage, checkout, sandbox, options)
    begun = time.perf_counter()
    with (place.folder / "printed").open("w+b") as printed:
        exit_code = 0
        for command in stage.commands:
            # DVC, too, takes the user's shell; that it does is one more thing a result can depend on.
            shell = [place.variables.get("SHELL", "/bin/sh"), "-c", command]
            line = [*isolation_command(sandbox, place), *shell]
            # Bubblewrap itself runs outside: nothing that a revision records may act on it.
            variables = {} if sandbox.limits else place.variables
            exit_code = _run_command(line, place, variables, printed, conditions)
            if exit_code:
                break
        seconds = time.perf_counter() - begun
        printed.seek(0, os.SEEK_END)
        printed.seek(max(0, printed.tell() - MOST_BYTES_PRINTED))
        text = printed.read().decode(errors="replace")
    return StageRun(place.folder / "tree", place.folder, exit_code, text, seconds)


def _make_place(stage: Stage, checkout: Checkout, sandbox: Sandbox, options: RunOptions) -> Place:
    name = stage.address.replace("/", "-").replace(":", "-")
    parent = options.conditions.parent or sandbox.work
    parent.mkdir(parents=True, exist_ok=True)
    # Another path for every run, and not one that holds the time: it would be taken for the stage's own.
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
    for subfolder in ("home", "tmp", "tree"):
        (folder / subfolder).mkdir()
    fill_folder(stage, checkout, folder / "tree", options.inputs, options.conditions.last_file_first)
    online_cpus = None
    if options.conditions.cpus and ONLINE_CPUS.exists():
        online_cpus = folder / "online"
        online_cpus.write_text("0\n")
    return Place(
        folder=folder,
        working=folder / "tree" / checkout.path_of(stage.folder).relative_to(checkout.tree),
        online_cpus=online_cpus,
        variables=_variables(stage, checkout, sandbox, folder, options),
    )


def _variables(
    stage: Stage, checkout: Checkout, sandbox: Sandbox, folder: Path, options: RunOptions
) -> dict[str, str]:
    active = active_variables(sandbox.programs.parent, isolation_command(sandbox, Place(folder, folder)))
    variables = {
        **active,
        **sandbox.recorded,
        "PATH": os.pathsep.join(map(str, [sandbox.programs, *_search_path(sandbox)])),
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "LANG": "C.UTF-8",
        "DVC_ROOT": str(folder / "tree" / checkout.root.relative_to(checkout.tree)),
        "DVC_STAGE": stage.address,
    }
    for item in options.inputs:
        if item.kind is InputKind.VARIABLE and item.name not in active:
            variables[item.name] = os.environ[item.name]
    return {**variables, **options.conditions.variables}


def _search_path(sandbox: Sandbox) -> list[Path]:
    # The user's own environment must not serve where the locked one lacks something.
    own = [sandbox.user_top, (Path(sys.prefix) / "bin").resolve()]
    if sandbox.programs.parent != Path(sys.prefix):
        own += [Path(os.environ[name], "bin").resolve() for name in ACTIVE if os.environ.get(name)]
    entries = [Path(entry) for entry in os.environ["PATH"].split(os.pathsep)]
    return [entry for entry in entries if entry.is_absolute() and not is_under(entry.resolve(), own)]


def isolation_command(sandbox: Sandbox, place: Place) -> list[str]:
    """Return what to put before a command to isolate it: bubblewrap, or nothing where it is not used.

    Bubblewrap sets the variables of the place; without it, the caller has to.
    """
    if not sandbox.limits:
        return []
    command = [bubblewrap(), *view_options(sandbox.programs, _search_path(sandbox), sandbox.hidden)]
    for name, value in place.variables.items():
        command += ["--setenv", name, value]
    command += ["--bind", str(place.folder), str(place.folder), "--chdir", str(place.working)]
    if place.online_cpus:
        command += ["--ro-bind", str(place.online_cpus), str(ONLINE_CPUS)]
    return [*command, "--remount-ro", "/", *sandbox.limits, "--"]


def installer_isolation(sandbox: Sandbox, readable: Iterable[Path]) -> list[str]:
    """Return what to put before an installer that runs what packages hold: it has the network, but no home.

    Args:
        sandbox: in whose folder it installs.
        readable: files and folders that it needs.
    """
    if not sandbox.limits:
        return []
    command = [bubblewrap(), *view_options(sandbox.programs, _search_path(sandbox), sandbox.hidden)]
    # How to find servers is often said by a service of the machine.
    for path in (*readable, Path("/etc/resolv.conf").resolve()):
        if not path.is_relative_to(sandbox.work):
            command += ["--ro-bind-try", str(path), str(path)]
    command += ["--bind", str(sandbox.work), str(sandbox.work), "--remount-ro", "/"]
    limits = [limit for limit in sandbox.limits if limit != "--unshare-net"]
    return [*command, *limits, "--"]


def _run_command(
    command: list[str],
    place: Place,
    variables: Mapping[str, str],
    printed: IO[bytes],
    conditions: Conditions,
) -> int:
    """Run a command to its end and return its exit code; nothing that it started outlives it."""
    allowed = os.sched_getaffinity(0) if conditions.cpus else None
    if allowed:
        os.sched_setaffinity(0, sorted(allowed)[: conditions.cpus])
    try:
        process = subprocess.Popen(
            command,
            cwd=place.working,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            umask=conditions.umask,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        printed.write(str(error).encode())
        return 127
    finally:
        if allowed:
            os.sched_setaffinity(0, allowed)
    try:
        return process.wait()
    finally:
        # Whatever the stage left running, and all of it at Ctrl-C.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
