"""Write an archive of a revision: the course of it."""

import os
import posixpath
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from ..clones.checkout import Checkout, project_root
from ..clones.recorded_data import stored_objects
from ..errors import CannotTryError, ProjectError, UsageError
from ..model import Experiment
from ..proof.environment import recorded_python
from ..proof.plan import plan_proof
from ..repository.dvc_repo import dvc_errors
from ..repository.reader import Reader, resolve
from ..repository.snapshot import Snapshot
from ..results.staleness import commit_of_results, differences, has_unrecorded_pipeline, remedy, summary
from .about import Gathered, describing_members, hashed_locks
from .bundle import check_history, write_bundle
from .format import BUNDLE, FILES, OBJECTS, WHEELS, Manifest
from .history import HistoryObject, committed_texts, history_objects
from .plan import GIGABYTE, ArchivePlan, plan_archive, planned_size, refusal, too_large, unanswered
from .privacy import Concern, imports, in_texts, not_included
from .wheels import download_wheels, platform_of_wheels
from .write import Content, Progress, write_archive


@dataclass(frozen=True)
class ArchiveOptions:
    """What to archive, and how.

    Attributes:
        target: the file to write.
        rev: a Git revision or the name of an experiment.
        outputs: whether recorded outputs are in it, too.
        wheels: whether the packages of the locks are in it.
        include: names of what may leave although it looks private.
        limit: bytes that it may take without a question.
    """

    target: Path
    rev: str = "HEAD"
    outputs: bool = True
    wheels: bool = False
    include: tuple[str, ...] = ()
    limit: int = GIGABYTE


class Dialogue(Protocol):
    """How the user is told what happens, and asked."""

    def say(self, line: str) -> None:
        """Show a line."""

    def agrees_to(self, size: int) -> bool:
        """Whether the user wants an archive of so many bytes."""

    def progress(self, size: int) -> AbstractContextManager[Progress]:
        """A bar for so many bytes, as a function that moves it by a number of them."""


@dataclass(frozen=True)
class Written:
    """What was written: the manifest, and how many bytes all members have."""

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
        self._check_size(planned_size(plan, sum(one.stored for one in history)))
        gathered = self._gather(snapshot, plan)
        manifest = self._manifest(snapshot, gathered)
        members = {**gathered.members, **describing_members(snapshot, plan, manifest, gathered)}
        size = sum(len(one) if isinstance(one, bytes) else one.stat().st_size for one in members.values())
        self._check_size(size)
        with self.dialogue.progress(size) as progress:
            written = write_archive(self.options.target, manifest, members, snapshot.time, progress)
        return Written(written, size)

    def _check_privacy(self, snapshot: Snapshot, plan: ArchivePlan, history: list[HistoryObject]) -> None:
        concerns = list(self._concerns(snapshot, plan, history))
        for name in unanswered(self.options.include, concerns):
            self.dialogue.say(f"--include {name}: nothing of that name was held back")
        left = not_included(concerns, self.options.include)
        if left:
            raise refusal(left)

    def _concerns(
        self, snapshot: Snapshot, plan: ArchivePlan, history: list[HistoryObject]
    ) -> Iterator[Concern]:
        for concern in imports(snapshot.sources, {output.path for output in plan.sources}):
            # All names are paths from the Git root.
            yield replace(concern, name=posixpath.join(self.reader.prefix, concern.name))
        present = self.reader.objects.files(snapshot.root_tree, "")
        texts = committed_texts(self.reader.objects, history, present)
        local = {str(self.reader.top), str(Path(os.path.expanduser("~")))}
        yield from in_texts(texts, sorted(local))

    def _check_size(self, size: int) -> None:
        if size <= self.agreed:
            return
        if not self.dialogue.agrees_to(size):
            raise too_large(size, self.options.limit)
        # The whole is a little more than what is recorded. Much more is asked for again.
        self.agreed = size * 2

    def _gather(self, snapshot: Snapshot, plan: ArchivePlan) -> Gathered:
        members: dict[str, Content] = {}
        places: dict[str, str] = {}
        for path, content in snapshot.git_contents(plan.files).items():
            places[path] = f"{FILES}/{path}"
            members[f"{FILES}/{path}"] = content
        for output in plan.kept_by_dvc:
            self.dialogue.say(f"reading {output.path}")
            objects = stored_objects(self.checkout, output)
            places[output.path] = f"{OBJECTS}/{next(iter(objects))}"
            members.update({f"{OBJECTS}/{place}": path for place, path in objects.items()})
        self.dialogue.say("packing the history")
        bundle = self.work / BUNDLE
        write_bundle(self.reader.top, snapshot.rev, self._refs(snapshot), bundle)
        members[BUNDLE] = bundle
        gathered = Gathered(members, places)
        if self.options.wheels:
            members.update(self._wheels(gathered))
        return gathered

    def _refs(self, snapshot: Snapshot) -> Mapping[str, str]:
        """Under which names the bundle has the revision besides its own."""
        experiment = self._experiment(snapshot)
        if experiment is None:
            return {}
        baseline = experiment.baseline
        return {f"refs/exps/{baseline[:2]}/{baseline[2:]}/{experiment.name}": snapshot.rev}

    def _experiment(self, snapshot: Snapshot) -> Experiment | None:
        """The experiment that was asked for by its name; not every clone knows that a commit is one."""
        for experiment in self.reader.experiments():
            if experiment.rev == snapshot.rev and experiment.name == self.options.rev:
                return experiment
        return None

    def _wheels(self, gathered: Gathered) -> dict[str, Content]:
        locks = hashed_locks(gathered)
        if not locks:
            raise ProjectError("--wheels: this revision has no requirements.lock with hashes")
        self.dialogue.say("downloading the packages")
        python = recorded_python(self.checkout.root)
        files = download_wheels(self.checkout.root, locks, python, self.work)
        return {f"{WHEELS}/{file.name}": file for file in files}

    def _manifest(self, snapshot: Snapshot, gathered: Gathered) -> Manifest:
        experiment = self._experiment(snapshot)
        python = recorded_python(self.checkout.root)
        return Manifest(
            revision=snapshot.rev,
            project=self.reader.prefix,
            experiment=experiment.name if experiment else None,
            baseline=experiment.baseline if experiment else None,
            wheels_for=platform_of_wheels(python) if self.options.wheels else None,
        )


def _check_results(reader: Reader, snapshot: Snapshot) -> None:
    """See that there are results of the revision's own files: others cannot be rebuilt from it."""
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
    """See that Git's own objects are all of the repository."""
    present = snapshot.reader.objects.files(snapshot.root_tree, "")
    if ".gitmodules" in present:
        raise ProjectError("an archive cannot hold submodules yet, and .gitmodules names some")
    attributes = [blob for path, blob in present.items() if path.rpartition("/")[2] == ".gitattributes"]
    if any(b"filter=lfs" in text for text in snapshot.reader.objects.blobs(attributes).values()):
        raise ProjectError("an archive cannot hold files of Git LFS yet, and .gitattributes names some")
