"""Notes of Git on commits: on which processor the results of an experiment were computed.

Notes are beside a commit and not in it: nothing depends on them, and they can be deleted or never fetched.
"""

import json
from pathlib import Path

from .errors import GitError
from .git import git
from .processor import Processor

REF = "locatable"
# Git needs a name for every commit, and a note is nobody's work.
AUTHOR = {"user.name": "locatable", "user.email": "locatable@localhost"}


def write_processor(root: Path, rev: str, processor: Processor) -> None:
    """Note on a commit which processor its results were computed on.

    Raises:
        GitError: Git refuses; another process may be writing a note.
    """
    text = json.dumps(processor.to_json(), sort_keys=True)
    git(root, "notes", "--ref", REF, "add", "--force", "--message", text, rev, settings=AUTHOR)


def read_processor(root: Path, rev: str) -> Processor | None:
    """Which processor the results of a commit were computed on; None where nobody noted it."""
    try:
        noted = json.loads(git(root, "notes", "--ref", REF, "show", rev))
        return Processor.from_json(noted)
    except (GitError, TypeError, ValueError):
        return None
