"""The DVC project that a command works on: where it is, its pyproject.toml, and what its clone leaves out.

A clone can be shallow, follow some branches only, or be checked out in part; and no clone has experiments at
first. A sentence about what "no commit" has is true of the clone that it was read from, not of the others.
"""

import os
import re
import stat
from pathlib import Path
from typing import Any

from ..errors import GitError, ProjectError, SettingsError, UnreadableError, UsageError
from ..git import first_remote, git, is_shallow, paths_left_out, top_folder

# Projects below a folder that are named.
MOST_NAMED = 5


def find_project(folder: Path) -> Path:
    """Return the root of the DVC project around a folder: where `.dvc` is, as for DVC itself.

    Raises:
        UsageError: there is no DVC project, or no Git repository around it.
    """
    folder = folder.resolve()
    folders = [folder, *folder.parents]
    for candidate in folders:
        if (candidate / ".dvc").is_dir():
            if not _in_repository(candidate):
                raise UsageError(f"not inside a Git repository: {candidate}")
            return candidate
    if not _in_repository(folder):
        raise UsageError(f"not inside a DVC project: {folder}")
    committed = committed_project(folder, top_folder(folder))
    if committed:
        return committed
    raise UsageError(f"not inside a DVC project: {folder}", hint=_projects_below(folder))


def _projects_below(folder: Path) -> str:
    """Say where DVC projects are below a folder; empty where Git knows none."""
    listed = git(folder, "ls-files", "-z", "--", "*/.dvc/config")
    projects = sorted(name.removesuffix("/.dvc/config") for name in filter(None, listed.split("\0")))
    if not projects:
        return ""
    more = f" and {len(projects) - MOST_NAMED} more" if len(projects) > MOST_NAMED else ""
    return f"there is one in {', '.join(projects[:MOST_NAMED])}{more}"


def committed_project(folder: Path, top: Path) -> Path | None:
    """Return the nearest folder around one, up to the Git root, whose `.dvc` a sparse checkout leaves out."""
    for candidate in (folder, *folder.parents):
        if not candidate.is_relative_to(top):
            break
        if git(candidate, "ls-files", "--", ".dvc"):
            return candidate
    return None


def _in_repository(folder: Path) -> bool:
    """Return whether there is a repository for Git to look at; Git itself says if it is of no use."""
    return any((candidate / ".git").exists() for candidate in (folder, *folder.parents))


def require_regular(path: Path) -> None:
    """Refuse what has no end or no content of its own, and must not be replaced: pipes, devices, sockets.

    Raises:
        UnreadableError: the path is one of these.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return  # it is not there, which is told by whoever needs it
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise UnreadableError(f"{path}: leads to a device, pipe or socket, which is neither read nor written")


def require_regular_files(top: Path) -> None:
    """Refuse a checkout in which a file that Git keeps is a pipe or leads to a device: to read it has no end.

    Git itself keeps links alone; pipes can come with a folder that was unpacked.

    Raises:
        UnreadableError: one is.
    """
    try:
        listed = git(top, "ls-files", "-z", settings={"core.fsmonitor": "false"})
    except GitError:
        return  # whoever needs Git is told
    for name in filter(None, listed.split("\0")):
        try:
            require_regular(top / name)
        except UnreadableError as error:
            error.exit_code = UsageError.exit_code  # nothing was tried
            raise


def read_section(root: Path, name: str) -> dict[str, Any]:
    """Return a section of a project's pyproject.toml; empty where there is none.

    Raises:
        SettingsError: the file cannot be read.
    """
    # Imported here: `locatable --help` needs as little as possible.
    from .parsing import parse_toml

    file = root / "pyproject.toml"
    if not file.exists():
        return {}
    try:
        section = parse_toml(file.read_text(encoding="utf-8")).get(name)
    except ValueError as error:
        raise SettingsError(f"{file}: {error}") from None
    return section if isinstance(section, dict) else {}


def read_settings(root: Path) -> dict[str, Any]:
    """Return what a project's pyproject.toml has under `[tool.locatable]`; arguments and errors as above."""
    settings = read_section(root, "tool").get("locatable", {})
    return settings if isinstance(settings, dict) else {}


def shallow_history(repo: Path) -> str:
    """Return a sentence about a clone without all commits of its branches; empty where it has them."""
    if not is_shallow(repo):
        return ""
    return "this clone is shallow: `git fetch --unshallow` gets the rest of its history"


def share_history(repo: Path, rev: str, other_repo: Path, other_rev: str) -> bool:
    """Return whether two commits have a first commit in common; true where a shallow clone cannot tell."""
    if is_shallow(repo) or is_shallow(other_repo):
        return True
    first = git(repo, "rev-list", "--max-parents=0", rev).split()
    others = git(other_repo, "rev-list", "--max-parents=0", other_rev).split()
    return not set(first).isdisjoint(others)


def limits(repo: Path, has_experiments: bool) -> list[str]:
    """Return a sentence about each kind of commits that a clone may lack."""
    found = [shallow_history(repo)]
    remote = first_remote(repo)
    if remote:
        found.append(_followed_branches(repo, remote))
    if remote and not has_experiments:
        get = f"dvc exp pull --all-commits {remote}"
        found.append(f"this clone has no experiments: `{get}` gets those that {remote} has")
    return list(filter(None, found))


def _followed_branches(repo: Path, remote: str) -> str:
    try:
        followed = git(repo, "config", "--get-all", f"remote.{remote}.fetch").split()
    except GitError:
        return ""  # it is fetched from by hand
    if any(re.search(r"refs/(heads/)?\*", refs) for refs in followed):
        return ""
    get = f"git remote set-branches {remote} '*' && git fetch {remote}"
    return f"this clone does not follow all branches of {remote}: `{get}` gets the others"


def check_dvc_files(root: Path, within: str = "") -> None:
    """See that a sparse checkout does not leave out what DVC reads in it.

    Raises:
        ProjectError: it does; the message names a file and says how to get it.
    """
    from ..model import PARAMS_FILE

    for path in paths_left_out(root):
        is_of_dvc = path.startswith(".dvc/") or path.endswith((".dvc", "dvc.yaml", "dvc.lock"))
        if path.startswith(within) and (is_of_dvc or path == PARAMS_FILE):
            folder = path.rpartition("/")[0] or path
            raise ProjectError(
                f"this sparse checkout leaves out {path}, which DVC reads: `git sparse-checkout add {folder}`"
            )
