"""URLs of SQLite files, for MLflow and Optuna."""

import re
from pathlib import Path
from urllib.parse import quote, unquote

PREFIX = "sqlite:///"
# SQLAlchemy ends the path at `?`, and some decode `%`; Optuna fills in what is in braces.
SPECIAL = re.compile(r"[%?{}]")


def sqlite_url(file: Path, query: str = "") -> str:
    """Return the address of a database.

    Args:
        file: of the database.
        query: options for the driver, as after `?`.
    """
    place = str(file)
    options = [query] if query else []
    if SPECIAL.search(place):
        # Slashes as well: MLflow makes the folders of what looks like a path, and does not decode it.
        place = quote(place, safe="")
        if not _sqlalchemy_decodes():
            # SQLite itself does so.
            place = f"file:{place}"
            options.append("uri=true")
    return f"{PREFIX}{place}?{'&'.join(options)}" if options else PREFIX + place


def sqlite_file(url: str) -> Path | None:
    """Return the file of a database; None where the address is of another one, or of one in memory."""
    if not url.startswith(PREFIX):
        return None
    path, _, query = url.removeprefix(PREFIX).partition("?")
    is_encoded = path.startswith("file:") and "uri=true" in query.split("&")
    if is_encoded or ("%" in path and _sqlalchemy_decodes()):
        path = unquote(path.removeprefix("file:"))
    return Path(path) if path not in ("", ":memory:") else None


def absolute_url(url: str, folder: Path) -> str:
    """Return an address whose file, where it is a relative one, is in `folder`; others stay as they are."""
    file = sqlite_file(url)
    if file is None or file.is_absolute():
        return url
    query = url.partition("?")[2]
    options = [option for option in query.split("&") if option != "uri=true"]
    return sqlite_url(folder / file, "&".join(options))


def _sqlalchemy_decodes() -> bool:
    """Return whether SQLAlchemy decodes a path, as 2.1 does, or takes it as it is, as 2.0 does."""
    from sqlalchemy import make_url

    return make_url(f"{PREFIX}%41").database == "A"
