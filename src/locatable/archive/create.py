"""Creates an archive of a revision: plans, checks, collects, describes and writes it."""

import platform
import posixpath
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from ..clones.checkout import Checkout, project_root
from ..clones.recorded_data import stored_objects
from ..errors import CannotTryError, ProjectError, UsageError
from ..git import CLONE_SETTINGS, git
from ..git.objects import fetch_history
from ..model import experiment_ref
from ..proof.environment import Step, recorded_python, run_installer
from ..proof.lock_files import only_binary_options, venv_step
from ..proof.plan import plan_proof
from ..repository import require_regular, shallow_history
from ..repository.dvc_repo import dvc_errors
from ..repository.reader import Reader, resolve
from ..repository.snapshot import Snapshot
from ..results.coordinates import REQUIREMENTS
from ..results.rebuild import environment_lock, first_results, hashed_locks
from ..results.staleness import commit_of_results, differences, has_unrecorded_pipeline, remedy, summary
from .description import Archived, describing_members
from .format import BUNDLE, FILES, OBJECTS, WHEELS, Content, Manifest, Progress, size_of, write_archive
from .plan import (
    GIGABYTE,
    ArchivePlan,
    Concern,
    find_concerns,
    history_objects,
    plan_archive,
    refusal,
    show_size,
)

# The branch that a clone of the bundle checks out.
BRANCH = "refs/heads/result"
# Git settings that make packing reproducible. Otherwise the bytes of a bundle would depend on the number of
# processors, on the settings of the user, and on how the repository is packed.
PACKING = {
    "core.bigFileThreshold": "512m",
    "core.compression": "6",
    "pack.compression": "6",
    "pack.depth": "50",
    "pack.deltaCacheSize": "256m",
    "pack.indexVersion": "2",
    "pack.packSizeLimit": "0",
    "pack.threads": "1",
    "pack.useSparse": "true",
    "pack.window": "10",
    "pack.windowMemory": "0",
    "repack.useDeltaIslands": "false",
    "repack.writeBitmaps": "false",
}
# The last two options keep pip from downloading other versions, and packages that the lock does not name.
_DOWNLOAD = (
    *("-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
    *("--require-hashes", "--no-deps"),
)
_PROBLEM = "the packages cannot be downloaded"
# A package that is published only as source is built when it is installed. For this, the pip of Python 3.11
# needs setuptools, which the locks contain, and `wheel`, which they do not. Later versions of pip do without
# it, and so does uv.
BUILDER = """wheel==0.45.1 \\
    --hash=sha256:708e7481cc80179af0e556bbf0cc00b8444c7321e2700b8d8580231d13017248
"""


@dataclass(frozen=True)
class ArchiveOptions:
    """The options of an archive.

    Attributes:
        target: the file to write.
        rev: a Git revision or the name of an experiment.
        outputs: true to include the recorded outputs.
        wheels: true to include the packages of the locks.
        include: names of concerns that the user allows in the archive.
        limit: the size in bytes above which the user is asked.
    """

    target: Path
    rev: str = "HEAD"
    outputs: bool = True
    wheels: bool = False
    include: tuple[str, ...] = ()
    limit: int = GIGABYTE


class Dialogue(Protocol):
    """Reports progress to the user, and asks questions."""

    def say(self, line: str) -> None:
        """Show a line."""

    def agrees_to(self, size: int) -> bool:
        """Return whether the user wants an archive of this many bytes."""

    def progress(self, size: int) -> AbstractContextManager[Progress]:
        """Return a progress bar for this many bytes: a function that advances it by a number of bytes."""


def create_archive(options: ArchiveOptions, dialogue: Dialogue) -> Manifest:
    """Write an archive and return its manifest. The user's checkout, cache and remote are only read.

    Raises:
        ProjectError: the archive would contain private content or be too large, or the repository cannot be
            archived.
        CannotTryError: the revision cannot be rebuilt, because it has no stages or lacks data.
        UsageError: the target is no file in an existing folder.
    """
    target = options.target
    require_regular(target)
    if target.is_dir() or not target.parent.is_dir():
        raise UsageError(f"{target}: an archive is a file in a folder that exists")
    root = project_root()
    commit = resolve(options.rev)
    with (
        dvc_errors(CannotTryError),
        TemporaryDirectory(prefix="archive-", ignore_cleanup_errors=True) as folder,
    ):
        work = Path(folder).resolve()
        with Checkout(root, commit, work / "clone", work / "dvc") as checkout:
            return _create(options, dialogue, checkout, work)


def _create(options: ArchiveOptions, dialogue: Dialogue, checkout: Checkout, work: Path) -> Manifest:
    """Write the archive of a clean clone of the revision, with a folder `work` for temporary files."""
    snapshot = checkout.snapshot
    reader = checkout.reader
    _check_results(reader, snapshot)
    _check_git_alone(snapshot)
    proof = plan_proof(checkout.stages, checkout.outputs, None, partial(first_results, snapshot))
    plan = plan_archive(proof, snapshot, options.outputs)
    history = history_objects(reader.top, snapshot.rev)
    _check_privacy(find_concerns(snapshot, plan, history), options, dialogue)
    # Ask before reading data, by the recorded sizes. The exact size is known only later.
    git_size = sum(version.stored for version in history)
    dvc_size = sum(output.size for output in plan.stored_by_dvc)
    agreed = _confirm_size(git_size + dvc_size, options.limit, options, dialogue)

    members, places = _read_contents(checkout, plan, dialogue)
    dialogue.say("packing the history")
    # Describe the commit as an experiment only if it was requested by name. Otherwise the archive of a commit
    # would differ between clones, because not every clone has the experiment's ref.
    name = baseline = None
    refs = {BRANCH: snapshot.rev}
    for experiment in reader.experiments():
        if experiment.rev == snapshot.rev and experiment.name == options.rev:
            name = experiment.name
            baseline = experiment.baseline
            refs[experiment_ref(baseline, name)] = snapshot.rev
    members[BUNDLE] = work / BUNDLE
    _write_bundle(reader.top, refs, work / BUNDLE)
    wheels_for = None
    if options.wheels:
        python = recorded_python(checkout.root)
        running = f"{sys.version_info.major}.{sys.version_info.minor}"
        wheels_for = f"Python {python or running} on {platform.system()} {platform.machine()}"
        for file in _download_wheels(checkout, python, work, dialogue):
            members[f"{WHEELS}/{file.name}"] = file

    manifest = Manifest(
        revision=snapshot.rev,
        project=reader.prefix,
        experiment=name,
        baseline=baseline,
        wheels_for=wheels_for,
    )
    members |= describing_members(Archived(snapshot, plan, manifest, members, places))
    size = sum(map(size_of, members.values()))
    _confirm_size(size, agreed, options, dialogue)
    with dialogue.progress(size) as progress:
        return write_archive(options.target, manifest, members, snapshot.time, progress)


def _read_contents(
    checkout: Checkout, plan: ArchivePlan, dialogue: Dialogue
) -> tuple[dict[str, Content], dict[str, str]]:
    """Read the planned files from Git and the planned data from DVC.

    Returns:
        The members, as content or a file with it, by path in the archive. And the paths in the archive by
        path of a file or folder of the project.
    """
    members: dict[str, Content] = {}
    places: dict[str, str] = {}
    for path, content in checkout.snapshot.git_contents(plan.files).items():
        places[path] = f"{FILES}/{path}"
        members[places[path]] = content
    for output in plan.stored_by_dvc:
        dialogue.say(f"reading {output.path}")
        objects = stored_objects(checkout, output)
        # The first object is the file itself, or the list of a folder's files.
        places[output.path] = f"{OBJECTS}/{next(iter(objects))}"
        for place, file in objects.items():
            members[f"{OBJECTS}/{place}"] = file
    return members, places


def _check_results(reader: Reader, snapshot: Snapshot) -> None:
    """Check that the revision records results, and that they were made from its own files.

    Raises:
        ProjectError: there are no results, or they cannot be rebuilt from this revision.
    """
    if not snapshot.records:
        hint = first_results(snapshot) if has_unrecorded_pipeline(snapshot) else "it has no stages"
        raise ProjectError(f"{snapshot.rev[:7]} records no results to archive", hint)
    found = differences(snapshot)
    if found:
        made_by = commit_of_results(reader, snapshot)
        hint = f"they are of {made_by[:7]}" if made_by else remedy(found)
        raise ProjectError(
            f"the results that {snapshot.rev[:7]} records are not of its files: {summary(found)}", hint
        )


def _check_git_alone(snapshot: Snapshot) -> None:
    """Check that a bundle of Git's objects contains the whole repository, and fetch missing objects.

    Raises:
        ProjectError: there are submodules or files of Git LFS, or the clone is shallow.
        GitError: objects that a partial clone lacks cannot be fetched from its remote.
    """
    objects = snapshot.reader.objects
    present = objects.files(snapshot.root_tree, "")
    if ".gitmodules" in present:
        raise ProjectError("an archive cannot hold submodules yet, and .gitmodules names some")
    attributes = [blob for path, blob in present.items() if posixpath.basename(path) == ".gitattributes"]
    if any(b"filter=lfs" in text for text in objects.blobs(attributes).values()):
        raise ProjectError("an archive cannot hold files of Git LFS yet, and .gitattributes names some")
    problem = shallow_history(snapshot.reader.top)
    if problem:
        raise ProjectError(f"an archive holds all of the history, and {problem}")
    fetch_history(snapshot.reader.top, snapshot.rev)


def _check_privacy(concerns: list[Concern], options: ArchiveOptions, dialogue: Dialogue) -> None:
    """Check that the user allowed every concern by name.

    Raises:
        ProjectError: some concerns are not allowed.
    """
    names = {concern.name for concern in concerns}
    for name in options.include:
        if name not in names:
            dialogue.say(f"--include {name}: nothing of that name was held back")
    refused = [concern for concern in concerns if concern.name not in options.include]
    if refused:
        raise refusal(refused)


def _confirm_size(size: int, agreed: int, options: ArchiveOptions, dialogue: Dialogue) -> int:
    """Ask the user about an archive that is larger than agreed.

    Args:
        size: the known size of the archive.
        agreed: the size up to which the user need not be asked.
        options: the options of the archive.
        dialogue: asks the user.

    Returns:
        The size up to which the user need not be asked again.

    Raises:
        ProjectError: the user does not want the archive.
    """
    if size <= agreed:
        return agreed
    if not dialogue.agrees_to(size):
        # Suggest a tenth more than the known size, because the archive is slightly larger than the data.
        raised = show_size(size * 11 // 10)
        raise ProjectError(
            f"the archive would take {show_size(size)}, and the limit is {show_size(options.limit)}",
            f"`--max-size {raised}` raises it, `--no-outputs` leaves out what can be rebuilt",
        )
    # Ask again only if the archive becomes twice as large.
    return size * 2


def _write_bundle(repo: Path, refs: Mapping[str, str], target: Path) -> None:
    """Write a Git bundle, a file to clone from, with the whole history of some refs.

    Its bytes are the same in every clone of the repository. It always has the whole history: Git can bundle
    only the last commits, but a clone of such a bundle is broken, `git log` and `git fsck` fail in it.

    Args:
        repo: the repository.
        refs: commits by the name of the ref that the bundle has for them.
        target: the file to write.

    Raises:
        GitError: Git cannot write the bundle, for example because an object is damaged.
    """
    with TemporaryDirectory(prefix="bundle-", dir=target.parent) as folder:
        # Create a repository that has only these refs, and reads its objects from the user's repository.
        repository = Path(folder, "repository.git")
        object_format = git(repo, "rev-parse", "--show-object-format")
        options = ("--quiet", "--bare", "--template=", f"--object-format={object_format}")
        git(Path(folder), "init", *options, str(repository))
        objects = git(repo, "rev-parse", "--path-format=absolute", "--git-path", "objects")
        alternates = repository / "objects/info/alternates"
        alternates.parent.mkdir(exist_ok=True)
        alternates.write_text(f"{objects}\n", errors="surrogateescape")
        lines = "".join(f"create {ref} {commit}\n" for ref, commit in refs.items())
        # CLONE_SETTINGS turn off the user's hooks, which are not meant for this repository.
        git(repository, "update-ref", "--stdin", text=lines, settings=CLONE_SETTINGS)
        git(repository, "symbolic-ref", "HEAD", BRANCH, settings=CLONE_SETTINGS)
        # Pack the objects anew, because the user's repository can be packed in any way. Objects that the refs
        # do not reach are left out.
        git(repository, "repack", "--quiet", "-a", "-d", "-F", settings=PACKING)
        create = ("bundle", "create", "--quiet", str(target.resolve()))
        git(repository, *create, "HEAD", *refs, settings=PACKING)


def _download_wheels(checkout: Checkout, python: str | None, folder: Path, dialogue: Dialogue) -> list[Path]:
    """Download the packages that the locks of a revision pin for a version of Python, and check their hashes.

    Raises:
        ProjectError: the revision has no requirements.lock with hashes.
        CannotTryError: pip cannot download a package.
    """
    locks = hashed_locks(checkout.snapshot)
    if not locks:
        lock = environment_lock(checkout.snapshot)
        remark = "" if lock in ("", REQUIREMENTS) else f", and is built from {lock}"
        raise ProjectError(f"--wheels: this revision has no requirements.lock with hashes{remark}")
    dialogue.say("downloading the packages")
    environment = folder / "pip"
    wheels = folder / "wheels"
    wheels.mkdir(parents=True)
    # Create an environment with pip, because the one that runs this may lack pip.
    command = venv_step(environment, python, uv=None).command
    run_installer(Step(command, _PROBLEM), environment)

    def download(*requirements: Path) -> None:
        command = [str(environment / "bin/python"), *_DOWNLOAD, "--dest", str(wheels)]
        for file in requirements:
            command += ["--requirement", str(file), *only_binary_options(file.read_text())]
        run_installer(Step(command, _PROBLEM), environment)

    download(*map(checkout.root.joinpath, locks))
    if any(file.suffix != ".whl" for file in wheels.iterdir()):
        builder = folder / "builder.txt"
        builder.write_text(BUILDER)
        download(builder)
    return sorted(wheels.iterdir())
