"""Writes a page about a result: one HTML file that needs no server and loads no other file.

`facts` reads the text of the page, and `figures` its pictures and curves. This module renders the template
`templates/page.html.j2` and writes the file.
"""

import json
import os
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from .. import __version__
from ..errors import UsageError
from ..locate.render import summaries
from ..output import mode_of_new_files, redact_urls, replacing, visible
from .facts import Facts
from .figures import draw

BEGINNING = "<!doctype html>"


def to_html(page: Facts) -> str:
    """Return the page as HTML.

    Raises:
        ModuleNotFoundError: the page has curves, and matplotlib is not installed.
    """
    template = page_environment().get_template("page.html.j2")
    return template.render(page=page, summaries=summaries(page.report), version=__version__)


def page_environment() -> Environment:
    """Return the environment of the templates, which makes every value harmless before it is shown."""
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        finalize=_printable,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"breakable": _breakable, "draw": draw, "literal": _literal}
    return environment


def _printable(value: object) -> object:
    """Return a value without control characters and passwords in URLs; None becomes an empty text."""
    if value is None:
        return ""
    return value if isinstance(value, Markup) else visible(redact_urls(str(value)))


def _breakable(path: str) -> Markup:
    """Return a path in which a browser may break the line after each slash."""
    return Markup("/<wbr>").join(str(_printable(path)).split("/"))


def _literal(value: Any) -> str:
    """Return a value as a params file would contain it."""
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def check_place(path: Path) -> None:
    """Check that a page can be written to a path, so that a command can fail before it does any work.

    An existing page may be replaced, but no other file, such as a figure.

    Raises:
        UsageError: the path is a folder or a file that is not a page, or its folder does not exist.
    """
    if os.path.isdir(path):
        raise UsageError(f"--html {path}: a folder; name a file in it")
    if not path.parent.is_dir():
        raise UsageError(f"--html {path}: there is no folder {path.parent}")
    if not os.path.exists(path):
        return
    beginning = b""
    try:
        if path.is_file():
            with path.open("rb") as file:
                beginning = file.read(len(BEGINNING))
    except OSError as error:
        raise _usage_error(path, error) from None
    if beginning.lower() != BEGINNING.encode():
        raise UsageError(
            f"--html {path}: there is a file that is no page in HTML; name another one, or remove it"
        )


def write_page(path: Path, text: str) -> bool:
    """Write a page, and return whether it replaced an older one.

    Raises:
        UsageError: the file cannot be written.
    """
    check_place(path)
    target = Path(os.path.realpath(path))  # a symbolic link is kept, and the file that it names is replaced
    replaced = os.path.exists(target)
    try:
        mode = target.stat().st_mode if replaced else mode_of_new_files()
        with replacing(target, mode) as file:
            file.write(text.encode())
    except OSError as error:
        raise _usage_error(path, error) from None
    return replaced


def _usage_error(path: Path, error: OSError) -> UsageError:
    return UsageError(f"--html {path}: {error.strerror or error}")
