"""Compare what this package reads from every commit of some repositories with what DVC itself reads.

python -m tools.repositories URL-OR-FOLDER...
python -m tools.repositories --everywhere [--foreign URL-OR-FOLDER]... URL-OR-FOLDER...

Each repository is cloned into a temporary folder; nothing in it is run. The output has a line for each DVC
project, followed by the differences and by what could not be compared. The exit code is 1 if anything
differs.

With `--everywhere`, the command instead reads all repositories into an index. It then has to find copies of
their files, and must not find foreign files, such as those of the repositories after `--foreign`.
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

# Refs with results that `git clone` leaves out: the remote branches of a local clone, and experiments.
REFS = ("+refs/remotes/*:refs/remotes/*", "+refs/exps/*:refs/exps/*")
MOST_SHOWN = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare repositories, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("sources", nargs="+", metavar="URL-OR-FOLDER")
    parser.add_argument("--everywhere", action="store_true")
    parser.add_argument("--foreign", action="append", default=[], metavar="URL-OR-FOLDER")
    options = parser.parse_args(arguments)
    sources = options.sources
    # DVC would log a warning for each file that it cannot read; the report lists them at the end.
    logging.disable(logging.WARNING)
    # Git should not ask for a password, and not download files of Git LFS.
    os.environ |= {"GIT_TERMINAL_PROMPT": "0", "GIT_LFS_SKIP_SMUDGE": "1"}
    failed = False
    if options.everywhere:
        with tempfile.TemporaryDirectory(prefix="locatable-") as folder:
            os.environ["XDG_CACHE_HOME"] = folder  # The index keeps its clones there.
            for holds, line in check(sources, options.foreign, Path(folder)):
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
    """Yield the name and the comparison of each DVC project in a repository.

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
        # Check out only this folder, because DVC reads everything else from commits.
        git(clone, "checkout", "--quiet", "HEAD", "--", f":(literal){inside / '.dvc'}")
        _share_cache(Path(source) / inside / ".dvc/cache", clone / inside)
        yield f"{source} {inside}".removesuffix(" ."), compare(clone / inside, revs)


def _fetch_others(clone: Path, source: str) -> list[str]:
    """Fetch commits that `git clone` leaves out; if that fails, return the reason."""
    try:
        git(clone, "fetch", "--quiet", source, *REFS)
    except GitError as error:
        return [f"experiments and branches of other remotes: {error}"]
    return []


def _projects(clone: Path) -> list[Path]:
    """Return the folders of HEAD that are DVC projects."""
    files = git(clone, "ls-tree", "-r", "-z", "--name-only", "HEAD").split("\0")
    return sorted(Path(file).parents[1] for file in files if f"/{file}".endswith("/.dvc/config"))


def _share_cache(cache: Path, root: Path) -> None:
    """Make a clone of a local repository use the DVC cache of that repository."""
    if cache.is_dir():
        (root / ".dvc/config.local").write_text(f"[cache]\n    dir = {cache}\n")


def report(name: str, comparison: Comparison) -> Iterator[str]:
    """Yield a line about a project, and a line for each difference and for what was not compared."""
    found = comparison.mismatches
    yield f"{name}: {comparison.compared} commits compared, {len(found)} differences"
    yield from (f"  DIFFERS {mismatch}" for mismatch in found[:MOST_SHOWN])
    if len(found) > MOST_SHOWN:
        yield f"  and {len(found) - MOST_SHOWN} more"
    for reason, times in comparison.not_compared.items():
        yield f"  not compared ({times} times): {reason}"


if __name__ == "__main__":
    sys.exit(main())
