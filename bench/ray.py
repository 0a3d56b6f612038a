"""Compare a search on a Ray cluster with one by local workers: `python -m bench.ray PROJECT`.

PROJECT is a generated project whose environment, with `EXTRAS=ray`, is active. All files are in a temporary
folder. The nodes get everything from a Git and a DVC remote, which are folders here.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.search import RANDOM, TRIALS, a_trial, between

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/projects"))
from searching import commit, make, run

RAY = ("--ray", "local")


def main() -> None:
    """Search in the small repository of the tests, locally and through Ray, and print the results."""
    project = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as temporary:
        env = {**os.environ, "RUNS": os.devnull}
        repo = _shared(Path(temporary) / "overhead", project, env)
        here = a_trial(repo, env, "here", TRIALS)
        there = a_trial(repo, env, "there", TRIALS, *RAY, "--workers", "1")
        print(f"a trial through Ray               {there - here:.2f} s more (at most 0.3)")

        burning = _shared(Path(temporary) / "workers", project, env, burn=2.0)
        alone, together = (
            between(burning, env, "one", 1, *RAY),
            between(burning, env, "two", 2, *RAY),
        )
        print(f"two Ray workers, CPU-bound stages {alone / together:.2f} times as fast (at least 1.7)")


def _shared(folder: Path, project: Path, env: dict[str, str], **train: Any) -> Path:
    """Create a small repository, push its commit and data to its remotes, and return its folder."""
    repo = make(folder / "repo", project, env, RANDOM, **train)
    run("dvc", "remote", "add", "--default", "store", folder / "store", cwd=repo, env=env)
    commit(repo, env)
    run("git", "init", "--quiet", "--bare", folder / "home", cwd=repo, env=env)
    run("git", "remote", "add", "origin", folder / "home", cwd=repo, env=env)
    run("git", "push", "--quiet", "--set-upstream", "origin", "main", cwd=repo, env=env)
    run("dvc", "push", "--quiet", cwd=repo, env=env)
    return repo


if __name__ == "__main__":
    main()
