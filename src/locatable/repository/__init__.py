"""The DVC project that a command works on: its root, its pyproject.toml, and the limits of the clone.

A clone can be shallow, follow only some branches, or be a sparse checkout, and a new clone has no
experiments. So a sentence such as "no commit has this file" is only true of the clone at hand. The functions
below that describe limits say what the clone may lack.
"""

import os
import re
import stat
from pathlib import Path
from typing import Any

from ..errors import GitError, ProjectError, SettingsError, UnreadableError, UsageError
from ..git import first_remote, git, is_shallow, paths_left_out, split_items, top_folder

# The number of projects that an error message names at most.
MOST_NAMED = 5


def find_project(folder: Path) -> Path:
    """Return the root of the DVC project that contains a folder: like DVC, the nearest folder with a `.dvc`.

    Raises:
        UsageError: the folder is not in a DVC project, or the project is not in a Git repository.
    """
    folder = folder.resolve()
    for candidate in (folder, *folder.parents):
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
    """Return a sentence that names the DVC projects below a folder; empty if Git tracks none."""
    names = split_items(git(folder, "ls-files", "-z", "--", "*/.dvc/config"))
    projects = sorted(name.removesuffix("/.dvc/config") for name in names)
    if not projects:
        return ""
    more = f" and {len(projects) - MOST_NAMED} more" if len(projects) > MOST_NAMED else ""
    return f"there is one in {', '.join(projects[:MOST_NAMED])}{more}"


def committed_project(folder: Path, top: Path) -> Path | None:
    """Return the nearest folder, from `folder` up to the Git root `top`, whose `.dvc` Git tracks.

    In a sparse checkout, the tracked `.dvc` may not exist on disk.
    """
    for candidate in (folder, *folder.parents):
        if not candidate.is_relative_to(top):
            break
        if git(candidate, "ls-files", "--", ".dvc"):
            return candidate
    return None


def _in_repository(folder: Path) -> bool:
    """Return whether there is a `.git` here or above. If Git cannot use it, Git itself reports why."""
    return any((candidate / ".git").exists() for candidate in (folder, *folder.parents))


def require_regular(path: Path) -> None:
    """Refuse pipes, devices and sockets: reading one may never end, and it must not be replaced by a file.

    Raises:
        UnreadableError: the path leads to a pipe, device or socket.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return  # a missing file is reported by the code that needs it
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise UnreadableError(f"{path}: leads to a device, pipe or socket, which is neither read nor written")


def require_regular_files(top: Path) -> None:
    """Refuse a checkout in which a tracked file is a pipe or leads to a device: reading it may never end.

    A link to a device can come from a commit. Git does not track pipes, but an unpacked archive can put one
    in the place of a tracked file.

    Raises:
        UnreadableError: a tracked file is a pipe, device or socket, or a link to one.
    """
    try:
        names = split_items(git(top, "ls-files", "-z", settings={"core.fsmonitor": "false"}))
    except GitError:
        return  # the error is reported by the code that needs Git
    for name in names:
        try:
            require_regular(top / name)
        except UnreadableError as error:
            error.exit_code = UsageError.exit_code  # the command has not started its work
            raise


def read_section(root: Path, name: str) -> dict[str, Any]:
    """Return a section of a project's pyproject.toml; empty if there is no such section.

    Raises:
        SettingsError: the file cannot be read.
    """
    # Imported here to keep `locatable --help` fast.
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
    """Return the `[tool.locatable]` section of a project's pyproject.toml; empty if there is none.

    Raises:
        SettingsError: the file cannot be read.
    """
    settings = read_section(root, "tool").get("locatable", {})
    return settings if isinstance(settings, dict) else {}


def shallow_history(repo: Path) -> str:
    """Return a sentence that says how to complete a shallow clone; empty if the clone is not shallow."""
    if not is_shallow(repo):
        return ""
    return "this clone is shallow: `git fetch --unshallow` gets the rest of its history"


def share_history(repo: Path, rev: str, other_repo: Path, other_rev: str) -> bool:
    """Return whether the histories of two commits begin with the same commit.

    The result is also true if one of the clones is shallow, because the first commit is then unknown.
    """
    if is_shallow(repo) or is_shallow(other_repo):
        return True
    first = git(repo, "rev-list", "--max-parents=0", rev).split()
    others = git(other_repo, "rev-list", "--max-parents=0", other_rev).split()
    return not set(first).isdisjoint(others)


def limits(repo: Path, has_experiments: bool) -> list[str]:
    """Return a sentence for each kind of commits that a clone may lack: old ones, branches, experiments."""
    found = [shallow_history(repo)]
    remote = first_remote(repo)
    if remote:
        found.append(_unfollowed_branches(repo, remote))
    if remote and not has_experiments:
        get = f"dvc exp pull --all-commits {remote}"
        found.append(f"this clone has no experiments: `{get}` gets those that {remote} has")
    return list(filter(None, found))


def _unfollowed_branches(repo: Path, remote: str) -> str:
    """Return a sentence if a clone does not follow all branches of a remote; empty if it does."""
    try:
        followed = git(repo, "config", "--get-all", f"remote.{remote}.fetch").split()
    except GitError:
        return ""  # no branches are configured: the user fetches from this remote by hand
    if any(re.search(r"refs/(heads/)?\*", refs) for refs in followed):
        return ""
    get = f"git remote set-branches {remote} '*' && git fetch {remote}"
    return f"this clone does not follow all branches of {remote}: `{get}` gets the others"


def check_dvc_files(root: Path, prefix: str = "") -> None:
    """Check that a sparse checkout contains all files that DVC reads.

    Args:
        root: the DVC root.
        prefix: only check paths that start with this text.

    Raises:
        ProjectError: a file is left out; the message names it and says how to get it.
    """
    from ..model import PARAMS_FILE

    for path in paths_left_out(root):
        is_of_dvc = path.startswith(".dvc/") or path.endswith((".dvc", "dvc.yaml", "dvc.lock"))
        if path.startswith(prefix) and (is_of_dvc or path == PARAMS_FILE):
            folder = path.rpartition("/")[0] or path
            raise ProjectError(
                f"this sparse checkout leaves out {path}, which DVC reads: `git sparse-checkout add {folder}`"
            )
