"""Writes a file as a whole or not at all, whatever ends the program meanwhile."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def replacing(target: Path, mode: int | None = None) -> Iterator[IO[bytes]]:
    """Yield a file that takes the place of the target when everything in it is on the disk.

    Args:
        target: what is there, if anything, is replaced, also where it is a link.
        mode: permissions of the file; None for its owner alone.

    Raises:
        OSError: it cannot be written; the target is as it was.
    """
    number, name = tempfile.mkstemp(prefix=f".{target.name:.50}.", suffix=".part", dir=target.parent)
    try:
        with open(number, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(name, mode)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def mode_of_new_files() -> int:
    """Return the permissions that the user's other files have: a temporary one is for its owner alone."""
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
