"""What the joints of training frameworks share: a generated project in which their how-to is followed."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
import yaml
from support import PRIVATE, TEMPLATE, generate
from test_docs import Shell, for_joint

# The command, which runs the sources of this repository.
LOCATABLE = '#!/bin/sh\nexec python -P -m locatable "$@"\n'


def variables(folder: Path) -> dict[str, str]:
    """The environment of a user of this Python, whose home and commands are in a folder."""
    commands = folder / "bin"
    commands.mkdir()
    (commands / "locatable").write_text(LOCATABLE)
    (commands / "locatable").chmod(0o755)
    (folder / ".gitconfig").write_text("[user]\nname = Ada\nemail = ada@example.org\n")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(PRIVATE)}
    path = [str(commands), str(Path(sys.executable).parent), kept["PATH"]]
    return {
        **kept,
        "HOME": str(folder),
        "PATH": os.pathsep.join(path),
        "PYTHONPATH": os.environ["PYTHONPATH"],
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(folder / "site"),
    }


class Trained:
    """A generated project, once the pages of a joint are followed in it.

    Attributes:
        joint: the name of the joint.
        root: its folder.
        printed: what the commands of the pages printed.
    """

    def __init__(self, folder: Path, joint: str, files: Mapping[str, str] | None = None) -> None:
        self.joint = joint
        self.root = generate(folder)
        self._env = variables(folder)
        for path, text in (files or {}).items():
            (self.root / path).write_text(text)
        shell = Shell(self.root, self._env, folder / "notes")
        shell.follow(for_joint(joint))
        self.printed = shell.printed

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it, whatever the exit code."""
        return subprocess.run(
            command, cwd=self.root, env=self._env, capture_output=True, text=True, check=False
        )

    def declares(self, stage: str, path: str) -> bool:
        """Whether a stage is out of date once this file has changed."""
        lock = yaml.safe_load((self.root / "dvc.lock").read_text())
        return path in [dep["path"] for dep in lock["stages"][stage]["deps"]]

    def hashes(self) -> dict[str, str]:
        """The hash of every output of every stage, as DVC recorded it."""
        lock = yaml.safe_load((self.root / "dvc.lock").read_text())
        return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}


class FrameworkTests:
    """What holds of every framework whose how-to is followed; the class of a joint names it.

    Attributes:
        joint: the name of the joint.
        example: the module that is copied into the project.
        steps: how the epochs are numbered; the example's params ask for thirty.
    """

    joint: ClassVar[str]
    example: ClassVar[str]
    steps: ClassVar[range] = range(30)

    @pytest.fixture(scope="class")
    @classmethod
    def project(cls, tmp_path_factory: pytest.TempPathFactory) -> Trained:
        network = (TEMPLATE / "examples/frameworks" / cls.example).read_text()
        files = {"tumour_classifier/network.py": network}
        return Trained(tmp_path_factory.mktemp(cls.joint), cls.joint, files)

    def test_the_network_learns(self, project: Trained) -> None:
        """On rows that training never saw, it is right more than nine times in ten."""
        scores = json.loads((project.root / "reports/evaluate/metrics.json").read_text())
        assert scores["test"]["accuracy"] > 0.9

    def test_every_epoch_is_recorded(self, project: Trained) -> None:
        series = (project.root / "reports/train/plots/metrics/valid/log_loss.tsv").read_text().splitlines()
        assert [line.split("\t")[0] for line in series] == ["step", *map(str, self.steps)]

    def test_the_stages_that_need_the_network_declare_it(self, project: Trained) -> None:
        """`evaluate` loads its module with the model, which no import statement shows."""
        assert project.declares("train", "tumour_classifier/network.py")
        assert project.declares("evaluate", "tumour_classifier/network.py")

    def test_the_same_bytes_twice(self, project: Trained) -> None:
        """The how-to commits dvc.lock, then runs all stages again, and Git sees no change of any file."""
        [(_, how_to)] = for_joint(self.joint)
        assert re.search(r"git commit .*\ndvc repro --force\ngit diff --exit-code HEAD\n", how_to)
        assert project.printed.count("Running stage 'train':") >= 2
        assert project.run("git", "status", "--porcelain").stdout == ""

    @pytest.mark.parametrize("check", ["check", "format --check"])
    def test_the_project_s_style_is_kept(self, project: Trained, check: str) -> None:
        done = project.run("ruff", *check.split())
        assert done.returncode == 0, done.stdout

    def test_the_project_s_own_tests_pass(self, project: Trained) -> None:
        done = project.run("python", "-m", "pytest", "--quiet")
        assert done.returncode == 0, done.stdout + done.stderr
