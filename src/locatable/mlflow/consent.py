"""What this user has agreed to, remembered outside of repositories: they cannot agree in a user's place."""

import contextlib
from pathlib import Path


def remember(line: str) -> None:
    """Remember a line that `is_known` is asked for; where no file can be written, nothing is remembered."""
    if is_known(line):
        return
    with contextlib.suppress(OSError):
        file = _file()
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as known:
            known.write(f"{line}\n")


def is_known(line: str) -> bool:
    """Return whether this user has agreed to something before."""
    try:
        return line in _file().read_text(encoding="utf-8").splitlines()
    except OSError:
        return False


def _file() -> Path:
    # Imported here: most commands never ask.
    import platformdirs

    return Path(platformdirs.user_config_dir("locatable")) / "known"
