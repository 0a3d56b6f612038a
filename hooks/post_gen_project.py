"""Put the new project under Git, and say what to type next.

Standard library only; no network. Nothing happens inside a repository that tracks this
folder already, nor when cruft renders the template again to compare.
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
    """Whether cruft renders into a temporary folder; cookiecutter itself would name its output folder."""
    here, temporary = os.path.realpath("."), os.path.realpath(tempfile.gettempdir())
    return "_output_dir" not in ANSWERS and os.path.commonpath([here, temporary]) == temporary


def cache_example():
    """Put the example's table into DVC's cache, as the first commit names it and a user may replace it."""
    with open("data/raw.csv", "rb") as file:
        table = file.read()
    digest = hashlib.md5(table, usedforsecurity=False).hexdigest()
    write_new(os.path.join(".dvc/cache/files/md5", digest[:2], digest[2:]), table, mode=0o444)


def name_remote_for_all_commits():
    """Name a relative remote in config.local, too, as `make setup` does in clones (the Makefile says why)."""
    with open(".dvc/config", "rb") as file:
        remote = file.read().partition(b"['remote")
    if b'url = "..' in remote[2]:
        write_new(".dvc/config.local", b"".join(remote[1:]))


def write_new(path, content, mode=0o644):
    """Write a file with the folders around it, unless it is there."""
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, mode)


def commit():
    """Make the first commit, unless another repository has this folder in it.

    Returns:
        What the user has to do instead, or None.
    """
    inside, _ = git("rev-parse", "--is-inside-work-tree")
    ignored, _ = git("check-ignore", "--quiet", ".")
    if inside and not ignored:
        return None
    done, said = git("init", "--quiet")
    if done:
        # `git init --initial-branch` needs Git 2.28; this works with every Git.
        done, said = git("symbolic-ref", "HEAD", "refs/heads/main")
    if done:
        # A gitignore of the whole machine may hide `*.lock` or `data/`, and would hide them here.
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
