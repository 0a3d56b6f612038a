"""Writes a page: whole or not at all."""

import os
import tempfile
from pathlib import Path

from ..errors import UsageError

BEGINNING = "<!doctype html>"


def check_place(path: Path) -> None:
    """Refuse a place that no page can be written to, before any work is done.

    What is there already is replaced if it is a page, and never if it is something else: a figure, say.

    Raises:
        UsageError: it is a folder, or another file, or there is no such folder.
    """
    if os.path.isdir(path):
        raise UsageError(f"--html {path}: a folder; name a file in it")
    if not path.parent.is_dir():
        raise UsageError(f"--html {path}: there is no folder {path.parent}")
    if not os.path.exists(path):
        return
    try:
        is_page = path.is_file() and _beginning(path).startswith(BEGINNING)
    except OSError as error:
        raise _refused(path, error) from None
    if not is_page:
        raise UsageError(
            f"--html {path}: there is a file that is no page in HTML; name another one, or remove it"
        )


def _beginning(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(len(BEGINNING)).decode(errors="replace").lower()


def write_page(path: Path, text: str) -> bool:
    """Write a page in place of what was there; returns whether something was.

    Raises:
        UsageError: the system refuses it.
    """
    check_place(path)
    target = Path(os.path.realpath(path))  # a link stays
    replaced = os.path.exists(target)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise _refused(path, error) from None
    try:
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(name, target.stat().st_mode if replaced else 0o666 & ~_umask())
        os.replace(name, target)
    except OSError as error:
        raise _refused(path, error) from None
    finally:
        if os.path.exists(name):
            os.unlink(name)
    return replaced


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _refused(path: Path, error: OSError) -> UsageError:
    return UsageError(f"--html {path}: {error.strerror or error}")
