"""Compares what the package says of every commit of some repositories with what DVC says of them.

python -m tools.repositories URL-OR-FOLDER...
python -m tools.repositories --everywhere [--foreign URL-OR-FOLDER]... URL-OR-FOLDER...

With `--everywhere`, it looks instead for files that are copied out of them, and for foreign ones, also of
other repositories, in an index of all. Each is cloned into a temporary folder; nothing in it is run. Prints a
line for each DVC project, and below it what differs and what could not be compared. Exits with 1 if anything
differs.
"""

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from locatable.errors import GitError, LocatableError
from locatable.git import git

from .comparison.compare import Comparison, compare
from .comparison.everywhere import check

# What can have results and is not cloned: branches of a clone's own remotes, and experiments.
REFS = ("+refs/remotes/*:refs/remotes/*", "+refs/exps/*:refs/exps/*")
MOST_SHOWN = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare repositories; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("sources", nargs="+", metavar="URL-OR-FOLDER")
    parser.add_argument("--everywhere", action="store_true")
    parser.add_argument("--foreign", action="append", default=[], metavar="URL-OR-FOLDER")
    asked = parser.parse_args(arguments)
    sources = asked.sources
    # What cannot be read is told once, at the end.
    logging.disable(logging.WARNING)
    # Git is not to ask for a password, and not to fetch what Git LFS keeps.
    os.environ |= {"GIT_TERMINAL_PROMPT": "0", "GIT_LFS_SKIP_SMUDGE": "1"}
    failed = False
    if asked.everywhere:
        with tempfile.TemporaryDirectory(prefix="locatable-") as folder:
            os.environ["XDG_CACHE_HOME"] = folder  # for clones
            for holds, line in check(sources, asked.foreign, Path(folder)):
                print(line, flush=True)
                failed |= not holds
        return int(failed)
    for number, source in enumerate(sources):
        with tempfile.TemporaryDirectory(prefix="locatable-") as folder:
            try:
                for name, comparison in compare_repository(source, Path(folder, str(number))):
                    print("\n".join(report(name, comparison)), flush=True)
                    failed |= bool(comparison.mismatches)
            except LocatableError as error:
                print(f"{source}: not compared: {error}", flush=True)
                failed = True
    return int(failed)


def compare_repository(source: str, clone: Path) -> Iterator[tuple[str, Comparison]]:
    """Name and comparison of each DVC project of a repository.

    Args:
        source: URL or folder of the repository.
        clone: where to clone it.

    Raises:
        GitError: it cannot be cloned.
    """
    source = os.fspath(Path(source).resolve()) if Path(source).exists() else source
    git(clone.parent, "clone", "--quiet", "--no-checkout", source, clone.name)
    unread = _fetch_others(clone, source)
    revs = git(clone, "rev-list", "--all").split()
    projects = _projects(clone)
    if not projects:
        unread.append("HEAD has no DVC project")
    if unread:
        yield source, Comparison(not_compared=dict.fromkeys(unread, 1))
    for inside in projects:
        # DVC looks for no more than this in a checkout: all else is read from commits.
        git(clone, "checkout", "--quiet", "HEAD", "--", f":(literal){inside / '.dvc'}")
        _share_cache(Path(source) / inside / ".dvc/cache", clone / inside)
        yield f"{source} {inside}".removesuffix(" ."), compare(clone / inside, revs)


def _fetch_others(clone: Path, source: str) -> list[str]:
    """Fetch commits that a clone has not; returns why not."""
    try:
        git(clone, "fetch", "--quiet", source, *REFS)
    except GitError as error:
        return [f"experiments and branches of other remotes: {error}"]
    return []


def _projects(clone: Path) -> list[Path]:
    """Folders of HEAD that are DVC projects."""
    files = git(clone, "ls-tree", "-r", "-z", "--name-only", "HEAD").split("\0")
    return sorted(Path(file).parents[1] for file in files if f"/{file}".endswith("/.dvc/config"))


def _share_cache(cache: Path, root: Path) -> None:
    """Let a clone of a folder on this machine read what that folder has in its DVC cache."""
    if cache.is_dir():
        (root / ".dvc/config.local").write_text(f"[cache]\n    dir = {cache}\n")


def report(name: str, comparison: Comparison) -> Iterator[str]:
    """A line about a project, and a line for each thing that differs or was not compared."""
    found = comparison.mismatches
    yield f"{name}: {comparison.compared} commits compared, {len(found)} differences"
    yield from (f"  DIFFERS {mismatch}" for mismatch in found[:MOST_SHOWN])
    if len(found) > MOST_SHOWN:
        yield f"  and {len(found) - MOST_SHOWN} more"
    for reason, times in comparison.not_compared.items():
        yield f"  not compared ({times} times): {reason}"


if __name__ == "__main__":
    sys.exit(main())
