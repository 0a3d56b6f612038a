"""Put the new project under Git, and print the next commands.

Only the standard library is used, and no network. No repository is created inside one that already tracks
this folder, and nothing happens when cruft renders the template again for a comparison.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile

ANSWERS = json.loads(sys.argv[1] if "COPIER_OPERATION" in os.environ else r"""{{ cookiecutter | tojson }}""")


def git(*command):
    """Run Git and return whether it succeeded, with what it printed."""
    done = subprocess.run(
        ["git", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.returncode == 0, done.stdout.strip()


def rendered_for_comparison():
    """Return whether cruft renders into a temporary folder. cookiecutter itself sets `_output_dir`."""
    here, temporary = os.path.realpath("."), os.path.realpath(tempfile.gettempdir())
    return "_output_dir" not in ANSWERS and os.path.commonpath([here, temporary]) == temporary


def cache_example():
    """Put the example's table into DVC's cache.

    The first commit refers to it, and after a user has replaced the table, it would exist nowhere else.
    """
    with open("data/raw.csv", "rb") as file:
        table = file.read()
    digest = hashlib.md5(table, usedforsecurity=False).hexdigest()
    write_new(os.path.join(".dvc/cache/files/md5", digest[:2], digest[2:]), table, mode=0o444)


def name_remote_for_all_commits():
    """Copy a relative remote to config.local, as `make setup` does in clones.

    For commits that are not checked out, DVC cannot resolve a relative remote that only .dvc/config names.
    """
    with open(".dvc/config", "rb") as file:
        remote = file.read().partition(b"['remote")
    if b'url = "..' in remote[2]:
        write_new(".dvc/config.local", b"".join(remote[1:]))


def write_new(path, content, mode=0o644):
    """Write a file, and create its folders, unless the file exists."""
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, mode)


def commit():
    """Make the first commit, unless a repository already contains this folder.

    Returns:
        What the user has to do if there is no commit, or None.
    """
    inside, _ = git("rev-parse", "--is-inside-work-tree")
    ignored, _ = git("check-ignore", "--quiet", ".")
    if inside and not ignored:
        return None
    done, said = git("init", "--quiet")
    if done:
        # `git init --initial-branch` needs Git 2.28, while this works with every version.
        done, said = git("symbolic-ref", "HEAD", "refs/heads/main")
    if done:
        # A global gitignore may hide `*.lock` or `data/`, which the project needs.
        done, said = git("-c", "core.excludesFile=" + os.devnull, "add", "--all")
    if not done:
        return "Git could not start a repository here: " + said
    done, said = git("commit", "--quiet", "--message", "Generated from the Locatable template")
    if done:
        return None
    if git("var", "GIT_COMMITTER_IDENT")[0]:
        return f"Git could not make the first commit: {said}\nMend that, then: git commit -m 'First commit'"
    return (
        "Git does not know you yet, so nothing is committed. In the new folder, type:\n\n"
        "  git config user.name 'Your Name'\n"
        "  git config user.email 'you@example.org'\n"
        "  git commit -m 'First commit'\n"
    )


def main():
    if rendered_for_comparison():
        return
    cache_example()
    name_remote_for_all_commits()
    try:
        advice = commit()
    except OSError:
        advice = (
            "Git is not installed. Install it; then, in the new folder: git init && git add . && git commit"
        )
    if advice:
        sys.stdout.write("\n" + advice + "\n")
    sys.stdout.write(f"\nNext, type:\n\n  cd {os.path.basename(os.getcwd())}\n  make setup\n  make repro\n")


if __name__ == "__main__":
    main()
