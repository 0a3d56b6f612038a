"""Writes DVC's local configuration (config.local), always in UTF-8."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import joined_lines

if TYPE_CHECKING:
    from dvc.config import Config


def use_cache(root: Path, folder: Path) -> None:
    """Make a folder the DVC cache of a project in a fresh clone, which has no config.local yet."""
    _write(root / ".dvc/config.local", {"cache": {"dir": str(folder)}})


def set_up_clone(*sites: str) -> None:
    """Write the local DVC settings that every clone needs, for the project in the current folder.

    A remote with a relative path is copied to config.local. Otherwise DVC resolves the path against `/` when
    it reads commits that are not checked out. An absolute URL in config.local was set by the user and stays.

    Args:
        sites: candidate folders for DVC's own files (`core.site_cache_dir`), best first. The default is in
            the user's cache, because DVC's default folder is writable by every user of the machine, and DVC
            loads pickles from it.

    Raises:
        SystemExit: DVC rejects the existing settings.
    """
    from dvc.config import Config, ConfigError
    from dvc.config_schema import RelPath
    from dvc.repo import Repo

    try:
        config = Config(".dvc")
    except ConfigError as error:
        raise SystemExit(f"DVC: {joined_lines(error)}") from None
    local = config.load_one("local")
    urls = {}
    for name, committed in config.load_one("repo")["remote"].items():
        remote = local["remote"].setdefault(name, {})
        urls[name] = remote.pop("url", None)
        if urls[name] is not None and not isinstance(urls[name], RelPath):
            remote["url"] = urls[name]
        elif isinstance(committed.get("url"), RelPath):
            remote["url"] = committed["url"]
    # `dvc exp run --temp` fails if the path is not ASCII.
    sites = sites or default_sites()
    local["core"]["site_cache_dir"] = next(filter(str.isascii, sites), sites[0])
    write_local_config(config, local)
    if any(local["remote"][name].get("url") != url for name, url in urls.items()):
        # DVC's index remembers what was pushed to the old URL, and would skip it when pushing to the new one.
        with Repo(".") as repo:
            repo.drop_data_index()


def default_sites() -> tuple[str, ...]:
    """Return candidate folders for DVC's own files: the user's cache, if it is writable, then the project."""
    in_project = Path(".dvc/tmp/site").absolute()
    in_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dvc-site"
    with suppress(OSError):
        in_cache.mkdir(parents=True, exist_ok=True)
        if os.access(in_cache, os.W_OK):
            return (str(in_cache), str(in_project))
    return (str(in_project),)


def write_local_config(config: "Config", settings: Mapping[str, Any]) -> None:
    """Replace sections of config.local and leave its other sections as they are.

    This replaces DVC's `Config.edit`, which writes ASCII only and fails on a cache in `/home/jürgen`.

    Raises:
        dvc.config.ConfigError: DVC rejects the settings.
    """
    from dvc.config import _pack_named, merge

    file = config.files["local"]
    local = {**config.load_one("local"), **settings}
    saved = config._save_paths(local, file)
    merged = config.load_config_to_level("local")
    merge(merged, saved)
    config.validate(merged)
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    _write(Path(file), _pack_named(saved))


def _write(file: Path, settings: Mapping[str, Any]) -> None:
    from configobj import ConfigObj

    lines = ConfigObj(settings, encoding="utf-8").write()
    file.write_bytes(b"".join(line + b"\n" for line in lines))
