"""Names of revisions and experiments."""

from pathlib import Path

from ..errors import CannotTryError
from ..repository.clone_limits import limits
from ..repository.reader import Reader
from ..repository.revisions import revisions_named


def resolve(rev: str) -> str:
    """Commit of a Git revision, or of the DVC experiment of that name, in the current folder's repository.

    Raises:
        CannotTryError: there is no such revision, or several experiments have the name.
        GitError: there is no repository, or Git refuses to read it.
    """
    here = Path.cwd()
    with Reader(here) as reader:
        named = revisions_named(reader, rev)
        if not named:
            raise CannotTryError(
                f"{rev}: neither a Git revision nor an experiment here (dvc exp list --all-commits)",
                hint="; ".join(limits(here, bool(reader.experiments()))),
            )
        if len({one.rev for one in named}) > 1:
            raise CannotTryError(
                f"{rev}: {len(named)} experiments have this name; give the commit of one of them"
            )
        snapshot = reader.snapshot(named[0].rev)
    if not snapshot.commit:
        raise CannotTryError(f"{rev}: {snapshot.damage}")
    return snapshot.rev
