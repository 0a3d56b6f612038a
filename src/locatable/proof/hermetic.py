"""Run one stage where nothing exists but what it declares.

Used by `locatable reproduce`. The stage gets a folder with its dependencies and a
params file of its declared keys, a home of its own and a short list of environment
variables. Where bubblewrap (`bwrap`) is installed and allowed, the rest of the machine is
read-only, and the user's checkout, home, temporary files and network are out of sight.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dvc.dependency import ParamsDependency
from dvc.fs import localfs
from dvc.stage import Stage
from dvc.utils.serialize import MODIFIERS
from dvc_objects.fs.generic import transfer

# Where Linux says which processors there are: more than a process may use.
ONLINE = Path("/sys/devices/system/cpu/online")


@dataclass(frozen=True, order=True)
class Input:
    """Something that a stage can need.

    `kind` is "file" (or folder), "param" or "variable"; `name` its path from the Git root, its
    dotted key or its name; `source` the file to copy, the params file, or nothing.
    """

    kind: str
    name: str
    source: str = ""


@dataclass(frozen=True)
class Conditions:
    """What a run is like; the defaults are those of every rebuild."""

    variables: Mapping[str, str] = field(default_factory=dict)
    cpus: int | None = None
    umask: int = 0o022
    last_file_first: bool = False
    folder: str | None = None


@dataclass(frozen=True)
class Room:
    """Where stages run: the clone's Git root, a work folder, the environment's programs, what to hide."""

    tree: Path
    work: Path
    programs: Path
    hidden: tuple[Path, ...]
    walls: bool = False


@dataclass(frozen=True)
class Run:
    """What came of it: the folder, the exit code, what the stage printed, and seconds."""

    box: Path
    code: int
    said: str
    seconds: float


def walls(room: Room) -> str:
    """Why bubblewrap cannot be used here, or nothing."""
    if not shutil.which("bwrap"):
        return "bubblewrap is not installed"
    command = [*_enclosed(room, room.work, room.work), room.programs / "python", "-c", ""]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"bubblewrap is not allowed here ({done.stderr.strip()[-120:]})" if done.returncode else ""


def run(stage: Stage, room: Room, extra: Iterable[Input] = (), given: Conditions = Conditions()) -> Run:
    """Run a stage's commands in a new box; its outputs are then under `<box>/tree`.

    Args:
        stage: as loaded by DVC from the clone, every dependency in place there.
        room: where to run.
        extra: what it may see beyond what it declares.
        given: the conditions of this run.
    """
    name = stage.addressing.replace("/", "-").replace(":", "-")
    above = Path(given.folder or room.work)
    above.mkdir(parents=True, exist_ok=True)
    # Another path for every run, and not one that holds the time: it would be taken for the stage's own.
    box = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=above))
    extra = list(extra)
    for folder in ("home", "tmp", "tree"):
        (box / folder).mkdir(parents=True)
    _furnish(stage, room, box / "tree", extra, given.last_file_first)
    place = box / "tree" / Path(stage.wdir).relative_to(room.tree)
    variables = {
        "PATH": os.pathsep.join([str(room.programs), *map(str, _path(room))]),
        "HOME": str(box / "home"),
        "TMPDIR": str(box / "tmp"),
        "LANG": "C.UTF-8",
        "DVC_ROOT": str(box / "tree" / Path(stage.repo.root_dir).relative_to(room.tree)),
        "DVC_STAGE": stage.addressing,
        **{item.name: os.environ[item.name] for item in extra if item.kind == "variable"},
        **given.variables,
    }
    commands = stage.cmd if isinstance(stage.cmd, list) else stage.cmd.splitlines()
    begun, code = time.perf_counter(), 0
    with (box / "said").open("w+b") as said:
        for command in commands:
            # DVC, too, takes the user's shell; that it does is one more thing a result can depend on.
            line = [variables.get("SHELL", "/bin/sh"), "-c", command]
            code = _finish(
                [*(_enclosed(room, box, place, given) if room.walls else []), *line],
                place,
                variables,
                said,
                given,
            )
            if code:
                break
        seconds = time.perf_counter() - begun
        said.seek(max(0, said.tell() - 20_000))
        return Run(box, code, said.read().decode(errors="replace"), seconds)


def _furnish(stage: Stage, room: Room, into: Path, extra: list[Input], last_file_first: bool) -> None:
    wanted: dict[Path, list[str]] = {}
    files: dict[Path, Path] = {}
    for dep in stage.deps:
        path = Path(dep.fs_path)
        if isinstance(dep, ParamsDependency):
            wanted.setdefault(path, []).extend(dep.params or [""])
        elif path.is_dir():
            (into / path.relative_to(room.tree)).mkdir(parents=True, exist_ok=True)
            found = map(Path, dep.dvcignore.find(localfs, str(path)))
            files |= {file.relative_to(room.tree): file for file in found}
        elif path.exists():
            files[path.relative_to(room.tree)] = path
    for item in extra:
        source = Path(item.source)
        if item.kind == "param":
            wanted.setdefault(source, []).append(item.name)
        elif item.kind == "file":
            inside = [file for file in source.rglob("*") if file.is_file()] if source.is_dir() else [source]
            files |= {Path(item.name) / file.relative_to(source): file for file in inside}
    params = {path: keys for path, keys in wanted.items() if path.is_file()}
    files |= {
        path.relative_to(room.tree): path for path in params if path.relative_to(room.tree) not in files
    }
    for name in sorted(files, reverse=last_file_first):
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        transfer(localfs, str(files[name]), localfs, str(into / name), links=["reflink", "copy"])
        shutil.copymode(files[name], into / name)
    declared = {Path(dep.fs_path) for dep in stage.deps if not isinstance(dep, ParamsDependency)}
    for path, keys in params.items():
        # Python params files cannot be cut without changing what they mean: they are given whole.
        if "" not in keys and path not in declared and path.suffix != ".py":
            with MODIFIERS[path.suffix.lower()](str(into / path.relative_to(room.tree))) as values:
                _cut(values, [key.split(".") for key in keys])
    (into / Path(stage.wdir).relative_to(room.tree)).mkdir(parents=True, exist_ok=True)
    for out in stage.outs:
        parent = Path(out.fs_path).parent
        # A checkout has the folder of an output if anything in Git lies in it.
        if parent.is_dir():
            (into / parent.relative_to(room.tree)).mkdir(parents=True, exist_ok=True)


def _cut(values: dict, keys: list[list[str]]) -> None:
    for name in list(values):
        below = [key[1:] for key in keys if key[0] == str(name)]
        if not below:
            del values[name]
        elif isinstance(values[name], dict) and [] not in below:
            _cut(values[name], below)


def _path(room: Room) -> Iterator[Path]:
    # The user's own environment must not serve where the locked one lacks something.
    own = [room.hidden[0], (Path(sys.prefix) / "bin").resolve()]
    for entry in map(Path, os.environ["PATH"].split(os.pathsep)):
        if entry.is_absolute() and not _under(entry, own):
            yield entry


def _under(path: Path, folders: Iterable[Path]) -> bool:
    return any(path.resolve().is_relative_to(folder) for folder in folders)


def _enclosed(room: Room, box: Path, place: Path, given: Conditions = Conditions()) -> list[str]:
    # A virtual environment needs the Python that it was made from.
    python = (room.programs / "python").resolve()
    shown = [room.programs.parent, python.parents[1]]
    for entry in _path(room):
        if _under(entry, room.hidden) and entry.is_dir():
            shown.append(entry.parent if entry.name == "bin" and entry.parent not in room.hidden else entry)
    online = []
    if given.cpus and ONLINE.exists():
        (box / "online").write_text("0\n")
        online = ["--ro-bind", str(box / "online"), str(ONLINE)]
    return [
        *("bwrap", "--ro-bind", "/", "/", "--dev-bind", "/dev", "/dev", "--proc", "/proc"),
        *(part for folder in room.hidden if folder.is_dir() for part in ("--tmpfs", str(folder))),
        *(part for folder in shown for part in ("--ro-bind", str(folder.resolve()), str(folder.resolve()))),
        *("--bind", str(box), str(box), "--chdir", str(place), *online),
        *("--unshare-net", "--unshare-pid", "--die-with-parent", "--new-session", "--"),
    ]


def _finish(command: list, place: Path, variables: Mapping[str, str], said: object, given: Conditions) -> int:
    allowed = os.sched_getaffinity(0) if given.cpus else None
    if allowed:
        os.sched_setaffinity(0, sorted(allowed)[: given.cpus])
    try:
        process = subprocess.Popen(
            command,
            cwd=place,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            umask=given.umask,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        said.write(str(error).encode())
        return 127
    finally:
        if allowed:
            os.sched_setaffinity(0, allowed)
    try:
        return process.wait()
    finally:
        # Whatever the stage left running, and all of it at Ctrl-C.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
