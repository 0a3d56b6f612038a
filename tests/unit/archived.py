"""A small DVC project whose results are committed, to be archived."""

import contextlib
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import tiny_dvc
from tiny_git import git

PIPELINE = """
stages:
  copy:
    cmd: cp data/raw.txt copy.txt
    deps: [data/raw.txt]
    params: [copy.by]
    outs: [copy.txt]
  split:
    cmd: mkdir parts && split -l 1 copy.txt parts/
    deps: [copy.txt]
    outs: [parts]
  count:
    cmd: wc -l < copy.txt > count.txt
    deps: [copy.txt]
    outs:
      - count.txt: {cache: false}
"""
RAW = "one\ntwo\n"


def make(root: Path) -> Path:
    """Make the project, and return its folder."""
    pyproject = '[project]\nname = "counter"\ndescription = "Counts."\nlicense = "MIT"\n'
    files = {"data/raw.txt": RAW, "dvc.yaml": PIPELINE, "params.yaml": "copy: {by: 1}\n"}
    tiny_dvc.with_results(root, {**files, "pyproject.toml": pyproject}, "data/raw.txt")
    return root


def clone(root: Path, folder: Path) -> Path:
    """A colleague's clone with the data, packed in another way."""
    git(root, "clone", "--quiet", str(root), str(folder))
    git(folder, "gc", "--quiet", "--aggressive")
    shutil.copytree(root / ".dvc/cache", folder / ".dvc/cache")
    return folder


@dataclass
class Silent:
    """A user who is asked nothing, or answers so.

    Attributes:
        answer: to each question.
        asked: sizes that were asked for.
        said: lines that were shown.
    """

    answer: bool = False
    asked: list[int] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        """Keep a line."""
        self.said.append(line)

    def agrees_to(self, size: int) -> bool:
        """Answer."""
        self.asked.append(size)
        return self.answer

    def progress(self, size: int) -> AbstractContextManager:
        """No bar."""
        return no_bar(size)


@contextlib.contextmanager
def no_bar(size: int) -> Iterator:
    """What shows no progress."""
    yield lambda number: None
