"""The page that a reader of an archive begins with."""

from collections.abc import Sequence
from dataclasses import dataclass
from shlex import join, quote

from ..results.rebuild import CONDA_COMMANDS
from .format import BUNDLE, CRATE, FILES, MANIFEST, OBJECTS, WHEELS, Manifest

# The commands name the archive so, whatever its file is called: its bytes do not depend on that.
ARCHIVE = "result.zip"


@dataclass(frozen=True)
class Instructions:
    """What the page says.

    Attributes:
        title: what the archive holds.
        manifest: of the archive.
        python: version that the result was made with, empty where that is not recorded.
        locks: locks of packages for pip, each with hashes; none where the project has none.
        conda: whether conda-lock.yml locks the packages.
        proves: whether they install locatable, which compares what was rebuilt with what is recorded.
        sources: data that DVC keeps.
        repro: how DVC rebuilds the project.
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
    """Commands that rebuild the result on a machine with Git and Python."""
    python = f"python{said.python}" if said.python else "python3"
    project = said.manifest.project
    place = f"result/project/{project}" if project else "result/project"
    # From the folder of the project to the one that the archive is unpacked to.
    up = "/".join([".."] * (1 + len(project.split("/") if project else ())))
    found = [
        f"python3 -m zipfile -e {ARCHIVE} result",
        f"git clone --quiet result/{BUNDLE} result/project && cd {quote(place)}",
    ]
    if said.conda:
        found += CONDA_COMMANDS
    elif said.locks:
        source = ["--no-index", "--find-links", f"{up}/{WHEELS}"] if said.manifest.wheels_for else []
        locks = [part for lock in said.locks for part in ("-r", lock)]
        install = join(["pip", "install", *source, "--require-hashes", *locks])
        found.append(_venv(python, install))
    else:
        found.append(_venv(python, "pip install dvc"))
    if said.proves:
        found.append(f"locatable reproduce {up}/../{ARCHIVE}")
    else:
        pull = [join(["dvc", "pull", "--remote", "archive", *said.sources])] if said.sources else []
        remote = f"dvc remote add --local archive {up}/{OBJECTS}"
        found.append(" && ".join([remote, *pull, said.repro]))
    return found


def _venv(python: str, install: str) -> str:
    return f"{python} -m venv .venv && . .venv/bin/activate && {install}"


def readme(said: Instructions) -> bytes:
    """The content of the member `README.md`."""
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
    rows = [
        (BUNDLE, "the Git repository: this commit and all of its history"),
        (f"{OBJECTS}/", "data and results that DVC keeps, as in a DVC remote"),
        (f"{FILES}/", "copies of the pipeline, the locks, params, metrics and plots, to be read without Git"),
        (CRATE, "stages, commands, inputs, outputs and params as an [RO-Crate](https://w3id.org/ro/crate)"),
        (MANIFEST, "the SHA-256 of everything else"),
    ]
    if manifest.wheels_for:
        rows.append((f"{WHEELS}/", "the packages that the locks pin"))
    return [f"| `{path}` | {what} |" for path, what in rows]
