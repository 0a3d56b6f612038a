"""Reads and copies files the way DVC does."""

from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.fs import localfs
from dvc.utils.serialize import LOADERS
from dvc_objects.fs.generic import transfer

from ..errors import UnreadableError
from ..repository.dvc_repo import one_line


def load_values(path: Path) -> Any:
    """Return what a JSON, YAML, TOML or Python params file says.

    Raises:
        UnreadableError: it does not follow its format.
    """
    try:
        return LOADERS[path.suffix.lower()](str(path), fs=localfs)
    except DvcException as error:
        raise UnreadableError(one_line(str(error))) from None


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's bytes, by a reflink where the file system has them; never a hard link."""
    transfer(localfs, str(source), localfs, str(target), links=["reflink", "copy"])
