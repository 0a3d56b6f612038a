"""Measure how long it takes to find the figures of a paper: `python -m bench.figures [NUMBER]`.

It creates a repository with NUMBER experiments (default: 1,000) of four different figures each, and a PDF
with twelve of these figures, reduced in size and compressed. The environment needs the extra `documents`.
"""

import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

FIGURES = 4
SIZE = (640, 480)
# The number of experiments with a figure in the paper.
IN_PAPER = 12
# The number of experiments that are imported at once; all of them would not fit into memory.
TOGETHER = 100
IDENTITY = {
    f"GIT_{who}_{what}": "ada@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
}


def main() -> None:
    """Measure, and print one line for each result."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    with tempfile.TemporaryDirectory() as name:
        project = Path(name) / "project"
        (project / ".dvc").mkdir(parents=True)
        (project / ".dvc/config").touch()
        git(project, "init", "--quiet")
        git(project, "add", "--all")
        git(project, "commit", "--quiet", "--message", "Begin")
        head = git(project, "rev-parse", "HEAD").decode().strip()
        for start in range(0, number, TOGETHER):
            commits = [commit(head, index) for index in range(start, min(number, start + TOGETHER))]
            git(project, "fast-import", "--quiet", content=b"".join(commits))
        paper = write_paper(Path(name) / "paper.pdf", number)
        for kind in ("first", "again"):
            wall, processor = timed(project, paper)
            title = f"figures of a paper, {number} experiments, {kind}"
            print(f"{title}: {wall:.1f} s, {processor:.1f} s of processor")


def drawing(seed: int) -> Image.Image:
    """Return a picture of curves that differ for each seed."""
    image = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((60, 20, 620, 440), outline="black")
    random = np.random.default_rng(seed)
    for colour in ("blue", "orange", "green", "red"):
        heights = 230 + np.cumsum(random.normal(scale=15, size=56))
        draw.line([(60 + 10 * x, float(y)) for x, y in enumerate(heights)], fill=colour, width=2)
    return image


def commit(head: str, index: int) -> bytes:
    """Return an experiment in the format of `git fast-import`."""
    ref = f"refs/exps/{head[:2]}/{head[2:]}/exp-{index}"
    committer = f"committer Ada <ada@example.org> {1_700_000_000 + index} +0000"
    parts = [f"commit {ref}\n{committer}\ndata 1\nx\nfrom {head}\n".encode()]
    for number in range(FIGURES):
        content = io.BytesIO()
        drawing(index * FIGURES + number).save(content, "PNG")
        file = content.getvalue()
        parts.append(f"M 100644 inline figures/{number}.png\ndata {len(file)}\n".encode() + file + b"\n")
    return b"".join(parts)


def write_paper(path: Path, number: int) -> Path:
    """Write a PDF with figures of experiments from the whole range."""
    chosen = [number * part // IN_PAPER * FIGURES for part in range(IN_PAPER)]
    first, *others = [drawing(seed).resize((512, 384)) for seed in chosen]
    first.save(path, save_all=True, append_images=others, quality=85)
    return path


def timed(project: Path, paper: Path) -> tuple[float, float]:
    """Return the seconds and CPU seconds of `locatable locate`, which fails unless it finds all figures."""
    before, start = os.times(), time.perf_counter()
    subprocess.run(("locatable", "locate", str(paper)), cwd=project, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - start, used


def git(project: Path, *command: str, content: bytes = b"") -> bytes:
    """Return what a Git command prints."""
    done = subprocess.run(
        ("git", *command),
        cwd=project,
        env=os.environ | IDENTITY,
        input=content,
        capture_output=True,
        check=True,
    )
    return done.stdout


if __name__ == "__main__":
    main()
