"""Stage `environment`: record which packages are really installed, compared with the lock.

Writes `environment.json`, a dependency of every other stage: results are rebuilt when the lock, the installed
packages or a setting changes. The file says nothing about this machine, so that machines share results.
"""

import hashlib
import json
import os
import re
import sys
import tomllib
from importlib import import_module, metadata
from pathlib import Path

LOCK = Path("requirements.lock")
PROJECT = Path("pyproject.toml")
RECORD = Path("environment.json")
# Environment variables that can change the last digits of results. Those that are set are recorded.
SETTINGS = (
    *("BLIS_NUM_THREADS", "CUBLAS_WORKSPACE_CONFIG", "GLIBC_TUNABLES", "KMP_DETERMINISTIC_REDUCTION"),
    *("MKL_CBWR", "MKL_DYNAMIC", "MKL_NUM_THREADS", "NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES"),
    *("NUMEXPR_NUM_THREADS", "NVIDIA_TF32_OVERRIDE", "OMP_DYNAMIC", "OMP_NUM_THREADS", "OMP_THREAD_LIMIT"),
    *("OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "PYTHONHASHSEED", "TF_ENABLE_ONEDNN_OPTS", "XLA_FLAGS"),
)


def drift(lock: str) -> dict[str, dict[str, str | None]]:
    """Return packages whose installed version differs from the one locked with `==`; `None` is no version."""
    from packaging.markers import Marker
    from packaging.utils import canonicalize_name

    pins = re.findall(r"^([\w.-]+)\S*==(\S+)(?: ; ([^\\\n]+))?", lock, re.MULTILINE)
    locked = {name: version for name, version, marker in pins if not marker or Marker(marker).evaluate()}
    # For `uv add` without `make lock`. Proofs lack pyproject.toml, because this stage does not declare it.
    asked = tomllib.loads(PROJECT.read_text())["project"]["dependencies"] if PROJECT.exists() else []
    names = {canonicalize_name(re.split(r"[^\w.-]", text)[0]) for text in asked}
    found = {}
    for name in [*locked, *names.difference(re.findall(r"^[\w.-]+", lock, re.MULTILINE))]:
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            installed = None
        if installed != locked.get(name):
            found[name] = {"locked": locked.get(name), "installed": installed}
    return found


def variables() -> dict[str, str]:
    """Return the settings from outside. Those that the package sets itself are the same everywhere."""
    outside = {name: os.environ.pop(name) for name in SETTINGS if name in os.environ}
    import_module("{{ cookiecutter.package_name }}")
    return {name: value for name, value in outside.items() if name not in os.environ}


def main() -> None:
    lock = LOCK.read_bytes().replace(b"\r\n", b"\n")
    try:
        differences = drift(lock.decode())
    except ModuleNotFoundError:
        why = f"{sys.executable} lacks the project's packages: `make setup`, then `source .venv/bin/activate`"
        raise SystemExit(why) from None
    record = {
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "lock": hashlib.md5(lock, usedforsecurity=False).hexdigest(),
        "drift": differences,
        "variables": variables(),
    }
    try:
        before = json.loads(RECORD.read_text())["variables"]
    except (FileNotFoundError, KeyError, ValueError):
        before = {}  # There is no record yet, or it is one of the template's first release.
    for name in SETTINGS:
        was, now = before.get(name, "not set"), record["variables"].get(name, "not set")
        if was != now:
            print(f"{RECORD}: {name} was {was}, is {now}")
    if differences:
        print(f"Not as in {LOCK}: {', '.join(differences)}; after `uv add`: `make lock`, else `make setup`")
    RECORD.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
