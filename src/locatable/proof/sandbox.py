"""Runs one stage where nothing exists but what it declares.

The stage gets a folder with its dependencies and a params file of its declared keys, a home of its own and
a short list of environment variables. Where bubblewrap (`bwrap`) is installed and allowed, it sees the
system's programs, read-only, and nothing else: no user's files, no service of the machine, no network.
"""

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from shlex import quote
from typing import IO

from ..clones.checkout import Checkout
from ..model import Stage
from ..results.processor import Processor, describe_processor
from .inputs import Input, InputKind, fill_folder

# What is installed, but for what programs in other places need. Of /var: what TeX and font libraries read.
SYSTEM_FOLDERS = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/sys"),
    *("/nix/store", "/gnu/store"),
    *("/var/lib/texmf", "/var/lib/ghostscript", "/var/cache/fontconfig"),
)
# Devices of graphics cards. All other devices are those of every container: null, zero, random, tty.
GRAPHICS_CARDS = ("nvidia*", "dri", "kfd")
# Where users keep files, besides their homes.
USER_FOLDERS = ("/tmp", "/var/tmp", "/home", "/media", "/mnt", "/srv")  # noqa: S108
# What lies beside a folder `bin` of installed software. Other folders around a `bin` can hold a user's files.
SOFTWARE_MARKS = ("pyvenv.cfg", "conda-meta", "lib/node_modules", "lib/julia", "lib/R", "Cellar")
# Of the folder that Python was installed in, what Python needs.
PYTHON_FOLDERS = ("bin", "lib", "lib64", "share")
# A stage has no privilege, even where the proof is run by root, and reaches no process and no network.
LIMITS = (
    *("--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--cap-drop", "ALL"),
    *("--die-with-parent", "--new-session"),
)
# A user namespace of its own would give a stage privileges again. Kernels and bubblewraps before 0.8 cannot
# forbid it.
NO_MORE_NAMESPACES = ("--unshare-user", "--disable-userns")
# Where Linux says which processors there are: more than a process may use.
ONLINE_CPUS = Path("/sys/devices/system/cpu/online")
# Where an active environment is.
ACTIVE = ("CONDA_PREFIX", "VIRTUAL_ENV")
# What packages of conda have shells run when their environment becomes the active one.
ACTIVATION = "etc/conda/activate.d/*.sh"
# What a shell sets of its own accord.
OF_SHELLS = ("PWD", "OLDPWD", "SHLVL", "_", "PATH")
NO_VARIABLES: Mapping[str, str] = {}
# Of what a stage prints, the end is kept: errors are there, and a loop can print for hours.
MOST_BYTES_PRINTED = 20_000


@dataclass(frozen=True)
class Sandbox:
    """The place where stages run.

    Attributes:
        work: a folder in which each run gets a folder of its own.
        programs: the folder of programs of the environment that stages use.
        user_top: Git root of the user's checkout; its programs are not for stages.
        hidden: folders that stages cannot see where bubblewrap is used.
        limits: what bubblewrap forbids, as options; empty where it is not used.
        recorded: environment variables that were set when the results were made.
        follow: called with the file that takes what a stage prints, before it runs; None: nobody wants it.
    """

    work: Path
    programs: Path
    user_top: Path
    hidden: tuple[Path, ...] = ()
    limits: tuple[str, ...] = ()
    recorded: Mapping[str, str] = field(default_factory=dict)
    follow: Callable[[Path], object] | None = None


@dataclass(frozen=True)
class Conditions:
    """Conditions of a run that no result may depend on; the defaults are those of every rebuild.

    Attributes:
        inputs: what the stage sees beyond what it declares.
        programs: the folder of programs of another environment, None for the sandbox's own.
        variables: environment variables to set.
        cpus: how many processors the stage may use, None for all.
        umask: permissions that new files do not get.
        last_file_first: create the files that the stage sees in reverse order.
        parent: where the folder of the run is made, None for the usual place.
        processor: what of another processor they stand for; empty where no processor decides them.
    """

    inputs: tuple[Input, ...] = ()
    programs: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    cpus: int | None = None
    umask: int = 0o022
    last_file_first: bool = False
    parent: Path | None = None
    processor: str = ""


USUAL = Conditions()


@dataclass(frozen=True)
class StageRun:
    """The outcome of a run.

    Attributes:
        folder: the folder of the run, to be removed.
        exit_code: of the last command that ran.
        printed: the end of what the stage printed.
        seconds: how long it took.
    """

    folder: Path
    exit_code: int
    printed: str
    seconds: float

    @property
    def tree(self) -> Path:
        """The folder that the stage took for the Git root; its outputs are there."""
        return self.folder / "tree"


def make_sandbox(
    work: Path, programs: Path, user_top: Path, user_cache: Path, recorded: Mapping[str, str]
) -> tuple[Sandbox, str]:
    """Return the best sandbox that this machine allows, and a phrase for the user: what it keeps out.

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


def allowed_limits() -> tuple[tuple[str, ...], str]:
    """Return the strictest limits that can be set here, as options; or none, and why not in words."""
    if not shutil.which("bwrap"):
        return (), "bubblewrap is not installed"
    said = ""
    for limits in ((*LIMITS, *NO_MORE_NAMESPACES), LIMITS):
        command = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", *limits, "--", "true"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not done.returncode:
            return limits, ""
        said = done.stderr.strip()
    return (), f"bubblewrap is not allowed here ({said[-120:]})"


def hidden_folders(user_top: Path, user_cache: Path) -> tuple[Path, ...]:
    """Return the folders of users: the checkout, the cache, the home, and where else users keep files."""
    hidden: list[Path] = []
    for folder in (user_top, user_cache, Path.home(), *map(Path, USER_FOLDERS)):
        resolved = folder.resolve()
        # The root is the home of some service accounts.
        if resolved != Path("/") and resolved not in hidden:
            hidden.append(resolved)
    return tuple(hidden)


def processor_of_stages(sandbox: Sandbox) -> Processor:
    """Describe the processor as the environment's own Python sees it, which is not to be trusted either."""
    folder = _probe(sandbox)
    python = str(sandbox.programs / "python")
    isolation = isolation_command(sandbox, folder, folder, sandbox.recorded)
    if isolation:
        return describe_processor([*isolation, python], {})
    return describe_processor([python], sandbox.recorded)


def _probe(sandbox: Sandbox) -> Path:
    """Return a folder to run in what is no stage."""
    folder = sandbox.work / "probe"
    folder.mkdir(exist_ok=True)
    return folder


def run_stage(stage: Stage, checkout: Checkout, sandbox: Sandbox, conditions: Conditions) -> StageRun:
    """Run a stage's commands in a new folder, up to the first that fails."""
    if conditions.programs:
        sandbox = replace(sandbox, programs=conditions.programs)
    parent = conditions.parent or sandbox.work
    parent.mkdir(parents=True, exist_ok=True)
    name = stage.address.replace("/", "-").replace(":", "-")
    # Another path for every run, and not one that holds the time: it would be taken for the stage's own.
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
    tree = folder / "tree"
    for subfolder in (folder / "home", folder / "tmp", tree):
        subfolder.mkdir()
    fill_folder(stage, checkout, tree, conditions.inputs, conditions.last_file_first)
    online_cpus = None
    if conditions.cpus and ONLINE_CPUS.exists():
        online_cpus = folder / "online"
        online_cpus.write_text("0\n")
    working = tree / checkout.path_of(stage.folder).relative_to(checkout.tree)
    variables = _variables(stage, checkout, sandbox, folder, conditions)
    foreign = {name: variables[name] for name in {**active_variables(sandbox), **sandbox.recorded}}
    isolation = isolation_command(sandbox, folder, working, foreign, online_cpus)
    # DVC, too, takes the user's shell; that it does is one more thing a result can depend on.
    shell = variables.get("SHELL", "/bin/sh")
    if isolation:
        # bubblewrap sets them, and is not to have them itself.
        for name in foreign:
            del variables[name]
    exit_code = 0
    begun = time.perf_counter()
    with (folder / "printed").open("w+b") as printed:
        if sandbox.follow:
            sandbox.follow(folder / "printed")
        for command in stage.commands:
            line = [*isolation, shell, "-c", command]
            exit_code = _run_command(line, printed, conditions, cwd=working, env=variables)
            if exit_code:
                break
        seconds = time.perf_counter() - begun
        printed.seek(0, os.SEEK_END)
        printed.seek(max(0, printed.tell() - MOST_BYTES_PRINTED))
        text = printed.read().decode(errors="replace")
    return StageRun(folder, exit_code, text, seconds)


def _variables(
    stage: Stage, checkout: Checkout, sandbox: Sandbox, folder: Path, conditions: Conditions
) -> dict[str, str]:
    """Return the environment variables of a run."""
    active = active_variables(sandbox)
    search_path = [sandbox.programs, *_search_path(sandbox)]
    variables = {
        **active,
        **sandbox.recorded,
        "PATH": os.pathsep.join(map(str, search_path)),
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "LANG": "C.UTF-8",
        "DVC_ROOT": str(folder / "tree" / checkout.root.relative_to(checkout.tree)),
        "DVC_STAGE": stage.address,
    }
    for item in conditions.inputs:
        if item.kind is InputKind.VARIABLE and item.name not in active:
            variables[item.name] = os.environ[item.name]
    return {**variables, **conditions.variables}


def active_variables(sandbox: Sandbox) -> dict[str, str]:
    """Return what is set where the environment is active.

    Scripts of the packages of conda are run, as `conda activate` does, where stages run.
    """
    folder = sandbox.programs.parent
    if (folder / "pyvenv.cfg").is_file():
        # So that `uv run` in a command of a stage uses it, and changes nothing in it.
        place = str(folder)
        return {"VIRTUAL_ENV": place, "UV_PROJECT_ENVIRONMENT": place, "UV_NO_SYNC": "1"}
    if not (folder / "conda-meta").is_dir():
        return {}
    probe = _probe(sandbox)
    return _activate(folder, tuple(isolation_command(sandbox, probe, probe)))


@lru_cache(10)
def _activate(folder: Path, isolation: tuple[str, ...]) -> dict[str, str]:
    """Return the variables that are set after the scripts of an environment of conda have run."""
    lines = [f". {quote(str(script))} >&2" for script in sorted(folder.glob(ACTIVATION))]
    script = "\n".join([*lines, "env -0"])
    command = [*isolation, shutil.which("bash") or "/bin/sh", "-c", script]
    before = {"CONDA_PREFIX": str(folder), "PATH": f"{folder}/bin:/usr/bin:/bin"}
    done = subprocess.run(command, env=before, cwd=folder, capture_output=True, check=False)
    found = {"CONDA_PREFIX": str(folder)}
    for pair in os.fsdecode(done.stdout).split("\0"):
        name, separator, value = pair.partition("=")
        if separator and name not in OF_SHELLS:
            found[name] = value
    return found


def _run_command(
    command: list[str], printed: IO[bytes], conditions: Conditions, *, cwd: Path, env: Mapping[str, str]
) -> int:
    """Run a command to its end and return its exit code; nothing that it started outlives it."""
    # The command inherits what this process may use.
    allowed = os.sched_getaffinity(0) if conditions.cpus else None
    if allowed:
        os.sched_setaffinity(0, sorted(allowed)[: conditions.cpus])
    try:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            umask=conditions.umask,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        printed.write(str(error).encode())
        return 127  # as shells say it
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


def isolation_command(
    sandbox: Sandbox,
    folder: Path,
    working: Path,
    variables: Mapping[str, str] = NO_VARIABLES,
    online_cpus: Path | None = None,
) -> list[str]:
    """Return what to put before a command to isolate it: bubblewrap, or nothing where it is not used.

    Args:
        sandbox: where it runs.
        folder: all that it can write to.
        working: the folder that it runs in.
        variables: to set for it, and not for bubblewrap, which can be had to load a library by them.
        online_cpus: a file to show in place of the machine's list of processors, None to show the machine's.
    """
    if not sandbox.limits:
        return []
    command = [*_bubblewrap(sandbox), "--bind", str(folder), str(folder), "--chdir", str(working)]
    for name, value in variables.items():
        command += ["--setenv", name, value]
    if online_cpus:
        command += ["--ro-bind", str(online_cpus), str(ONLINE_CPUS)]
    return [*command, "--remount-ro", "/", *sandbox.limits, "--"]


def installer_isolation(sandbox: Sandbox, readable: Iterable[Path]) -> list[str]:
    """Return what to put before an installer that runs what packages hold: it has the network and no home."""
    if not sandbox.limits:
        return []
    command = _bubblewrap(sandbox)
    # How to find servers is often said by a service of the machine.
    for path in (*readable, Path("/etc/resolv.conf").resolve()):
        if not path.is_relative_to(sandbox.work):
            command += ["--ro-bind-try", str(path), str(path)]
    command += ["--bind", str(sandbox.work), str(sandbox.work), "--remount-ro", "/"]
    limits = [limit for limit in sandbox.limits if limit != "--unshare-net"]
    return [*command, *limits, "--"]


def _bubblewrap(sandbox: Sandbox) -> list[str]:
    """Return the command that shows the system and a stage's programs, and hides all else."""
    # By its path: an environment, which is first in the PATH of a stage, can have a program of this name.
    program = os.path.abspath(shutil.which("bwrap") or "/usr/bin/bwrap")
    options = [program, "--dev", "/dev", "--proc", "/proc"]
    for pattern in GRAPHICS_CARDS:
        for device in sorted(Path("/dev").glob(pattern)):
            options += ["--dev-bind", str(device), str(device)]
    for folder in SYSTEM_FOLDERS:
        if os.path.exists(folder):
            options += ["--ro-bind", folder, folder]
    for secret in _secrets(Path("/etc")):
        if secret.is_dir():
            options += ["--tmpfs", str(secret)]
        else:
            options += ["--ro-bind", os.devnull, str(secret)]
    for path in sandbox.hidden:
        if path.is_dir():
            options += ["--tmpfs", str(path)]
    # After what hides them: a user's programs lie in a home.
    for shown in _program_folders(sandbox):
        options += ["--ro-bind", str(shown), str(shown)]
    return options


@cache
def _secrets(folder: Path) -> list[Path]:
    """Return what is not for every account of the machine, though this one can read it: root can read all."""
    secrets = []
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(parent, name)
            if path.is_symlink():
                continue
            is_for_all = path.stat().st_mode & stat.S_IROTH
            if not is_for_all and os.access(path, os.R_OK):
                secrets.append(path)
        folders[:] = [name for name in folders if Path(parent, name) not in secrets]
    return secrets


def _search_path(sandbox: Sandbox) -> list[Path]:
    """Return the folders of the user's PATH that are for stages, too."""
    # The user's own environment must not serve where the locked one lacks something.
    own = [sandbox.user_top, Path(sys.prefix, "bin").resolve()]
    if sandbox.programs.parent != Path(sys.prefix):
        for name in ACTIVE:
            environment = os.environ.get(name)
            if environment:
                own.append(Path(environment, "bin").resolve())
    found = []
    for entry in os.environ["PATH"].split(os.pathsep):
        folder = Path(entry)
        if folder.is_absolute() and not _is_under(folder.resolve(), own):
            found.append(folder)
    return found


def _program_folders(sandbox: Sandbox) -> list[Path]:
    """Return the folders that programs need and that would otherwise not be seen."""
    wanted = [sandbox.programs.parent, *python_folders(sandbox.programs, sandbox.hidden)]
    for entry in _search_path(sandbox):
        wanted += [entry, *software_around(entry)]
    shown: list[Path] = []
    for folder in wanted:
        resolved = folder.resolve()
        # Others' folders on the PATH may be closed to this account.
        is_readable = os.access(resolved, os.R_OK | os.X_OK) and resolved.is_dir()
        if not is_readable or _holds_any(resolved, sandbox.hidden):
            continue
        # A folder that is named by a link is seen by both names.
        for path in (resolved, folder.absolute()):
            is_system = _is_under(path, SYSTEM_FOLDERS) and not _is_under(path, sandbox.hidden)
            if not is_system and not _is_under(path, shown):
                shown.append(path)
    return shown


def python_folders(programs: Path, hidden: Iterable[Path]) -> list[Path]:
    """Return the folders of the Python that an environment was made from, which can be another environment's.

    Args:
        programs: the folder of programs of the environment.
        hidden: folders of users, resolved.
    """
    folders = []
    python = programs / "python"
    while python.is_symlink():
        folders.append(python.parent)
        python = python.parent / python.readlink()
    prefix = python.resolve().parents[1]
    if _holds_any(prefix, hidden):
        return folders + [prefix / name for name in PYTHON_FOLDERS]
    return [*folders, prefix]


def software_around(entry: Path) -> set[Path]:
    """Return the installed software that a folder's programs belong to: around it, or where links lead."""
    if not os.access(entry, os.R_OK | os.X_OK) or entry.resolve().is_relative_to("/usr"):
        return set()
    around = {entry.resolve().parent}
    for program in entry.iterdir():
        if program.is_symlink():
            around.add(program.resolve().parent.parent)
    software = set()
    for folder in around:
        if any((folder / mark).exists() for mark in SOFTWARE_MARKS):
            software.add(folder)
    return software


def _is_under(path: Path, folders: Iterable[Path | str]) -> bool:
    """Return whether a path lies in one of some folders, or is one."""
    return any(path.is_relative_to(folder) for folder in folders)


def _holds_any(folder: Path, others: Iterable[Path]) -> bool:
    return any(other.is_relative_to(folder) for other in others)
