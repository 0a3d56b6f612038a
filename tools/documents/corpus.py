"""The corpus on disk: a repository of nearly alike experiments, and documents with the truth about them."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import cycle, product
from pathlib import Path

from . import draw

# How strong the effect is in each experiment: curves of neighbours are some pixels apart.
STRENGTHS = tuple(1 + number / 10 for number in range(12))
SEED = 1
STAGE = """\
stages:
  evaluate:
    cmd: python draw.py params.json
    deps: [draw.py]
    params: [params.json: [seed, strength]]
    outs: [figures]
"""
CHROMIUM = "chromium --headless --no-sandbox --disable-gpu --user-data-dir=profile --no-pdf-header-footer"
FOLDER = Path("build/documents")
# Seconds for a tool.
MOST_TIME = 180


class NotBuiltError(Exception):
    """A document could not be made; the message says why."""


@dataclass(frozen=True)
class Plot:
    """A figure that an experiment made: its commit, its name in `figures`, and with which params."""

    rev: str
    kind: str
    strength: float

    @property
    def stem(self) -> str:
        """Path without its format, as a result has it."""
        return f"figures/{self.kind}"


@dataclass(frozen=True)
class Placement:
    """A figure in a document.

    Attributes:
        way: how it got there.
        place: regular expression for the place and name by which the answers about it are known; empty where
            any answer can be about it.
        rev: commit that made it; empty where no experiment made it.
        stem: path of the figure in that commit, without its format.
    """

    way: str
    place: str
    rev: str
    stem: str


@dataclass(frozen=True)
class Document:
    """A document and what is in it; its path begins in the corpus."""

    path: str
    placements: tuple[Placement, ...]


def placed(way: str, place: str, plot: Plot | None) -> Placement:
    """Return a placement of a plot, or of a figure that no experiment made."""
    return Placement(way, place, plot.rev if plot else "", plot.stem if plot else "")


def file_name(way: str) -> str:
    """Return a name for files of a way."""
    return re.sub(r"\W+", "-", way).strip("-").lower()


def run(command: str, folder: Path) -> None:
    """Run a line of sh.

    Raises:
        NotBuiltError: it failed, or a program in it is not there.
    """
    home = FOLDER.resolve() / "home"
    home.mkdir(exist_ok=True)
    environment = os.environ | {"HOME": os.fspath(home), "SOURCE_DATE_EPOCH": "0"}
    shell = ["sh", "-e", "-c", command]
    try:
        done = subprocess.run(
            shell, cwd=folder, env=environment, capture_output=True, text=True, timeout=MOST_TIME
        )
    except subprocess.TimeoutExpired:
        raise NotBuiltError(f"not done after {MOST_TIME} s") from None
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines() or [f"exit code {done.returncode}"]
        raise NotBuiltError(lines[-1][:150])


class Repository:
    """The experiments' repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            self._make()
        revs = self._git("log", "--reverse", "--format=%H", "--", "dvc.lock").split()
        experiments = zip(revs, STRENGTHS, strict=True)
        plots = [Plot(rev, kind, strength) for (rev, strength), kind in product(experiments, draw.KINDS)]
        # Neither neighbours in time nor one kind after the other.
        self.plots = [plots[number * 7 % len(plots)] for number in range(len(plots))]

    def copy(self, plot: Plot, target: Path) -> None:
        """Write a plot as its experiment has it, in the format that the target's name has."""
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.folder.parent / "figures" / plot.rev / f"{plot.kind}{target.suffix}", target)

    def _make(self) -> None:
        self.folder.mkdir(parents=True)
        for arguments in (["init", "--quiet"], ["config", "user.name", "A"], ["config", "user.email", "a@b"]):
            self._git(*arguments)
        shutil.copy(draw.__file__, self.folder / "draw.py")
        (self.folder / "dvc.yaml").write_text(STAGE)
        self._dvc("init", "--quiet")
        for strength in STRENGTHS:
            (self.folder / "params.json").write_text(json.dumps({"seed": SEED, "strength": strength}))
            self._dvc("repro", "--quiet")
            self._git("add", "--all")
            self._git("commit", "--quiet", "--message", f"Strength {strength:.1f}")
            rev = self._git("rev-parse", "HEAD").strip()
            shutil.copytree(self.folder / "figures", self.folder.parent / "figures" / rev, dirs_exist_ok=True)
        (self.folder / ".git/info/exclude").write_text("complete\n")
        (self.folder / "complete").touch()

    def _git(self, *arguments: str) -> str:
        command = ["git", "-c", "core.hooksPath=", *arguments]
        return subprocess.run(command, cwd=self.folder, check=True, capture_output=True, text=True).stdout

    def _dvc(self, *arguments: str) -> None:
        # `python` of the stage is this one.
        path = os.pathsep.join([os.fspath(Path(sys.executable).parent), os.environ["PATH"]])
        command = [sys.executable, "-m", "dvc", *arguments]
        subprocess.run(command, cwd=self.folder, check=True, env=os.environ | {"PATH": path})


class Row:
    """A row of the corpus, while it is built: its folder, its documents, and what could not be made."""

    def __init__(self, repository: Repository, folder: Path) -> None:
        self.repository = repository
        self.folder = folder
        self.documents: list[Document] = []
        self.not_built: list[str] = []
        self._plots = cycle(repository.plots)
        folder.mkdir(parents=True, exist_ok=True)

    def take(self, path: Path) -> Plot:
        """Write the next plot to a path of the row, in the format that its name has; all have their turn."""
        plot = next(self._plots)
        self.repository.copy(plot, self.folder / path)
        return plot

    def add(self, path: Path, *placements: Placement) -> None:
        """Note a document that was made."""
        self.documents.append(Document(os.fspath(path.relative_to(self.folder.parent)), placements))

    def add_list(self, name: str, files: list[tuple[Path, Placement]]) -> None:
        """Write a document that shows figures, a line for each, and note it."""
        path = self.folder / f"{file_name(name)}.md"
        path.write_text("\n".join(f"![]({file.relative_to(self.folder)})" for file, _ in files))
        self.add(path, *(placement for _, placement in files))

    def save(self) -> None:
        """Write down what was made; the row is complete then."""
        documents = [asdict(document) for document in self.documents]
        text = json.dumps({"documents": documents, "not_built": self.not_built}, indent=1)
        (self.folder / "truth.json").write_text(text)


def read_truth(folder: Path) -> tuple[list[Document], list[str]]:
    """Return the documents of a row, and what could not be made."""
    truth = json.loads((folder / "truth.json").read_text())
    return list(_documents(truth["documents"])), truth["not_built"]


def _documents(documents: list[dict[str, object]]) -> Iterator[Document]:
    for document in documents:
        placements = tuple(Placement(**one) for one in document["placements"])  # type: ignore[attr-defined]
        yield Document(str(document["path"]), placements)
