"""Files of a checkout that Git does not track: no clone has them."""

from pathlib import Path

from .git import git


def untracked_names(top: Path) -> list[str]:
    """What Git does not track in a checkout, DVC's own files and environments aside, ignored or not.

    A folder of which it tracks nothing is one name, and ends with a slash.

    Args:
        top: Git root of the checkout.
    """
    listed = git(top, "ls-files", "-z", "--others", "--directory").split("\0")
    return [name for name in listed if name and not _is_of_tools(top, name)]


def _is_of_tools(top: Path, name: str) -> bool:
    in_dvc_folder = name.startswith(".dvc/") or "/.dvc/" in name
    return in_dvc_folder or (top / name / "pyvenv.cfg").exists()
