"""A clean clone of a revision, and DVC's view of what is in it.

The user's repository, cache and remote are only ever read.
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
from ..repository.dvc_repo import bound_what_dvc_reads, commands_of, one_line, path_in_project
from ..repository.hashes import cache_folder
from ..repository.reader import Reader

# Settings of remotes that name a server to log in to in place of the cloud's own, or what is run to log in:
# AWS reads commands and servers from its files.
LOGINS = (
    *("endpointurl", "oss_endpoint", "proxy_to", "data_proxy_target"),
    *("bearer_token_command", "configpath", "credentialpath"),
)
# Repositories that import the same data from each other, one after another.
MOST_IMPORTS = 10


def project_root() -> Path:
    """Return the DVC project around the current folder.

    Raises:
        CannotTryError: there is none.
    """
    try:
        return find_project(Path.cwd())
    except UsageError:
        raise CannotTryError("not inside a DVC project: run it in the project's folder") from None


class Checkout:
    """A clean clone of a revision; a context manager.

    Attributes:
        user_top: Git root of the user's checkout.
        user_cache: the user's DVC cache.
        tree: Git root of the clone.
        root: the DVC project in it.
        reader: of the user's repository.
        snapshot: the revision, as it is read from Git.
        stages: all stages that have a command, each after those that it depends on; no name in their params
            is a pattern any more.
        outputs: all that a stage writes or a .dvc file tracks.
        params_files: params.yaml, and every params file that a stage declares.
    """

    def __init__(self, project: Path, commit: str, folder: Path, scratch: Path) -> None:
        """Clone a commit.

        Args:
            project: the DVC project in the user's checkout; it can be a subfolder of the Git repository.
            commit: what to check out.
            folder: where to; it must not exist.
            scratch: a folder for DVC's own files and for objects from the remote.
        """
        self.user_top = top_folder(project)
        try:
            check_dvc_files(project, ".dvc/")  # settings say where data is
        except ProjectError as error:
            raise CannotTryError(error.message) from None
        settings = Config(str(project / ".dvc"))
        self._own_settings = _own_settings(settings, project)
        self.user_cache = cache_folder(project)
        _clone(self.user_top, commit, folder)
        get = lfs_fetch_command(self.user_top, commit)
        self._problems: dict[Path, str] = {}
        for file in fill_in_lfs(folder, lfs_storage(self.user_top)):
            name = file.relative_to(folder)
            self._problems[file] = f"this machine has only a Git LFS pointer to {name}: `{get}`"
        self._problems |= _without_annexed(self.user_top, commit, folder)
        for submodule in checkout_submodules(folder, self.user_top):
            self._problems |= submodule.problems(folder)
        require_regular_files(folder)
        self.tree = folder
        self.root = folder / project.relative_to(self.user_top)
        # The user's own settings know best where data is: credentials, a shared cache, a remote that moved.
        config = {name: dict(settings[name]) for name in ("core", "remote")}
        config["core"] |= {"site_cache_dir": str(scratch), "analytics": False, "autostage": False}
        config["cache"] = {"dir": str(scratch / "cache")}
        bound_what_dvc_reads()
        with contextlib.ExitStack() as opened:
            self.repo = opened.enter_context(contextlib.closing(Repo(str(self.root), config=config)))
            self.reader = opened.enter_context(Reader(project))
            self._read(commit)
            # From here on, `__exit__` closes them.
            opened.pop_all()

    def _read(self, commit: str) -> None:
        """Read what is in the clone."""
        self.snapshot = self.reader.snapshot(commit)
        # DVC's own objects: of outputs by their path, and of what stages read by the stage and the path.
        self._outs: dict[str, Any] = {}
        self._deps: dict[tuple[str, str], Any] = {}
        # DVC names stages and files as seen from the current folder.
        with contextlib.chdir(self.root):
            self.stages = []
            for address in self._load():
                stage = self.snapshot.stages[address]
                params = {file: self._keys(file, names) for file, names in stage.params.items()}
                self.stages.append(replace(stage, params=params))
        self.outputs: list[Output] = []
        self.params_files = {self.path_of(PARAMS_FILE)}
        for stage in self.stages:
            self.outputs += stage.outs.values()
            self.params_files.update(map(self.path_of, stage.params))
        for path, entry in self.snapshot.sources.items():
            self.outputs.append(Output(path, entry.get("cache", True), entry=entry))

    def _load(self) -> list[str]:
        """Keep DVC's objects; returns the addresses of the stages, each after those that it depends on."""
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

    def _keys(self, file: str, names: list[str]) -> list[str]:
        """Return names of params with those keys in place of a pattern that match it."""
        place = self.path_of(file)
        keys: list[str] = []
        for name in map(str, names):
            matching: list[str] = []
            if not PATTERN.isdisjoint(name) and place.is_file():
                for key, _ in dpath.search(load_values(place), name, yielded=True, separator="."):
                    matching.append(str(key))
            keys += matching or [name]
        return keys

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.repo.close()
        self.reader.objects.close()

    def path_of(self, path: str) -> Path:
        """Return where the file or folder at a path relative to the DVC root is in the clone."""
        return Path(os.path.normpath(self.root / path))

    def dvc_output(self, output: Output) -> Any:
        """Return DVC's own object of an output, for other modules of this package."""
        return self._outs[output.path]

    def exists(self, path: str, reader: Stage | None = None) -> bool:
        """Return whether there is something at the path of an output that DVC does not ignore.

        Args:
            path: of the output, relative to the DVC root.
            reader: the stage that reads it, where it is a dependency.
        """
        return bool(self._object_at(path, reader).exists)

    def hash_of(self, path: str, reader: Stage | None = None) -> str | None:
        """Return the hash of what is there now; None where nothing is. See `exists`."""
        # For DVC a link to nowhere exists, and cannot be hashed.
        if not self.exists(path, reader) or not self.path_of(path).exists():
            return None
        found: str | None = self._object_at(path, reader).get_hash().value
        return found

    def _object_at(self, path: str, reader: Stage | None) -> Any:
        return self._deps[reader.address, path] if reader else self._outs[path]

    def missing_content(self, path: str, reader: Stage) -> str:
        """Return why a dependency is not as recorded and what to do, if not Git but others hold it."""
        recorded = recorded_hash(reader.record.deps.get(path)) if reader.record else None
        place = self.path_of(path)
        for file, problem in self._problems.items():
            is_part = place.is_relative_to(file) or file.is_relative_to(place)
            if is_part and self.hash_of(path, reader) != recorded:
                return problem
        return ""

    def missing_contents(self) -> dict[str, str]:
        """Return why the clone lacks the content of a path and what to do, by the path from the Git root."""
        return {str(path.relative_to(self.tree)): problem for path, problem in self._problems.items()}

    def remote_of(self, output: Output) -> str:
        """Return the address of the remote that has the data of an output; empty where none is set."""
        settings = self.repo.config["remote"].get(self.remote_name(output), {})
        return redact_urls(settings.get("url", ""))

    def remote_name(self, output: Output) -> str | None:
        """Return the name of the remote that has the data of an output; None where none is set."""
        own: str | None = self._outs[output.path].remote
        return own or self.repo.config["core"].get("remote")

    def check_login(self, name: str | None) -> None:
        """See that a remote sends the user's credentials to nobody whom a repository chose.

        Args:
            name: of the remote, None for the default.

        Raises:
            CannotTryError: its settings in Git say where or how to log in, and the user's own do not.
        """
        name = name or self.repo.config["core"].get("remote")
        self._check_remote(name, self.repo.config, "--local")

    def check_imports(self, stage: DvcStage) -> None:
        """See the same of all that a stage imports data from: repositories, remotes and other addresses.

        What is imported can be an import in its own repository: DVC then asks the next one.

        Raises:
            CannotTryError: one of them says where or how to log in, and the user's own settings do not.
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
                waiting += self._check_source(source)
            if not waiting:
                return
        # They can import from each other, and then DVC never ends.
        raise CannotTryError(
            f"{stage.path_in_repo}: imported by more than {MOST_IMPORTS} repositories in turn"
        )

    def _check_source(self, dependency: RepoDependency) -> list[DvcStage]:
        """Check the remotes of a repository that data is imported from; returns what it imports it with."""
        for settings in _settings_of_source(dependency):
            for name in settings["remote"]:
                self._check_remote(name, settings, "--global")
        return _imports_of_source(dependency)

    def _check_address(self, dependency: Dependency, stage: DvcStage) -> None:
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
        # A remote can have its address, and its other settings, from another one. DVC's names are lower case.
        names = [(name or "").lower()]
        for one in names:
            given = self._own_settings.get(one, {})
            chosen = settings["remote"].get(one, {})
            # To say in Git where a remote is, and on the machine how to log in, is usual. But how the user
            # logs in to a place of their own is not for another place of this name.
            options = (*LOGINS, "url") if "url" in given and len(given) > 1 else LOGINS
            for option in options:
                value = chosen.get(option)
                if value and value != given.get(option):
                    trust = f"dvc remote modify {level} {one} {option} {redact_urls(value)}"
                    raise CannotTryError(
                        "this repository chooses what becomes of your credentials for the DVC remote "
                        f"{one!r}: if you trust it, `{trust}`"
                    )
            base = urlsplit(str(chosen.get("url", "")).lower())
            if base.scheme == "remote" and base.netloc not in names:
                names.append(base.netloc)

    def files_in(self, folder: Path) -> list[Path]:
        """Return all files in a folder of the clone, without those that .dvcignore excludes."""
        return list(map(Path, self.repo.dvcignore.find(localfs, str(folder))))


def _settings_of_source(dependency: RepoDependency) -> Iterator[Config]:
    """Yield the settings of a repository that data is imported from, and of projects in its subfolders.

    They are read as files: to ask DVC for the data itself would already open the remotes.
    """
    source = dependency.fs.repo
    yield source.config
    for path in source.fs.find(source.root_dir):
        folder, _, name = path.rpartition("/")
        if name == "config" and folder.endswith("/.dvc") and folder != source.dvc_dir:
            yield Config(folder, fs=source.fs)


def _imports_of_source(dependency: RepoDependency) -> list[DvcStage]:
    """Return the stages by which a repository itself imports what is imported from it."""
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
    """Return the remotes as the user's own settings have them, by name, without what Git keeps."""
    levels = ["system", "global"]
    # Somebody can have committed what is meant to stay on a machine.
    if not git(project, "ls-files", ".dvc/config.local", settings={"core.fsmonitor": "false"}):
        levels.append("local")
    remotes: dict[str, Any] = {}
    for level in levels:
        for name, values in settings.load_one(level).get("remote", {}).items():
            remotes[name] = {**remotes.get(name, {}), **values}
    return remotes


def _clone(top: Path, commit: str, folder: Path) -> None:
    # `--shared`: no object is copied, and experiments are found although a clone has no refs of them.
    # Nor does it matter what this user has Git ignore everywhere: DVC refuses a dvc.lock that Git ignores.
    fetch_commit(top, commit)
    make_clone(top, folder, "--shared", f"--config=core.excludesFile={os.devnull}")
    if is_shallow(top):
        # With a clone of it Git shares no objects, and copies those of branches alone.
        clone_git(folder, "fetch", "--quiet", "--no-tags", "--update-shallow", str(top), commit)
    # Git LFS could download, and write to the user's storage.
    clone_git(folder, "checkout", "--quiet", "--detach", commit, settings=NO_LFS_FILTER)


def _without_annexed(top: Path, commit: str, clone: Path) -> dict[Path, str]:
    """Have contents in place of what git-annex keeps; returns what is not here and what to do, by path."""
    common = top / git(top, "rev-parse", "--git-common-dir")
    is_current = git(top, "rev-parse", "HEAD") == commit
    problems = {}
    for path, key in fill_in_annex(clone, common).items():
        name = path.relative_to(clone)
        get = f"git annex get {quote(str(name) if is_current else f'--key={key}')}"
        problems[path] = f"git-annex has no content of {name} on this machine: `{get}`"
    return problems


def load_values(path: Path) -> Any:
    """Return what a JSON, YAML, TOML or Python params file says.

    Raises:
        UnreadableError: it does not follow its format.
    """
    try:
        return LOADERS[path.suffix.lower()](str(path), fs=localfs)
    except DvcException as error:
        raise UnreadableError(one_line(str(error))) from None


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's bytes, by a reflink where the file system has them; never a hard link."""
    transfer(localfs, str(source), localfs, str(target), links=["reflink", "copy"])
