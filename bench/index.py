"""Measure a look-up in many repositories: `python -m bench.index [REPOSITORIES EXPERIMENTS]`.

It creates REPOSITORIES (default: 100) with EXPERIMENTS each (default: 100), in which every experiment has its
own lock, params, metrics and figure. It reads them into an index, and looks for a file, a number and a
reduced copy of a figure. The environment needs the extra `documents`.
"""

import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.figures import drawing, git

PIPELINE = """stages:
  train:
    cmd: python train.py
    deps: [train.py]
    params: [lr]
    metrics: [metrics.json: {cache: false}]
    plots: [loss.png: {cache: false}]
    outs: [model.bin]
"""
# The position of the result that is looked for, as a share of all results.
WANTED = 0.77
SMALLER = (240, 180)


def main() -> None:
    """Measure, and print one line for each result."""
    numbers = [int(word) for word in sys.argv[1:]]
    repositories, experiments = numbers if numbers else (100, 100)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = [make(folder / f"repository-{place}", place, experiments) for place in range(repositories)]
        environment = os.environ | {"LOCATABLE_INDEX": str(folder / "index.sqlite")}
        title = f"{repositories} repositories, {repositories * experiments} experiments"
        for kind in ("first", "again"):
            print(
                f"index of {title}, {kind}: {timed(folder, environment, 'index', 'add', *sources)}",
                flush=True,
            )
        print(f"index of {title}: {(folder / 'index.sqlite').stat().st_size / 1e6:.0f} MB")
        seed = int(repositories * experiments * WANTED)
        copy = drawing(seed).resize(SMALLER)
        copy.save(folder / "smaller.png")
        (folder / "model.bin").write_bytes(model(seed))
        for target in ("model.bin", f"loss {loss(seed)}", "smaller.png"):
            measured = timed(folder, environment, "locate", "--everywhere", target)
            print(f"locate --everywhere {target}, {title}: {measured}", flush=True)


def make(folder: Path, place: int, experiments: int) -> str:
    """Create a repository whose experiments differ from those of all others, and return its path."""
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc/config").touch()
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "train.py").write_text("print()\n")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Begin")
    head = git(folder, "rev-parse", "HEAD").decode().strip()
    seeds = range(place * experiments, (place + 1) * experiments)
    git(folder, "fast-import", "--quiet", content=b"".join(commit(head, seed) for seed in seeds))
    return str(folder)


def commit(head: str, seed: int) -> bytes:
    """Return an experiment in the format of `git fast-import`."""
    figure = io.BytesIO()
    drawing(seed).save(figure, "PNG")
    metrics = json.dumps({"loss": loss(seed)}).encode()
    files = {"metrics.json": metrics, "loss.png": figure.getvalue(), "params.yaml": b"lr: %d\n" % seed}
    outs = {**files, "model.bin": model(seed)}
    del outs["params.yaml"]
    listed = "".join(f"    - {{path: {path}, hash: md5, md5: {md5(made)}}}\n" for path, made in outs.items())
    lock = (
        f"schema: '2.0'\nstages:\n  train:\n    cmd: python train.py\n    deps:\n"
        f"    - {{path: train.py, hash: md5, md5: {md5(b'print()' + bytes([10]))}}}\n"
        f"    params:\n      params.yaml:\n        lr: {seed}\n    outs:\n{listed}"
    )
    ref = f"refs/exps/{head[:2]}/{head[2:]}/exp-{seed}"
    committer = f"committer Ada <ada@example.org> {1_700_000_000 + seed} +0000"
    parts = [f"commit {ref}\n{committer}\ndata 1\nx\nfrom {head}\n".encode()]
    for path, content in {**files, "dvc.lock": lock.encode()}.items():
        parts.append(f"M 100644 inline {path}\ndata {len(content)}\n".encode() + content + b"\n")
    return b"".join(parts)


def model(seed: int) -> bytes:
    """Return the content of a model that DVC tracks."""
    return f"model {seed}".encode()


def loss(seed: int) -> float:
    """Return the metric of an experiment, with enough digits to be unique."""
    return 1 + seed / 1_000_000


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def timed(folder: Path, environment: dict[str, str], *command: str) -> str:
    """Return the seconds and the CPU seconds of a command as text. A look-up has to find its result."""
    before, start = os.times(), time.perf_counter()
    words = ("locatable", *command)
    done = subprocess.run(words, cwd=folder, env=environment, check=True, capture_output=True)
    after, wall = os.times(), time.perf_counter() - start
    assert command[0] == "index" or b"git clone" in done.stdout, done.stdout
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return f"{wall:.2f} s, {used:.2f} s of processor"


if __name__ == "__main__":
    main()
