"""The user's repository, opened as DVC opens it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ProjectError
from .parsing import bound_parsed_yaml

if TYPE_CHECKING:
    from dvc.repo import Repo


@contextmanager
def open_repo(root: Path) -> Iterator["Repo"]:
    """DVC in a project.

    Args:
        root: a folder of it.

    Raises:
        ProjectError: Git may read this repository; DVC, whose Git library knows fewer formats, does not.
        DvcException: DVC cannot read the project.
    """
    from dulwich.repo import UnsupportedExtension, UnsupportedVersion
    from dvc.repo import Repo

    bound_parsed_yaml()
    try:
        repo = Repo(str(root))
    except (UnsupportedExtension, UnsupportedVersion) as error:
        raise ProjectError(
            f"DVC cannot read this repository, since its Git library does not know the format {error} "
            "(`extensions` in .git/config)"
        ) from None
    with repo:
        yield repo
