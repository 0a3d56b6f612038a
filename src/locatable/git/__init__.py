"""The functions that run Git; no other package starts it.

In the user's checkout, Git runs with the user's settings. In clones made to work in, settings that could
interfere are switched off.
"""

import contextlib
import os
import re
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from ..errors import DISK_FULL, GitError

# Git sets these variables for its hooks. They name the hook's repository, index and folder, not ours.
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
# With this variable, Git LFS leaves pointers in a clone, even if their contents have been fetched since.
SKIP_LFS_CONTENTS = "GIT_LFS_SKIP_SMUDGE"
# Hooks, signatures and daemons are meant for the user's own work. In our clones they could make commands
# fail, or change files. DVC's Git library cannot read a split index, or an index without a checksum.
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
# The settings that decide how Git converts files. A user may have set them in one checkout only.
CONVERSIONS = r"^(core\.(autocrlf|eol)|filter\.lfs\.(clean|process|required|smudge))$"


def environment() -> dict[str, str]:
    """Return our environment without the variables that name a repository or make Git LFS leave pointers."""
    variables = dict(os.environ)
    for name in (*REPOSITORY_VARIABLES, SKIP_LFS_CONTENTS):
        variables.pop(name, None)
    return variables


def leave_hook() -> None:
    """Remove the variables that Git sets for hooks, so that programs we start find their own repository."""
    for name in REPOSITORY_VARIABLES:
        os.environ.pop(name, None)


def git(
    folder: Path | str,
    *command: str,
    text: str | None = None,
    settings: Mapping[str, str] | None = None,
) -> str:
    """Run a Git command and return its output, without the line break at the end.

    Args:
        folder: the folder to run it in.
        command: the arguments after `git`.
        text: the text to send to its standard input.
        settings: settings of Git for this command only; they override all files and variables.

    Raises:
        GitError: Git failed; the message is the line of its output that says why.
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
        raise GitError(f"git {command[0]}: {_failure(stderr, done.returncode)}", stderr)
    return done.stdout.decode(errors="surrogateescape").removesuffix("\n")


def split_items(output: str) -> list[str]:
    """Return the items in the output of a Git command that ran with `-z`."""
    return list(filter(None, output.split("\0")))


def _failure(stderr: str, exit_code: int) -> str:
    """Return the line of Git's output that says why it failed; advice may follow that line."""
    # After a line that ends with a colon, Git may print the detail on the next line, indented with a tab.
    joined = stderr.replace(":\n\t", ": ")
    lines = [line for line in joined.splitlines() if not line.startswith("hint:")]
    if not lines:
        return f"exit code {exit_code}"
    for line in reversed(lines):
        if "safe.directory" in line:
            # The checkout belongs to another user. Git's advice is needed here: it is the command that helps.
            return f"{lines[0]}; {line.strip()}"
        if DISK_FULL.search(line):
            return line
    errors = [line for line in lines if line.startswith(("fatal:", "error:"))]
    return errors[-1] if errors else lines[-1]


def matching_settings(folder: Path, pattern: str, *options: str) -> dict[str, str]:
    """Return the Git settings whose names match a pattern; the last of several values takes effect."""
    try:
        listed = git(folder, "config", *options, "-z", "--get-regexp", pattern)
    except GitError:
        return {}  # Git fails if no setting matches
    settings = {}
    for entry in split_items(listed):
        name, _, value = entry.partition("\n")
        settings[name] = value
    return settings


def diff_contents(old: Mapping[str, bytes], new: Mapping[str, bytes], *options: str) -> str:
    """Return the output of `git diff` for two sets of files, which can come from different repositories.

    The paths in the output begin with `a/` and `b/`. Files are left out if their path is absolute or contains
    `..` or `.git`.

    Args:
        old: the old files, content by path.
        new: the new files, content by path.
        options: further options of `git diff`.
    """
    from tempfile import TemporaryDirectory  # imported here to keep `locatable --help` fast

    with TemporaryDirectory(prefix="diff-") as folder:
        for side, files in (("a", old), ("b", new)):
            root = Path(folder, side)
            root.mkdir()
            for path, content in files.items():
                if not {"..", ".git", ""}.isdisjoint(path.split("/")):
                    continue
                file = root / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
        # Together with the environment below, these options keep the user's settings and attributes out.
        command = ("git", "-C", folder, "diff", "--no-index", "--no-ext-diff", "--no-textconv", "--no-color")
        done = subprocess.run(
            (*command, "--no-renames", "--no-prefix", *options, "a", "b"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**environment(), "GIT_CEILING_DIRECTORIES": folder, "GIT_CONFIG_GLOBAL": os.devnull},
            check=False,
        )
    if done.returncode > 1:  # exit code 1 means that the files differ
        stderr = done.stderr.decode(errors="replace").strip()
        raise GitError(f"git diff: {_failure(stderr, done.returncode)}", stderr)
    return done.stdout.decode(errors="surrogateescape")


def count_lines(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> dict[str, str]:
    """Return the numbers of added and removed lines of each file that differs, as a text by its path."""
    # Git prints three fields for each file: both counts, the old path and the new path. One of the paths is
    # /dev/null if the file was added or removed.
    fields = diff_contents(old, new, "--numstat", "-z").split("\0")
    lines = {}
    for counts, old_path, new_path in zip(fields[::3], fields[1::3], fields[2::3], strict=False):
        added, removed, _ = counts.split("\t")
        path = (old_path if new_path == "/dev/null" else new_path)[2:]  # without `a/` or `b/`
        lines[path] = "binary" if added == "-" else f"+{added} −{removed} lines"
    return lines


@lru_cache
def _folders_of_refs(folder: Path) -> tuple[Path, Path]:
    """Return the folder with a checkout's HEAD, and the folder with the refs that all checkouts share."""
    checkout_git, common = git(folder, "rev-parse", "--git-dir", "--git-common-dir").splitlines()
    return folder / checkout_git, folder / common


def refs_stamp(folder: Path) -> dict[Path, int]:
    """Return a stamp that changes whenever HEAD, a branch, a tag or an experiment changes.

    It is made of file times, so Git itself runs only once.
    """
    checkout_git, common = _folders_of_refs(folder)
    paths = [checkout_git / "HEAD", common / "packed-refs", common / "reftable/tables.list"]
    # Git writes a ref to a temporary file and renames it, which changes the time of the folder.
    paths += [Path(path) for path, _, _ in os.walk(common / "refs")]
    stamp = {}
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            stamp[path] = path.stat().st_mtime_ns
    return stamp


def start_object_reader(folder: Path, may_fetch: bool = True) -> subprocess.Popen[bytes]:
    """Start `git cat-file --batch`, which reads names of objects and prints their contents.

    Args:
        folder: a folder of the repository.
        may_fetch: whether Git fetches objects that a partial clone lacks; Git before 2.45 always does.
    """
    variables = {} if may_fetch else {"GIT_NO_LAZY_FETCH": "1"}
    # Discard Git's messages about each object that it cannot fetch; the caller reports what is missing.
    return subprocess.Popen(
        ("git", "-C", str(folder), "cat-file", "--batch"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if may_fetch else subprocess.DEVNULL,
        env={**environment(), **variables},
        # Ctrl-C must not end Git, because the caller may need it while it shuts down.
        start_new_session=True,
    )


def missing_objects(folder: Path, ids: set[str]) -> set[str]:
    """Return the ids, among some full ids, of objects that a repository lacks, without fetching any."""
    missing = set(ids)
    if not missing:
        return missing
    # Asking Git for a missing object by name would fetch it, or end Git. So list all objects that are there:
    # Git lists a million per second.
    command = ("cat-file", "--batch-all-objects", "--batch-check=%(objectname)", "--unordered")
    with subprocess.Popen(
        ("git", "-C", str(folder), *command),
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
    """Return the root of the checkout that contains a folder.

    Raises:
        GitError: the folder is not in a repository.
    """
    return Path(git(folder, "rev-parse", "--show-toplevel"))


def main_checkout(folder: Path) -> Path:
    """Return the corresponding folder in the main checkout if `folder` is in a linked worktree."""
    top = top_folder(folder)
    # Git lists the main checkout first.
    first_line = git(folder, "worktree", "list", "--porcelain").splitlines()[0]
    main = Path(first_line.removeprefix("worktree "))
    if not (main / ".git").exists():
        return folder  # the main repository is bare, so it has no checkout
    return main / folder.resolve().relative_to(top)


# Options to run Git in a repository's `.git` folder, even if its checkout no longer exists.
WITHOUT_CHECKOUT = ("--git-dir=.", "--work-tree=.")


def first_remote(folder: Path, *options: str) -> str | None:
    """Return the name of a repository's remote; if there are several, prefer `origin`. None without any."""
    remotes = git(folder, *options, "remote").split()
    if not remotes:
        return None
    return "origin" if "origin" in remotes else remotes[0]


def remote_url(folder: Path) -> str | None:
    """Return the URL of a repository's remote, as it is in Git's settings; None if it has no remote."""
    name = first_remote(folder)
    return git(folder, "remote", "get-url", name) if name else None


def is_shallow(folder: Path) -> bool:
    """Return whether a clone is shallow, so that it lacks older commits of its branches."""
    return git(folder, "rev-parse", "--is-shallow-repository") == "true"


def paths_left_out(folder: Path) -> list[str]:
    """Return the files below a folder that a sparse checkout leaves out, as paths relative to the folder."""
    if git(folder, "config", "--type=bool", "--default", "false", "core.sparseCheckout") != "true":
        return []
    entries = split_items(git(folder, "ls-files", "-t", "-z"))
    return [entry.removeprefix("S ") for entry in entries if entry.startswith("S ")]


def ignore_locally(file: Path) -> None:
    """Make Git ignore a file, and all names that begin with its name, in this clone only.

    This does nothing if Git tracks or ignores the file already, or if it is not in a repository.

    Args:
        file: an absolute path.
    """
    folder = file.parent
    try:
        if not git(folder, "ls-files", "--others", "--exclude-standard", "--", f":(literal){file.name}"):
            return
        path = git(folder, "rev-parse", "--show-prefix") + file.name
        exclude = folder / git(folder, "rev-parse", "--git-path", "info/exclude")
    except GitError:
        return
    pattern = re.sub(r"([*?\[\\])", r"\\\1", path)
    with contextlib.suppress(OSError):
        exclude.parent.mkdir(parents=True, exist_ok=True)
        with exclude.open("a") as rules:
            rules.write(f"/{pattern}*\n")


def untracked_names(top: Path) -> list[str]:
    """Return the untracked files of a checkout, ignored or not, except DVC's own and virtual environments.

    If Git tracks no file in a folder, only the folder is named, with a slash at the end.
    """
    names = []
    for name in split_items(git(top, "ls-files", "-z", "--others", "--directory")):
        if "/.dvc/" not in f"/{name}" and not (top / name / "pyvenv.cfg").exists():
            names.append(name)
    return names


def make_clone(source: Path | str, folder: Path, *options: str) -> None:
    """Clone a repository into an empty folder, without checking out files.

    Args:
        source: a folder of a repository on this machine, or a URL.
        folder: the empty folder.
        options: further options of `git clone`.
    """
    # Convert files as the user's checkout does, so that both have the same bytes.
    conversions = matching_settings(source, CONVERSIONS) if isinstance(source, Path) else {}
    # Write the settings into the clone as well, because DVC and stages may run Git there.
    config = [f"--config={name}={value}" for name, value in {**CLONE_SETTINGS, **conversions}.items()]
    command = ["clone", "--quiet", "--no-checkout", "--template=", *config, *options]
    git(folder.parent, *command, str(source), str(folder), settings=_settings_for(source))


def clone_git(
    folder: Path, *command: str, text: str | None = None, settings: Mapping[str, str] | None = None
) -> str:
    """Run a Git command in a clone, like `git` with the settings for clones.

    These settings are passed to each command, because settings in environment variables would override those
    that are written in the clone.
    """
    return git(folder, *command, text=text, settings={**_settings_for(folder), **(settings or {})})


def _settings_for(source: Path | str) -> dict[str, str]:
    """Return the settings of a command in or on a clone, with access to the source if that is a folder."""
    if isinstance(source, str):
        return CLONE_SETTINGS
    # A user may have forbidden Git to clone from folders, since the submodules of a strange repository could
    # use that.
    return {**CLONE_SETTINGS, "protocol.file.allow": "always"}
