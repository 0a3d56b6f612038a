"""Which commits a name means: a Git revision, or experiments of DVC."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import CannotTryError
from ..model import Experiment
from .clone_limits import limits
from .reader import Reader


@dataclass(frozen=True)
class Revision:
    """A commit that a name means.

    Attributes:
        rev: full id of the commit.
        experiment: the experiment that it is, None if it is not one.
    """

    rev: str
    experiment: Experiment | None = None


def commit_id(reader: Reader, name: str) -> str | None:
    """Return full id of the commit that Git knows by a name, None when there is none."""
    if "\n" in name:
        return None  # Names are read line by line.
    commit = reader.objects.read([name + "^{commit}"])[0]
    return commit[0] if commit else None


def revisions_named(reader: Reader, name: str) -> list[Revision]:
    """Return what a name means: what Git knows by it, else experiments, as in DVC's commands.

    Args:
        reader: of the repository.
        name: a Git revision, or an experiment's name or commit.

    Returns:
        None, one, or several where experiments of different baselines share the name.
    """
    experiments = reader.experiments()
    rev = commit_id(reader, name)
    if rev:
        return [Revision(rev, next((one for one in experiments if one.rev == rev), None))]
    return [Revision(one.rev, one) for one in experiments if name in (one.name, one.rev)]


def name_in_dvc(reader: Reader, experiment: Experiment) -> str:
    """Return what DVC's commands take for an experiment: its name, or its commit.

    A Git revision, or an experiment of another baseline, can have the same name.
    """
    named = [one.rev for one in revisions_named(reader, experiment.name)]
    return experiment.name if named == [experiment.rev] else experiment.rev[:12]


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
