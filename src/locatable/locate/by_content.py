"""Find results by the content of files and folders: in experiments, in commits, and in the workspace."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from shlex import quote
from typing import Any

from ..errors import NotFoundError, UnreadableError
from ..git import git, paths_left_out
from ..git.objects import NEVER_SEARCHED, git_hash
from ..git.pointers import lfs_pointer_hash
from ..model import Experiment, holder, is_in, overlaps
from ..output import progress_bar
from ..repository.dvc_files import IGNORE_FILE, may_hide, split_rules
from ..repository.hashes import HashKind, md5_of
from ..repository.reader import BRANCHES, Reader, commit_id, revisions_named
from ..repository.snapshot import Snapshot
from ..results.rebuild import artifact_at
from .result import Located, Result, Role, RoleKind, uncommitted_coordinates

# The hash of a folder in DVC.
FOLDER_HASH = re.compile(rb"[0-9a-f]{32}\.dir")
# The hash of a file or folder in DVC.
WHOLE_HASH = re.compile(r"[0-9a-f]{32}(\.dir)?")
# The files in which DVC, and the stage `environment`, record results.
RECORDS = ("dvc.lock", "dvc.yaml", "*.dvc", "environment.json")


class Commits:
    """The commits that are searched for results: those of experiments, branches and tags.

    Attributes:
        experiments: the experiments, by their commit.
        head: the commit that is checked out; None in a repository without commits.
        revs: the ids of all commits.
        id_length: the length of a Git id in this repository: 40 characters, or 64 with SHA-256.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.experiments: dict[str, Experiment] = {}
        for experiment in reader.experiments():
            # Several experiments can have the same commit. It is reported under the first name.
            self.experiments.setdefault(experiment.rev, experiment)
        self.head = commit_id(reader, "HEAD")
        tips = [*BRANCHES, "HEAD"] if self.head else BRANCHES
        listed = git(reader.root, "rev-list", *tips).split()
        self.revs = list(dict.fromkeys([*self.experiments, *listed]))
        # Baselines that are on no branch are searched as well, unless a shallow clone lacks them.
        baselines = {experiment.baseline for experiment in self.experiments.values()}
        unlisted = sorted(baselines.difference(self.revs))
        for rev, commit in zip(unlisted, reader.objects.read(unlisted), strict=True):
            if commit:
                self.revs.append(rev)
        self.id_length = len(self.revs[0]) if self.revs else 40

    def snapshots(self) -> Iterator[Snapshot]:
        """Yield the snapshots of all commits, with a progress bar if that takes more than a second."""
        snapshots = self._reader.snapshots(self.revs)
        options = {"total": len(self.revs), "unit": "commit", "delay": 1, "leave": False}
        yield from progress_bar("read {n_fmt} of {total_fmt} commits", iterable=snapshots, **options)


def find_content(reader: Reader, path: Path) -> Located:
    """Find the revisions that have a file or folder with the same content, at any path.

    If no revision has the folder as a whole, find the revisions that have the largest number of its files.
    """
    located = _find(reader, [path])
    if located.results or not path.is_dir():
        return located
    # A folder is still traceable after a file in it was changed or added, because the other files are known.
    located = _find(reader, [file for file in path.rglob("*") if file.is_file()])
    most = max((len(result.roles) for result in located.results), default=0)
    return replace(located, results=[result for result in located.results if len(result.roles) == most])


def find_recorded(reader: Reader, target: str) -> Located | None:
    """Find the revisions of a file that is recorded in HEAD, but is not in the workspace.

    Returns:
        The revisions that have the recorded content, at any path; None if HEAD records no file at the target.

    Raises:
        UnreadableError: a DVC file in HEAD is broken.
    """
    head = commit_id(reader, "HEAD")
    snapshot = reader.snapshot(head) if head else None
    path = path_in(snapshot, Path(target)) if snapshot else None
    if not snapshot or not path:
        return None
    hashes = recorded_hashes(snapshot, path)
    if not hashes and path not in snapshot.sources and path not in snapshot.outs:
        return None
    located = _find(reader, [], hashes) if hashes else Located([])
    note = f"{target}: not here; this is what {snapshot.rev[:7]} records of it"
    if not snapshot.in_git(path):
        note += f", and `dvc pull {quote(target)}` may get it"
    results = located.results or [Result(snapshot, None, {path: role_at(snapshot, path)})]
    return replace(located, results=results, notes=[note])


def path_in(snapshot: Snapshot, target: Path) -> str | None:
    """Return a target's path relative to the project, as revisions have it; None if it is outside."""
    absolute = Path(os.path.abspath(target))
    root = snapshot.reader.root
    return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else None


def recorded_hashes(snapshot: Snapshot, path: str) -> frozenset[str]:
    """Return the Git and DVC hashes that a revision records for the file or folder at a path.

    If the path is in a tracked folder whose list of files is not available, or the path is a subfolder of a
    tracked folder, the result is the hash of the tracked folder. It is empty if no hash is recorded.
    """
    git_id = snapshot.reader.objects.entry(snapshot.tree, path)
    if git_id:
        # The md5 is added because other revisions may track the same file with DVC or read it as an input.
        # Their lock files name it by its md5.
        is_file = path in snapshot.git_files(path)
        md5 = snapshot.reader.hashes.of_blob(git_id, HashKind.MD5) if is_file else None
        return frozenset(filter(None, (git_id, md5)))
    for tracked, entry in snapshot.tracked.items():
        if "md5" not in entry or not is_in(path, tracked):
            continue
        md5 = str(entry["md5"])
        if path == tracked:
            return frozenset([md5])
        files = snapshot.reader.folder_files(tracked, entry)
        if tracked in files or any(is_in(file, path) for file in files):
            return frozenset([files.get(path, md5)])
    return frozenset()


def _find(reader: Reader, targets: list[Path], hashes: frozenset[str] = frozenset()) -> Located:
    """Find the revisions that have any of the target files and folders, or a file with any of the hashes."""
    commits = Commits(reader)
    search = _Search(reader, targets, hashes, commits.id_length)
    results, left_out = [], []
    for snapshot in commits.snapshots():
        try:
            roles = search.roles(snapshot)
        except UnreadableError as error:
            left_out.append(str(error))
            continue
        if roles:
            # The copy does not keep what was read from the snapshot: there can be thousands of results.
            results.append(Result(replace(snapshot), commits.experiments.get(snapshot.rev), roles))
    if commits.head:
        try:
            results += search.in_workspace(reader.snapshot(commits.head))
        except UnreadableError as error:
            left_out.append(f"workspace on {error}")
    if not results:
        left_out += _unlisted(reader, commits)
    return Located(sorted(results, key=order), left_out)


def order(result: Result) -> tuple[bool, bool, int]:
    """Return a sort key: results that made the target come first, then committed ones, then older ones."""
    return not result.made_target, bool(result.uncommitted), result.snapshot.time


def _unlisted(reader: Reader, commits: Commits) -> list[str]:
    """Return a line about tracked folders whose files are unknown, since their lists are not in the cache."""
    folders = set()
    for snapshot in reader.snapshots(commits.revs):
        with suppress(UnreadableError):  # the search has reported it already
            for path, entry in snapshot.tracked.items():
                md5 = str(entry.get("md5", ""))
                is_unlisted = md5.endswith(".dir") and "files" not in entry and not snapshot.in_git(path)
                if is_unlisted and not reader.cached_file(md5):
                    folders.add(md5)
    if not folders:
        return []
    return [
        f"lists of files in tracked folders, {len(folders)} of which are not in this machine's DVC cache; "
        "`dvc fetch --all-commits` gets them, with the files"
    ]


@dataclass(frozen=True)
class Hashes:
    """The hashes by which DVC files name the wanted files or folders.

    Attributes:
        current: the hashes of the files and folders, and of the tracked folders that contain one.
        older: the same hashes as DVC 1 and 2 computed them, with the line ends of text files normalized.
    """

    current: set[str]
    older: set[str]

    @property
    def all(self) -> set[str]:
        """The hashes of both kinds."""
        return self.current | self.older

    def match(self, entry: Mapping[str, Any]) -> bool:
        """Return true if an entry of a lock or `.dvc` file is one of them, or a folder that contains one."""
        hashes = self.current if HashKind.of_entry(entry) is HashKind.MD5 else self.older
        if entry.get("md5") in hashes:
            return True
        # For a remote with `version_aware`, the entry of a folder lists its files instead of having one hash.
        return any(file.get("md5") in hashes for file in entry.get("files") or ())


class _Search:
    """A search for files and folders, which remembers between revisions what it has looked into."""

    def __init__(self, reader: Reader, targets: list[Path], hashes: frozenset[str], id_length: int) -> None:
        self._reader = reader
        self._targets = targets
        self._md5s: set[str] = set()
        self._hashes = Hashes(set(hashes), set(hashes))
        self._blobs = set(hashes)
        self._has_folder = False
        for target in targets:
            self._md5s.add(md5_of(target))
            self._hashes.older.add(md5_of(target, HashKind.MD5_OF_TEXT))
            self._blobs.add(git_hash(target, id_length))
            if target.is_dir():
                self._has_folder = True
            elif reader.lfs.is_dir():
                # With Git LFS, Git has a pointer in place of the file.
                self._blobs.add(lfs_pointer_hash(target, id_length))
        self._hashes.current.update(self._md5s)
        # The hashes of the targets themselves, as the raw content of DVC files has them.
        self._wanted = {hashed.encode() for hashed in self._hashes.all}
        # Whether a lock or `.dvc` file may name a target, by its blob: many revisions share the same blob.
        self._may_name: dict[str, bool] = {}
        # The hashes of folders whose lists of files were searched.
        self._searched: set[str] = set()

    def roles(self, snapshot: Snapshot) -> dict[str, Role]:
        """Return how the targets belong to a revision, by path; empty if they do not.

        Raises:
            UnreadableError: the revision names a target, but one of its DVC files is broken; or this clone
                does not have the whole revision, so that it may name a target.
        """
        snapshot.check_whole()
        paths: list[str] = []
        for blob in self._blobs:
            paths += self._reader.objects.paths_of_blob(snapshot.tree, blob)
        # Each blob is tested, without stopping at the first match, because the test also adds the hashes of
        # the folders that contain a target.
        records = [path for path, blob in snapshot.blobs.items() if self._may_name_target(blob)]
        return roles_of(snapshot, paths, self._hashes) if paths or records else {}

    def _may_name_target(self, blob: str) -> bool:
        """Return true if a lock or `.dvc` file may name a target, or a folder that contains one."""
        if blob not in self._may_name:
            text = self._reader.objects.blob(blob)
            folders = _folder_hashes(text)
            self._add_folders_of_targets(folders)
            # After a push to a remote with `version_aware`, the entry of a folder lists its files, but the
            # hash of the folder itself is written nowhere.
            may_list_folder = self._has_folder and b"files:" in text
            has_folder_of_target = not folders.isdisjoint(self._hashes.all)
            has_target = any(hashed in text for hashed in self._wanted)
            self._may_name[blob] = may_list_folder or has_folder_of_target or has_target
        return self._may_name[blob]

    def _add_folders_of_targets(self, folders: set[str]) -> None:
        """Add the hashes of the tracked folders that contain a target, if the cache has their lists."""
        for folder in folders - self._searched:
            listing = self._reader.cached_file(folder)
            if not listing:
                continue
            content = listing.read_bytes()
            listed = {hashed.decode() for hashed in self._wanted if hashed in content}
            for hashes in (self._hashes.current, self._hashes.older):
                if listed & hashes:
                    hashes.add(folder)
        self._searched |= folders

    def in_workspace(self, head: Snapshot) -> list[Result]:
        """Return the result of the workspace if a target is an output that HEAD does not record.

        The list is empty otherwise.
        """
        sizes = {target.stat().st_size for target in self._targets if target.is_file()}

        def is_target(path: Path) -> bool:
            if path.is_file():
                return path.stat().st_size in sizes and md5_of(path) in self._md5s
            return self._has_folder and path.is_dir() and md5_of(path) in self._md5s

        workspace, outputs = workspace_outputs(head, is_target)
        if not outputs:
            return []
        roles = {path: role_at(workspace, path) for path in outputs}
        uncommitted = uncommitted_coordinates(workspace, head)
        return [Result(workspace, None, roles, uncommitted)] if uncommitted else []


def _folder_hashes(text: bytes) -> set[str]:
    """Return the hashes of folders in the text of a lock or `.dvc` file."""
    hashes = set()
    # Splitting the text is far faster than searching it for the whole pattern.
    for part in text.split(b".dir")[:-1]:
        name = part[-32:] + b".dir"
        if FOLDER_HASH.fullmatch(name):
            hashes.add(name.decode())
    return hashes


def roles_of(snapshot: Snapshot, paths: list[str], hashes: Hashes) -> dict[str, Role]:
    """Return how files or folders belong to a revision, by path; empty if they do not.

    Args:
        snapshot: the revision.
        paths: the paths at which Git tracks them.
        hashes: their hashes in DVC.
    """
    # A more telling role replaces a less telling one at the same path: the stage that wrote a file says most.
    roles = {path: Role(RoleKind.IN_GIT) for path in paths}
    for path, source in snapshot.sources.items():
        if hashes.match(source):
            roles[path] = _tracked_role(snapshot, path)
    for name, record in snapshot.records.items():
        for path, entry in record.deps.items():
            has_better_role = path in roles and roles[path].kind is not RoleKind.IN_GIT
            if hashes.match(entry) and not has_better_role:
                roles[path] = Role(RoleKind.INPUT, name)
    for name, record in snapshot.records.items():
        for out, entry in record.outs.items():
            # If Git tracks the files of the output folder, the role belongs to the file, not to the folder.
            written = [path for path in paths if is_in(path, out)]
            if not written and hashes.match(entry):
                written = [out]
            roles |= dict.fromkeys(written, Role(RoleKind.OUTPUT, name))
    return roles


def role_at(snapshot: Snapshot, path: str) -> Role:
    """Return how the file or folder at a path belongs to a revision."""
    for name, record in snapshot.records.items():
        if holder(record.outs, path):
            return Role(RoleKind.OUTPUT, name)
    source = holder(snapshot.sources, path)
    return _tracked_role(snapshot, source) if source else Role(RoleKind.IN_GIT)


def _tracked_role(snapshot: Snapshot, source: str) -> Role:
    """Return how a file or folder that a `.dvc` file tracks belongs to a revision."""
    stage = snapshot.sources[source].get("stage")
    if stage:
        return Role(RoleKind.OUTPUT, stage)
    artifact = artifact_at(snapshot, source)
    return Role(RoleKind.ARTIFACT, artifact) if artifact else Role(RoleKind.SOURCE)


def workspace_outputs(head: Snapshot, is_wanted: Callable[[Path], bool]) -> tuple[Snapshot, dict[str, Path]]:
    """Return the wanted outputs of the workspace that its own dvc.lock records.

    Returns:
        HEAD with the records of the workspace, and the files and folders by path. There are none if the
        workspace records the same results as HEAD.
    """
    records = _workspace_records(head)
    if records == head.files:
        return head, {}
    workspace = replace(head, files=records)
    root = head.reader.root
    outputs: dict[str, Path] = {}
    for out, entry in workspace.outs.items():
        output = root / out
        paths = [*output.rglob("*"), output] if output.is_dir() else [output]
        wanted = [path for path in paths if is_wanted(path)]
        # An output is hashed only if a wanted file is in it: a model, for example, takes long to read.
        if wanted and md5_of(output, HashKind.of_entry(entry)) == entry.get("md5"):
            outputs |= {path.relative_to(root).as_posix(): path for path in wanted}
    return workspace, outputs


def checked_out(reader: Reader) -> Result:
    """Return the result in the workspace: that of HEAD, with all uncommitted changes applied.

    Raises:
        NotFoundError: nothing is committed yet.
        UnreadableError: a DVC file in the workspace is broken.
    """
    rev = commit_id(reader, "HEAD")
    if rev is None:
        raise NotFoundError("nothing is checked out: there is no commit yet")
    head = reader.snapshot(rev)
    head.check_whole()
    workspace = replace(head, files=_workspace_records(head))
    try:
        files = _uncommitted_files(workspace)
        workspace.tree = reader.objects.with_files(head.tree, files, len(rev)) if files else head.tree
        _require_whole_hashes(workspace)
        uncommitted = uncommitted_coordinates(workspace, head)
    except UnreadableError as error:
        raise UnreadableError(f"workspace on {error}") from None
    (named,) = revisions_named(reader, rev)
    return Result(workspace, None if uncommitted else named.experiment, uncommitted=uncommitted)


def _require_whole_hashes(workspace: Snapshot) -> None:
    """Raise an error for a truncated dvc.lock, which a process is still writing or left half written."""
    for address, record in workspace.records.items():
        for path, entry in (*record.deps.items(), *record.outs.items()):
            if "md5" in entry and not WHOLE_HASH.fullmatch(str(entry["md5"])):
                raise UnreadableError(
                    f"{workspace.rev[:7]}:dvc.lock: the hash of {path} of {address} is cut off"
                )


def _uncommitted_files(workspace: Snapshot) -> dict[str, bytes | None]:
    """Return the content of files that differ from HEAD, by path; None for a file that was deleted.

    Untracked files are included only if a stage reads or writes them.
    """
    root = workspace.reader.root
    options = ("--name-only", "--no-renames", "--relative", "--ignore-submodules", "-z")
    listed = git(root, "diff", *options, "HEAD", settings={"core.fsmonitor": "false"})
    paths = list(filter(None, listed.split("\0")))
    declared = {*workspace.metric_files, *workspace.plot_files}
    for stage in workspace.stages.values():
        declared.update((*stage.deps, *stage.outs, *stage.params))
    untracked = git(root, "ls-files", "-z", "--others", "--exclude-standard").split("\0")
    paths += [path for path in untracked if path and overlaps(path, declared)]
    left_out = set(paths_left_out(root))
    files: dict[str, bytes | None] = {}
    for path in paths:
        file = root / path
        if file.is_file() and not file.is_symlink():
            files[path] = file.read_bytes()
        elif not os.path.lexists(file) and path not in left_out:
            files[path] = None
    return files


def _workspace_records(head: Snapshot) -> dict[str, bytes]:
    """Return the content of the files in the workspace that record results, by path."""
    root = head.reader.root
    patterns = [f":(glob)**/{name}" for name in (*RECORDS, IGNORE_FILE)]
    listed = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns)
    files = {}
    for path in filter(None, listed.split("\0")):
        if (root / path).is_file() and not _in_other_project(root, path):
            files[path] = (root / path).read_bytes()
    for path in paths_left_out(root):
        # A sparse checkout leaves files out of the workspace; they count as unchanged.
        if path in head.files and path not in files:
            files[path] = head.files[path]
    records, rules, hideable = split_rules(files)
    if may_hide(rules, hideable):
        from ..repository.dvc_repo import hidden_in_workspace

        for path in hidden_in_workspace(root, hideable):
            del records[path]
    return records


def _in_other_project(root: Path, path: str) -> bool:
    """Return true if a folder between root and file is another DVC project, or an internal folder of DVC."""
    for folder in PurePosixPath(path).parents[:-1]:
        if folder.name in NEVER_SEARCHED or (root / folder / ".dvc").is_dir():
            return True
    return False
