"""Where the user's DVC cache is, and which files it holds.

DVC's own `Config` takes a quarter of a second to import. Settings are read here as it reads them, with the
same parser, from the same files; a unit test compares the two.
"""

import os
import re
from pathlib import Path
from typing import Any

from ..errors import ProjectError
from .dvc_repo import open_repo

# DVC 3 keeps a file at the first of these places below its cache, DVC 2 at the second.
_LAYOUTS = ("files/md5", "")
# The length of an md5. Other tools' hashes can be shorter; the cache does not know them.
_SHORTEST_HASH = 32


def cache_folder(root: Path) -> Path:
    """Return the folder in which DVC keeps objects of a project.

    Args:
        root: the DVC root, an absolute path.

    Raises:
        ProjectError: one of DVC's configuration files is broken.
    """
    folder = root / ".dvc/cache"
    for file in _config_files(root):
        section = _cache_section(file)
        if section.get("local"):
            return _as_dvc_says(root)
        if "dir" in section:
            folder = _resolved(file.parent, str(section["dir"]))
    return folder


def cached_file(cache: Path, md5: str) -> Path | None:
    """Return a file in a cache by its hash, None when the cache does not hold it.

    A repository can bring its own cache: a link in there could lead to any file of the user's.

    Args:
        cache: see `cache_folder`.
        md5: the hash of a file, or of a folder, which ends with `.dir`.
    """
    if len(md5) < _SHORTEST_HASH:
        return None
    for layout in _LAYOUTS:
        place = os.path.join(layout, md5[:2], md5[2:])
        found = os.path.realpath(cache / place)
        if os.path.isfile(found) and found == os.path.join(os.path.realpath(cache), place):
            return Path(found)
    return None


def _config_files(root: Path) -> list[Path]:
    """DVC's configuration files; settings in a later one replace those in an earlier one."""
    # Imported here: most commands never ask for the cache.
    import platformdirs

    system = os.environ.get("DVC_SYSTEM_CONFIG_DIR") or platformdirs.site_config_dir("dvc", "iterative")
    user = os.environ.get("DVC_GLOBAL_CONFIG_DIR") or platformdirs.user_config_dir("dvc", "iterative")
    own = root / ".dvc"
    return [Path(system, "config"), Path(user, "config"), own / "config", own / "config.local"]


def _cache_section(file: Path) -> dict[str, Any]:
    """Return settings of a configuration file that are about the cache, by their names in lower case."""
    # Imported here: most commands never ask for the cache.
    from configobj import ConfigObj, ConfigObjError

    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        settings = ConfigObj(lines).dict()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (ConfigObjError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ProjectError(f"{file}: {reason}") from None
    sections = {name.lower(): section for name, section in settings.items()}
    section = sections.get("cache", {})
    return {name.lower(): value for name, value in section.items()}


def _resolved(folder: Path, named: str) -> Path:
    """Return the path that a setting names, seen from the folder of its file."""
    if re.match(r"\w+://", named):
        return Path(named)
    return Path(os.path.abspath(folder / os.path.expanduser(named)))


def _as_dvc_says(root: Path) -> Path:
    """Return the cache of a project that names a remote as its cache, as projects of DVC's first years do."""
    with open_repo(root) as repo:
        return Path(repo.cache.local_cache_dir)
