"""Build the wheel of `locatable` that is part of every generated project: `make wheel`.

The same sources always give the same bytes. The hash of the wheel in the locks, and its version in the
project's pyproject.toml, are updated too.
"""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

TEMPLATE = Path(__file__).parents[1]
VENDOR = TEMPLATE / "{{cookiecutter.project_slug}}" / "vendor"
LOCKS = [TEMPLATE / "templates" / "locks" / name for name in ("tools.lock", "extras.lock")]
PROJECT = TEMPLATE / "{{cookiecutter.project_slug}}" / "pyproject.toml"
# A fixed time for all files in the wheel: 2026-01-01.
EPOCH = "1767225600"


def build(folder: Path) -> Path:
    """Build the wheel of the sources beside this file into a folder, and return its path."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        cwd=TEMPLATE,
        env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    (wheel,) = folder.glob("locatable-*.whl")
    return wheel


def pin(lock: Path, wheel: Path) -> None:
    """Make a lock pin `locatable` to this wheel."""
    version = wheel.name.split("-")[1]
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    pinned, count = re.subn(
        r"^locatable(\[[^]]*\])?==\S+ \\\n    --hash=sha256:\w+$",
        rf"locatable\g<1>=={version} \\\n    --hash=sha256:{digest}",
        lock.read_text(),
        flags=re.MULTILINE,
    )
    if count != 1:
        sys.exit(f"{lock}: found {count} pins of locatable instead of one; make lock")
    lock.write_text(pinned)


def main() -> None:
    with TemporaryDirectory() as folder:
        wheel = build(Path(folder))
        VENDOR.mkdir(exist_ok=True)
        for old in VENDOR.glob("*.whl"):
            old.unlink()
        new = VENDOR / wheel.name
        new.write_bytes(wheel.read_bytes())
    for lock in LOCKS:
        pin(lock, new)
    version = new.name.split("-")[1]
    requirement = re.compile(r"(\"locatable\[[^]]*\]==)[^\"]+")
    PROJECT.write_text(requirement.sub(rf"\g<1>{version}", PROJECT.read_text()))
    print(new.relative_to(TEMPLATE))


if __name__ == "__main__":
    main()
