"""Figures as stages draw them, and a project whose experiments have them."""

import io
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from tiny_git import commit, git, md5

NAMES = ("one", "two", "three", "near", "nearly")


def curves(seed: int, shift: float = 0.0, format: str = "png") -> bytes:
    """A figure of five curves as a file; `shift` bends one of them slightly."""
    random = np.random.default_rng(seed)
    figure = Figure(figsize=(4, 3))
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    x = np.linspace(0, 1, 60)
    for number in range(5):
        y = np.cumsum(random.normal(size=60))
        axes.plot(x, y + shift * np.sin(9 * x) * (number == 4), label=f"fold {number}")
    axes.legend()
    axes.set_xlabel("step")
    content = io.BytesIO()
    # Without a date: the same figure is the same file.
    dates = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
    figure.savefig(content, format=format, metadata=dates[format])
    return content.getvalue()


@cache
def drawn(name: str, format: str = "png") -> bytes:
    """The figure of one of the five experiments; those of `near` and `nearly` differ in one curve."""
    if name == "nearly":
        return curves(3, shift=1.5, format=format)
    return curves(NAMES.index(name), format=format)


def picture(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, format, **options)
    return content.getvalue()


def scaled(content: bytes, factor: float, method: int = Image.Resampling.BICUBIC) -> Image.Image:
    image = picture(content)
    return image.resize((round(image.width * factor), round(image.height * factor)), method)


def lock(files: Mapping[str, bytes]) -> str:
    """A dvc.lock of a stage that writes these files."""
    entries = "".join(
        f"    - path: {path}\n      hash: md5\n      md5: {md5(content)}\n      size: {len(content)}\n"
        for path, content in files.items()
    )
    return f"schema: '2.0'\nstages:\n  evaluate:\n    cmd: python evaluate.py\n    outs:\n{entries}"


def add_experiment(project: Path, name: str, figures: Mapping[str, bytes]) -> str:
    """Add an experiment whose stage wrote figures that Git keeps; return its commit."""
    head = git(project, "rev-parse", "HEAD")
    rev = commit(project, {**figures, "dvc.lock": lock(figures)}, name)
    git(project, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name}", rev)
    git(project, "reset", "--quiet", "--hard", head)
    return rev


def make_project(folder: Path, figures: Callable[[str], Mapping[str, bytes]]) -> Path:
    """A project with the five experiments; `figures` returns files by path, of the experiment of a name."""
    commit(folder, {".dvc/config": "", ".gitignore": ".dvc/tmp\n"})
    for name in NAMES:
        add_experiment(folder, name, figures(name))
    return folder
