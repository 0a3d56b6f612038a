"""Names of revisions and experiments."""

from pathlib import Path

from ..clone_limits import limits
from ..errors import CannotTryError, GitError
from ..git import git, top_folder


def resolve(rev: str) -> str:
    """Commit of a Git revision, or of the DVC experiment of that name, in the current folder's repository.

    Raises:
        CannotTryError: there is no such revision, or several experiments have the name.
        GitError: there is no repository, or Git refuses to read it.
    """
    here = Path.cwd()
    top_folder(here)
    try:
        return git(here, "rev-parse", "--verify", "--quiet", rev + "^{commit}")
    except GitError:
        pass  # not a revision: an experiment, perhaps
    found = git(here, "for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{rev}").split()
    if not found:
        has_experiments = bool(git(here, "for-each-ref", "--count=1", "refs/exps/*/*/*"))
        raise CannotTryError(
            f"{rev}: neither a Git revision nor an experiment here (dvc exp list --all-commits)",
            hint="; ".join(limits(here, has_experiments)),
        )
    if len(set(found)) > 1:
        raise CannotTryError(
            f"{rev}: {len(found)} experiments have this name; give the commit of one of them"
        )
    return found[0]
