"""A clone of the user's repository as a place to run DVC experiments, one after another, in one warm process.

    clone = Clone(folder, read_project(root).clone_setup(baseline=commit))
    clone.push("search-7", clone.run("search-7", {"train.lr": 0.1}))

`dvc exp run --temp` and `dvc queue` lose experiments, since all processes that work in a repository share
one stash; a clone has its own.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import GitError, ProjectError, UnreadableError
from ..git.annex import fill_in_for_trials
from ..git.lfs import needing_contents, storage
from ..git.partial_clone import fetch_commit
from ..git.submodules import Submodule, checkout_submodules, fetch_submodules
from ..git.working_clone import clone_git, make_clone
from ..model import Key
from ..repository.dvc_repo import open_repo, possibly_new_files, remember_parsed_yaml, with_causes
from ..repository.experiments import choices_in, experiment_ref, message
from . import params_files
from .config import write_local_config
from .hydra import composition_of

if TYPE_CHECKING:
    from dvc.repo import Repo


@dataclass(frozen=True)
class CloneSetup:
    """How to make a clone.

    Attributes:
        baseline: commit that all experiments start from.
        url: Git URL, or folder, of the repository that experiments are pushed to.
        subdir: where in the repository the DVC root is.
        identity: Git's user.name and user.email; empty for those of this machine.
        config: what DVC's config.local has to say.
        shared: repository and cache are folders of this machine; otherwise data goes by the DVC remote.
    """

    baseline: str
    url: str
    subdir: str
    identity: dict[str, str]
    config: dict[str, Any]
    shared: bool


class Clone:
    """A clone in `folder`, where nothing is yet.

    Args:
        folder: where to make it.
        setup: what to clone, and how.

    Attributes:
        outputs: what stages write, and what DVC tracks, absolute.
        working_folders: that stages run in, absolute, inner ones first.
        submodules: of the baseline, and theirs.

    Raises:
        LocatableError: it cannot be made; the message says why.
    """

    def __init__(self, folder: Path, setup: CloneSetup) -> None:
        remember_parsed_yaml()
        self.folder = folder
        self.root = folder / setup.subdir
        self.baseline = setup.baseline
        self.url = setup.url
        self.shared = setup.shared
        # Options of `git clean` that leave what DVC tracks; known when DVC can read the clone.
        self._keep_tracked: list[str] = []
        self.working_folders = [self.root]
        self.submodules: list[Submodule] = []
        self._clone(setup)
        # A folder of this machine is read; for anything else, Git knows where submodules come from.
        here = Path(self.url) if self.shared else None
        with needing_contents(here, self.baseline):
            self.reset()
        fill_in_for_trials(folder, here)
        self.submodules = checkout_submodules(folder, here) if here else fetch_submodules(folder)
        self._configure_dvc(setup.config)
        with self._repo() as repo:
            self._keep_tracked = [self._exclude(out.fs_path) for out in repo.index.outs if _is_tracked(out)]
            self.outputs = [Path(out.fs_path) for out in repo.index.outs if out.is_in_repo]
            stages = {Path(stage.wdir) for stage in repo.index.stages if stage.cmd}
            self.working_folders = sorted({self.root, *stages}, reverse=True)
            composition = composition_of(repo)
            self._groups = composition.groups() if composition else {}
            if not self.shared:
                repo.pull(allow_missing=True)

    def _clone(self, setup: CloneSetup) -> None:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        if setup.shared:
            # What Git LFS keeps of a trial is to outlive this clone.
            fetch_commit(Path(setup.url), setup.baseline)
            lfs = f"--config=lfs.storage={storage(Path(setup.url))}"
            # Nor does Git LFS ask the server that a repository names in `.lfsconfig`.
            here = f"--config=lfs.url={Path(setup.url).as_uri()}"
            make_clone(Path(setup.url), self.folder, "--shared", lfs, here)
        else:
            make_clone(setup.url, self.folder)
        for name, value in setup.identity.items():
            if value:
                clone_git(self.folder, "config", name, value)

    def _configure_dvc(self, config: Mapping[str, Any]) -> None:
        # DVC's Git library writes an index in which Git can miss what changed within the same second.
        core = {**config.get("core", {}), "autostage": False}
        with self._repo() as repo:
            write_local_config(repo.config, {**config, "core": core})

    def _exclude(self, path: str) -> str:
        return f"--exclude=/{Path(path).relative_to(self.folder).as_posix()}"

    @contextmanager
    def _repo(self) -> Iterator["Repo"]:
        """The clone as DVC's repository; errors of DVC become one line each."""
        # DVC looks for the pipeline in the working folder.
        with chdir(self.root), open_repo(self.root) as repo:
            yield repo

    def reset(self) -> None:
        """Go back to the baseline: no earlier trial leaves anything for a later one to pick up."""
        (self.folder / ".git/index.lock").unlink(missing_ok=True)  # of a Git process that was killed
        clone_git(self.folder, "checkout", "--quiet", "--force", "-B", "search", self.baseline)
        # What DVC tracks stays, to be copied once only: DVC checks it out. Byte code follows the source.
        keep = ["--exclude=.dvc", "--exclude=__pycache__", *self._keep_tracked]
        clone_git(self.folder, "clean", "--quiet", "-fdx", *keep)
        for submodule in self.submodules:
            if not submodule.problem:
                submodule.reset()

    def run(
        self,
        name: str,
        params: Mapping[str, Any],
        metric_files: Iterable[str] = (),
        memory: Mapping[str, Any] | None = None,
    ) -> str:
        """Run an experiment and return its revision.

        Args:
            name: of the experiment.
            params: value by key, as after `-S`, but plain: nothing is read as Hydra's grammar.
            metric_files: files that its stages have to write, as seen from the DVC root.
            memory: what Optuna knew of the trial, for the commit's message.

        Raises:
            ProjectError: a stage failed, no stage wrote one of the metric files, or the experiment has other
                params than were asked for.
            GitError: the experiment cannot be committed.
        """
        with self._repo() as repo:
            # DVC brings declared outputs up to date; all else that a stage writes is the baseline's at first.
            undeclared = [file for file in metric_files if not self._is_output(file)]
            before = {file: _stamp(self.root / file) for file in undeclared}
            composed = params_files.write_composed(repo, params)
            # Outputs that an earlier trial left are not those of the baseline.
            repo.checkout(force=True, allow_missing=True)
            # All pipelines: a metric or a param can be of one in a subfolder, and the root may have none.
            repo.reproduce(all_pipelines=True)
            for file in undeclared:
                if _stamp(self.root / file) in (before[file], None):
                    raise ProjectError(f"{file}: no stage wrote it in this trial")
            new = [path for path in possibly_new_files(repo.index.stages) if os.path.lexists(path)]
            new += [str(self.root / file) for file in [*undeclared, *composed]]
        # All that `dvc exp run` commits, without its stash, queue and locks: they take as long as the rest.
        clone_git(self.folder, "add", "--update")
        clone_git(self.folder, "add", "--force", "--", *new)
        choices = {key: value for key, value in params.items() if key in self._groups}
        rev = self._commit(clone_git(self.folder, "write-tree"), message(name, choices, memory or {}))
        self._check_params(rev, {key: value for key, value in params.items() if key not in choices})
        return rev

    def _is_output(self, file: str) -> bool:
        """Return whether a stage declares that it writes a file, or a folder around it."""
        return any((self.root / file).is_relative_to(output) for output in self.outputs)

    def _commit(self, tree: str, text: str) -> str:
        # Samplers can know more than fits into an argument of a command.
        return clone_git(self.folder, "commit-tree", tree, "-p", self.baseline, text=f"{text}\n")

    def _check_params(self, rev: str, params: Mapping[str, Any]) -> None:
        for key, value in params.items():
            recorded = self.read(rev, key)
            if not params_files.same(recorded, value):
                raise ProjectError(f"{key}: {value!r} was asked for, but the experiment has {recorded!r}")

    def copy_experiment(self, name: str, rev: str, memory: Mapping[str, Any]) -> str | None:
        """Return a new revision with all results of an experiment.

        None where that is not one of this baseline.

        Args:
            name: of the new experiment.
            rev: of the one to copy.
            memory: what Optuna knew of the new one's trial.
        """
        try:
            parent_and_message = clone_git(self.folder, "log", "-1", "--format=%P %B", rev)
        except GitError:
            return None  # it is not here: a node has only what it made itself
        # Other experiments with the study's name can differ in more than params.
        if not parent_and_message.startswith(f"{self.baseline} search: "):
            return None
        return self._commit(rev + "^{tree}", message(name, choices_in(parent_and_message), memory))

    def ref(self, name: str) -> str:
        """Return where DVC keeps an experiment of this baseline."""
        return experiment_ref(self.baseline, name)

    def read(self, rev: str, key: str) -> Any:
        """Return the value of `file:dotted.key` that Git has in a revision.

        Raises:
            UnreadableError: there is none.
        """
        from dvc.exceptions import DvcException
        from dvc.utils.serialize import PARSERS

        place = Key.parse(key)
        try:
            text = clone_git(self.root, "show", f"{rev}:./{place.file}")
        except GitError:
            raise UnreadableError(f"{place.file}: Git has no such file in the experiment") from None
        try:
            return place.value_in(PARSERS[Path(place.file).suffix.lower()](text, place.file))
        except DvcException as error:
            raise UnreadableError(with_causes(error)) from None
        except (LookupError, TypeError, ValueError):
            raise UnreadableError(f"{place.file}: {place.dotted} is missing") from None

    def push(self, name: str, rev: str) -> None:
        """Push an experiment to the user's repository; never over another one of the same name.

        Args:
            name: of the experiment.
            rev: what `run` returned last.

        Raises:
            LocatableError: Git or DVC refused.
        """
        options = ["--quiet", "--no-verify"]
        if self.shared:
            # Tidying the user's repository is not our business, nor do we need the list of all experiments.
            hidden = f"-c receive.hideRefs=refs/exps -c 'receive.hideRefs=!{self.ref(name)}'"
            no_hooks = f"-c core.hooksPath={os.devnull}"
            options.append(f"--receive-pack=git -c receive.autogc=false {no_hooks} {hidden} receive-pack")
        else:
            with self._repo() as repo:
                repo.push()
        clone_git(self.folder, "push", *options, self.url, f"{rev}:{self.ref(name)}")

    def has_arrived(self, name: str, rev: str) -> bool:
        """Return whether the user's repository has an experiment."""
        try:
            return clone_git(self.folder, "ls-remote", self.url, self.ref(name)).startswith(rev)
        except GitError:
            return False


def _stamp(file: Path) -> tuple[int, int] | None:
    """Until this changes, a file was not written; None where there is none."""
    try:
        return file.stat().st_ino, file.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _is_tracked(out: Any) -> bool:
    """Whether DVC checks an output out: no trial finds what its baseline does not record (`persist`)."""
    return bool(out.is_in_repo and out.use_cache and out.hash_info)
