"""Addresses of SQLite files, as SQLAlchemy takes them, and with it MLflow and Optuna."""

import re
from pathlib import Path
from urllib.parse import quote, unquote

PREFIX = "sqlite:///"
# SQLAlchemy takes `?` for the end of the path, and Optuna fills in what is in braces.
SPECIAL = re.compile(r"[?{}]")


def sqlite_url(file: Path, query: str = "") -> str:
    """The address of a database.

    Args:
        file: of the database.
        query: options for the driver, as after `?`.
    """
    place = str(file)
    if SPECIAL.search(place):
        # SQLite's own form of an address, which can write any character as its number; slashes as well,
        # since MLflow makes the folders of what it takes for a path.
        place = f"file:{quote(place, safe='')}"
        query = f"{query}&uri=true" if query else "uri=true"
    return f"{PREFIX}{place}?{query}" if query else PREFIX + place


def sqlite_file(url: str) -> Path | None:
    """The file of a database; None where the address is of something else, or of a database in memory."""
    if not url.startswith(PREFIX):
        return None
    path, _, query = url.removeprefix(PREFIX).partition("?")
    if "uri=true" in query.split("&") and path.startswith("file:"):
        path = unquote(path.removeprefix("file:"))
    return Path(path) if path not in ("", ":memory:") else None


def absolute_url(url: str, folder: Path) -> str:
    """An address whose file, where it is a relative one, is in `folder`; others stay as they are."""
    file = sqlite_file(url)
    if file is None or file.is_absolute():
        return url
    path, _, query = url.removeprefix(PREFIX).partition("?")
    if path.startswith("file:"):
        options = [option for option in query.split("&") if option != "uri=true"]
        query = "&".join(options)
    return sqlite_url(folder / file, query)
