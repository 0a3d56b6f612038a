"""Stage `environment`: record what is really installed, beside what the lock asks for.

    python -m scripts.environment

Writes `environment.json`, a dependency of every other stage: when the lock changes or the
installation drifts from it, results are rebuilt and the record says why. It never refuses
to go on, and holds nothing of this machine: two machines with the same lock share results.
"""

import hashlib
import json
import re
import sys
from importlib import metadata
from pathlib import Path

LOCK = Path("requirements.lock")
RECORD = Path("environment.json")


def drift(lock: str) -> dict[str, dict[str, str | None]]:
    """Packages whose installed version is not the locked one; `None` where not installed.

    Args:
        lock: text of a pip requirements file, every package pinned with `==`.
    """
    from packaging.requirements import Requirement

    # One requirement per logical line; hashes are pip's business.
    logical = re.sub(r"\\\n", " ", lock)
    pins = [line.split(" --hash=")[0].strip() for line in logical.splitlines() if re.match(r"\w", line)]
    found = {}
    for pin in map(Requirement, pins):
        if pin.marker and not pin.marker.evaluate():
            continue
        locked = str(pin.specifier).removeprefix("==")
        try:
            installed = metadata.version(pin.name)
        except metadata.PackageNotFoundError:
            installed = None
        if installed != locked:
            found[pin.name] = {"locked": locked, "installed": installed}
    return found


def main() -> None:
    try:
        lock = LOCK.read_bytes().replace(b"\r\n", b"\n")
    except FileNotFoundError:
        raise SystemExit(f"{LOCK}: not found; get it back from Git, or make it with `make lock`") from None
    try:
        differences = drift(lock.decode())
    except ModuleNotFoundError:
        raise SystemExit(
            f"{sys.executable} lacks this project's packages: `make setup`, then `source .venv/bin/activate`"
        ) from None
    record = {
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "lock": hashlib.md5(lock, usedforsecurity=False).hexdigest(),
        "drift": differences,
    }
    RECORD.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
