"""The Git remote as the place of the experiments, for workers that share no file system with this project.

    remote = GitRemote(root, "my-study")
    remote.check()
    remote.fetch()

`check` comes before a search, `fetch` whenever experiments could have arrived.
"""

import re
import threading
from functools import cached_property
from pathlib import Path

from ..clones.project_setup import missing_on_remote
from ..errors import GitError, ProjectError
from ..git import git

FETCH = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-gc", "--stdin")


class GitRemote:
    """The remote that the checked-out branch tracks, or else `origin`.

    Args:
        root: the project.
        study: whose experiments are looked for.
    """

    def __init__(self, root: Path, study: str) -> None:
        self.root = root
        self.study = study
        # Two fetches of the same ref at once would be in each other's way.
        self._one_fetch = threading.Lock()

    @cached_property
    def name(self) -> str:
        """What Git calls it."""
        branch = git(self.root, "branch", "--show-current")
        tracked = git(self.root, "config", "--default", "", f"branch.{branch}.remote")
        return tracked.strip(".") or "origin"

    @cached_property
    def url(self) -> str:
        """Where it is; a folder by its absolute path.

        Raises:
            ProjectError: the repository has no such remote.
        """
        try:
            url = git(self.root, "remote", "get-url", self.name)
        except GitError:
            raise ProjectError(
                f"no Git remote {self.name}, by which workers get the project: git remote add {self.name} URL"
            ) from None
        folder = self.root / git(self.root, "rev-parse", "--show-toplevel") / url
        return str(folder.resolve()) if folder.exists() else url

    def check(self) -> None:
        """See that workers will find the last commit and its data.

        Raises:
            ProjectError: they will not; the message says what to do.
        """
        query = ("for-each-ref", "--count=1", "--contains", "HEAD", f"refs/remotes/{self.name}")
        if self.url and not git(self.root, *query):
            raise ProjectError(f"HEAD is not on {self.name}: git push")
        missing = missing_on_remote(self.root)
        if missing:
            raise ProjectError(f"not on the DVC remote: {', '.join(missing)}: dvc push")

    def fetch(self, *refs: str) -> None:
        """Fetch experiments.

        Args:
            refs: which; none for all of the study that are not here yet.

        Raises:
            ProjectError: the remote does not answer.
        """
        try:
            with self._one_fetch:
                wanted = refs or self._missing_refs()
                if wanted:
                    git(self.root, *FETCH, self.url, text="".join(f"{ref}:{ref}\n" for ref in wanted))
        except GitError as error:
            lines = error.stderr.strip().splitlines() or [str(error)]
            raise ProjectError(f"Git remote {self.name}: {lines[0]}") from None

    def _missing_refs(self) -> list[str]:
        here = git(self.root, "for-each-ref", "--format=%(refname)", "refs/exps").splitlines()
        listed = git(self.root, "ls-remote", self.url, f"refs/exps/*/{self.study}-*")
        of_study = re.compile(r"refs/exps/\w\w/\w{38}/" + re.escape(self.study) + r"-\d+")
        there = [line.split()[1] for line in listed.splitlines()]
        return [ref for ref in there if of_study.fullmatch(ref) and ref not in here]
