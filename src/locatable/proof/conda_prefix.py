"""An environment that conda, mamba or micromamba made: its packages, and what is set where it is active."""

import hashlib
import json
import os
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

# One JSON file for each package.
RECORDS = "conda-meta/*.json"
# What packages have shells run when the environment becomes the active one.
ACTIVATION = "etc/conda/activate.d/*.sh"
# What a shell sets of its own accord.
OF_SHELLS = ("PWD", "OLDPWD", "SHLVL", "_", "PATH")


def conda_packages(folder: Path) -> dict[str, str]:
    """Version by name of each package; none where no conda installed anything."""
    return {str(record["name"]): str(record["version"]) for record in _records(folder)}


def altered_file(folder: Path) -> tuple[str, str] | None:
    """Return a file of Python code that is not as its package was released, and the package.

    None where all are.

    Args:
        folder: the environment.
    """
    # Several packages can bring the same file; the last one that was installed has its way.
    released: dict[str, set[str]] = defaultdict(set)
    owners: dict[str, str] = {}
    for record in _records(folder):
        for entry in record.get("paths_data", {}).get("paths", ()):
            expected = entry.get("sha256_in_prefix") or entry.get("sha256")
            if expected and entry["_path"].endswith(".py"):
                released[entry["_path"]].add(expected)
                owners[entry["_path"]] = record["name"]
    for path, expected in released.items():
        file = folder / path
        if file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() not in expected:
            return path, owners[path]
    return None


def active_variables(folder: Path, isolation: Sequence[str] = ()) -> dict[str, str]:
    """Return what is set where an environment of conda is active; nothing where conda did not make it.

    Args:
        folder: the environment. Scripts of its packages are run, as `conda activate` does.
        isolation: what to put before a command to isolate it.
    """
    if not (folder / "conda-meta").is_dir():
        return {}
    before = {"CONDA_PREFIX": str(folder), "PATH": f"{folder}/bin:/usr/bin:/bin"}
    lines = [f". {quote(str(script))} >&2" for script in sorted(folder.glob(ACTIVATION))]
    lines.append("env -0")
    shell = shutil.which("bash") or "/bin/sh"
    done = subprocess.run(
        [*isolation, shell, "-c", "\n".join(lines)], env=before, cwd=folder, capture_output=True, check=False
    )
    pairs = [line.partition("=") for line in os.fsdecode(done.stdout).split("\0") if line]
    found = {name: value for name, _, value in pairs if name not in OF_SHELLS}
    return {"CONDA_PREFIX": str(folder), **found}


def _records(folder: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(folder.glob(RECORDS)):
        try:
            record = json.loads(file.read_bytes())
        except ValueError:
            continue  # of an interrupted installation
        # A file of conda's own, `state`, is beside them.
        if isinstance(record, dict) and "name" in record and "version" in record:
            yield record
