"""Records of what runs, as DVC and the workers of a search write them."""

import json
from pathlib import Path
from typing import Any

BASELINE = "a" * 40
STASH = "b" * 40
PLACES = {
    "workspace": ".dvc/tmp/exps/run/workspace/workspace",
    "tempdir": f".dvc/tmp/exps/standalone/run/{STASH}/{STASH}",
    "dvc-task": f".dvc/tmp/exps/run/{STASH}/{STASH}",
    "search": ".dvc/tmp/search/wide/0",
}


def write(file: Path, content: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def record(root: Path, location: str, pid: int, status: int = 2) -> Path:
    """An experiment in a folder of its own, or the workspace; its `.run` file."""
    folder = root if location == "workspace" else root / "elsewhere"
    place = root / PLACES[location]
    content = {
        "git_url": f"file://{folder}",
        "baseline_rev": BASELINE,
        "location": location,
        "root_dir": str(folder),
        "dvc_dir": ".dvc",
        "name": "forest",
        "wdir": ".",
        "result_hash": "c" * 64 if status in (3, 6) else None,
        "result_ref": None,
        "result_force": False,
        "status": status,
    }
    if location in ("workspace", "dvc-task"):
        write(place.with_suffix(".json"), {"pid": pid, "returncode": None})
    elif location == "tempdir":
        write(folder / ".dvc/tmp/lock", f" {pid}\n")
    else:
        content |= {"pid": pid, "began": 7000}
    return write(place.with_suffix(".run"), content)


def lock(root: Path, pid: int, command: str) -> Path:
    """The lock of a process that writes an output."""
    return write(
        root / ".dvc/tmp/rwlock", {"write": {f"{root}/model": {"pid": pid, "cmd": command}}, "read": {}}
    )
