"""Compare the memory of stages on large tables with that of reading them: `python -m bench.tables PROJECT`.

Run it with the project's environment. The tables are synthetic, and the stages run in a temporary copy.
"""

import multiprocessing
import os
import shutil
import sys
import tempfile
from pathlib import Path

from ruamel.yaml import YAML

SHAPES = {"two million rows": (2_000_000, 12), "2,000 columns": (10_000, 2_000)}
STAGES = ("prepare", "train", "evaluate")
READ = "import pandas; pandas.read_csv('data/raw.csv', low_memory=False)"
MIB = 2**20


def main(project: Path) -> None:
    """Measure, and print one line for each table."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name, "project")
        shutil.copytree(project, copy, ignore=shutil.ignore_patterns(".venv", ".git", ".dvc"))
        set_params(copy / "params.yaml")
        package = next(copy.glob("*/prepare.py")).parent.name
        for title, (rows, columns) in SHAPES.items():
            table = copy / "data/raw.csv"
            write_apart(table, rows, columns)
            alone = peak(copy, "-c", READ)
            shares = [f"{stage} {peak(copy, '-m', f'{package}.{stage}') / alone:.2f}" for stage in STAGES]
            size = table.stat().st_size / MIB
            print(f"{title}: a CSV of {size:.0f} MiB, {alone / MIB:.0f} MiB for pandas to read it")
            print(f"  the stages' peaks beside that (at most 2): {', '.join(shares)}")


def set_params(path: Path) -> None:
    """Set the target, and use few epochs, because more of them do not need more memory."""
    yaml = YAML()
    params = yaml.load(path.read_text())
    params["prepare"]["target"] = "kind"
    params["train"]["logistic"]["epochs"] = 2
    yaml.dump(params, path)


def write_apart(path: Path, rows: int, columns: int) -> None:
    """Write a table in a new process, so that its memory does not count for the children of this one."""
    writer = multiprocessing.get_context("spawn").Process(target=write, args=(path, rows, columns))
    writer.start()
    writer.join()
    assert writer.exitcode == 0


def write(path: Path, rows: int, columns: int) -> None:
    """Write a table of numbers with gaps, two columns of words, and two classes that depend on a number."""
    import numpy as np
    import pandas as pd

    random = np.random.default_rng(0)
    numbers = random.normal(size=(rows, columns - 3)).round(4)
    numbers[random.random(numbers.shape) < 0.01] = np.nan
    table = pd.DataFrame(numbers, columns=[f"x{number}" for number in range(columns - 3)])
    table["colour"] = random.choice(["red", "green", "blue", "black"], rows)
    table["town"] = random.choice([f"town {number}" for number in range(50)], rows)
    table["kind"] = np.where(table["x0"].fillna(0) + random.normal(size=rows) > 0, "large", "small")
    table.to_csv(path, index=False)


def peak(folder: Path, *arguments: str) -> int:
    """Return the peak memory in bytes of Python with these arguments, as reported by the system."""
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    os.chdir(folder)
    process = os.posix_spawn(sys.executable, [sys.executable, *arguments], os.environ, file_actions=quiet)
    _, status, usage = os.wait4(process, 0)
    assert os.waitstatus_to_exitcode(status) == 0, arguments
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
