"""What the text of a Git commit object says."""

import re

_AUTHOR = re.compile(r"^author (.+?) <.*> \d+ [-+]\d+$", re.MULTILINE)
_COMMITTER = re.compile(r"^committer .* (\d+) [-+]\d+$", re.MULTILINE)


def commit_time(text: str) -> int:
    """Return when a commit was made, in seconds since 1970; 0 for no text."""
    match = _COMMITTER.search(text)
    return int(match[1]) if match else 0


def author(text: str) -> str:
    """Return the name of who wrote a commit; empty where it names nobody."""
    match = _AUTHOR.search(text)
    return match[1] if match else ""


def subject(text: str) -> str:
    """Return the first paragraph of a commit's message, in one line; empty for no text."""
    _, _, message = text.partition("\n\n")
    first, _, _ = message.lstrip("\n").partition("\n\n")
    return " ".join(first.splitlines())
