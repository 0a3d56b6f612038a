"""Runs one stage where nothing exists but its declared inputs.

The stage gets a folder with its dependencies and its params files, reduced to the declared keys, an empty
home and a short list of environment variables. If bubblewrap (`bwrap`) is installed and allowed, the stage
also sees the programs of the system, read-only, but no files of users, no services and no network.
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

# The folders of installed software that every stage sees. TeX and font libraries read those in /var.
SYSTEM_FOLDERS = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/sys"),
    *("/nix/store", "/gnu/store"),
    *("/var/lib/texmf", "/var/lib/ghostscript", "/var/cache/fontconfig"),
)
# Devices of graphics cards. bubblewrap provides the usual other ones: null, zero, random, tty.
GRAPHICS_CARDS = ("nvidia*", "dri", "kfd")
# Folders with files of users, besides their homes.
USER_FOLDERS = ("/tmp", "/var/tmp", "/home", "/media", "/mnt", "/srv")  # noqa: S108
# One of these lies beside the `bin` of installed software. The folder around any other `bin` may contain
# files of a user.
SOFTWARE_MARKS = ("pyvenv.cfg", "conda-meta", "lib/node_modules", "lib/julia", "lib/R", "Cellar")
# Python needs these folders of its installation. Others can be hidden.
PYTHON_FOLDERS = ("bin", "lib", "lib64", "share")
# A stage has no privileges, even if root runs the proof, and reaches no other process and no network.
LIMITS = (
    *("--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--cap-drop", "ALL"),
    *("--die-with-parent", "--new-session"),
)
# A stage could regain privileges by creating another user namespace, so this is forbidden. Some kernels, and
# bubblewrap before 0.8, do not support these options.
NO_MORE_NAMESPACES = ("--unshare-user", "--disable-userns")
# The file in which Linux lists all processors, including those that a process may not use.
ONLINE_CPUS = Path("/sys/devices/system/cpu/online")
# Variables with the path of an active environment.
ACTIVE_ENVIRONMENTS = ("CONDA_PREFIX", "VIRTUAL_ENV")
# Scripts of conda packages that a shell runs when it activates the environment.
ACTIVATION_SCRIPTS = "etc/conda/activate.d/*.sh"
# Variables that every shell sets, or that we set ourselves. They do not come from the scripts.
SHELL_VARIABLES = ("PWD", "OLDPWD", "SHLVL", "_", "PATH")
NO_VARIABLES: Mapping[str, str] = {}
# Only the end of a stage's printed text is kept: errors are there, and a loop can print for hours.
MOST_BYTES_PRINTED = 20_000


@dataclass(frozen=True)
class Sandbox:
    """The settings with which the stages of a proof run.

    Attributes:
        work: the folder in which each run creates its own folder.
        programs: the folder with the programs of the environment that stages use.
        user_top: the Git root of the user's checkout. Stages must not use programs in it.
        hidden: folders that stages cannot see if bubblewrap is used.
        limits: the options by which bubblewrap restricts a stage, empty if it is not used.
        recorded_variables: the environment variables that are recorded for the results.
        follow: called before a stage runs, with the file that receives its printed lines, so that a caller
            can show them. None to show nothing.
    """

    work: Path
    programs: Path
    user_top: Path
    hidden: tuple[Path, ...] = ()
    limits: tuple[str, ...] = ()
    recorded_variables: Mapping[str, str] = field(default_factory=dict)
    follow: Callable[[Path], object] | None = None


@dataclass(frozen=True)
class Conditions:
    """The conditions of one run of a stage. The defaults are those of an ordinary rebuild.

    Attributes:
        inputs: undeclared inputs that the stage sees as well.
        programs: the folder with the programs of another environment, None for the sandbox's.
        variables: environment variables to set.
        cpus: the number of processors that the stage may use, None for all.
        umask: the permissions that new files do not get.
        last_file_first: true to copy the inputs of the stage in reverse order.
        parent: the folder in which to create the folder of the run, None for the sandbox's.
        processor: the property of another processor that these conditions imitate, in words. Empty if they
            have nothing to do with the processor.
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
    """The outcome of a run in the sandbox.

    Attributes:
        folder: the folder of the run, which the caller removes.
        exit_code: the exit code of the last command that ran.
        printed: the end of the text that the stage printed.
        seconds: how long the run took.
    """

    folder: Path
    exit_code: int
    printed: str
    seconds: float

    @property
    def tree(self) -> Path:
        """The folder that stands for the Git root. The outputs of the stage are in it."""
        return self.folder / "tree"


def make_sandbox(
    work: Path, programs: Path, user_top: Path, user_cache: Path, recorded_variables: Mapping[str, str]
) -> tuple[Sandbox, str]:
    """Return the strictest sandbox that this machine allows, and a phrase that says how strict it is.

    Args:
        work: the folder in which each run creates its own folder.
        programs: the folder with the programs of the environment that stages use.
        user_top: the Git root of the user's checkout.
        user_cache: the user's DVC cache.
        recorded_variables: the environment variables that are recorded for the results.
    """
    limits, problem = allowed_limits()
    hidden = hidden_folders(user_top, user_cache)
    sandbox = Sandbox(work, programs, user_top, hidden, limits, recorded_variables)
    if not limits:
        return sandbox, f"folders only, a stage can read and write what you can: {problem}"
    return sandbox, "bubblewrap: the system's programs, and no user's files, services or network"


def allowed_limits() -> tuple[tuple[str, ...], str]:
    """Return the strictest limits that work on this machine, as options of bubblewrap.

    If none work, return no options and the reason in words.
    """
    if not shutil.which("bwrap"):
        return (), "bubblewrap is not installed"
    message = ""
    for limits in ((*LIMITS, *NO_MORE_NAMESPACES), LIMITS):
        command = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", *limits, "--", "true"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not done.returncode:
            return limits, ""
        message = done.stderr.strip()
    return (), f"bubblewrap is not allowed here ({message[-120:]})"


def hidden_folders(user_top: Path, user_cache: Path) -> tuple[Path, ...]:
    """Return the folders with files of users: the checkout, the cache, homes and others."""
    hidden: list[Path] = []
    for folder in (user_top, user_cache, Path.home(), *map(Path, USER_FOLDERS)):
        resolved = folder.resolve()
        # Some service accounts have the root folder as their home. It cannot be hidden.
        if resolved != Path("/") and resolved not in hidden:
            hidden.append(resolved)
    return tuple(hidden)


def processor_of_stages(sandbox: Sandbox) -> Processor:
    """Describe the processor as the Python of the stages' environment sees it.

    This runs packages of the environment, which are not trusted. So it runs in the sandbox, too.
    """
    folder = _probe_folder(sandbox)
    python = str(sandbox.programs / "python")
    isolation = isolation_command(sandbox, folder, folder, sandbox.recorded_variables)
    # If bubblewrap is used, it sets the recorded variables itself.
    if isolation:
        return describe_processor([*isolation, python], {})
    return describe_processor([python], sandbox.recorded_variables)


def _probe_folder(sandbox: Sandbox) -> Path:
    """Return a folder for commands that run in the sandbox without being a stage."""
    folder = sandbox.work / "probe"
    folder.mkdir(exist_ok=True)
    return folder


def run_stage(stage: Stage, checkout: Checkout, sandbox: Sandbox, conditions: Conditions) -> StageRun:
    """Run the commands of a stage in a new folder, one after the other, until one fails."""
    if conditions.programs:
        sandbox = replace(sandbox, programs=conditions.programs)
    parent = conditions.parent or sandbox.work
    parent.mkdir(parents=True, exist_ok=True)
    name = stage.address.replace("/", "-").replace(":", "-")
    # Every run has a different path, so that an output with a path in it differs between runs. The path does
    # not contain the time, because a diagnosis searches outputs for the time of the run.
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
    tree = folder / "tree"
    for subfolder in (folder / "home", folder / "tmp", tree):
        subfolder.mkdir()
    fill_folder(stage, checkout, tree, conditions.inputs, conditions.last_file_first)
    # A program can read the list of processors instead of asking which it may use, so show it a list of one.
    online_cpus = None
    if conditions.cpus and ONLINE_CPUS.exists():
        online_cpus = folder / "online"
        online_cpus.write_text("0\n")
    working = tree / checkout.path_of(stage.folder).relative_to(checkout.tree)
    variables = _variables(stage, checkout, sandbox, folder, conditions)
    untrusted_names = (*active_variables(sandbox), *sandbox.recorded_variables)
    untrusted = {name: variables[name] for name in untrusted_names}
    isolation = isolation_command(sandbox, folder, working, untrusted, online_cpus)
    # DVC runs commands by the shell of the user, so a result can depend on SHELL like on other variables.
    shell = variables.get("SHELL", "/bin/sh")
    if isolation:
        # bubblewrap sets these variables for the stage, and must not be affected by them itself.
        for name in untrusted:
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
    """Return the environment variables of a run. Those of the conditions come last, so they win."""
    active = active_variables(sandbox)
    search_path = [sandbox.programs, *_search_path(sandbox)]
    variables = {
        **active,
        **sandbox.recorded_variables,
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
    """Return the variables that are set when the environment of the stages is active.

    For a conda environment, this runs the scripts of its packages, as `conda activate` does, in the sandbox.
    """
    folder = sandbox.programs.parent
    if (folder / "pyvenv.cfg").is_file():
        # With these, `uv run` in a command of a stage uses this environment and does not change it.
        place = str(folder)
        return {"VIRTUAL_ENV": place, "UV_PROJECT_ENVIRONMENT": place, "UV_NO_SYNC": "1"}
    if not (folder / "conda-meta").is_dir():
        return {}
    probe = _probe_folder(sandbox)
    return _activate(folder, tuple(isolation_command(sandbox, probe, probe)))


@lru_cache(10)
def _activate(folder: Path, isolation: tuple[str, ...]) -> dict[str, str]:
    """Return the variables that the activation scripts of a conda environment set."""
    lines = [f". {quote(str(script))} >&2" for script in sorted(folder.glob(ACTIVATION_SCRIPTS))]
    script = "\n".join([*lines, "env -0"])
    command = [*isolation, shutil.which("bash") or "/bin/sh", "-c", script]
    environment = {"CONDA_PREFIX": str(folder), "PATH": f"{folder}/bin:/usr/bin:/bin"}
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, check=False)
    variables = {"CONDA_PREFIX": str(folder)}
    for line in os.fsdecode(done.stdout).split("\0"):
        name, separator, value = line.partition("=")
        if separator and name not in SHELL_VARIABLES:
            variables[name] = value
    return variables


def _run_command(
    command: list[str], printed: IO[bytes], conditions: Conditions, *, cwd: Path, env: Mapping[str, str]
) -> int:
    """Run a command, kill all processes that it left running, and return its exit code."""
    # A process inherits the processors that it may use from its parent, so restrict this process meanwhile.
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
        return 127  # the exit code of shells for a command that is not found
    finally:
        if allowed:
            os.sched_setaffinity(0, allowed)
    try:
        return process.wait()
    finally:
        # This also ends the command itself when the user stops the proof by Ctrl-C.
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
    """Return the arguments to put before a command to isolate it, empty if bubblewrap is not used.

    Args:
        sandbox: the sandbox in which the command runs.
        folder: the only folder that the command can write to.
        working: the working folder of the command.
        variables: environment variables for the command. bubblewrap itself must not have them, because a
            variable can make a program load any library.
        online_cpus: a file to show in place of the machine's list of processors, None to show that list.
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
    """Return the arguments to put before an installer that runs code of packages.

    It can use the network and write to the work folder, and reads only some paths besides the system's.
    Empty if bubblewrap is not used.
    """
    if not sandbox.limits:
        return []
    command = _bubblewrap(sandbox)
    # The file with the name servers is often a link to the file of a service, outside the system's folders.
    for path in (*readable, Path("/etc/resolv.conf").resolve()):
        if not path.is_relative_to(sandbox.work):
            command += ["--ro-bind-try", str(path), str(path)]
    command += ["--bind", str(sandbox.work), str(sandbox.work), "--remount-ro", "/"]
    limits = [limit for limit in sandbox.limits if limit != "--unshare-net"]
    return [*command, *limits, "--"]


def _bubblewrap(sandbox: Sandbox) -> list[str]:
    """Return the command that shows the system and the programs of stages, and hides users' files."""
    # Use the full path: the environment comes first in the PATH of a stage, and can contain a `bwrap`.
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
    # Show these after hiding folders, because programs of a user are in a home.
    for shown in _program_folders(sandbox):
        options += ["--ro-bind", str(shown), str(shown)]
    return options


@cache
def _secrets(folder: Path) -> list[Path]:
    """Return files and folders that only some accounts may read and this one can, such as root's."""
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
    """Return the folders of the user's PATH that stages may use."""
    # The user's own environment must not provide a program that the locked environment lacks.
    excluded = [sandbox.user_top, Path(sys.prefix, "bin").resolve()]
    if sandbox.programs.parent != Path(sys.prefix):
        for name in ACTIVE_ENVIRONMENTS:
            environment = os.environ.get(name)
            if environment:
                excluded.append(Path(environment, "bin").resolve())
    folders = []
    for entry in os.environ["PATH"].split(os.pathsep):
        folder = Path(entry)
        if folder.is_absolute() and not _is_under(folder.resolve(), excluded):
            folders.append(folder)
    return folders


def _program_folders(sandbox: Sandbox) -> list[Path]:
    """Return the folders that programs of stages need and that the system's folders do not include."""
    wanted = [sandbox.programs.parent, *python_folders(sandbox.programs, sandbox.hidden)]
    for entry in _search_path(sandbox):
        wanted += [entry, *software_around(entry)]
    shown: list[Path] = []
    for folder in wanted:
        resolved = folder.resolve()
        # PATH can contain folders of other accounts that this one must not read.
        is_readable = os.access(resolved, os.R_OK | os.X_OK) and resolved.is_dir()
        if not is_readable or _holds_any(resolved, sandbox.hidden):
            continue
        # If the path of a folder is a link, show the folder by both paths.
        for path in (resolved, folder.absolute()):
            is_system = _is_under(path, SYSTEM_FOLDERS) and not _is_under(path, sandbox.hidden)
            if not is_system and not _is_under(path, shown):
                shown.append(path)
    return shown


def python_folders(programs: Path, hidden: Iterable[Path]) -> list[Path]:
    """Return the folders of the Python that an environment was created from.

    This Python can itself belong to an environment, so all links are followed.

    Args:
        programs: the folder with the programs of the environment.
        hidden: the folders of users, resolved.
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
    """Return the folders of the installed software that the programs in a folder belong to.

    These are the folder around it, and the folders around the targets of links in it.
    """
    is_readable = os.access(entry, os.R_OK | os.X_OK)
    # Every stage sees /usr anyway.
    if not is_readable or entry.resolve().is_relative_to("/usr"):
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
    """Return whether a path is one of some folders, or is in one of them."""
    return any(path.is_relative_to(folder) for folder in folders)


def _holds_any(folder: Path, others: Iterable[Path]) -> bool:
    """Return whether a folder is one of some other folders, or contains one of them."""
    return any(other.is_relative_to(folder) for other in others)
