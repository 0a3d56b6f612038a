"""An archive as a project that can be rebuilt, on a machine that has nothing else of it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ..clones.clone_config import use_cache
from ..errors import CannotTryError, GitError
from ..git.working_clone import clone_git, make_clone
from .format import BUNDLE, OBJECTS, WHEELS, Manifest
from .read import Progress, open_archive


@dataclass(frozen=True)
class UnpackedArchive:
    """An archive in a temporary folder.

    Attributes:
        manifest: what it says.
        project: a clone of its bundle, whose DVC cache is the archive's objects: the DVC root in it.
        wheels: a folder with the packages of the locks, None where the archive has none.
    """

    manifest: Manifest
    project: Path
    wheels: Path | None


@contextmanager
def unpacked(
    path: Path, progress: Callable[[int], AbstractContextManager[Progress]]
) -> Iterator[UnpackedArchive]:
    """Check an archive, and unpack it into a folder that is there as long as the context.

    Args:
        path: of the file.
        progress: a bar for so many bytes, as a function that moves it by a number of them.

    Raises:
        CannotTryError: the archive was altered, is of a newer version, or is none at all.
    """
    with TemporaryDirectory(prefix="archive-", ignore_cleanup_errors=True) as folder:
        place = Path(folder).resolve() / "archive"
        with open_archive(path) as archive:
            with progress(archive.size) as checked:
                archive.check(checked)
            archive.unpack(place)
            manifest = archive.manifest
        clone = place.parent / "project"
        _clone(path, place / BUNDLE, manifest.revision, clone)
        project = clone / manifest.project
        if not (project / ".dvc").is_dir():
            raise CannotTryError(f"{path}: {BUNDLE} has no DVC project in {manifest.project or 'its root'}")
        use_cache(project, place / OBJECTS)
        yield UnpackedArchive(manifest, project, place / WHEELS if manifest.wheels_for else None)


def _clone(path: Path, bundle: Path, revision: str, folder: Path) -> None:
    try:
        make_clone(bundle, folder)
        # The name of an experiment is how its reader knows it.
        clone_git(folder, "fetch", "--quiet", "origin", "+refs/exps/*:refs/exps/*")
        clone_git(folder, "checkout", "--quiet", "--detach", revision)
    except GitError as error:
        raise CannotTryError(f"{path}: {BUNDLE} cannot be used: {error.message}") from None
