"""Compare the packages that conda and pip installed with those that conda-lock.yml pins."""

import json
import re
import sys
from importlib import metadata
from pathlib import Path


def drift(lock: str) -> dict[str, dict[str, str | None]]:
    """Return the packages whose installed version is not the locked one; `None` for a missing package.

    Args:
        lock: the text of conda-lock.yml.
    """
    from ruamel.yaml import YAML

    records = [json.loads(path.read_text()) for path in Path(sys.prefix).glob("conda-meta/*-*.json")]
    if not records:
        raise ModuleNotFoundError("this Python is not one of conda's")
    platforms = {record["subdir"] for record in records}
    by_pip = {re.sub(r"[-_.]+", "-", one.name).lower(): one.version for one in metadata.distributions()}
    by_conda = {record["name"]: record["version"] for record in records}
    found = {}
    for package in YAML(typ="safe").load(lock)["package"]:
        if package["platform"] not in platforms or package.get("category", "main") != "main":
            continue
        name, locked = package["name"], str(package["version"])
        version = (by_pip if package["manager"] == "pip" else by_conda).get(name)
        if version != locked:
            found[name] = {"locked": locked, "installed": version}
    return found
