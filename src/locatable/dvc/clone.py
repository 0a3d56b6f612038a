"""A clone of the user's repository as a place to run DVC experiments, one after another, in one warm process.

    clone = Clone(folder, read_project(root).clone_setup(baseline=commit))
    clone.push("search-7", clone.run("search-7", {"train.lr": 0.1}))

`dvc exp run --temp` and `dvc queue` lose experiments, since all processes that work in a repository share
one stash; a clone has its own.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import GitError, ProjectError, UnreadableError
from ..git import git
from ..keys import Key
from . import params as params_files
from .parsing import remember_parsed_yaml

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
        self._outputs: list[Path] = []
        self._clone(setup)
        self.reset()
        self._configure_dvc(setup.config)
        with self._repo() as repo:
            self._keep_tracked = [self._exclude(out.fs_path) for out in repo.index.outs if _is_tracked(out)]
            self._outputs = [Path(out.fs_path) for out in repo.index.outs if out.is_in_repo]
            if not self.shared:
                repo.pull(allow_missing=True)

    def _clone(self, setup: CloneSetup) -> None:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        # Hooks are meant for the user's own commits: none of them is to see, or to refuse, a trial.
        options = ["--quiet", "--no-checkout", "--config", f"core.hooksPath={os.devnull}"]
        if setup.shared:
            options.append("--shared")
        git(self.folder.parent, "clone", *options, setup.url, str(self.folder))
        for name, value in setup.identity.items():
            if value:
                git(self.folder, "config", name, value)

    def _configure_dvc(self, config: Mapping[str, Any]) -> None:
        # DVC's Git library writes an index in which Git can miss what changed within the same second.
        core = {**config.get("core", {}), "autostage": False}
        with self._repo() as repo, repo.config.edit("local") as local:
            local.update({**config, "core": core})

    def _exclude(self, path: str) -> str:
        return f"--exclude=/{Path(path).relative_to(self.folder).as_posix()}"

    @contextmanager
    def _repo(self) -> Iterator["Repo"]:
        """The clone as DVC's repository; errors of DVC become one line each."""
        from dvc.exceptions import DvcException
        from dvc.repo import Repo
        from scmrepo.exceptions import SCMError

        try:
            # DVC looks for the pipeline in the working folder.
            with chdir(self.root), Repo(str(self.root)) as repo:
                yield repo
        except (DvcException, SCMError, OSError, ValueError) as error:
            raise ProjectError(with_causes(error)) from error

    def reset(self) -> None:
        """Go back to the baseline: no earlier trial leaves anything for a later one to pick up."""
        (self.folder / ".git/index.lock").unlink(missing_ok=True)  # of a Git process that was killed
        git(self.folder, "checkout", "--quiet", "--force", "-B", "search", self.baseline)
        # What DVC tracks stays, to be copied once only: DVC checks it out. Byte code follows the source.
        keep = ["--exclude=.dvc", "--exclude=__pycache__", *self._keep_tracked]
        git(self.folder, "clean", "--quiet", "-fdx", *keep)

    def run(self, name: str, params: Mapping[str, Any], metric_files: Iterable[str] = ()) -> str:
        """Run an experiment and return its revision.

        Args:
            name: of the experiment.
            params: value by key, as after `-S`, but plain: nothing is read as Hydra's grammar.
            metric_files: files that its stages have to write, as seen from the DVC root.

        Raises:
            ProjectError: a stage failed, no stage wrote one of the metric files, or the experiment has other
                params than were asked for.
            GitError: the experiment cannot be committed.
        """
        with self._repo() as repo:
            # DVC brings declared outputs up to date; all else that a stage writes is the baseline's at first.
            undeclared = [file for file in metric_files if not self._is_output(file)]
            before = {file: _stamp(self.root / file) for file in undeclared}
            params_files.write(self.root, params)
            # Outputs that an earlier trial left are not those of the baseline.
            repo.checkout(force=True, allow_missing=True)
            # All pipelines: a metric or a param can be of one in a subfolder, and the root may have none.
            repo.reproduce(all_pipelines=True)
            for file in undeclared:
                if _stamp(self.root / file) in (before[file], None):
                    raise ProjectError(f"{file}: no stage wrote it in this trial")
            new = [path for path in _possibly_new_files(repo.index.stages) if os.path.lexists(path)]
            new += [str(self.root / file) for file in undeclared]
        # All that `dvc exp run` commits, without its stash, queue and locks: they take as long as the rest.
        git(self.folder, "add", "--update")
        git(self.folder, "add", "--force", "--", *new)
        rev = self._commit(git(self.folder, "write-tree"), name)
        self._check_params(rev, params)
        return rev

    def _is_output(self, file: str) -> bool:
        """Whether a stage declares that it writes a file, or a folder around it."""
        return any((self.root / file).is_relative_to(output) for output in self._outputs)

    def _commit(self, tree: str, name: str) -> str:
        return git(self.folder, "commit-tree", tree, "-p", self.baseline, "-m", f"search: {name}")

    def _check_params(self, rev: str, params: Mapping[str, Any]) -> None:
        for key, value in params.items():
            recorded = self.read(rev, key)
            # As text, since 1, 1.0 and true are equal in Python.
            if json.dumps(recorded) != json.dumps(value):
                raise ProjectError(f"{key}: {value!r} was asked for, but the experiment has {recorded!r}")

    def copy_experiment(self, name: str, rev: str) -> str | None:
        """A new revision with all results of an experiment; None where that is not one of this baseline.

        Args:
            name: of the new experiment.
            rev: of the one to copy.
        """
        try:
            parent_and_subject = git(self.folder, "log", "-1", "--format=%P %s", rev)
        except GitError:
            return None  # it is not here: a node has only what it made itself
        # Other experiments with the study's name can differ in more than params.
        if not parent_and_subject.startswith(f"{self.baseline} search: "):
            return None
        return self._commit(rev + "^{tree}", name)

    def ref(self, name: str) -> str:
        """Where DVC keeps an experiment of this baseline."""
        return experiment_ref(self.baseline, name)

    def read(self, rev: str, key: str) -> Any:
        """The value of `file:dotted.key` that Git has in a revision.

        Raises:
            UnreadableError: there is none.
        """
        from dvc.exceptions import DvcException
        from dvc.utils.serialize import PARSERS

        place = Key.parse(key)
        try:
            text = git(self.root, "show", f"{rev}:./{place.file}")
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
            options.append(f"--receive-pack=git -c receive.autogc=false {hidden} receive-pack")
        else:
            with self._repo() as repo:
                repo.push()
        git(self.folder, "push", *options, self.url, f"{rev}:{self.ref(name)}")

    def has_arrived(self, name: str, rev: str) -> bool:
        """Whether the user's repository has an experiment."""
        try:
            return git(self.folder, "ls-remote", self.url, self.ref(name)).startswith(rev)
        except GitError:
            return False


def experiment_ref(baseline: str, name: str) -> str:
    """Where DVC keeps an experiment of a baseline commit."""
    return f"refs/exps/{baseline[:2]}/{baseline[2:]}/{name}"


def _stamp(file: Path) -> tuple[int, int] | None:
    """Until this changes, a file was not written; None where there is none."""
    try:
        return file.stat().st_ino, file.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _is_tracked(out: Any) -> bool:
    """Whether DVC keeps an output, in a folder of the repository."""
    return bool(out.is_in_repo and out.use_cache)


def _possibly_new_files(stages: Iterable[Any]) -> Iterator[str]:
    """Files for Git to keep that a first run of these stages creates."""
    for stage in stages:
        yield str(Path(stage.path).with_name("dvc.lock"))
        for out in stage.outs:
            if not out.is_in_repo:
                continue
            # What DVC keeps, it has Git ignore.
            yield str(Path(out.fs_path).with_name(".gitignore")) if out.use_scm_ignore else out.fs_path


def with_causes(error: BaseException) -> str:
    """What an error and its causes say, in one line, each of them once."""
    messages: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        message = " ".join(str(cause).split())
        if message and message not in messages:
            messages.append(message)
        cause = cause.__cause__ or cause.__context__
    return "; ".join(messages)
