"""Name what a stage needs and does not declare, or what its outputs should not depend on.

Used by `locatable reproduce`. A stage that fails in its own company, or writes
something else, runs again with everything that it does not declare; if that helps, halving
finds the few inputs that make the difference. Nothing is traced, so this works for any
language and for what libraries read behind the language's back.
"""

import os
import re
import subprocess
import time
from collections.abc import Callable
from importlib import metadata
from itertools import chain
from pathlib import Path

from dvc.dependency import ParamsDependency
from dvc.fs import localfs
from dvc.stage import Stage
from dvc.utils.serialize import LOADERS

from .hermetic import Input, Room
from .record import overlaps

# Every rebuild has its own of these, and no result may depend on them.
PRIVATE = {"HOME", "PATH", "PWD", "OLDPWD", "TMPDIR", "SHLVL", "_", "DVC_ROOT", "DVC_STAGE", "VIRTUAL_ENV"}


def needed(pool: list[Input], text: str, good: Callable[[list[Input]], bool]) -> list[Input] | None:
    """Find a smallest set of inputs with which a stage does as it should.

    Args:
        pool: what the stage could be given beyond its declarations, see `undeclared`.
        text: what it printed, and its code: what is mentioned there is tried first.
        good: runs the stage with some of them and says whether all is well.

    Returns:
        None if not even all of them help; nothing can be left out of what is returned.
    """
    likely = [item for item in pool if _mentioned(item, text)]
    if likely and good(likely):
        return _fewest([], likely, good)
    return _fewest([], pool, good) if pool and good(pool) else None


def _fewest(given: list[Input], pool: list[Input], good: Callable[[list[Input]], bool]) -> list[Input]:
    # QuickXplain (Junker, 2004): some 2 log2(n) runs for each of the few inputs that matter.
    if given and good(given):
        return []
    if len(pool) == 1:
        return pool
    left, right = pool[: len(pool) // 2], pool[len(pool) // 2 :]
    first = _fewest(given + right, left, good)
    return first + _fewest(given + first, right, good)


def undeclared(stage: Stage, room: Room, top: Path, text: str) -> list[Input]:
    """Everything around a stage that it does not declare.

    Args:
        stage: from the clone.
        room: the clone and what is hidden from stages.
        top: Git root of the user's checkout; a file that only lies there counts if `text` mentions it.
        text: see `text_of`.
    """
    declared = [Path(dep.fs_path) for dep in stage.deps if not isinstance(dep, ParamsDependency)]
    declared += [Path(out.fs_path) for out in stage.outs]
    outs = [Path(out.fs_path) for out in stage.repo.index.outs]
    params = {Path(dep.fs_path): dep.params for dep in stage.deps if isinstance(dep, ParamsDependency)}
    known = {Path(stage.repo.root_dir, "params.yaml")}
    for dep in chain.from_iterable(each.deps for each in stage.repo.index.stages):
        if isinstance(dep, ParamsDependency):
            known.add(Path(dep.fs_path))

    files = [room.tree / name for name in _list(room.tree, "--cached")] + outs
    found = [
        Input("file", str(path.relative_to(room.tree)), str(path))
        for path in dict.fromkeys(files)
        if path.exists() and path not in known and not any(path.is_relative_to(folder) for folder in declared)
    ]
    for name in _list(top, "--others", "--directory"):
        path = room.tree / name
        ours = name.startswith(".dvc/") or (top / name / "pyvenv.cfg").exists() or overlaps(path, outs)
        item = Input("file", name.rstrip("/"), str(top / name))
        if not ours and not path.exists() and _mentioned(item, text):
            found.append(item)
    for path in sorted(known):
        keys = params.get(path)
        if path.is_file() and path.suffix != ".py" and keys != []:
            leaves = _leaves(LOADERS[path.suffix.lower()](str(path), fs=localfs))
            covered = tuple(f"{key}." for key in keys or ())
            found += [
                Input("param", leaf, str(path)) for leaf in leaves if not f"{leaf}.".startswith(covered)
            ]
    for name, value in sorted(os.environ.items()):
        if name not in PRIVATE and not name.startswith(("GIT_", "DVC_")) and str(top) not in value:
            found.append(Input("variable", name))
    return found


def _list(folder: Path, *which: str) -> list[str]:
    done = subprocess.run(
        ["git", "ls-files", "-z", *which], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.split("\0")[:-1]


def _leaves(values: object, before: str = "") -> list[str]:
    if not isinstance(values, dict) or not values:
        return [before[:-1]] if before else []
    return list(chain.from_iterable(_leaves(value, f"{before}{key}.") for key, value in values.items()))


def text_of(stage: Stage) -> str:
    """The commands of a stage and the text of all files that it declares (a megabyte of each at most)."""
    paths = [Path(dep.fs_path) for dep in stage.deps if not isinstance(dep, ParamsDependency)]
    files = chain.from_iterable(path.rglob("*") if path.is_dir() else [path] for path in paths)
    parts = [str(stage.cmd)]
    for file in files:
        if file.is_file() and file.stat().st_size < 1_000_000:
            parts.append(file.read_bytes().decode(errors="ignore"))
    return "\n".join(parts)


def _mentioned(item: Input, text: str) -> bool:
    path = Path(item.name)
    if item.kind == "param":
        words = item.name.split(".")
    elif item.kind == "variable":
        words = [item.name]
    else:
        words = [
            path.parent.name if path.stem == "__init__" else path.stem if path.suffix == ".py" else path.name
        ]
    return all(re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) for word in words)


def sentence(stage: Stage, item: Input, tree: Path) -> str:
    """What the user is told about an undeclared input."""
    if item.kind == "variable":
        return f"{stage.addressing} depends on the environment variable {item.name}, which nothing records"
    verb = "imports" if item.name.endswith(".py") else "reads"
    where = f" in {Path(item.source).relative_to(tree)}" if item.kind == "param" else ""
    note = "" if Path(item.source).is_relative_to(tree) else ", nor does Git or DVC hold it"
    pipeline = Path(stage.path).relative_to(tree)
    return f"{stage.addressing} {verb} {item.name}{where}, which {pipeline} does not declare{note}"


def packages(room: Room, text: str) -> str:
    """Packages that the lock has not, or otherwise than here; rather those that `text` imports."""
    site = [str(path) for path in room.programs.parent.glob("lib/python*/site-packages")]
    locked = {each.name.lower(): each.version for each in metadata.distributions(path=site)}
    other = {
        each.name: each.version
        for each in metadata.distributions()
        if locked.get(each.name.lower()) != each.version
    }
    owners = metadata.packages_distributions()
    imported = [
        name for name in owners if re.search(rf"(?:import|from|module named)\s+'?{re.escape(name)}\b", text)
    ]
    named = sorted({owner for name in imported for owner in owners[name] if owner in other})
    return ", ".join(f"{name} {other[name]}" for name in named or sorted(other)[:5])


def unset(stage: Stage, text: str) -> str:
    """A remark on environment variables that a stage asks for by name and that are not set here, if any."""
    asked = re.findall(r"""(?:environ(?:\.get)?|getenv)[\[(]\s*['"](\w+)""", text)
    asked += re.findall(r"\$\{?([A-Z_][A-Z0-9_]{2,})", str(stage.cmd))
    names = sorted(set(asked) - os.environ.keys() - PRIVATE)
    return f"; it asks for {', '.join(names)}, which is not set here" if names else ""


def content(path: str) -> bytes:
    """The bytes of an output; of a folder, of all its files."""
    files = sorted(Path(path).rglob("*")) if Path(path).is_dir() else [Path(path)]
    return b"".join(
        file.read_bytes() for file in files if file.is_file() and file.stat().st_size < 10_000_000
    )


def stamped(written: bytes) -> bool:
    """Whether something that was just written holds the time of its writing, as text."""
    now = time.time()
    marks = [
        time.strftime(form, moment(now))
        for form in ("%Y-%m-%d", "%d %b %Y")
        for moment in (time.gmtime, time.localtime)
    ]
    # Seconds since 1970, in whole or with more digits; the decimals of a number are no evidence.
    numbers = map(int, re.findall(rb"(?<![\d.])\d{10}", written))
    return any(mark.encode() in written for mark in marks) or any(now - 3600 < at <= now for at in numbers)
