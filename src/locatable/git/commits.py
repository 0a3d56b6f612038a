"""What the text of a Git commit object says."""

import re

_COMMITTER = re.compile(r"^committer .* (\d+) [-+]\d+$", re.MULTILINE)


def commit_time(text: str) -> int:
    """When a commit was made, in seconds since 1970; 0 for no text."""
    match = _COMMITTER.search(text)
    return int(match[1]) if match else 0


def subject(text: str) -> str:
    """The first paragraph of a commit's message, in one line; empty for no text."""
    _, _, message = text.partition("\n\n")
    first, _, _ = message.lstrip("\n").partition("\n\n")
    return " ".join(first.splitlines())
