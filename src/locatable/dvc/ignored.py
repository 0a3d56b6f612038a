"""Which files of a project `.dvcignore` hides from DVC."""

from collections.abc import Iterable
from pathlib import Path

from dvc.fs import GitFileSystem, localfs
from dvc.ignore import DvcIgnoreFilter


def hidden_in_revision(top: Path, rev: str, prefix: str, paths: Iterable[str]) -> frozenset[str]:
    """Those of some files that DVC does not see in a checkout of a revision.

    Args:
        top: root of the Git repository.
        rev: commit of the revision.
        prefix: path from `top` to the DVC root, empty where they are the same.
        paths: of files, as seen from the DVC root.
    """
    root = f"/{prefix}"
    ignored = DvcIgnoreFilter(GitFileSystem(path=str(top), rev=rev), root)
    return frozenset(path for path in paths if ignored.is_ignored_file(f"{root.rstrip('/')}/{path}"))


def hidden_in_workspace(root: Path, paths: Iterable[str]) -> frozenset[str]:
    """Those of some files that DVC does not see in a workspace.

    Args:
        root: the DVC root.
        paths: of files, as seen from it.
    """
    ignored = DvcIgnoreFilter(localfs, str(root))
    return frozenset(path for path in paths if ignored.is_ignored_file(str(root / path)))
