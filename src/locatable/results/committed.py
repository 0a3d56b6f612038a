"""What DVC would find at a path in a checkout of a commit: by hash, and without a checkout."""

import posixpath
from collections.abc import Collection, Iterable, Mapping

from ..model import Entry, is_in, overlaps
from ..repository.hashes import HashKind, folder_hash
from ..repository.snapshot import Snapshot

# The hash of what is not there.
ABSENT = ""


class CommittedFiles:
    """Hashes of files and folders of a commit, as DVC would compute them in a checkout.

    Args:
        snapshot: the commit.
        tracked: entry of a lock or a `.dvc` file, by path of what DVC keeps.
        unknown: paths of outputs that nothing records.
    """

    def __init__(self, snapshot: Snapshot, tracked: Mapping[str, Entry], unknown: Collection[str]) -> None:
        self._snapshot = snapshot
        self._objects = snapshot.reader.objects
        self._tracked = tracked
        self._unknown = unknown

    def load(self, paths: Iterable[str], kind: HashKind) -> None:
        """Read what Git keeps at paths whose hashes will be asked for, all at once."""
        blobs: list[str] = []
        for path in paths:
            if path not in self._tracked:
                blobs += self._snapshot.git_files(path).values()
        self._snapshot.reader.hashes.load(blobs, kind)

    def hash_of(self, path: str, kind: HashKind) -> str | None:
        """Return hash of a file or folder; `ABSENT` where the commit has none.

        None where it cannot be told from Git and this machine's DVC cache: outside of the repository, in a
        submodule, behind a symbolic link, in Git LFS or git-annex, or in a tracked folder whose list is not
        in the cache.

        Args:
            path: as seen from the DVC root.
            kind: of hash.
        """
        if path in self._tracked:
            return _recorded(self._tracked[path], kind)
        if path in self._unknown or path in (".", "..") or "://" in path or posixpath.isabs(path):
            return None
        return self._hash_outside(path, kind) if path.startswith("../") else self._hash_inside(path, kind)

    def _hash_inside(self, path: str, kind: HashKind) -> str | None:
        """Return the same for what is in the DVC project."""
        if self._objects.is_opaque(self._snapshot.tree, path):
            return None
        blobs = self._snapshot.git_files(path)
        if path in blobs:
            return self._snapshot.reader.hashes.of_blob(blobs[path], kind)
        hidden = self._snapshot.reader.hidden_files(self._snapshot.rev, self._snapshot.tree, blobs.keys())
        seen = {file: blob for file, blob in blobs.items() if file not in hidden}
        files = self._git_hashes(seen, kind) | self._tracked_hashes(path, kind)
        if path in files:
            return files[path]
        return _hash_of_folder(path, files)

    def _hash_outside(self, path: str, kind: HashKind) -> str | None:
        """Return the same for what is in the Git repository, and not in the DVC project."""
        answer = self._objects.read([self._snapshot.rev + "^{tree}"])[0]
        place = posixpath.normpath(posixpath.join(self._snapshot.reader.prefix, path))
        if not answer or place.startswith("..") or self._objects.is_opaque(answer[0], place):
            return None
        blobs = self._objects.files(answer[0], place)
        if place in blobs:
            return self._snapshot.reader.hashes.of_blob(blobs[place], kind)
        # What is not in Git may be of another DVC project.
        return _hash_of_folder(place, self._git_hashes(blobs, kind)) or None

    def _git_hashes(self, blobs: Mapping[str, str], kind: HashKind) -> dict[str, str | None]:
        """Return hash by path of the files that Git keeps."""
        hashes = self._snapshot.reader.hashes
        return {path: hashes.of_blob(blob, kind) for path, blob in blobs.items()}

    def _tracked_hashes(self, path: str, kind: HashKind) -> dict[str, str | None]:
        """Hash by path of the files that DVC keeps at a path, in that folder, or in a folder around it."""
        files: dict[str, str | None] = {}
        for place, entry in self._tracked.items():
            if is_in(place, path):
                files.update(self._listed(place, entry, kind))
            elif is_in(path, place):
                listed = self._listed(place, entry, kind)
                inside = {file: md5 for file, md5 in listed.items() if is_in(file, path)}
                files.update(inside if place not in listed else {path: None})
        for place in self._unknown:
            if overlaps(path, [place]):
                files[path] = None
        return files

    def _listed(self, path: str, entry: Entry, kind: HashKind) -> dict[str, str | None]:
        """Return hash by path of the files of a tracked folder; of a folder without a list, None."""
        md5 = _recorded(entry, kind)
        if md5 is None or not md5.endswith(".dir"):
            return {path: md5}
        files = self._snapshot.reader.folder_files(path, entry)
        return {path: None} if path in files else dict(files)


def _recorded(entry: Entry, kind: HashKind) -> str | None:
    """Return the hash in an entry, None where it has none of this kind."""
    return entry.get("md5") if HashKind.of_entry(entry) is kind else None


def _hash_of_folder(path: str, files: Mapping[str, str | None]) -> str | None:
    """Return hash of a folder, `ABSENT` where there is none, None where one of its files has none."""
    if not files:
        return ABSENT
    start = len(path) + 1
    known = {file[start:]: md5 for file, md5 in files.items() if md5}
    return folder_hash(known) if len(known) == len(files) else None
