"""Describes an archive to its reader: a page with the commands that rebuild, and the facts of its RO-Crate.

All of it is read from the revision.
"""

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from shlex import join, quote
from typing import Any

from ..repository.bounds import parse_toml
from ..repository.snapshot import Snapshot
from ..results.coordinates import read_record
from ..results.locks import CONDA_LOCK, LOCKS
from ..results.rebuild import CONDA_COMMANDS, hashed_locks, is_locked_by_conda, repro_command
from .crate import Described, describe, is_spdx
from .gathered import Gathered
from .manifest import BUNDLE, CRATE, FILES, MANIFEST, OBJECTS, README, WHEELS, Content, Manifest, size_of
from .plan import LICENCE, ArchivePlan

# The commands name the archive so, whatever its file is called: its bytes do not depend on that.
ARCHIVE = "result.zip"
_PYTHON = re.compile(r"\d+\.\d+")
# The line of a lock that pins this package.
_LOCATABLE = re.compile(r"^locatable\S*==", re.MULTILINE)


@dataclass(frozen=True)
class Instructions:
    """The facts of the page.

    Attributes:
        title: of the page: the project, and the result.
        manifest: of the archive.
        python: version that the result was made with, empty where that is not recorded.
        locks: locks of packages for pip, each with hashes; none where the project has none.
        conda: true where conda-lock.yml locks the packages.
        proves: true where they install locatable, which compares what was rebuilt with the record.
        sources: data that DVC keeps.
        repro: the command of DVC that rebuilds the project.
    """

    title: str
    manifest: Manifest
    python: str
    locks: Sequence[str]
    conda: bool
    proves: bool
    sources: Sequence[str]
    repro: str


def commands(said: Instructions) -> list[str]:
    """Return the commands that rebuild the result on a machine with Git and Python."""
    python = f"python{said.python}" if said.python else "python3"
    venv = f"{python} -m venv .venv && . .venv/bin/activate"
    place = posixpath.join("result/project", said.manifest.project).rstrip("/")
    # From the folder of the project to the one that the archive is unpacked to.
    up = posixpath.relpath("result", place)
    found = [
        f"python3 -m zipfile -e {ARCHIVE} result",
        f"git clone --quiet result/{BUNDLE} result/project && cd {quote(place)}",
    ]
    if said.conda:
        found += CONDA_COMMANDS
    elif said.locks:
        install = ["pip", "install"]
        if said.manifest.wheels_for:
            install += ["--no-index", "--find-links", f"{up}/{WHEELS}"]
        install.append("--require-hashes")
        for lock in said.locks:
            install += ["-r", lock]
        found.append(f"{venv} && {join(install)}")
    else:
        found.append(f"{venv} && pip install dvc")
    if said.proves:
        return [*found, f"locatable reproduce {up}/../{ARCHIVE}"]
    steps = [f"dvc remote add --local archive {up}/{OBJECTS}"]
    if said.sources:
        steps.append(join(["dvc", "pull", "--remote", "archive", *said.sources]))
    steps.append(said.repro)
    return [*found, " && ".join(steps)]


def readme(said: Instructions) -> bytes:
    """Return the content of the member `README.md`."""
    manifest = said.manifest
    needs = f"Git and Python {said.python}" if said.python else "Git and Python"
    if said.conda:
        needs = "Git, Python, DVC and micromamba"
    what = f"commit `{manifest.revision}`"
    if manifest.experiment:
        what = f"the experiment `{manifest.experiment}`, {what}"
    lines = [f"# {said.title}", "", f"All that is needed to rebuild {what}.", "", "## Rebuild", ""]
    lines += [f"You need {needs}. In the folder of this archive, which the commands call `{ARCHIVE}`:", ""]
    lines += ["```console", *commands(said), "```", ""]
    lines += [_outcome(said), ""]
    if manifest.wheels_for:
        lines += [f"No package index is asked. The packages are for {manifest.wheels_for}.", ""]
    lines += ["The commands run code that is in this archive: do so if you trust whoever gave it to you.", ""]
    lines += ["## What is in it", "", "| path | what it is |", "|---|---|", *_table(manifest)]
    return ("\n".join(lines) + "\n").encode()


def _outcome(said: Instructions) -> str:
    """Say what the last command does, and how to read its outcome."""
    if said.proves:
        return (
            "The last one runs every stage again and compares what it writes, by hash, with what is "
            "recorded. It exits with 0 where all is identical."
        )
    sentence = "The last one runs every stage again. `git status` shows nothing where all is identical."
    if not said.locks and not said.conda:
        sentence += " This project locks no packages: what its stages import is for you to install first."
    return sentence


def _table(manifest: Manifest) -> list[str]:
    """Return the rows of the table of members."""
    rows = [
        (BUNDLE, "the Git repository: this commit and all of its history"),
        (f"{OBJECTS}/", "data and results that DVC keeps, as in a DVC remote"),
        (f"{FILES}/", "copies of the pipeline, the locks, params, metrics and plots, to be read without Git"),
        (CRATE, "stages, commands, inputs, outputs and params as an [RO-Crate](https://w3id.org/ro/crate)"),
        (MANIFEST, "the SHA-256 of everything else"),
    ]
    if manifest.wheels_for:
        rows.append((f"{WHEELS}/", "the packages that the locks pin"))
    return [f"| `{path}` | {meaning} |" for path, meaning in rows]


def describing_members(
    snapshot: Snapshot, plan: ArchivePlan, manifest: Manifest, gathered: Gathered
) -> dict[str, Content]:
    """Return the members that describe the result and how to rebuild it, by their path."""
    project = _project_table(gathered)
    name = str(project.get("name", "DVC project"))
    result = manifest.experiment or f"commit {snapshot.rev[:7]}"
    python = _python(snapshot)
    conda = is_locked_by_conda(snapshot)
    locks = [] if conda else hashed_locks(snapshot)
    instructions = Instructions(
        title=f"{name}: {result}",
        manifest=manifest,
        python=python,
        locks=locks,
        conda=conda,
        proves="tools.lock" in locks and bool(_LOCATABLE.search(gathered.text("tools.lock"))),
        sources=[source.path for source in plan.sources],
        repro=_repro_command(snapshot),
    )
    page = readme(instructions)
    # The manifest is left out: it is written last, and lists the crate itself.
    sizes = {README: len(page)}
    for path, content in gathered.members.items():
        sizes[path] = size_of(content)
    copies = [f"{FILES}/{lock}" for lock in (*LOCKS, CONDA_LOCK)]
    described = Described(
        name=f"{name}: {result}",
        description=str(project.get("description", f"A result of {name}, and what it takes to rebuild it.")),
        snapshot=snapshot,
        author=snapshot.author or "unknown",
        licence=_licence(project, gathered),
        python=python,
        workflow=_workflow(gathered),
        locks=[copy for copy in copies if copy in sizes],
        members=gathered.places,
        sizes=sizes,
    )
    return {README: page, CRATE: describe(described)}


def _repro_command(snapshot: Snapshot) -> str:
    """Return the command of DVC that runs all stages; it asks for no data that none of them reads."""
    command = repro_command(snapshot)
    if "--all-pipelines" not in command:
        return command
    pipelines = []
    for folder, pipeline in snapshot.pipelines.items():
        if pipeline.stages:
            pipelines.append(posixpath.join(folder, "dvc.yaml"))
    return join(["dvc", "repro", *pipelines])


def _python(snapshot: Snapshot) -> str:
    """Return the version of Python as in its command, such as 3.11; empty where it is not recorded."""
    recorded = read_record(snapshot.files.get("environment.json")).get("python", "")
    version = _PYTHON.match(recorded)
    return version[0] if version else ""


def _project_table(gathered: Gathered) -> dict[str, Any]:
    """Return `[project]` of pyproject.toml; empty where there is none that can be read."""
    try:
        table = parse_toml(gathered.text("pyproject.toml")).get("project", {})
    except ValueError:
        return {}
    return table if isinstance(table, dict) else {}


def _licence(project: Mapping[str, Any], gathered: Gathered) -> str:
    """Return the SPDX id that the project declares, else the copy of its licence, else a sentence."""
    declared = project.get("license")
    if isinstance(declared, str) and is_spdx(declared):
        return declared
    for path, place in gathered.places.items():
        if LICENCE.fullmatch(path):
            return place
    return "The project states no licence."


def _workflow(gathered: Gathered) -> str:
    """Return the copy of the main dvc.yaml: the one in the root, else the first."""
    found = [place for path, place in gathered.places.items() if posixpath.basename(path) == "dvc.yaml"]
    return min(found, key=lambda place: (place.count("/"), place))
