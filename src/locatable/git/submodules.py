"""Checkouts of submodules in clones, from the repositories that the user's checkout has, without a network.

If there is no user's checkout on this machine, Git fetches the submodules from their remotes.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import GitError
from . import CLONE_SETTINGS, WITHOUT_CHECKOUT, clone_git, first_remote, git, make_clone, matching_settings
from .objects import SUBMODULE, fetch_commit
from .pointers import NO_LFS_FILTER, fill_in_lfs, lfs_storage


@dataclass(frozen=True)
class Submodule:
    """A submodule of a clone.

    Attributes:
        path: the absolute path of its checkout.
        commit: its commit, according to the commit of the clone.
        problem: why it is not checked out and what to do, in a sentence; empty if it is checked out.
        source: the `.git` folder of the user's own repository of it; None if Git fetched it from a remote.
    """

    path: Path
    commit: str
    problem: str = ""
    source: Path | None = None

    def reset(self) -> None:
        """Undo all changes in it. Byte code can stay, because Python checks it against the source."""
        # Git LFS must not run: it would look for contents in the clone only, and might download them.
        settings = NO_LFS_FILTER if self.source else {}
        clone_git(self.path, "checkout", "--quiet", "--force", "--detach", self.commit, settings=settings)
        clone_git(self.path, "clean", "--quiet", "-fdx", "--exclude=__pycache__")
        self._fill_in()

    def problems(self, clone: Path) -> dict[Path, str]:
        """Return a sentence on why the submodule or a file in it is missing, and what to do, by path."""
        if self.problem:
            return {self.path: self.problem}
        remote = first_remote(self.source, *WITHOUT_CHECKOUT) if self.source else None
        command = f"git -C {self.path.relative_to(clone)} lfs fetch {remote or 'origin'} {self.commit[:10]}"
        problems = {}
        for path in self._fill_in():
            name = path.relative_to(clone)
            problems[path] = f"this machine has only a Git LFS pointer to {name}: `{command}`"
        return problems

    def _fill_in(self) -> list[Path]:
        """Replace Git LFS's pointers by contents; return the files whose contents this machine lacks."""
        if self.source is None:
            return []
        return fill_in_lfs(self.path, lfs_storage(self.source, *WITHOUT_CHECKOUT))


def checkout_submodules(clone: Path, user_checkout: Path) -> list[Submodule]:
    """Check out the submodules of a clone, and theirs, from the repositories of the user's checkout."""
    common = user_checkout / git(user_checkout, "rev-parse", "--git-common-dir")
    return _checkout(clone, user_checkout, common, clone)


def fetch_submodules(clone: Path) -> list[Submodule]:
    """Let Git fetch all submodules of a clone from their remotes, and check them out."""
    problem = ""
    try:
        # This does not use `clone_git`, because the user's own settings decide which protocols are allowed.
        command = ("submodule", "--quiet", "update", "--init", "--recursive", "--checkout")
        git(clone, *command, settings=CLONE_SETTINGS)
    except GitError as error:
        problem = f"Git cannot fetch submodules: {' '.join(error.stderr.split())}"
    submodules = []
    for path, commit in _commits(clone).items():
        is_checked_out = (clone / path / ".git").exists()
        submodules.append(Submodule(clone / path, commit, "" if is_checked_out else problem))
    return submodules


def _checkout(clone: Path, source: Path, source_git: Path, top: Path) -> list[Submodule]:
    """Check out the submodules of a clone, which may be a submodule itself.

    Args:
        clone: Git root of the clone.
        source: the root of the checkout it was cloned from, which may no longer exist.
        source_git: the `.git` folder of that checkout.
        top: Git root of the outermost clone.
    """
    submodules = []
    names = _names(clone)
    for path, commit in _commits(clone).items():
        name = names.get(path, path)
        repositories = _repositories(source / path, source_git / "modules" / name)
        repository = next((each for each in repositories if _has(each, commit)), None)
        if repository is None:
            place = (clone / path).relative_to(top)
            command = f"git -C {place} fetch" if repositories else "git submodule update --init --recursive"
            problem = f"commit {commit[:10]} of submodule {place} is not on this machine: `{command}`"
            submodules.append(Submodule(clone / path, commit, problem))
            continue
        fetch_commit(repository, commit)
        git_folder = Path(clone_git(clone, "rev-parse", "--absolute-git-dir")) / "modules" / name
        git_folder.parent.mkdir(parents=True, exist_ok=True)
        # As `git submodule` does, keep the `.git` folder outside: a stage may declare the whole submodule.
        make_clone(repository, clone / path, "--shared", f"--separate-git-dir={git_folder}")
        submodule = Submodule(clone / path, commit, source=repository)
        submodule.reset()
        submodules += [submodule, *_checkout(clone / path, source / path, repository, top)]
    return submodules


def _commits(clone: Path) -> dict[str, str]:
    """Return the commit of each submodule by its path, as the index of the clone has it."""
    commits = {}
    for entry in clone_git(clone, "ls-files", "--stage", "-z").split("\0"):
        if entry.startswith(SUBMODULE):
            fields, _, path = entry.partition("\t")
            commits[path] = fields.split()[1]
    return commits


def _names(clone: Path) -> dict[str, str]:
    """Return the name of each submodule by its path, from .gitmodules; not every submodule is in there."""
    names = {}
    settings = matching_settings(clone, r"^submodule\..*\.path$", "--file", ".gitmodules")
    for key, path in settings.items():
        name = PurePosixPath(key.removeprefix("submodule.").removesuffix(".path"))
        # Like Git, ignore a name that leads out of the `.git` folder, to another repository of the user.
        if not name.is_absolute() and ".." not in name.parts:
            names[path] = str(name)
    return names


def _repositories(checked_out: Path, absorbed: Path) -> list[Path]:
    """Return the `.git` folders that may have the commits of a submodule.

    Args:
        checked_out: the submodule's checkout, which may no longer exist.
        absorbed: the folder in the outer repository's `.git` where Git keeps the submodule's repository.
    """
    repositories = []
    if (checked_out / ".git").exists():
        repositories.append(Path(git(checked_out, "rev-parse", "--absolute-git-dir")))
    if absorbed.is_dir() and absorbed.resolve() not in repositories:
        repositories.append(absorbed.resolve())
    return repositories


def _has(git_folder: Path, commit: str) -> bool:
    """Return whether a repository has a commit, even if its checkout no longer exists."""
    try:
        git(git_folder, *WITHOUT_CHECKOUT, "cat-file", "-e", commit + "^{commit}")
    except GitError:
        return False
    return True
