"""Runs Git, the only module that does; also in clones to work in, where no setting of the user's acts."""

import contextlib
import os
import re
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from ..errors import DISK_FULL, GitError

# Git sets these for the hooks that it runs. They name another repository, index or folder than ours.
REPOSITORY_VARIABLES = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)
# With it, Git LFS leaves pointers where stages need contents; a user may have fetched these afterwards.
NO_CONTENTS = "GIT_LFS_SKIP_SMUDGE"


# Hooks, signatures and daemons are meant for the user's own work. In a clone they could stop what we do, or
# change what is in it. DVC's Git library reads no split index, and none without a checksum.
CLONE_SETTINGS = {
    "commit.gpgSign": "false",
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.splitIndex": "false",
    "index.skipHash": "false",
    "push.gpgSign": "false",
    "push.recurseSubmodules": "no",
    "submodule.recurse": "false",
}
# How Git converts files; a user can have set it for one checkout alone.
CONVERSIONS = r"^(core\.(autocrlf|eol)|filter\.lfs\.(clean|process|required|smudge))$"


def environment() -> dict[str, str]:
    """Return our environment for Git, without what names a repository or leaves out contents."""
    kept = dict(os.environ)
    for name in (*REPOSITORY_VARIABLES, NO_CONTENTS):
        kept.pop(name, None)
    return kept


def leave_hook() -> None:
    """Forget the repository that Git names to a hook: whatever a command starts is to find its own."""
    for name in REPOSITORY_VARIABLES:
        os.environ.pop(name, None)


def git(
    folder: Path | str,
    *command: str,
    text: str | None = None,
    settings: Mapping[str, str] | None = None,
) -> str:
    """Return what a Git command prints, without the line break at its end.

    Args:
        folder: where to run it.
        command: what comes after `git`.
        text: what it reads from its standard input.
        settings: of Git, for this command alone; they count more than any file or variable.

    Raises:
        GitError: Git refused; the message is the line of its output that says why.
    """
    options: list[str] = []
    for name, value in (settings or {}).items():
        options += ("-c", f"{name}={value}")
    try:
        done = subprocess.run(
            ("git", "-C", str(folder), *options, *command),
            input=b"" if text is None else text.encode(errors="surrogateescape"),
            capture_output=True,
            env=environment(),
            check=False,
        )
    except FileNotFoundError:
        raise GitError("Git is not installed, or not on the PATH") from None
    if done.returncode:
        stderr = done.stderr.decode(errors="replace").strip()
        raise GitError(f"git {command[0]}: {_reason(stderr, done.returncode)}", stderr)
    return done.stdout.decode(errors="surrogateescape").removesuffix("\n")


def _reason(stderr: str, exit_code: int) -> str:
    """Return the line of Git's output that says why it refused: advice may follow it."""
    # What a line ends with `:` for is in the next one, with a tab.
    joined = stderr.replace(":\n\t", ": ")
    lines = [line for line in joined.splitlines() if not line.startswith("hint:")]
    if not lines:
        return f"exit code {exit_code}"
    verdicts = [line for line in lines if line.startswith(("fatal:", "error:"))]
    for line in reversed(lines):
        if "safe.directory" in line:
            # The checkout is another user's: without Git's advice, nobody knows what to do about it.
            return f"{lines[0]}; {line.strip()}"
        if DISK_FULL.search(line):
            return line
    return verdicts[-1] if verdicts else lines[-1]


def settings_like(folder: Path, pattern: str, *options: str) -> dict[str, str]:
    """Return Git's settings whose names match a pattern; of several files that have one, the last counts."""
    try:
        listed = git(folder, "config", *options, "-z", "--get-regexp", pattern)
    except GitError:
        return {}  # there are none
    settings = {}
    for entry in filter(None, listed.split("\0")):
        name, _, value = entry.partition("\n")
        settings[name] = value
    return settings


def diff_contents(one: Mapping[str, bytes], other: Mapping[str, bytes], *options: str) -> str:
    """Return what `git diff` says of two sets of files, content by path, which can be of two repositories.

    Files whose path leads elsewhere are left out. The paths that Git prints begin with `a/` and `b/`.
    """
    from tempfile import TemporaryDirectory  # `locatable --help` needs as little as possible

    with TemporaryDirectory(prefix="diff-") as folder:
        for side, files in (("a", one), ("b", other)):
            place = Path(folder, side)
            place.mkdir()
            for path, content in files.items():
                if not {"..", ".git", ""}.isdisjoint(path.split("/")):
                    continue
                file = place / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
        # No setting or attribute of the user's acts on it.
        command = ("git", "-C", folder, "diff", "--no-index", "--no-ext-diff", "--no-textconv", "--no-color")
        done = subprocess.run(
            (*command, "--no-renames", "--no-prefix", *options, "a", "b"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**environment(), "GIT_CEILING_DIRECTORIES": folder, "GIT_CONFIG_GLOBAL": os.devnull},
            check=False,
        )
    if done.returncode > 1:  # 1 says that something differs
        stderr = done.stderr.decode(errors="replace").strip()
        raise GitError(f"git diff: {_reason(stderr, done.returncode)}", stderr)
    return done.stdout.decode(errors="surrogateescape")


def count_lines(one: Mapping[str, bytes], other: Mapping[str, bytes]) -> dict[str, str]:
    """Return how many lines Git counts as added and removed in each file that differs, by its path."""
    # Of each file: both counts, and its two paths, one of which is /dev/null where it is not in both.
    parts = diff_contents(one, other, "--numstat", "-z").split("\0")
    lines = {}
    for counts, old, new in zip(parts[::3], parts[1::3], parts[2::3], strict=False):
        added, removed, _ = counts.split("\t")
        path = (old if new == "/dev/null" else new)[2:]
        lines[path] = "binary" if added == "-" else f"+{added} −{removed} lines"
    return lines


@lru_cache
def _folders_of_refs(folder: Path) -> tuple[Path, Path]:
    """Return where Git keeps HEAD of a checkout, and where the refs that all checkouts share."""
    own, shared = git(folder, "rev-parse", "--git-dir", "--git-common-dir").splitlines()
    return folder / own, folder / shared


def refs_stamp(folder: Path) -> dict[Path, int]:
    """Return what changes whenever a branch, a tag, an experiment or HEAD does; Git itself is asked once."""
    own, shared = _folders_of_refs(folder)
    places = [own / "HEAD", shared / "packed-refs", shared / "reftable/tables.list"]
    # A ref is written beside itself and then renamed, which its folder shows.
    places += [Path(place) for place, _, _ in os.walk(shared / "refs")]
    stamp = {}
    for place in places:
        with contextlib.suppress(FileNotFoundError):
            stamp[place] = place.stat().st_mtime_ns
    return stamp


def start_object_reader(folder: Path, may_fetch: bool = True) -> subprocess.Popen[bytes]:
    """Start a process that answers names of objects with their content (`git cat-file --batch`).

    In a partial clone it gets what is lacking from the remote only if it `may_fetch`; before 2.45, Git always
    does.
    """
    variables = {} if may_fetch else {"GIT_NO_LAZY_FETCH": "1"}
    # Git would print for each object why its remote does not give it. What stays missing, the caller says.
    return subprocess.Popen(
        ("git", "-C", str(folder), "cat-file", "--batch"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if may_fetch else subprocess.DEVNULL,
        env={**environment(), **variables},
        # Ctrl-C is for the caller, who may still need an answer to end cleanly.
        start_new_session=True,
    )


def missing_objects(folder: Path, ids: set[str]) -> set[str]:
    """Return those of some full ids whose objects are not in a repository; nothing is fetched to find out."""
    missing = set(ids)
    if not missing:
        return missing
    # Asked for by name, each would be fetched, or would end Git. All are listed at a million a second.
    listing = ("cat-file", "--batch-all-objects", "--batch-check=%(objectname)", "--unordered")
    with subprocess.Popen(
        ("git", "-C", str(folder), *listing),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(),
        text=True,
    ) as process:
        for line in process.stdout or ():
            missing.discard(line.rstrip())
    return missing


def top_folder(folder: Path) -> Path:
    """Return the root of the checkout around a folder.

    Raises:
        GitError: there is no repository.
    """
    return Path(git(folder, "rev-parse", "--show-toplevel"))


def main_checkout(folder: Path) -> Path:
    """Return the same folder in the repository's main checkout, where `folder` is in a linked worktree."""
    top = top_folder(folder)
    # Git lists the main checkout first.
    first_line = git(folder, "worktree", "list", "--porcelain").splitlines()[0]
    main = Path(first_line.removeprefix("worktree "))
    if not (main / ".git").exists():
        return folder  # the main repository is a bare one, without a checkout
    return main / folder.resolve().relative_to(top)


# Options of Git for the folder that it keeps of a repository whose checkout may be gone.
WITHOUT_CHECKOUT = ("--git-dir=.", "--work-tree=.")


def first_remote(folder: Path, *options: str) -> str | None:
    """Return name of the remote that a repository has, `origin` where there are several.

    None when it has none.
    """
    remotes = git(folder, *options, "remote").split()
    if not remotes:
        return None
    return "origin" if "origin" in remotes else remotes[0]


def remote_url(folder: Path) -> str | None:
    """Return where the repository can be cloned from, as Git has it; None when it has no remote."""
    name = first_remote(folder)
    return git(folder, "remote", "get-url", name) if name else None


def is_shallow(folder: Path) -> bool:
    """Return whether a clone lacks commits of its branches."""
    return git(folder, "rev-parse", "--is-shallow-repository") == "true"


def paths_left_out(folder: Path) -> list[str]:
    """Return files below a folder that a sparse checkout leaves out, as seen from it."""
    if git(folder, "config", "--type=bool", "--default", "false", "core.sparseCheckout") != "true":
        return []
    entries = git(folder, "ls-files", "-t", "-z").split("\0")
    return [entry.removeprefix("S ") for entry in entries if entry.startswith("S ")]


def leave_out(file: Path) -> None:
    """Have Git ignore a file (an absolute path) and what is named after it, in this clone alone.

    Nothing is done where Git tracks or ignores it already, or where it is in no repository.
    """
    folder = file.parent
    try:
        if not git(folder, "ls-files", "--others", "--exclude-standard", "--", f":(literal){file.name}"):
            return
        place = git(folder, "rev-parse", "--show-prefix") + file.name
        exclude = folder / git(folder, "rev-parse", "--git-path", "info/exclude")
    except GitError:
        return
    pattern = re.sub(r"([*?\[\\])", r"\\\1", place)
    with contextlib.suppress(OSError):
        exclude.parent.mkdir(parents=True, exist_ok=True)
        with exclude.open("a") as rules:
            rules.write(f"/{pattern}*\n")


def untracked_names(top: Path) -> list[str]:
    """Return what Git does not track in a checkout, DVC's own files and environments aside, ignored or not.

    A folder of which it tracks nothing is one name, and ends with a slash.
    """
    names = []
    for name in filter(None, git(top, "ls-files", "-z", "--others", "--directory").split("\0")):
        if "/.dvc/" not in f"/{name}" and not (top / name / "pyvenv.cfg").exists():
            names.append(name)
    return names


def make_clone(source: Path | str, folder: Path, *options: str) -> None:
    """Clone a folder of this machine or a URL into an empty folder, and check nothing out yet."""
    # Files of a clone have the same bytes as those of the checkout.
    conversions = settings_like(source, CONVERSIONS) if isinstance(source, Path) else {}
    settings = {**CLONE_SETTINGS, **conversions}
    # They are also written into the clone: DVC, and stages, can use Git there.
    written = [f"--config={name}={value}" for name, value in settings.items()]
    command = ["clone", "--quiet", "--no-checkout", "--template=", *written, *options]
    git(folder.parent, *command, str(source), str(folder), settings=_allowing(source))


def clone_git(
    folder: Path, *command: str, text: str | None = None, settings: Mapping[str, str] | None = None
) -> str:
    """Return what a Git command prints that runs in a clone; arguments and errors as of `git`.

    Variables of the environment can hold settings, too, and they count more than those of a repository.
    """
    return git(folder, *command, text=text, settings={**_allowing(folder), **(settings or {})})


def _allowing(source: Path | str) -> dict[str, str]:
    """Return the settings for a command that reads from, or pushes to, a repository."""
    # A user can forbid Git to clone from folders, as submodules of strangers may ask it to.
    return {**CLONE_SETTINGS, "protocol.file.allow": "always"} if isinstance(source, Path) else CLONE_SETTINGS
