"""A clone of the user's repository as a place to run DVC experiments, one after another, in one warm process.

    clone = Clone(folder, baseline=commit, **describe(root)["setup"])
    clone.push("search-7", clone.run("search-7", {"train.lr": 0.1}))

Only this module calls DVC's internals. `dvc exp run --temp` and `dvc queue` lose experiments, since all who
use a repository share one stash; a clone has its own.
"""

import copy
import functools
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import GitError, ProjectError
from ..git import git
from .params import index, write

IDENTITY = ("user.name", "user.email")


def describe(root: Path) -> dict[str, Any]:
    """What a search must know of the user's project; all paths are relative to it.

    Returns:
        setup: arguments of `Clone` on this machine, except for the baseline.
        files: content of each params file.
        outputs: for each path that a stage writes, whether DVC (not Git) keeps it.
        modified: tracked data that is not as committed.
        absent: source data that the cache does not hold.

    Raises:
        ProjectError: DVC cannot read the project; the message says why.
    """
    from dvc.exceptions import DvcException

    try:
        return _describe(root)
    except DvcException as error:
        raise ProjectError(f"DVC: {str(error).splitlines()[0]}") from None


def _describe(root: Path) -> dict[str, Any]:
    from dvc.repo import Repo
    from dvc.utils.serialize import LOADERS

    _remember_parsed()
    with Repo(str(root)) as repo:

        def relative(path: str) -> str:
            return Path(path).relative_to(repo.root_dir).as_posix()

        stages = [stage for stage in repo.index.stages if stage.cmd]
        outs = [out for stage in stages for out in stage.outs if out.is_in_repo]
        sources = [out.fs_path for stage in repo.index.stages if not stage.cmd for out in stage.outs]
        params = {dep.fs_path for stage in stages for dep in stage.params}
        status = repo.data_status()
        config = repo.config.load_one("local")
        config["remote"] = repo.config["remote"]
        config["cache"]["dir"] = repo.cache.local_cache_dir
        return {
            "setup": {
                "url": repo.scm.root_dir,
                "subdir": Path(repo.root_dir).relative_to(repo.scm.root_dir).as_posix(),
                "identity": {key: git(root, "config", "--default", "", key) for key in IDENTITY},
                "config": config,
                "shared": True,
            },
            "files": {relative(path): LOADERS[Path(path).suffix](path) for path in params},
            "outputs": {relative(out.fs_path): out.use_cache for out in outs},
            "modified": status["uncommitted"].get("modified", []),
            "absent": [
                path for path in map(relative, sources) if {path, f"{path}/"} & {*status["not_in_cache"]}
            ],
        }


class Clone:
    """A clone in `folder`, where nothing is yet.

    Args:
        folder: where to make it.
        baseline: commit that all experiments start from.
        url: Git URL, or folder, of the repository that experiments are pushed to.
        subdir: where in the repository the DVC project is.
        identity: Git's user.name and user.email; empty for those of this machine.
        config: what DVC's config.local has to say.
        shared: repository and cache are folders of this machine; otherwise data goes by the DVC remote.
    """

    def __init__(
        self,
        folder: Path,
        *,
        baseline: str,
        url: str,
        subdir: str,
        identity: dict,
        config: dict,
        shared: bool,
    ) -> None:
        from dvc.repo import Repo

        _remember_parsed()
        self.folder, self.root = folder, folder / subdir
        self.baseline, self.url, self.shared = baseline, url, shared
        self._tracked: list[str] = []
        folder.parent.mkdir(parents=True, exist_ok=True)
        how = ["--shared"] if shared else []
        git(folder.parent, "clone", "--quiet", "--no-checkout", *how, url, str(folder))
        for key, value in identity.items():
            if value:
                git(folder, "config", key, value)
        self.reset()
        os.chdir(self.root)
        with Repo(str(self.root)) as repo, repo.config.edit("local") as local:
            # DVC's Git library writes an index in which Git can miss what changed within the same second.
            local.update({**config, "core": {**config.get("core", {}), "autostage": False}})
        with Repo(str(self.root)) as repo:
            paths = [Path(out.fs_path) for out in repo.index.outs if out.is_in_repo and out.use_cache]
            self._tracked = [f"--exclude=/{path.relative_to(folder).as_posix()}" for path in paths]
            if not shared:
                repo.pull(allow_missing=True)

    def reset(self) -> None:
        """Back to the baseline: no earlier trial leaves anything for a later one to pick up."""
        (self.folder / ".git/index.lock").unlink(missing_ok=True)  # of a git that was killed
        git(self.folder, "checkout", "--quiet", "--force", "-B", "search", self.baseline)
        # What DVC tracks stays, to be copied once only: DVC checks it out. Byte code follows the source.
        kept = ("--exclude=.dvc", "--exclude=__pycache__", *self._tracked)
        git(self.folder, "clean", "--quiet", "-fdx", *kept)

    def run(self, name: str, params: Mapping[str, Any]) -> str:
        """Run an experiment and return its revision.

        Args:
            name: of the experiment.
            params: value by key, as after `-S`, but plain: nothing is read as Hydra's grammar.

        Raises:
            DvcException: a stage failed.
            ValueError: the experiment has other params than were asked for.
        """
        from dvc.repo import Repo

        write(self.root, params)
        with Repo(str(self.root)) as repo:
            # Outputs that an earlier trial left are not those of the baseline.
            repo.checkout(force=True, allow_missing=True)
            repo.reproduce()
            new = list(self._unseen(repo.index.stages))
        # All that `dvc exp run` commits, without its stash, queue and locks: they take as long as the rest.
        git(self.folder, "add", "--update")
        git(self.folder, "add", "--force", "--", *filter(os.path.lexists, new))
        tree = git(self.folder, "write-tree")
        rev = git(self.folder, "commit-tree", tree, "-p", self.baseline, "-m", f"search: {name}")
        for key, value in params.items():
            kept = self.read(rev, key)
            if json.dumps(kept) != json.dumps(value):
                raise ValueError(f"{key}: {value!r} was asked for, but the experiment has {kept!r}")
        return rev

    def again(self, name: str, rev: str) -> str | None:
        """A trial that there is already, under another name; None where it is not of this baseline."""
        try:
            # Other experiments of the study's name can differ in more than params.
            if git(self.folder, "log", "-1", "--format=%P %s", rev).startswith(f"{self.baseline} search: "):
                made = ("commit-tree", rev + "^{tree}", "-p", self.baseline, "-m", f"search: {name}")
                return git(self.folder, *made)
        except GitError:
            pass  # it is not here: a node has only what it made
        return None

    @staticmethod
    def _unseen(stages: Iterable[Any]) -> Iterator[str]:
        """Files for Git to keep that stages may have made for the first time."""
        for stage in stages:
            yield str(Path(stage.path).with_name("dvc.lock"))
            for out in filter(lambda out: out.is_in_repo, stage.outs):
                yield str(Path(out.fs_path).with_name(".gitignore")) if out.use_scm_ignore else out.fs_path

    def ref(self, name: str) -> str:
        """Where DVC keeps an experiment of this baseline."""
        return f"refs/exps/{self.baseline[:2]}/{self.baseline[2:]}/{name}"

    def read(self, rev: str, key: str) -> Any:
        """Value of `file:dotted.key` that Git has in a revision; raises ValueError where there is none."""
        from dvc.utils.serialize import PARSERS

        path, _, dotted = key.rpartition(":")
        path = path or "params.yaml"
        try:
            value = PARSERS[Path(path).suffix](git(self.root, "show", f"{rev}:./{path}"), path)
        except GitError:
            raise ValueError(f"{path}: Git has no such file in the experiment") from None
        try:
            for part in dotted.split("."):
                value = value[index(value, part)]
        except (LookupError, TypeError, ValueError):
            raise ValueError(f"{path}: {dotted} is missing") from None
        return value

    def push(self, name: str, rev: str) -> None:
        """Bring home the experiment that ran last; never over another one of the same name."""
        from dvc.repo import Repo

        how = []
        if self.shared:
            # Tidying the user's repository is not our business, nor need we hear of all experiments there.
            hidden = f"-c receive.hideRefs=refs/exps -c 'receive.hideRefs=!{self.ref(name)}'"
            how = [f"--receive-pack=git -c receive.autogc=false {hidden} receive-pack"]
        else:
            with Repo(str(self.root)) as repo:
                repo.push()
        git(self.folder, "push", "--quiet", "--no-verify", *how, self.url, f"{rev}:{self.ref(name)}")

    def arrived(self, name: str, rev: str) -> bool:
        """Whether an experiment is at home."""
        try:
            return git(self.folder, "ls-remote", self.url, self.ref(name)).startswith(rev)
        except GitError:
            return False


@functools.cache
def _remember_parsed() -> None:
    """Parse the same YAML once: DVC reads dvc.yaml and dvc.lock a dozen times in each experiment.

    With its parser, which is pure Python, that takes longer than all the rest of a trial's bookkeeping.
    """
    from dvc.utils import strictyaml
    from dvc.utils.serialize import _yaml

    parse = _yaml.parse_yaml
    remembered = functools.lru_cache(200)(parse)

    def parse_yaml(text: str, path: str, typ: str = "safe") -> Any:
        return copy.deepcopy(remembered(text, path)) if typ == "safe" else parse(text, path, typ)

    _yaml.parse_yaml = strictyaml.parse_yaml = parse_yaml
