"""DVC's configuration, written in UTF-8."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dvc.repo import Repo


def use_cache(root: Path, folder: Path) -> None:
    """Have a project in a clone, which has no config.local yet, use a folder as its cache."""
    from configobj import ConfigObj

    lines = ConfigObj({"cache": {"dir": str(folder)}}, encoding="utf-8").write()
    (root / ".dvc/config.local").write_bytes(b"".join(line + b"\n" for line in lines))


def write_local_config(repo: "Repo", settings: Mapping[str, Any]) -> None:
    """Write config.local: `Repo.config.edit`, which writes ASCII only, fails on a cache in `/home/jürgen`.

    Args:
        repo: whose; it still has the configuration of before.
        settings: options by section; sections that are not among them stay as they are.

    Raises:
        dvc.config.ConfigError: DVC would not take them.
    """
    from configobj import ConfigObj
    from dvc.config import _pack_named, merge

    file = repo.config.files["local"]
    local = {**repo.config.load_one("local"), **settings}
    saved = repo.config._save_paths(local, file)
    merged = repo.config.load_config_to_level("local")
    merge(merged, saved)
    repo.config.validate(merged)
    lines = ConfigObj(_pack_named(saved), encoding="utf-8").write()
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_bytes(b"".join(line + b"\n" for line in lines))
