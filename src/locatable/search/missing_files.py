"""Files that a failed trial asked for, and that only the user's checkout has: clones have what Git tracks."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..clones.trial_clone import Clone
from ..git import untracked_names


def remark_on(clone: Clone, log: str) -> str:
    """What to say of a failed trial beside its own words; empty where there is nothing to add.

    Args:
        clone: where it ran.
        log: what it printed.
    """
    remarks = [submodule.problem for submodule in clone.submodules if submodule.problem]
    if clone.shared:
        top = Path(clone.url)
        folders = {folder.relative_to(clone.folder) for folder in clone.working_folders}
        text = _without_place(log, clone.working_folders)
        names = [name for name in untracked_names(top) if not _is_output(clone, name)]
        missing = [
            name
            for name in mentioned_files(names, folders, text)
            if (top / name).exists() and not (clone.folder / name).exists()
        ]
        if missing:
            remarks.append(_sentence(missing))
    return "; ".join(remarks)


def _is_output(clone: Clone, name: str) -> bool:
    path = clone.folder / name
    return any(path.is_relative_to(out) or out.is_relative_to(path) for out in clone.outputs)


def _without_place(log: str, folders: Iterable[Path]) -> str:
    """A log in which absolute paths of the clone are those that a stage would write."""
    for folder in folders:
        log = log.replace(f"{folder}/", "")
    return re.sub(r"(?<![\w.])\./", "", log)


def mentioned_files(names: Iterable[str], folders: Iterable[Path], text: str) -> Iterator[str]:
    """Files and folders that a text names, as seen from the Git root.

    Args:
        names: of files, and of folders with a slash at the end.
        folders: that stages run in, as seen from the Git root.
        text: what stages printed.
    """
    for name in names:
        path = Path(name)
        for folder in folders:
            if not path.is_relative_to(folder) or path == folder:
                continue
            seen = path.relative_to(folder).as_posix()
            found = _mention(seen, name.endswith("/"), text)
            if found is not None:
                yield (folder / found).as_posix()
                break


def _mention(seen: str, is_folder: bool, text: str) -> str | None:
    """How a text names a file, or something in a folder; None where it does not."""
    inside = r"(?:/[\w./-]*\w)?" if is_folder else ""
    found = re.search(rf"(?<![\w./-]){re.escape(seen)}{inside}(?![\w/-]|\.\w)", text)
    if found:
        return found[0]
    # Python has other words for a file that it imports.
    module = seen.removesuffix(".py")
    is_module = is_folder or module != seen
    missing_module = rf"No module named ['\"]{re.escape(module.replace('/', '.'))}\b"
    return seen if is_module and re.search(missing_module, text) else None


def _sentence(missing: list[str]) -> str:
    names = ", ".join(dict.fromkeys(missing))
    return (
        f"trials run in clones, and Git does not track {names}, which your checkout has: "
        "`git add` or `dvc add` it; pass a secret in an environment variable"
    )
