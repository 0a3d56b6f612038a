"""URLs of SQLite files, for MLflow and Optuna."""

import re
from pathlib import Path
from urllib.parse import quote, unquote

PREFIX = "sqlite:///"
# Characters that must be quoted: SQLAlchemy ends the path at `?` and some versions decode `%`, and Optuna
# treats braces as a template.
SPECIAL = re.compile(r"[%?{}]")


def sqlite_url(file: Path, query: str = "") -> str:
    """Return the SQLAlchemy URL of a SQLite file.

    Args:
        file: the database file.
        query: options for the driver, in the form they have after `?`.
    """
    path = str(file)
    options = [query] if query else []
    if SPECIAL.search(path):
        # Quote the slashes too: MLflow creates the folders of anything that looks like a path, undecoded.
        path = quote(path, safe="")
        if not _sqlalchemy_decodes():
            # SQLite itself decodes a path that is given as a `file:` URI.
            path = f"file:{path}"
            options.append("uri=true")
    suffix = f"?{'&'.join(options)}" if options else ""
    return PREFIX + path + suffix


def sqlite_file(url: str) -> Path | None:
    """Return the database file that a SQLite URL names; None for other URLs and in-memory databases."""
    if not url.startswith(PREFIX):
        return None
    path, _, query = url.removeprefix(PREFIX).partition("?")
    is_encoded = path.startswith("file:") and "uri=true" in query.split("&")
    if is_encoded or ("%" in path and _sqlalchemy_decodes()):
        path = unquote(path.removeprefix("file:"))
    return Path(path) if path not in ("", ":memory:") else None


def absolute_url(url: str, folder: Path) -> str:
    """Resolve the relative file path of a SQLite URL against `folder`; return any other URL unchanged."""
    file = sqlite_file(url)
    if file is None or file.is_absolute():
        return url
    query = url.partition("?")[2]
    options = [option for option in query.split("&") if option != "uri=true"]
    return sqlite_url(folder / file, "&".join(options))


def _sqlalchemy_decodes() -> bool:
    """Return whether SQLAlchemy decodes percent-encoded paths: 2.1 does, 2.0 does not."""
    from sqlalchemy import make_url

    return make_url(f"{PREFIX}%41").database == "A"
