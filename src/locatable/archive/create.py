"""Creates an archive of a revision: plans, checks, gathers, describes and writes it."""

import posixpath
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from ..clones.checkout import Checkout, project_root
from ..clones.recorded_data import stored_objects
from ..errors import CannotTryError, ProjectError, UsageError
from ..model import Experiment
from ..proof.environment import recorded_python
from ..proof.plan import plan_proof
from ..repository.bounds import require_regular
from ..repository.dvc_repo import dvc_errors
from ..repository.experiments import experiment_ref
from ..repository.reader import Reader, resolve
from ..repository.snapshot import Snapshot
from ..results.rebuild import hashed_locks
from ..results.staleness import commit_of_results, differences, has_unrecorded_pipeline, remedy, summary
from .about import describing_members
from .gathered import Gathered, check_history, download_wheels, platform_of_wheels, write_bundle
from .manifest import BUNDLE, FILES, OBJECTS, WHEELS, Content, Manifest, Progress, size_of, write_archive
from .plan import (
    GIGABYTE,
    ArchivePlan,
    HistoryObject,
    find_concerns,
    history_objects,
    plan_archive,
    refusal,
    show_size,
)


@dataclass(frozen=True)
class ArchiveOptions:
    """The options of one archive: its content, and the file.

    Attributes:
        target: the file to write.
        rev: a Git revision or the name of an experiment.
        outputs: true to include recorded outputs.
        wheels: true to include the packages of the locks.
        include: names of concerns that may leave although they look private.
        limit: bytes that it may take without a question.
    """

    target: Path
    rev: str = "HEAD"
    outputs: bool = True
    wheels: bool = False
    include: tuple[str, ...] = ()
    limit: int = GIGABYTE


class Dialogue(Protocol):
    """Tells the user about progress, and asks."""

    def say(self, line: str) -> None:
        """Show a line."""

    def agrees_to(self, size: int) -> bool:
        """Ask for an archive of so many bytes; return true where the user wants it."""

    def progress(self, size: int) -> AbstractContextManager[Progress]:
        """Return a bar for so many bytes, as a function that moves it by a number of them."""


@dataclass(frozen=True)
class Written:
    """An archive that was written: its manifest, and how many bytes all members have."""

    manifest: Manifest
    size: int


def create_archive(options: ArchiveOptions, dialogue: Dialogue) -> Written:
    """Write an archive; the user's checkout, cache and remote are only read.

    Args:
        options: what to archive, and how.
        dialogue: tells and asks the user.

    Raises:
        ProjectError: something may not leave, is too large, or does not allow an archive.
        CannotTryError: the revision cannot be rebuilt from what there is.
    """
    _check_target(options.target)
    root = project_root()
    commit = resolve(options.rev)
    with (
        dvc_errors(CannotTryError),
        TemporaryDirectory(prefix="archive-", ignore_cleanup_errors=True) as folder,
    ):
        work = Path(folder).resolve()
        with Reader(root) as reader, Checkout(root, commit, work / "clone", work / "dvc") as checkout:
            creation = _Creation(options, dialogue, reader, checkout, work)
            return creation.run(reader.snapshot(commit))


def _check_target(target: Path) -> None:
    require_regular(target)
    if target.is_dir() or not target.parent.is_dir():
        raise UsageError(f"{target}: an archive is a file in a folder that exists")


@dataclass
class _Creation:
    """An archive in the making.

    Attributes:
        options: what to archive, and how.
        dialogue: tells and asks the user.
        reader: of the repository.
        checkout: a clean clone of the revision.
        work: a folder for what is only needed meanwhile.
        agreed: bytes that the user has agreed to.
    """

    options: ArchiveOptions
    dialogue: Dialogue
    reader: Reader
    checkout: Checkout
    work: Path
    agreed: int = 0

    def run(self, snapshot: Snapshot) -> Written:
        _check_results(self.reader, snapshot)
        _check_git_alone(snapshot)
        check_history(self.reader.top, snapshot.rev)
        proof = plan_proof(self.checkout.stages, self.checkout.outputs, None)
        plan = plan_archive(proof, snapshot, self.options.outputs)
        history = history_objects(self.reader.top, snapshot.rev)
        self._check_privacy(snapshot, plan, history)
        self.agreed = self.options.limit
        # Before anything is read: as far as sizes are recorded.
        size_of_history = sum(stored.stored for stored in history)
        size_in_dvc = sum(output.size for output in plan.kept_by_dvc)
        self._check_size(size_of_history + size_in_dvc)
        # By its name: not every clone knows that a commit is an experiment.
        experiment = None
        for known in self.reader.experiments():
            if known.rev == snapshot.rev and known.name == self.options.rev:
                experiment = known
        gathered = self._gather(snapshot, plan, experiment)
        python = recorded_python(self.checkout.root)
        manifest = Manifest(
            revision=snapshot.rev,
            project=self.reader.prefix,
            experiment=experiment.name if experiment else None,
            baseline=experiment.baseline if experiment else None,
            wheels_for=platform_of_wheels(python) if self.options.wheels else None,
        )
        members = {**gathered.members, **describing_members(snapshot, plan, manifest, gathered)}
        size = sum(map(size_of, members.values()))
        self._check_size(size)
        with self.dialogue.progress(size) as progress:
            written = write_archive(self.options.target, manifest, members, snapshot.time, progress)
        return Written(written, size)

    def _check_privacy(self, snapshot: Snapshot, plan: ArchivePlan, history: list[HistoryObject]) -> None:
        concerns = find_concerns(snapshot, plan, history)
        names = {concern.name for concern in concerns}
        for name in self.options.include:
            if name not in names:
                self.dialogue.say(f"--include {name}: nothing of that name was held back")
        left = [concern for concern in concerns if concern.name not in self.options.include]
        if left:
            raise refusal(left)

    def _check_size(self, size: int) -> None:
        """Ask for more than the limit; what was agreed to is asked again only where it becomes much more."""
        if size <= self.agreed:
            return
        if not self.dialogue.agrees_to(size):
            # A tenth more than the size that is known: the whole is a little more than what is recorded.
            raised = show_size(size * 11 // 10)
            limit = show_size(self.options.limit)
            raise ProjectError(
                f"the archive would take {show_size(size)}, and the limit is {limit}",
                f"`--max-size {raised}` raises it, `--no-outputs` leaves out what can be rebuilt",
            )
        self.agreed = size * 2

    def _gather(self, snapshot: Snapshot, plan: ArchivePlan, experiment: Experiment | None) -> Gathered:
        """Collect the members that hold the result: files, objects of DVC, history and packages."""
        members: dict[str, Content] = {}
        places: dict[str, str] = {}
        for path, content in snapshot.git_contents(plan.files).items():
            places[path] = f"{FILES}/{path}"
            members[f"{FILES}/{path}"] = content
        for output in plan.kept_by_dvc:
            self.dialogue.say(f"reading {output.path}")
            objects = stored_objects(self.checkout, output)
            # The first object is the file itself, or the list of a folder's files.
            places[output.path] = f"{OBJECTS}/{next(iter(objects))}"
            for place, file in objects.items():
                members[f"{OBJECTS}/{place}"] = file
        self.dialogue.say("packing the history")
        bundle = self.work / BUNDLE
        refs = {experiment_ref(experiment.baseline, experiment.name): snapshot.rev} if experiment else {}
        write_bundle(self.reader.top, snapshot.rev, refs, bundle)
        members[BUNDLE] = bundle
        gathered = Gathered(members, places)
        if self.options.wheels:
            members.update(self._wheels(snapshot))
        return gathered

    def _wheels(self, snapshot: Snapshot) -> dict[str, Content]:
        locks = hashed_locks(snapshot)
        if not locks:
            raise ProjectError("--wheels: this revision has no requirements.lock with hashes")
        self.dialogue.say("downloading the packages")
        python = recorded_python(self.checkout.root)
        wheels: dict[str, Content] = {}
        for file in download_wheels(self.checkout.root, locks, python, self.work):
            wheels[f"{WHEELS}/{file.name}"] = file
        return wheels


def _check_results(reader: Reader, snapshot: Snapshot) -> None:
    """Check that there are results of the revision's own files: others cannot be rebuilt from it."""
    if not snapshot.records:
        hint = "`dvc repro`, then commit" if has_unrecorded_pipeline(snapshot) else "it has no stages"
        raise ProjectError(f"{snapshot.rev[:7]} records no results to archive", hint)
    found = differences(snapshot)
    if not found:
        return
    made_by = commit_of_results(reader, snapshot)
    hint = f"they are of {made_by[:7]}" if made_by else remedy(found)
    raise ProjectError(
        f"the results that {snapshot.rev[:7]} records are not of its files: {summary(found)}", hint
    )


def _check_git_alone(snapshot: Snapshot) -> None:
    """Check that Git's own objects are all of the repository."""
    # Submodules and Git LFS keep theirs elsewhere.
    present = snapshot.reader.objects.files(snapshot.root_tree, "")
    if ".gitmodules" in present:
        raise ProjectError("an archive cannot hold submodules yet, and .gitmodules names some")
    attributes = [blob for path, blob in present.items() if posixpath.basename(path) == ".gitattributes"]
    texts = snapshot.reader.objects.blobs(attributes).values()
    if any(b"filter=lfs" in text for text in texts):
        raise ProjectError("an archive cannot hold files of Git LFS yet, and .gitattributes names some")
