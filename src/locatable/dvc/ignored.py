"""Which files of a project `.dvcignore` hides from DVC."""

import re
from collections.abc import Iterable
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.fs import FileSystem, GitFileSystem, localfs
from dvc.ignore import DvcIgnoreFilter

from ..errors import UnreadableError


def hidden_in_revision(top: Path, rev: str, prefix: str, paths: Iterable[str]) -> frozenset[str]:
    """Those of some files that DVC does not see in a checkout of a revision.

    Args:
        top: root of the Git repository.
        rev: commit of the revision.
        prefix: path from `top` to the DVC root, empty where they are the same.
        paths: of files, as seen from the DVC root.

    Raises:
        UnreadableError: a `.dvcignore` is broken.
    """
    return _hidden(GitFileSystem(path=str(top), rev=rev), f"/{prefix}", paths)


def hidden_in_workspace(root: Path, paths: Iterable[str]) -> frozenset[str]:
    """Those of some files that DVC does not see in a workspace.

    Args:
        root: the DVC root.
        paths: of files, as seen from it.

    Raises:
        UnreadableError: a `.dvcignore` is broken.
    """
    return _hidden(localfs, str(root), paths)


def _hidden(fs: FileSystem, root: str, paths: Iterable[str]) -> frozenset[str]:
    try:
        ignored = DvcIgnoreFilter(fs, root)
        return frozenset(path for path in paths if ignored.is_ignored_file(fs.join(root, path)))
    except (DvcException, ValueError, re.error) as error:
        raise UnreadableError(f".dvcignore: {' '.join(str(error).split())}") from None
