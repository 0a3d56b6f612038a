"""Proofs and clones of tiny DVC repositories."""

import contextlib
from pathlib import Path

from tiny_git import git

from locatable.clones.trial_clone import Clone, read_project
from locatable.proof.reproduce import ProofOptions, Report, reproduce


def proof(root: Path, rev: str = "HEAD") -> Report:
    """The proof of a revision, with the packages of the tests."""
    with contextlib.chdir(root):
        return reproduce(ProofOptions(rev=rev, fresh_environment=False), lambda line: None)


def clone_of(root: Path) -> Clone:
    """A clone beside a repository, as a search has it."""
    return Clone(root.parent / "clone", read_project(root).clone_setup(git(root, "rev-parse", "HEAD")))
