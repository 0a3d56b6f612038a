"""What the members of an archive say that describe it: all of it is read from the revision."""

import posixpath
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from shlex import join
from typing import Any

from ..model import flat_params
from ..repository.snapshot import Snapshot
from ..results.coordinates import read_record
from ..results.locks import CONDA_LOCK
from ..results.rebuild import is_locked_by_conda, repro_command
from .crate import Described, describe, is_spdx
from .format import CRATE, FILES, README, Manifest
from .plan import LICENCE, LOCKS, ArchivePlan
from .readme import Instructions, readme
from .write import Content

_PYTHON = re.compile(r"\d+\.\d+")
_LOCATABLE = re.compile(r"^locatable\S*==", re.MULTILINE)


@dataclass(frozen=True)
class Gathered:
    """The members of an archive that hold the result itself.

    Attributes:
        members: content, or a file with it, by path in the archive.
        places: path in the archive by path of a file or folder of the project.
    """

    members: Mapping[str, Content]
    places: Mapping[str, str]

    def text(self, path: str) -> str:
        """Content of a file that Git keeps, empty where the archive has no copy of it."""
        content = self.members.get(f"{FILES}/{path}", b"")
        return content.decode(errors="replace") if isinstance(content, bytes) else ""


def describing_members(
    snapshot: Snapshot, plan: ArchivePlan, manifest: Manifest, gathered: Gathered
) -> dict[str, Content]:
    """The members that say what the result is and how to rebuild it, by their path."""
    project = _project_table(gathered)
    name = str(project.get("name", "DVC project"))
    result = manifest.experiment or f"commit {snapshot.rev[:7]}"
    python = _python(snapshot)
    conda = is_locked_by_conda(snapshot)
    locks = [] if conda else hashed_locks(gathered)
    page = readme(
        Instructions(
            title=f"{name}: {result}",
            manifest=manifest,
            python=python,
            locks=locks,
            conda=conda,
            proves="tools.lock" in locks and bool(_LOCATABLE.search(gathered.text("tools.lock"))),
            sources=[source.path for source in plan.sources],
            repro=_repro_command(snapshot),
        )
    )
    sizes = {path: _size(content) for path, content in gathered.members.items()} | {README: len(page)}
    described = Described(
        name=f"{name}: {result}",
        description=str(project.get("description", f"A result of {name}, and what it takes to rebuild it.")),
        revision=snapshot.rev,
        time=snapshot.time,
        author=snapshot.author or "unknown",
        licence=_licence(project, gathered),
        python=python,
        workflow=_workflow(gathered),
        locks=[f"{FILES}/{lock}" for lock in (*LOCKS, CONDA_LOCK) if f"{FILES}/{lock}" in sizes],
        stages=snapshot.records,
        params={
            address: flat_params(list(stage.params.items())) for address, stage in snapshot.records.items()
        },
        members=gathered.places,
        sizes=sizes,
    )
    return {README: page, CRATE: describe(described)}


def _repro_command(snapshot: Snapshot) -> str:
    """The command of DVC that runs all stages; it asks for no data that none of them reads."""
    command = repro_command(snapshot)
    if "--all-pipelines" not in command:
        return command
    pipelines = [
        posixpath.join(folder, "dvc.yaml") for folder, one in snapshot.pipelines.items() if one.stages
    ]
    return join(["dvc", "repro", *pipelines])


def _python(snapshot: Snapshot) -> str:
    """Version of Python as its command is called, such as 3.11; empty where it is not recorded."""
    recorded = read_record(snapshot.files.get("environment.json")).get("python", "")
    version = _PYTHON.match(recorded)
    return version[0] if version else ""


def hashed_locks(gathered: Gathered) -> list[str]:
    """Names of the locks from which pip can install; none where the project has none with hashes."""
    texts = {lock: gathered.text(lock) for lock in LOCKS if f"{FILES}/{lock}" in gathered.members}
    if LOCKS[0] not in texts or not all("--hash=" in text for text in texts.values()):
        return []
    return list(texts)


def _project_table(gathered: Gathered) -> dict[str, Any]:
    """`[project]` of pyproject.toml; empty where there is none that can be read."""
    try:
        table = tomllib.loads(gathered.text("pyproject.toml")).get("project", {})
    except tomllib.TOMLDecodeError:
        return {}
    return table if isinstance(table, dict) else {}


def _licence(project: Mapping[str, Any], gathered: Gathered) -> str:
    declared = project.get("license")
    if isinstance(declared, str) and is_spdx(declared):
        return declared
    copies = [place for path, place in gathered.places.items() if LICENCE.fullmatch(path)]
    return copies[0] if copies else "The project states no licence."


def _workflow(gathered: Gathered) -> str:
    """The copy of the main dvc.yaml: the one in the root, else the first."""
    found = [place for path, place in gathered.places.items() if posixpath.basename(path) == "dvc.yaml"]
    return min(found, key=lambda place: (place.count("/"), place))


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size
