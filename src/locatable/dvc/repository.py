"""The user's repository, opened as DVC opens it, and the files that its stages add to it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ProjectError

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

    try:
        repo = Repo(str(root))
    except (UnsupportedExtension, UnsupportedVersion) as error:
        raise ProjectError(
            f"DVC cannot read this repository, since its Git library does not know the format {error} "
            "(`extensions` in .git/config)"
        ) from None
    with repo:
        yield repo


def possibly_new_files(stages: Iterable[Any]) -> Iterator[str]:
    """Files for Git to keep that a first run of these stages creates."""
    for stage in stages:
        yield str(Path(stage.path).with_name("dvc.lock"))
        for out in stage.outs:
            if not out.is_in_repo:
                continue
            # What DVC keeps, it has Git ignore.
            yield str(Path(out.fs_path).with_name(".gitignore")) if out.use_scm_ignore else out.fs_path
