"""The corpus on disk: a repository of similar experiments, and documents with the origin of each figure."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import cycle, product
from pathlib import Path

from . import draw

# The strength of the effect in each experiment. The curves of neighbouring experiments are a few pixels
# apart.
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
# The most seconds that a tool may take.
MOST_TIME = 180


class NotBuiltError(Exception):
    """A document could not be built. The message says why."""


@dataclass(frozen=True)
class Plot:
    """A figure of an experiment.

    Attributes:
        rev: the commit of the experiment.
        kind: its name in `draw.KINDS`, and of its files in the folder `figures`.
        strength: the param with which it was drawn.
    """

    rev: str
    kind: str
    strength: float

    @property
    def stem(self) -> str:
        """The path of the figure in its commit, without the extension."""
        return f"figures/{self.kind}"


@dataclass(frozen=True)
class Placement:
    """A figure in a document.

    Attributes:
        way: how the figure got there.
        place: a regular expression for the place and name of the answers about it. It is empty if any answer
            of the document may be about it.
        rev: the commit of the experiment that made the figure; empty if no experiment made it.
        stem: the path of the figure in that commit, without the extension.
    """

    way: str
    place: str
    rev: str
    stem: str


@dataclass(frozen=True)
class Document:
    """A document and the figures in it. Its path is relative to the folder of the corpus."""

    path: str
    placements: tuple[Placement, ...]


def placed(way: str, place: str, plot: Plot | None) -> Placement:
    """Return a placement of a plot, or of a figure that no experiment made."""
    return Placement(way, place, plot.rev if plot else "", plot.stem if plot else "")


def file_name(way: str) -> str:
    """Return a file name for a way."""
    return re.sub(r"\W+", "-", way).strip("-").lower()


def run(command: str, folder: Path) -> None:
    """Run a shell command in a folder.

    Raises:
        NotBuiltError: the command failed, or one of its programs is not installed.
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
    """The repository of the experiments, which is created on first use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            self._make()
        revs = self._git("log", "--reverse", "--format=%H", "--", "dvc.lock").split()
        experiments = zip(revs, STRENGTHS, strict=True)
        plots = [Plot(rev, kind, strength) for (rev, strength), kind in product(experiments, draw.KINDS)]
        # Seven is coprime to the number of plots. So all are used, but neighbours differ in kind and
        # strength.
        self.plots = [plots[number * 7 % len(plots)] for number in range(len(plots))]

    def copy(self, plot: Plot, target: Path) -> None:
        """Copy a plot from its experiment, in the format of the target's extension."""
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
        # The stage's command `python` has to be this interpreter.
        path = os.pathsep.join([os.fspath(Path(sys.executable).parent), os.environ["PATH"]])
        command = [sys.executable, "-m", "dvc", *arguments]
        subprocess.run(command, cwd=self.folder, check=True, env=os.environ | {"PATH": path})


class Row:
    """A row of the corpus while it is built: its folder, its documents, and the problems of missing ones."""

    def __init__(self, repository: Repository, folder: Path) -> None:
        self.repository = repository
        self.folder = folder
        self.documents: list[Document] = []
        self.not_built: list[str] = []
        self._plots = cycle(repository.plots)
        folder.mkdir(parents=True, exist_ok=True)

    def take(self, path: Path) -> Plot:
        """Copy the next plot to a path in the row, in the format of its extension, and return the plot."""
        plot = next(self._plots)
        self.repository.copy(plot, self.folder / path)
        return plot

    def add(self, path: Path, *placements: Placement) -> None:
        """Add a document that was built."""
        self.documents.append(Document(os.fspath(path.relative_to(self.folder.parent)), placements))

    def add_list(self, name: str, files: list[tuple[Path, Placement]]) -> None:
        """Write a Markdown document with one figure on each line, and add it."""
        path = self.folder / f"{file_name(name)}.md"
        path.write_text("\n".join(f"![]({file.relative_to(self.folder)})" for file, _ in files))
        self.add(path, *(placement for _, placement in files))

    def add_changed(self, way: str, number: int, change: Callable[[Path], None]) -> None:
        """Add a list of pictures, each changed by a function that makes `out` from `in.png` in a folder."""
        files = []
        for index in range(number):
            folder = Path(file_name(way), str(index))
            plot = self.take(folder / "in.png")
            try:
                change(self.folder / folder)
            except (NotBuiltError, OSError, KeyError) as error:
                self.not_built.append(f"{way}: {error}")
                return
            made = next((self.folder / folder).glob("out.*"))
            files.append((made, placed(way, rf"\b{folder}/out\b", plot)))
        self.add_list(way, files)

    def save(self) -> None:
        """Write the documents and problems to truth.json, which marks the row as complete."""
        documents = [asdict(document) for document in self.documents]
        text = json.dumps({"documents": documents, "not_built": self.not_built}, indent=1)
        (self.folder / "truth.json").write_text(text)


def read_truth(folder: Path) -> tuple[list[Document], list[str]]:
    """Return the documents of a row, and the problems of documents that could not be built."""
    truth = json.loads((folder / "truth.json").read_text())
    documents = []
    for document in truth["documents"]:
        placements = tuple(Placement(**fields) for fields in document["placements"])
        documents.append(Document(document["path"], placements))
    return documents, truth["not_built"]
