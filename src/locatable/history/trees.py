"""Folders as Git stores them: tree objects."""

import re

# Modes of what is in a folder; all others are files.
FOLDER, SUBMODULE, LINK = "40000", "160000", "120000"

# Mode and id of a file or folder in a tree.
Entry = tuple[str, str]


def entries_of(tree: bytes, id_size: int) -> dict[str, Entry]:
    """Entries by name of a tree object; `id_size` is that of a raw id, in bytes."""
    entry = rb"(\d+) ([^\0]+)\0(" + b"." * id_size + b")"
    return {
        name.decode(errors="surrogateescape"): (mode.decode(), raw_id.hex())
        for mode, name, raw_id in re.findall(entry, tree, re.DOTALL)
    }
