"""A clean clone of a revision, and DVC's view of its stages, outputs and remotes.

The user's repository, cache and remote are only read, never changed.
"""

import contextlib
import os
import posixpath
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any, Self
from urllib.parse import urlsplit

import dpath
import networkx as nx
from dvc.config import Config
from dvc.dependency import Dependency, ParamsDependency, RepoDependency
from dvc.dvcfile import SingleStageFile
from dvc.exceptions import DvcException
from dvc.fs import localfs
from dvc.repo import Repo
from dvc.stage import Stage as DvcStage
from dvc.utils.serialize import LOADERS
from dvc_objects.fs.generic import transfer

from ..errors import CannotTryError, ProjectError, UnreadableError, UsageError
from ..git import clone_git, git, is_shallow, make_clone, top_folder
from ..git.objects import fetch_commit
from ..git.pointers import NO_LFS_FILTER, fill_in_annex, fill_in_lfs, lfs_fetch_command, lfs_storage
from ..git.submodules import checkout_submodules
from ..model import PARAMS_FILE, PATTERN, Output, Stage, overlaps, recorded_hash
from ..output import redact_urls
from ..repository import check_dvc_files, find_project, require_regular_files
from ..repository.dvc_repo import bound_dvc_input, commands_of, one_line, path_in_project
from ..repository.hashes import cache_folder
from ..repository.reader import Reader

# Settings of a remote that decide who receives the user's credentials: they replace the server of the cloud
# provider, or name a command to run or a file to read for logging in. AWS configuration files can in turn
# contain commands and servers.
LOGINS = (
    *("endpointurl", "oss_endpoint", "proxy_to", "data_proxy_target"),
    *("bearer_token_command", "configpath", "credentialpath"),
)
# The longest chain of repositories, each importing the data from the next one, that is followed.
MOST_IMPORTS = 10


def project_root() -> Path:
    """Return the root of the DVC project that contains the current folder.

    Raises:
        CannotTryError: the current folder is not in a DVC project.
    """
    try:
        return find_project(Path.cwd())
    except UsageError:
        raise CannotTryError("not inside a DVC project: run it in the project's folder") from None


class Checkout:
    """A clean clone of a revision. Use it as a context manager.

    Attributes:
        user_top: the Git root of the user's checkout.
        user_cache: the user's DVC cache.
        tree: the Git root of the clone.
        root: the DVC root in the clone.
        reader: a reader of the user's repository.
        snapshot: the revision as read from Git.
        stages: all stages with a command, each after the stages that it depends on. Patterns in their params
            are replaced by the keys that they match.
        outputs: every output of a stage, and everything that a .dvc file tracks.
        params_files: params.yaml, and every params file that a stage declares.
    """

    def __init__(self, project: Path, commit: str, folder: Path, scratch: Path) -> None:
        """Clone a commit.

        Args:
            project: the DVC root in the user's checkout; it can be a subfolder of the Git repository.
            commit: the commit to check out.
            folder: the folder to clone into; it must not exist.
            scratch: a folder for DVC's own files and for objects from the remote.
        """
        self.user_top = top_folder(project)
        try:
            # DVC's settings say where the data is, so a sparse checkout must not leave them out.
            check_dvc_files(project, ".dvc/")
        except ProjectError as error:
            raise CannotTryError(error.message) from None
        settings = Config(str(project / ".dvc"))
        self._own_settings = _own_settings(settings, project)
        self.user_cache = cache_folder(project)
        _clone(self.user_top, commit, folder)
        get = lfs_fetch_command(self.user_top, commit)
        # For each absolute path in the clone whose content is missing, why it is and how to get it.
        self._problems: dict[Path, str] = {}
        for file in fill_in_lfs(folder, lfs_storage(self.user_top)):
            name = file.relative_to(folder)
            self._problems[file] = f"this machine has only a Git LFS pointer to {name}: `{get}`"
        self._problems |= _fill_in_annexed(self.user_top, commit, folder)
        for submodule in checkout_submodules(folder, self.user_top):
            self._problems |= submodule.problems(folder)
        require_regular_files(folder)
        self.tree = folder
        self.root = folder / project.relative_to(self.user_top)
        # Use the settings of the user's checkout, not those of the commit: they have the credentials and the
        # current addresses of remotes that have moved.
        config = {name: dict(settings[name]) for name in ("core", "remote")}
        config["core"] |= {"site_cache_dir": str(scratch), "analytics": False, "autostage": False}
        config["cache"] = {"dir": str(scratch / "cache")}
        bound_dvc_input()
        with contextlib.ExitStack() as opened:
            self.repo = opened.enter_context(contextlib.closing(Repo(str(self.root), config=config)))
            self.reader = opened.enter_context(Reader(project))
            self._read(commit)
            # Nothing failed: keep them open until `__exit__` closes them.
            opened.pop_all()

    def _read(self, commit: str) -> None:
        """Read the stages, outputs and params files of the clone."""
        self.snapshot = self.reader.snapshot(commit)
        # DVC's own objects: outputs by path, dependencies by the stage's address and the path.
        self._outs: dict[str, Any] = {}
        self._deps: dict[tuple[str, str], Any] = {}
        # DVC names stages and files relative to the current folder.
        with contextlib.chdir(self.root):
            self.stages = []
            for address in self._load_dvc_objects():
                stage = self.snapshot.stages[address]
                params = {file: self._expanded(file, names) for file, names in stage.params.items()}
                self.stages.append(replace(stage, params=params))
        self.outputs: list[Output] = []
        self.params_files = {self.path_of(PARAMS_FILE)}
        for stage in self.stages:
            self.outputs += stage.outs.values()
            self.params_files.update(map(self.path_of, stage.params))
        for path, entry in self.snapshot.sources.items():
            self.outputs.append(Output(path, entry.get("cache", True), entry=entry))

    def _load_dvc_objects(self) -> list[str]:
        """Store DVC's outputs and dependencies.

        Returns:
            The addresses of the stages that have a command, each after the stages that it depends on.
        """
        index = self.repo.index
        self._outs = {path_in_project(self.repo, out): out for out in index.outs}
        addresses = []
        for stage in nx.dfs_postorder_nodes(index.graph):
            if stage.is_data_source:
                continue
            commands_of(stage)
            addresses.append(stage.addressing)
            for dep in stage.deps:
                if not isinstance(dep, ParamsDependency):
                    self._deps[stage.addressing, path_in_project(self.repo, dep)] = dep
        return addresses

    def _expanded(self, file: str, names: list[str]) -> list[str]:
        """Return the declared params of a file, with each pattern replaced by the keys that it matches."""
        path = self.path_of(file)
        keys: list[str] = []
        for name in map(str, names):
            matching: list[str] = []
            if not PATTERN.isdisjoint(name) and path.is_file():
                for key, _ in dpath.search(load_values(path), name, yielded=True, separator="."):
                    matching.append(str(key))
            keys += matching or [name]
        return keys

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.repo.close()
        self.reader.objects.close()

    def path_of(self, path: str) -> Path:
        """Return the absolute path in the clone of a path relative to the DVC root."""
        return Path(os.path.normpath(self.root / path))

    def dvc_output(self, output: Output) -> Any:
        """Return DVC's own object for an output. Only modules of this package should use it."""
        return self._outs[output.path]

    def exists(self, path: str, reader: Stage | None = None) -> bool:
        """Return whether an output or a dependency exists in the clone and is not ignored by DVC.

        Args:
            path: its path, relative to the DVC root.
            reader: the stage that reads it, if it is a dependency.
        """
        return bool(self._object_at(path, reader).exists)

    def hash_of(self, path: str, reader: Stage | None = None) -> str | None:
        """Return the current hash of an output or a dependency; None if it does not exist.

        The arguments are those of `exists`.
        """
        # DVC says that a dangling link exists, but it cannot be hashed.
        if not self.exists(path, reader) or not self.path_of(path).exists():
            return None
        current: str | None = self._object_at(path, reader).get_hash().value
        return current

    def _object_at(self, path: str, reader: Stage | None) -> Any:
        return self._deps[reader.address, path] if reader else self._outs[path]

    def content_problem(self, path: str, reader: Stage) -> str:
        """Return why a dependency has no content in the clone and what to do about that.

        This is about content outside of Git: in Git LFS, in git-annex or in a submodule. The result is empty
        if all content is present, or if the dependency is as recorded in spite of a problem.
        """
        recorded = recorded_hash(reader.record.deps.get(path)) if reader.record else None
        place = self.path_of(path)
        for file, problem in self._problems.items():
            is_affected = place.is_relative_to(file) or file.is_relative_to(place)
            if is_affected and self.hash_of(path, reader) != recorded:
                return problem
        return ""

    def content_problems(self) -> dict[str, str]:
        """Return why content is missing in the clone and what to do, by path relative to the Git root."""
        return {str(path.relative_to(self.tree)): problem for path, problem in self._problems.items()}

    def remote_of(self, output: Output) -> str:
        """Return the URL of the remote that stores an output, without passwords; empty if there is none."""
        settings = self.repo.config["remote"].get(self.remote_name(output), {})
        return redact_urls(settings.get("url", ""))

    def remote_name(self, output: Output) -> str | None:
        """Return the name of the remote that stores an output; None if there is none."""
        own: str | None = self._outs[output.path].remote
        return own or self.repo.config["core"].get("remote")

    def check_login(self, name: str | None) -> None:
        """Check that the repository does not choose who receives the user's credentials for a remote.

        Args:
            name: the name of the remote; None for the default remote.

        Raises:
            CannotTryError: the settings in Git say where or how to log in, and the user's own settings do not
                say the same.
        """
        name = name or self.repo.config["core"].get("remote")
        self._check_remote(name, self.repo.config, "--local")

    def check_imports(self, stage: DvcStage) -> None:
        """Run the check of `check_login` for every repository, remote and URL that a stage imports from.

        The source repository can itself import the data from a third one. DVC follows such a chain, so every
        repository of the chain is checked.

        Raises:
            CannotTryError: one of them says where or how to log in, and the user's own settings do not say
                the same; or the chain is too long.
        """
        waiting = [stage]
        for _ in range(MOST_IMPORTS):
            sources: dict[str, RepoDependency] = {}
            for importing in waiting:
                for dependency in importing.deps:
                    if isinstance(dependency, RepoDependency):
                        sources[repr((dependency.def_path, dependency.def_repo))] = dependency
                    else:
                        self._check_address(dependency, importing)
            waiting = []
            for source in sources.values():
                for settings in _settings_of_source(source):
                    for name in settings["remote"]:
                        self._check_remote(name, settings, "--global")
                waiting += _imports_of_source(source)
            if not waiting:
                return
        # Repositories can import from each other in a circle, which DVC would follow for ever.
        raise CannotTryError(
            f"{stage.path_in_repo}: imported by more than {MOST_IMPORTS} repositories in turn"
        )

    def _check_address(self, dependency: Dependency, stage: DvcStage) -> None:
        """Check the login for a URL, possibly `remote://NAME/...`, from which a stage imports data."""
        address = urlsplit(dependency.def_path)
        if address.scheme == "remote":
            self.check_login(address.netloc)
        settings = dependency.def_fs_config or {}
        chosen = [option for option in LOGINS if settings.get(option)]
        if chosen:
            raise CannotTryError(
                f"{stage.path_in_repo} chooses what becomes of your credentials ({', '.join(chosen)}): "
                f"if you trust it, `dvc fetch {quote(stage.path_in_repo)}`"
            )

    def _check_remote(self, name: str | None, settings: Config, level: str) -> None:
        """Check the login for a remote.

        Args:
            name: the name of the remote.
            settings: the effective DVC settings of the repository that has the remote.
            level: the option of `dvc remote modify` by which the user can accept the repository's choice.

        Raises:
            CannotTryError: the repository chooses where or how to log in.
        """
        # The list grows in the loop: a URL `remote://OTHER/...` takes the URL and all other settings from
        # another remote. DVC converts the names of remotes to lower case.
        names = [(name or "").lower()]
        for remote in names:
            own = self._own_settings.get(remote, {})
            effective = settings["remote"].get(remote, {})
            # Usually Git has the URL of a remote and the user's machine has the credentials. But if the user
            # has set a URL as well, the credentials are for that URL and must not be sent to a different one.
            options = (*LOGINS, "url") if "url" in own and len(own) > 1 else LOGINS
            for option in options:
                value = effective.get(option)
                if value and value != own.get(option):
                    trust = f"dvc remote modify {level} {remote} {option} {redact_urls(value)}"
                    raise CannotTryError(
                        "this repository chooses what becomes of your credentials for the DVC remote "
                        f"{remote!r}: if you trust it, `{trust}`"
                    )
            base = urlsplit(str(effective.get("url", "")).lower())
            if base.scheme == "remote" and base.netloc not in names:
                names.append(base.netloc)

    def files_in(self, folder: Path) -> list[Path]:
        """Return all files in a folder of the clone, except those that .dvcignore excludes."""
        return list(map(Path, self.repo.dvcignore.find(localfs, str(folder))))


def _settings_of_source(dependency: RepoDependency) -> Iterator[Config]:
    """Yield the DVC settings of a repository that data is imported from, and of projects in its subfolders.

    The settings are read as files, because asking DVC for the data would already log in to the remotes.
    """
    source = dependency.fs.repo
    yield source.config
    for path in source.fs.find(source.root_dir):
        folder, _, name = path.rpartition("/")
        if name == "config" and folder.endswith("/.dvc") and folder != source.dvc_dir:
            yield Config(folder, fs=source.fs)


def _imports_of_source(dependency: RepoDependency) -> list[DvcStage]:
    """Return the import stages of the source repository that write the data of this dependency."""
    source = dependency.fs.repo
    wanted = posixpath.join(source.root_dir, dependency.def_path.lstrip("/"))
    found = []
    for path in source.fs.find(source.root_dir):
        if not path.endswith(".dvc"):
            continue
        stage = SingleStageFile(source, path, verify=False).stage
        if stage.is_import and any(overlaps(out.fs_path, [wanted]) for out in stage.outs):
            found.append(stage)
    return found


def _own_settings(settings: Config, project: Path) -> dict[str, Any]:
    """Return the user's own settings of each remote, by name, ignoring settings that are committed."""
    levels = ["system", "global"]
    # A repository can contain a committed config.local, which is then not the user's own.
    if not git(project, "ls-files", ".dvc/config.local", settings={"core.fsmonitor": "false"}):
        levels.append("local")
    remotes: dict[str, Any] = {}
    for level in levels:
        for name, values in settings.load_one(level).get("remote", {}).items():
            remotes[name] = {**remotes.get(name, {}), **values}
    return remotes


def _clone(top: Path, commit: str, folder: Path) -> None:
    # With `--shared`, no object is copied, and the commit of an experiment is found although the clone has no
    # ref for it. The user's global ignore file is disabled, because DVC rejects a dvc.lock that Git ignores.
    fetch_commit(top, commit)
    make_clone(top, folder, "--shared", f"--config=core.excludesFile={os.devnull}")
    if is_shallow(top):
        # Git ignores `--shared` for a shallow repository, and copies the objects of branches only.
        clone_git(folder, "fetch", "--quiet", "--no-tags", "--update-shallow", str(top), commit)
    # Disable Git LFS, which could download content and write to the user's storage.
    clone_git(folder, "checkout", "--quiet", "--detach", commit, settings=NO_LFS_FILTER)


def _fill_in_annexed(top: Path, commit: str, clone: Path) -> dict[Path, str]:
    """Replace the links and pointers of git-annex in a clone by the content that this machine has.

    Returns:
        For each path whose content this machine lacks, a message that says how to get it.
    """
    common = top / git(top, "rev-parse", "--git-common-dir")
    is_current = git(top, "rev-parse", "HEAD") == commit
    problems = {}
    for path, key in fill_in_annex(clone, common).items():
        name = path.relative_to(clone)
        get = f"git annex get {quote(str(name) if is_current else f'--key={key}')}"
        problems[path] = f"git-annex has no content of {name} on this machine: `{get}`"
    return problems


def load_values(path: Path) -> Any:
    """Return the content of a JSON, YAML, TOML or Python params file.

    Raises:
        UnreadableError: the file is not valid in its format.
    """
    try:
        return LOADERS[path.suffix.lower()](str(path), fs=localfs)
    except DvcException as error:
        raise UnreadableError(one_line(str(error))) from None


def copy_file(source: Path, target: Path) -> None:
    """Copy a file, by a reflink if the file system supports it, and never by a hard link."""
    transfer(localfs, str(source), localfs, str(target), links=["reflink", "copy"])
