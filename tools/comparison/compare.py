"""Compare what this package reads from commits with what DVC reads."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from locatable.repository.reader import Reader
from locatable.repository.snapshot import Snapshot

from .checks import CHECKS
from .dvc_side import DvcRevision, RefusedError, open_repo, read_revision


@dataclass(frozen=True)
class Mismatch:
    """A value that differs.

    Attributes:
        rev: the commit.
        key: the name of the value.
        dvc: the value that DVC reads.
        ours: the value that this package reads.
    """

    rev: str
    key: str
    dvc: Any
    ours: Any

    def __str__(self) -> str:
        return f"{self.rev[:7]} {self.key}: DVC has {self.dvc!r}, we have {self.ours!r}"


@dataclass
class Comparison:
    """The result of comparing commits.

    Attributes:
        compared: the number of compared commits.
        mismatches: the values that differ.
        not_compared: what could not be compared and why, with the number of times.
    """

    compared: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)
    not_compared: dict[str, int] = field(default_factory=dict)

    def leave_out(self, what: str) -> None:
        """Record that something was not compared."""
        self.not_compared[what] = self.not_compared.get(what, 0) + 1


def compare(root: Path, revs: Sequence[str]) -> Comparison:
    """Compare commits of the project in a folder.

    Args:
        root: the DVC root of a checkout, which is not changed.
        revs: the full ids of the commits.
    """
    comparison = Comparison()
    with open_repo(root) as repo, Reader(root) as reader:
        for rev in revs:
            try:
                revision = read_revision(repo, rev)
            except RefusedError as error:
                comparison.leave_out(f"a commit that DVC refuses: {_general(str(error), root)}")
                continue
            comparison.compared += 1
            for what, reason in revision.unread.items():
                comparison.leave_out(f"{what}: {_general(reason, root)}")
            comparison.mismatches += compare_revision(reader.snapshot(rev), revision)
    return comparison


def _general(reason: str, root: Path) -> str:
    """Return a reason without paths and hashes, so that the same reason in several commits counts as one."""
    return re.sub(r"\b[0-9a-f]{2}/[0-9a-f]{30}\b|\b[0-9a-f]{7,64}\b", "…", reason.replace(f"{root}/", ""))


def compare_revision(snapshot: Snapshot, revision: DvcRevision) -> list[Mismatch]:
    """Return the differences between a snapshot and what DVC reads from the same commit."""
    found = []
    for check in CHECKS:
        try:
            found += [Mismatch(snapshot.rev, *values) for values in check(snapshot, revision)]
        except Exception as error:  # DVC could read this commit, so an error of ours is a difference.
            found.append(Mismatch(snapshot.rev, check.__name__.strip("_"), "an answer", repr(error)))
    return found
