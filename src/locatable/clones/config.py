"""DVC's configuration, written in UTF-8."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import joined_lines

if TYPE_CHECKING:
    from dvc.config import Config


def use_cache(root: Path, folder: Path) -> None:
    """Have a project in a clone, which has no config.local yet, use a folder as its cache."""
    _write(root / ".dvc/config.local", {"cache": {"dir": str(folder)}})


def set_up_clone(*sites: str) -> None:
    """Write the settings that each clone has of its own, for the project in the current folder.

    For commits that are not checked out, DVC looks for a relative folder in `/`, unless config.local names
    it, too. An absolute address in config.local is the user's own, and stays.

    Args:
        sites: folders that DVC may use for its own files, best first. By default in the cache of the user:
            DVC's own default is a folder that every user of the machine can write to, and it loads pickles
            from it.

    Raises:
        SystemExit: DVC refuses the settings that are there.
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
    # With another name than an ASCII one, `dvc exp run --temp` fails.
    sites = sites or default_sites()
    local["core"]["site_cache_dir"] = next(filter(str.isascii, sites), sites[0])
    write_local_config(config, local)
    if any(local["remote"][name].get("url") != url for name, url in urls.items()):
        # It would have DVC leave out what an earlier push was to bring elsewhere.
        with Repo(".") as repo:
            repo.drop_data_index()


def default_sites() -> tuple[str, ...]:
    """Return folders for DVC's own files: in the user's cache if that can be written, and in the project."""
    own = Path(".dvc/tmp/site").absolute()
    shared = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dvc-site"
    try:
        shared.mkdir(parents=True, exist_ok=True)
    except OSError:
        return (str(own),)
    return (str(shared), str(own)) if os.access(shared, os.W_OK) else (str(own),)


def write_local_config(config: "Config", settings: Mapping[str, Any]) -> None:
    """Write sections of config.local; others stay as they are.

    `Config.edit`, which writes ASCII only, fails on a cache in `/home/jürgen`.

    Raises:
        dvc.config.ConfigError: DVC would not take them.
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
