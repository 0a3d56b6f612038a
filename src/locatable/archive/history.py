"""The objects of a revision and its history: how large they are, and the texts among them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..git import git
from ..git.objects import GitObjects
from .privacy import LARGEST_TEXT, CommittedText

# Objects that are in memory together.
_TOGETHER = 500
_FORMAT = "%(objectname) %(objecttype) %(objectsize) %(objectsize:disk)"


@dataclass(frozen=True)
class HistoryObject:
    """An object of Git.

    Attributes:
        id: of the object.
        is_file: whether it is a version of a file.
        size: bytes of its content.
        stored: bytes that it takes in the repository.
        path: of the file or folder, from the Git root; of one with several, any of them.
    """

    id: str
    is_file: bool
    size: int
    stored: int
    path: str


def history_objects(repo: Path, commit: str) -> list[HistoryObject]:
    """All objects that can be reached from a commit."""
    listed = git(repo, "rev-list", "--objects", commit).split("\n")
    lines = "".join(f"{line.split(' ', 1)[0]}\n" for line in listed)
    answers = git(repo, "cat-file", f"--batch-check={_FORMAT}", text=lines).split("\n")
    found = []
    for line, answer in zip(listed, answers, strict=True):
        id_, kind, size, stored = answer.split(" ")
        path = line.partition(" ")[2]
        found.append(HistoryObject(id_, kind == "blob", int(size), int(stored), path))
    return found


def committed_texts(
    objects: GitObjects, history: Sequence[HistoryObject], present: dict[str, str]
) -> Iterator[CommittedText]:
    """Versions of the files in a history, without large ones.

    Args:
        objects: reads them.
        history: see `history_objects`.
        present: ids by path of the files in the revision itself.
    """
    ids_present = set(present.values())
    texts = [one for one in history if one.is_file and one.size <= LARGEST_TEXT]
    for start in range(0, len(texts), _TOGETHER):
        batch = texts[start : start + _TOGETHER]
        answers = objects.read(one.id for one in batch)
        for one, answer in zip(batch, answers, strict=True):
            if answer:
                yield CommittedText(one.path, answer[1], one.id in ids_present)
