"""The Git remote as the experiments' home, for workers that share no file system with this project.

    remote = Remote(root, "my-study")
    remote.check()
    remote.fetch()

`check` comes before a search, `fetch` whenever experiments could have arrived.
"""

import json
import re
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ..errors import GitError, ProjectError
from ..git import git


@dataclass
class Remote:
    """The remote that the checked-out branch tracks, or else `origin`.

    Args:
        root: the project.
        study: whose experiments are looked for.
    """

    root: Path
    study: str
    # Two fetches of the same ref at once would be in each other's way.
    _fetching: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def name(self) -> str:
        """What Git calls it."""
        branch = git(self.root, "branch", "--show-current")
        tracked = git(self.root, "config", "--default", "", f"branch.{branch}.remote")
        return tracked.strip(".") or "origin"

    @cached_property
    def url(self) -> str:
        """Where it is; a folder by its absolute path."""
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
        at = (self.root, "for-each-ref", "--count=1")
        if self.url and not git(*at, "--contains", "HEAD", f"refs/remotes/{self.name}"):
            raise ProjectError(f"HEAD is not on {self.name}: git push")
        status = subprocess.run(
            (sys.executable, "-m", "dvc", "status", "--cloud", "--json"),
            cwd=self.root,
            text=True,
            capture_output=True,
            check=False,
        )
        if status.returncode:
            said = status.stderr.strip().splitlines() or [f"exit code {status.returncode}"]
            raise ProjectError(f"the DVC remote cannot be used: {said[0].removeprefix('ERROR: ')}")
        # What is `deleted` there is missing in the cache here only.
        if absent := [path for path, state in json.loads(status.stdout).items() if state != "deleted"]:
            raise ProjectError(f"not on the DVC remote: {', '.join(sorted(absent))}: dvc push")

    def fetch(self, *refs: str) -> None:
        """Bring experiments here.

        Args:
            refs: which; none for all of the study that are not here yet.

        Raises:
            ProjectError: the remote does not answer.
        """
        how = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-gc", "--stdin")
        try:
            with self._fetching:
                if missing := refs or self._missing():
                    wanted = "".join(f"{ref}:{ref}\n" for ref in missing)
                    git(self.root, "fetch", *how, self.url, text=wanted)
        except GitError as error:
            said = error.stderr.strip().splitlines() or [str(error)]
            raise ProjectError(f"Git remote {self.name}: {said[0]}") from None

    def _missing(self) -> list[str]:
        here = git(self.root, "for-each-ref", "--format=%(refname)", "refs/exps").splitlines()
        listed = git(self.root, "ls-remote", self.url, f"refs/exps/*/{self.study}-*")
        ours = re.compile(r"refs/exps/\w\w/\w{38}/" + re.escape(self.study) + r"-\d+")
        there = (line.split()[1] for line in listed.splitlines())
        return [ref for ref in there if ours.fullmatch(ref) and ref not in here]
