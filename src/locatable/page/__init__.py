"""One page about a result, in one file of HTML that needs no server and loads nothing.

`facts` reads what the page says, and `figures` what it shows; `templates/page.html.j2` is filled in here.
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
    """Return the page, as one file that loads nothing.

    Raises:
        ModuleNotFoundError: it has curves, and matplotlib is not installed.
    """
    template = page_environment().get_template("page.html.j2")
    return template.render(page=page, summaries=summaries(page.report), version=__version__)


def page_environment() -> Environment:
    """Return the environment of the templates: all that they are given is escaped, and nothing in it acts."""
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
    """Return a value as a page may show it: nothing in it acts, and its addresses hold no password."""
    if value is None:
        return ""
    return value if isinstance(value, Markup) else visible(redact_urls(str(value)))


def _breakable(path: str) -> Markup:
    """Return a path that a browser may break behind each slash."""
    return Markup("/<wbr>").join(str(_printable(path)).split("/"))


def _literal(value: Any) -> str:
    """Return a value as files of params write it."""
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


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
    beginning = b""
    try:
        if path.is_file():
            with path.open("rb") as file:
                beginning = file.read(len(BEGINNING))
    except OSError as error:
        raise _refused(path, error) from None
    if beginning.lower() != BEGINNING.encode():
        raise UsageError(
            f"--html {path}: there is a file that is no page in HTML; name another one, or remove it"
        )


def write_page(path: Path, text: str) -> bool:
    """Write a page in place of what was there; returns whether something was.

    Raises:
        UsageError: the system refuses it.
    """
    check_place(path)
    target = Path(os.path.realpath(path))  # a link stays
    replaced = os.path.exists(target)
    try:
        mode = target.stat().st_mode if replaced else mode_of_new_files()
        with replacing(target, mode) as file:
            file.write(text.encode())
    except OSError as error:
        raise _refused(path, error) from None
    return replaced


def _refused(path: Path, error: OSError) -> UsageError:
    return UsageError(f"--html {path}: {error.strerror or error}")
