"""What a stage sees of the machine under bubblewrap: the programs that it needs, and nobody's files."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

# What is installed, but for what programs in other places need. Of /var: what TeX and font libraries read.
SYSTEM_FOLDERS = tuple(
    Path(folder)
    for folder in (
        *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/sys"),
        *("/nix/store", "/gnu/store"),
        *("/var/lib/texmf", "/var/lib/ghostscript", "/var/cache/fontconfig"),
    )
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


def bubblewrap() -> str:
    """Return the path of bubblewrap: an environment of a stranger can bring a program of its name."""
    return os.path.abspath(shutil.which("bwrap") or "/usr/bin/bwrap")


def hidden_folders(user_top: Path, user_cache: Path) -> tuple[Path, ...]:
    """Return the folders of users: the checkout, the cache, the home, and where else users keep files."""
    folders = [user_top, user_cache, Path.home(), *map(Path, USER_FOLDERS)]
    resolved = [folder.resolve() for folder in folders]
    return tuple(dict.fromkeys(folder for folder in resolved if folder != Path("/")))


def view_options(programs: Path, search_path: Iterable[Path], hidden: Sequence[Path]) -> list[str]:
    """Return the options that show the system and the programs of a stage, and hide all else.

    Args:
        programs: the folder of programs of the environment that the stage uses.
        search_path: the other folders of its PATH.
        hidden: folders of users, resolved.
    """
    options = ["--dev", "/dev", "--proc", "/proc"]
    for pattern in GRAPHICS_CARDS:
        for device in sorted(Path("/dev").glob(pattern)):
            options += ["--dev-bind", str(device), str(device)]
    for folder in SYSTEM_FOLDERS:
        if folder.exists():
            options += ["--ro-bind", str(folder), str(folder)]
    for secret in _secrets(Path("/etc")):
        options += ["--tmpfs", str(secret)] if secret.is_dir() else ["--ro-bind", os.devnull, str(secret)]
    for folder in hidden:
        if folder.is_dir():
            options += ["--tmpfs", str(folder)]
    for shown in _program_folders(programs, search_path, hidden):
        options += ["--ro-bind", str(shown), str(shown)]
    return options


@cache
def _secrets(folder: Path) -> list[Path]:
    """Return what is not for every account of the machine, though this one can read it: root can read all."""
    secrets = []
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(parent, name)
            if path.is_symlink() or path.stat().st_mode & 0o004:
                continue
            if os.access(path, os.R_OK):
                secrets.append(path)
        folders[:] = [name for name in folders if Path(parent, name) not in secrets]
    return secrets


def _program_folders(programs: Path, search_path: Iterable[Path], hidden: Sequence[Path]) -> list[Path]:
    """Return the folders that programs need and that would otherwise not be seen."""
    wanted = [programs.parent, *python_folders(programs, hidden)]
    for entry in search_path:
        wanted.append(entry)
        wanted += software_around(entry)
    shown: list[Path] = []
    for folder in wanted:
        resolved = folder.resolve()
        # Others' folders on the PATH may be closed to this account.
        is_readable = os.access(resolved, os.R_OK | os.X_OK) and resolved.is_dir()
        if not is_readable or _holds_any(resolved, hidden):
            continue
        # A folder that is named by a link is seen by both names.
        for path in (resolved, folder.absolute()):
            is_system = is_under(path, SYSTEM_FOLDERS) and not is_under(path, hidden)
            if not is_system and not is_under(path, shown):
                shown.append(path)
    return shown


def python_folders(programs: Path, hidden: Sequence[Path]) -> list[Path]:
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
    return folders + ([prefix / name for name in PYTHON_FOLDERS] if _holds_any(prefix, hidden) else [prefix])


def software_around(entry: Path) -> set[Path]:
    """Return the installed software that a folder's programs belong to: around it, or where links lead."""
    if not os.access(entry, os.R_OK | os.X_OK) or entry.resolve().is_relative_to("/usr"):
        return set()
    homes = {entry.resolve().parent}
    homes |= {program.resolve().parent.parent for program in entry.iterdir() if program.is_symlink()}
    return {home for home in homes if any((home / mark).exists() for mark in SOFTWARE_MARKS)}


def is_under(path: Path, folders: Iterable[Path]) -> bool:
    """Return whether a path lies in one of some folders, or is one."""
    return any(path.is_relative_to(folder) for folder in folders)


def _holds_any(folder: Path, others: Iterable[Path]) -> bool:
    return any(other.is_relative_to(folder) for other in others)
