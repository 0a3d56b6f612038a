"""Artifacts as files, for trackers that take them from a folder."""

from collections.abc import Mapping
from pathlib import Path


def write_files(folder: Path, artifacts: Mapping[str, bytes]) -> None:
    """Write artifacts below a folder, by their paths."""
    for path, content in artifacts.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
