"""Submodules in clones, checked out from what the user's checkout has of them: no network is asked."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import GitError
from . import CLONE_SETTINGS, WITHOUT_CHECKOUT, clone_git, first_remote, git, make_clone, settings_like
from .objects import fetch_commit
from .pointers import NO_LFS_FILTER, fill_in_lfs, lfs_storage

# How `git ls-files --stage` marks a submodule.
SUBMODULE_MODE = "160000"


@dataclass(frozen=True)
class Submodule:
    """A submodule of a clone.

    Attributes:
        path: where it is checked out, absolute.
        commit: that the clone's own commit says.
        problem: why it is not checked out and what to do, in a sentence; empty where it is.
        source: Git's folder of the user's own checkout of it; None where it came from elsewhere.
    """

    path: Path
    commit: str
    problem: str = ""
    source: Path | None = None

    def reset(self) -> None:
        """Undo whatever was changed in it; byte code stays, since it follows the source."""
        # Git LFS could download, and looks for contents in the clone.
        settings = NO_LFS_FILTER if self.source else {}
        clone_git(self.path, "checkout", "--quiet", "--force", "--detach", self.commit, settings=settings)
        clone_git(self.path, "clean", "--quiet", "-fdx", "--exclude=__pycache__")
        self._fill_in()

    def problems(self, clone: Path) -> dict[Path, str]:
        """Return why it, or the content of a file in it, is not there and what to do, by path."""
        if self.problem:
            return {self.path: self.problem}
        remote = first_remote(self.source, *WITHOUT_CHECKOUT) if self.source else None
        get = f"git -C {self.path.relative_to(clone)} lfs fetch {remote or 'origin'} {self.commit[:10]}"
        problems = {}
        for path in self._fill_in():
            name = path.relative_to(clone)
            problems[path] = f"this machine has only a Git LFS pointer to {name}: `{get}`"
        return problems

    def _fill_in(self) -> list[Path]:
        """Have contents in place of pointers of Git LFS; returns the files whose contents are not here."""
        return fill_in_lfs(self.path, lfs_storage(self.source, *WITHOUT_CHECKOUT)) if self.source else []


def checkout_submodules(clone: Path, user_checkout: Path) -> list[Submodule]:
    """Check out all submodules of a clone's commit, and theirs."""
    common = user_checkout / git(user_checkout, "rev-parse", "--git-common-dir")
    return _checkout(clone, user_checkout, common, clone)


def fetch_submodules(clone: Path) -> list[Submodule]:
    """Have Git fetch all submodules of a clone from where they come from, and check them out."""
    problem = ""
    try:
        # Not by `clone_git`: which places a submodule may come from is for the user's own settings to say.
        command = ("submodule", "--quiet", "update", "--init", "--recursive", "--checkout")
        git(clone, *command, settings=CLONE_SETTINGS)
    except GitError as error:
        problem = f"Git cannot fetch submodules: {' '.join(error.stderr.split())}"
    found = []
    for path, commit in _links(clone).items():
        is_there = (clone / path / ".git").exists()
        found.append(Submodule(clone / path, commit, "" if is_there else problem))
    return found


def _checkout(clone: Path, source: Path, source_git: Path, top: Path) -> list[Submodule]:
    """Check out the submodules of a clone that may be one of a submodule itself.

    Args:
        clone: Git root of the clone.
        source: Git root of what it is a clone of; it may be gone.
        source_git: Git's folder of the same.
        top: Git root of the clone that holds all others.
    """
    found = []
    names = _names(clone)
    for path, commit in _links(clone).items():
        name = names.get(path, path)
        repositories = _repositories(source / path, source_git / "modules" / name)
        holding = [each for each in repositories if _has(each, commit)]
        shown = (clone / path).relative_to(top)
        if not holding:
            get = f"git -C {shown} fetch" if repositories else "git submodule update --init --recursive"
            problem = f"commit {commit[:10]} of submodule {shown} is not on this machine: `{get}`"
            found.append(Submodule(clone / path, commit, problem))
            continue
        fetch_commit(holding[0], commit)
        place = Path(clone_git(clone, "rev-parse", "--absolute-git-dir")) / "modules" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        # Git's folder lies apart, as it does for `git submodule`: stages can declare the whole submodule.
        make_clone(holding[0], clone / path, "--shared", f"--separate-git-dir={place}")
        submodule = Submodule(clone / path, commit, source=holding[0])
        submodule.reset()
        found += [submodule, *_checkout(clone / path, source / path, holding[0], top)]
    return found


def _links(clone: Path) -> dict[str, str]:
    """Return the commit of each submodule, by its path."""
    links = {}
    for entry in clone_git(clone, "ls-files", "--stage", "-z").split("\0"):
        if entry.startswith(SUBMODULE_MODE):
            place, _, path = entry.partition("\t")
            links[path] = place.split()[1]
    return links


def _names(clone: Path) -> dict[str, str]:
    """Return what .gitmodules calls each submodule, by its path; a repository can be added without a name."""
    names = {}
    listed = settings_like(clone, r"^submodule\..*\.path$", "--file", ".gitmodules")
    for key, path in listed.items():
        name = PurePosixPath(key.removeprefix("submodule.").removesuffix(".path"))
        # As Git has it: no name leads out of Git's own folder, to another repository of the user's.
        if not name.is_absolute() and ".." not in name.parts:
            names[path] = str(name)
    return names


def _repositories(checked_out: Path, absorbed: Path) -> list[Path]:
    """Return Git's folders that can have the commits of a submodule, whose checkout may be gone."""
    found = []
    if (checked_out / ".git").exists():
        found.append(Path(git(checked_out, "rev-parse", "--absolute-git-dir")))
    if absorbed.is_dir() and absorbed.resolve() not in found:
        found.append(absorbed.resolve())
    return found


def _has(git_folder: Path, commit: str) -> bool:
    """Return whether a repository has a commit; its checkout may be gone."""
    try:
        git(git_folder, *WITHOUT_CHECKOUT, "cat-file", "-e", commit + "^{commit}")
    except GitError:
        return False
    return True
