"""A failed trial says which file of the user's checkout its clone did not have."""

from pathlib import Path

import pytest
import tiny_dvc
import tiny_git

from locatable.clones.trial_clone import Clone, read_project
from locatable.commands.search import Terminal
from locatable.search.messages import Failed
from locatable.search.worker import mentioned_files, remark_on

NAMES = ["key.txt", "ml/key.txt", "secrets/", "settings.py", "build/"]
FOLDERS = [Path("ml"), Path()]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("No such file or directory: 'key.txt'", ["key.txt", "ml/key.txt"]),
        ("cat: ml/key.txt: No such file or directory", ["ml/key.txt"]),
        ("cannot open 'secrets/a/key.pem'.", ["secrets/a/key.pem"]),
        ("no folder secrets.", ["secrets"]),
        ("ModuleNotFoundError: No module named 'settings'", ["settings.py"]),
        ("ModuleNotFoundError: No module named 'settings.deep'", ["settings.py"]),
        ("the settings are wrong", []),
        ("key.txt.gz is missing", []),
        ("my-key.txt and /etc/key.txt are missing", []),
        ("rebuild/", []),
    ],
)
def test_a_file_is_known_by_its_path(text: str, found: list[str]) -> None:
    assert list(mentioned_files(NAMES, FOLDERS, text)) == found


PIPELINE = """
stages:
  make:
    cmd: cat key.txt > m.yaml
    outs: [model.bin]
    metrics: [m.yaml: {cache: false}]
"""


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    """A clone of a project that has files which Git ignores."""
    tiny_git.identify(tmp_path, monkeypatch)
    root = tmp_path / "project"
    tiny_dvc.init(root)
    tiny_git.write(root, {"dvc.yaml": PIPELINE, ".gitignore": "key.txt\nmodel.bin\n"})
    head = tiny_dvc.commit(root)
    tiny_git.write(root, {"key.txt": "secret", "model.bin": ""})
    return Clone(tmp_path / "clone", read_project(root).clone_setup(head))


def test_a_file_that_only_the_checkout_has_is_named(clone: Clone) -> None:
    assert remark_on(clone, f"cat: {clone.root}/key.txt: No such file or directory") == (
        "trials run in clones, and Git does not track key.txt, which your checkout has: "
        "`git add` or `dvc add` it; pass a secret in an environment variable"
    )


@pytest.mark.parametrize("log", ["cat: other.txt: No such file", "model.bin is missing", ""])
def test_nothing_else_is_remarked_on(clone: Clone, log: str) -> None:
    assert remark_on(clone, log) == ""


@pytest.mark.parametrize(
    ("failed", "line"),
    [
        (Failed("failed to reproduce 'make'", "a\nlast", "key.txt"), "s-0 failed: last; key.txt (more in "),
        (Failed("failed to reproduce 'make'", ""), "s-0 failed: failed to reproduce 'make' (more in "),
        (Failed("m.yaml: m is missing\nmore", "x"), "s-0 failed: m.yaml: m is missing (more in "),
    ],
)
def test_a_failure_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], failed: Failed, line: str
) -> None:
    Terminal(tmp_path, 1).trial_failed("s-0", failed)
    assert capsys.readouterr().err.startswith(line)
