"""What a clone leaves out of its repository, and how to get it.

A clone can be shallow, follow some branches only, or be checked out in part; and no clone has experiments at
first. A sentence about what "no commit" has is true of the clone that it was read from, not of the others.
"""

from pathlib import Path

from ..errors import GitError, ProjectError
from ..git import first_remote, git, is_shallow, paths_left_out
from ..model import PARAMS_FILE


def shallow_history(repo: Path) -> str:
    """Return a sentence about a clone without all commits of its branches; empty where it has them."""
    if not is_shallow(repo):
        return ""
    return "this clone is shallow: `git fetch --unshallow` gets the rest of its history"


def limits(repo: Path, has_experiments: bool) -> list[str]:
    """Return a sentence about each kind of commits that a clone may lack.

    Args:
        repo: a folder of it.
        has_experiments: whether it has any.
    """
    found = [shallow_history(repo), _followed_branches(repo)]
    remote = first_remote(repo)
    if remote and not has_experiments:
        get = f"dvc exp pull --all-commits {remote}"
        found.append(f"this clone has no experiments: `{get}` gets those that {remote} has")
    return [sentence for sentence in found if sentence]


def _followed_branches(repo: Path) -> str:
    remote = first_remote(repo)
    if not remote:
        return ""
    try:
        followed = git(repo, "config", "--get-all", f"remote.{remote}.fetch").split()
    except GitError:
        return ""  # it is fetched from by hand
    if any("refs/heads/*" in refs or "refs/*" in refs for refs in followed):
        return ""
    get = f"git remote set-branches {remote} '*' && git fetch {remote}"
    return f"this clone does not follow all branches of {remote}: `{get}` gets the others"


def check_dvc_files(root: Path, within: str = "") -> None:
    """See that a sparse checkout does not leave out what DVC reads in it.

    Args:
        root: of the DVC project.
        within: only files whose path begins with this.

    Raises:
        ProjectError: it does; the message names a file and says how to get it.
    """
    for path in paths_left_out(root):
        is_of_dvc = path.startswith(".dvc/") or path.endswith((".dvc", "dvc.yaml", "dvc.lock"))
        if path.startswith(within) and (is_of_dvc or path == PARAMS_FILE):
            folder = path.rpartition("/")[0] or path
            raise ProjectError(
                f"this sparse checkout leaves out {path}, which DVC reads: `git sparse-checkout add {folder}`"
            )
