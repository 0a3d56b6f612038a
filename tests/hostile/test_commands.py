"""What others can send, and what each command that meets it prints: one line, and nothing else happens."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from support import as_ordinary_user
from tiny_git import commit, git, write

import locatable.clones.checkout
import locatable.mlflow.store
from locatable.cli import main

SOURCES = Path(__file__).parents[2] / "src"
PAGE = Path(__file__).parents[2] / "docs/security.md"
PIPELINE = """\
stages:
  copy:
    cmd: cp raw out
    deps: [raw]
    params: [lr]
    outs: [out: {cache: false}]
"""
MD5 = "d3b07384d113edec49eaa6238ad5ff00"
LOCK = f"""\
schema: '2.0'
stages:
  copy:
    cmd: cp raw out
    deps:
    - {{path: raw, hash: md5, md5: {MD5}, size: 4}}
    params:
      params.yaml: {{lr: 0.1}}
    outs:
    - {{path: out, hash: md5, md5: {MD5}, size: 4}}
"""
SEARCH = (
    "study: s\nmetric: m.json:score\ndirection: maximize\nspace:\n  lr: {type: float, low: 0.1, high: 1}\n"
)
HONEST = {
    ".dvc/config": "[core]\nanalytics = false\n",
    ".gitignore": "/runs\n/result.zip\n",
    "dvc.yaml": PIPELINE,
    "dvc.lock": LOCK,
    "params.yaml": "lr: 0.1\n",
    "raw": "foo\n",
    "out": "foo\n",
    "search.yaml": SEARCH,
}
SCRIPT = "import locatable\n\ndef describe(run):\n    run.name = 'a'\n"
BOMB = "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
LOOP = "a: &a\n  b: *a\n"
NESTED = "[" * 100_000 + "]" * 100_000
TITLE = "\x1b]0;title\x07\u202e"
PYTHON = {"dvc.yaml": PIPELINE.replace("cp raw out", "python code.py").replace("raw]", "raw, code.py]")}
# Stands for a pipe in the place of a file that Git keeps.
PIPE = Path("a pipe")
# Files of a repository, by what is hostile in it. A value that is a path is a link.
SENT: dict[str, dict[str, str | Path]] = {
    "params that expand without end": {"params.yaml": f"lr: 0.1\n{BOMB}"},
    "params that hold themselves": {"params.yaml": f"lr: 0.1\n{LOOP}"},
    "params that are nested deeply": {"params.yaml": f"lr: 0.1\nx: {NESTED}\n"},
    "params of 100 MB": {"params.yaml": f"lr: 0.1\nx: {'x' * 100_000_000}\n"},
    "params that have no end": {"params.yaml": Path("/dev/zero")},
    "params that are a pipe": {"params.yaml": PIPE},
    "a pipeline that expands without end": {"dvc.yaml": BOMB + PIPELINE},
    "a pipeline that holds itself": {"dvc.yaml": LOOP + PIPELINE},
    "a lock that expands without end": {"dvc.lock": BOMB + LOCK},
    "a lock that holds itself": {"dvc.lock": LOOP + LOCK},
    "a search that expands without end": {"search.yaml": BOMB + SEARCH},
    "a citation that expands without end": {"CITATION.cff": BOMB},
    "settings that are nested deeply": {"pyproject.toml": f"a = {NESTED}"},
    "code that is nested deeply": {**PYTHON, "code.py": f"x = {'-' * 100_000}1\n"},
    "an environment with a Python of its own": {
        **PYTHON,
        "code.py": "def (:\n",
        ".venv/bin/python": "#!/bin/sh\ntouch {harm}\n",
    },
    "a record that sets where programs are found": {
        "environment.json": '{"variables": {"PATH": "programs"}}',
        "programs/bwrap": "#!/bin/sh\ntouch {harm}\n",
    },
    "names that act on a terminal": {
        "dvc.yaml": PIPELINE.replace("out: {", '"out\\x1b]0;title\\a\\u202e": {'),
        "dvc.lock": LOCK.replace("path: out", 'path: "out\\x1b]0;title\\a\\u202e"'),
        f"out{TITLE}": "foo\n",
    },
    "a script of its own": {
        "scripts/mirror.py": "import locatable\n\ndef describe(run):\n    run.name = 'a'\n"
    },
    "declared params that expand without end, with a date": {
        "p.yaml": f"day: 2024-01-01\n{BOMB}",
        "dvc.yaml": PIPELINE.replace("[lr]", "[lr, p.yaml: [a11]]"),
    },
    "an import with settings that have no end": {
        "raw.dvc": "deps:\n- path: raw\n  repo: {url: ., config: /dev/zero, rev_lock: a}\n"
        f"outs:\n- {{path: raw, hash: md5, md5: {MD5}, size: 4}}\n"
    },
    "documents without an end": {
        "itself.tex": "\\input{itself}\\input{other}",
        "other.tex": "\\input{itself}\\includegraphics{none}",
        "deep.ipynb": f'{{"cells": {NESTED}}}',
        "many.html": "<img src='none.png'>" * 100_000,
        "itself.pdf": "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
        "2 0 obj<</Type/Pages/Count 9/Kids[2 0 R 2 0 R]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF",
    },
    "nothing hostile": {},
}
SHOWN = r"out\x1b]0;title\x07\u202e"
REPRODUCE = "reproduce --env current"
MIRROR = "mirror --all-commits"
DECLARE = "declare --check"
NOT_OF_COMMIT = "NOT OF THIS COMMIT: params.yaml cannot be read"
MANY = "more than 2,000,000 values"
ITSELF = "the anchor a holds itself"
DEEP = "nested more than 200 deep"
NO_FILE = "leads to a device, pipe or socket"
UNKNOWN = "neither a Git revision nor an experiment"
# What was sent, the command that meets it, its exit code, and what it prints.
TABLE = (
    ("params that expand without end", "locate HEAD", 0, NOT_OF_COMMIT),
    ("declared params that expand without end, with a date", "locate HEAD", 0, "p.yaml cannot be read"),
    ("declared params that expand without end, with a date", REPRODUCE, 1, "p.yaml cannot be read"),
    ("declared params that expand without end, with a date", "archive", 1, "p.yaml cannot be read"),
    ("an import with settings that have no end", REPRODUCE, 2, NO_FILE),
    ("an import with settings that have no end", "archive", 1, NO_FILE),
    ("an import with settings that have no end", DECLARE, 1, NO_FILE),
    ("params that expand without end", MIRROR, 0, "mirrored 1 new"),
    ("params that expand without end", REPRODUCE, 2, f"params.yaml: {MANY}"),
    ("params that expand without end", "archive", 1, f"params.yaml: {MANY}"),
    ("params that expand without end", DECLARE, 1, f"params.yaml: {MANY}"),
    ("params that hold themselves", "locate HEAD --html page.html", 0, "wrote page.html"),
    ("params that hold themselves", MIRROR, 0, "mirrored 1 new"),
    ("params that hold themselves", REPRODUCE, 2, f"params.yaml: {ITSELF}"),
    ("params that hold themselves", "archive", 1, f"params.yaml: {ITSELF}"),
    ("params that hold themselves", DECLARE, 1, f"params.yaml: {ITSELF}"),
    ("params that are nested deeply", REPRODUCE, 2, f"params.yaml: {DEEP}"),
    ("params that are nested deeply", "locate 0.1", 0, "lr (param, 0.1)"),
    ("params of 100 MB", "locate HEAD", 0, NOT_OF_COMMIT),
    ("params of 100 MB", DECLARE, 1, "params.yaml: larger than 50 MB"),
    *(
        ("params that have no end", command, 2, f"params.yaml: {NO_FILE}")
        for command in ("locate HEAD", MIRROR, "search", DECLARE, "archive", REPRODUCE, "ui")
    ),
    *(
        ("params that are a pipe", command, 2, f"params.yaml: {NO_FILE}")
        for command in ("locate HEAD", MIRROR, "search", DECLARE, "archive", REPRODUCE)
    ),
    ("a pipeline that expands without end", "locate HEAD", 1, f"dvc.yaml: {MANY}"),
    ("a pipeline that holds itself", MIRROR, 1, f"dvc.yaml: {ITSELF}"),
    ("a pipeline that holds itself", REPRODUCE, 2, f"dvc.yaml: {ITSELF}"),
    ("a pipeline that holds itself", DECLARE, 1, f"dvc.yaml: {ITSELF}"),
    ("a lock that expands without end", "locate HEAD", 1, f"dvc.lock: {MANY}"),
    ("a lock that holds itself", MIRROR, 1, f"dvc.lock: {ITSELF}"),
    ("a lock that holds itself", "archive", 1, f"dvc.lock: {ITSELF}"),
    ("a search that expands without end", "search", 1, f"search.yaml: {MANY}"),
    ("a citation that expands without end", "locate --cite HEAD", 0, f"CITATION.cff: {MANY}"),
    ("settings that are nested deeply", MIRROR, 1, f"pyproject.toml: {DEEP}"),
    ("settings that are nested deeply", REPRODUCE, 2, f"pyproject.toml: {DEEP}"),
    ("code that is nested deeply", DECLARE, 1, "code.py: cannot be read as Python: nested too deeply"),
    ("an environment with a Python of its own", DECLARE, 1, "code.py:1: invalid syntax"),
    ("a record that sets where programs are found", REPRODUCE, 0, "1 of 1 outputs rebuilt as recorded"),
    ("names that act on a terminal", "locate raw", 0, "raw (read by copy)"),
    ("names that act on a terminal", f"locate out{TITLE}", 0, SHOWN),
    ("names that act on a terminal", f"locate --json out{TITLE}", 0, r"out\u001b]0;title\u0007\u202e"),
    ("names that act on a terminal", REPRODUCE, 1, SHOWN),
    ("names that act on a terminal", f"{REPRODUCE} --json", 1, r"out\u001b]0;title\u0007\u202e"),
    ("documents without an end", "locate itself.tex", 1, "not found: there is no such file"),
    ("documents without an end", "locate deep.ipynb", 0, "deep.ipynb"),
    ("documents without an end", "locate many.html", 1, "more than 2,000 figures are not looked at"),
    ("documents without an end", "locate itself.pdf", 0, "itself.pdf"),
    ("nothing hostile", f"reproduce {TITLE}", 2, rf"\x1b]0;title\x07\u202e: {UNKNOWN}"),
    ("nothing hostile", "reproduce pipe.zip", 2, NO_FILE),
    ("nothing hostile", "reproduce zero.zip", 2, NO_FILE),
    ("nothing hostile", "locate pipe.zip", 1, NO_FILE),
    ("nothing hostile", "archive -o pipe.zip", 1, NO_FILE),
    ("nothing hostile", "archive -o zero.zip", 1, NO_FILE),
)
Done = tuple[int, str]


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> Path:
    """A database of MLflow, which takes ten seconds to create."""
    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    script = f"from mlflow import MlflowClient; MlflowClient('sqlite:///{file}').search_experiments()"
    subprocess.run((sys.executable, "-c", script), check=True, capture_output=True)
    return file


@pytest.fixture
def sent(request, tmp_path, database) -> Path:
    """A clone of a repository that somebody sent, and beside its files a pipe and a link to a device."""
    root = tmp_path / "repo"
    commit(root, HONEST)
    files = SENT[request.param]
    pipes = ["pipe.zip", *(path for path, target in files.items() if target == PIPE)]
    links = {path: target for path, target in files.items() if isinstance(target, Path) and target != PIPE}
    texts = {path: text for path, text in files.items() if isinstance(text, str)}
    write(root, {path: text.replace("{harm}", str(tmp_path / "harm")) for path, text in texts.items()})
    for path, target in links.items():
        (root / path).unlink(missing_ok=True)
        (root / path).symlink_to(target)
    for program in [*root.glob(".venv/bin/*"), *root.glob("programs/*")]:
        program.chmod(0o755)
    # One commit: it shows what was sent, whichever commit a command takes.
    git(root, "add", "--all", "--force")
    git(root, "commit", "--quiet", "--amend", "--message", "All")
    shutil.copy(database, root)
    for path in pipes:
        (root / path).unlink(missing_ok=True)
        os.mkfifo(root / path)
    (root / "zero.zip").symlink_to("/dev/zero")
    return root


@pytest.fixture
def locatable(tmp_path, monkeypatch) -> Callable[..., Done]:
    """Run a command in a folder, as a process with a limit of time; returns its exit code and output."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")

    def run(root: Path, *words: str, seconds: int = 40) -> Done:
        with tempfile.TemporaryFile("w+") as output:
            child = os.fork()
            if not child:
                os._exit(_run(root, words, output.fileno(), seconds))
            status = os.waitpid(child, 0)[1]
            output.seek(0)
            return os.waitstatus_to_exitcode(status), output.read()

    return run


def _run(root: Path, words: tuple[str, ...], output: int, seconds: int) -> int:
    """Be the process of a command."""
    signal.alarm(seconds)
    os.chdir(root)
    os.dup2(output, 1)
    os.dup2(output, 2)
    with (
        open(1, "w", closefd=False) as out,
        open(2, "w", closefd=False) as err,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            return main(words)
        except SystemExit as end:
            return int(end.code or 0)
        except BaseException:
            traceback.print_exc()
            return -1


@pytest.mark.parametrize(
    ("sent", "command", "exit_code", "printed"),
    TABLE,
    ids=[f"{thing}: {command.replace(TITLE, '')}" for thing, command, *_ in TABLE],
    indirect=["sent"],
)
def test_what_is_sent_is_refused_or_harmless(sent, command, exit_code, printed, locatable, tmp_path):
    done = locatable(sent, *command.split(" "))
    assert printed in done[1]
    assert done[0] == exit_code
    assert "Traceback" not in done[1]
    assert not re.search("[\x1b\x07\u202e]", done[1])
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("sent", "command"),
    [
        ("names that act on a terminal", REPRODUCE),
        ("params that have no end", MIRROR),
        ("an environment with a Python of its own", DECLARE),
        ("nothing hostile", "archive -o pipe.zip"),
    ],
    indirect=["sent"],
)
def test_so_it_is_for_an_ordinary_user_without_bubblewrap(request, sent, command, tmp_path):
    what = request.node.callspec.params["sent"]
    exit_code, printed = next(row[2:] for row in TABLE if row[:2] == (what, command))
    done = _run_without_bubblewrap(as_ordinary_user(tmp_path), sent, command, tmp_path)
    said = done.stdout + done.stderr
    assert printed in said
    assert done.returncode == exit_code
    assert "Traceback" not in said
    assert not (tmp_path / "harm").exists()
    if command == REPRODUCE:
        assert "folders only, a stage can read and write what you can: bubblewrap is not installed" in said


def _run_without_bubblewrap(
    start: tuple[str, ...], root: Path, command: str, folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run a command where the PATH has few programs; `start` is what goes before it."""
    programs = folder / "programs"
    programs.mkdir()
    for name in ("cp", "env", "git", "setpriv", "sh"):
        (programs / name).symlink_to(shutil.which(name) or "nowhere")
    variables = {
        "PATH": str(programs),
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "PYTHONPATH": str(SOURCES),
        "PYTHONDONTWRITEBYTECODE": "1",
        "DVC_NO_ANALYTICS": "1",
    }
    line = (*start, sys.executable, "-m", "locatable", *command.split(" "))
    return subprocess.run(
        line, cwd=root, env=variables, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("sent", ["nothing hostile"], indirect=True)
def test_a_folder_that_another_user_owns_is_not_written_to(sent, tmp_path):
    start = as_ordinary_user(tmp_path)
    os.chown(sent / ".dvc", 0, 0)
    done = _run_without_bubblewrap(start, sent, "search", tmp_path)
    assert done.returncode == 1
    assert f"{sent}/.dvc/tmp: Permission denied" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("sent", ["a script of its own"], indirect=True)
def test_a_script_of_the_repository_is_announced_once(sent, locatable):
    said = "runs `describe` of this repository's scripts/mirror.py"
    assert said in locatable(sent, *MIRROR.split())[1]
    assert said not in locatable(sent, *MIRROR.split())[1]


@pytest.mark.parametrize("sent", ["a script of its own"], indirect=True)
def test_it_is_not_said_to_be_once_where_nothing_can_be_remembered(sent, locatable, tmp_path):
    (tmp_path / "config").touch()
    printed = locatable(sent, *MIRROR.split())[1]
    assert "runs `describe` of this repository's scripts/mirror.py\n" in printed


@pytest.mark.parametrize("sent", ["nothing hostile"], indirect=True)
def test_a_document_has_no_server_asked(sent, tmp_path):
    strace = shutil.which("strace")
    if not strace:
        pytest.skip("strace is not installed")
    link = "http://127.0.0.1:9/figure.png"
    (sent / "paper.html").write_text(f'<img src="{link}"><link href="{link}"><iframe src="{link}">')
    trace = tmp_path / "trace"
    watched = (strace, "-f", "-o", str(trace), "-e", "trace=connect")
    command = (*watched, sys.executable, "-m", "locatable", "locate", "paper.html")
    variables = {**os.environ, "PYTHONPATH": str(SOURCES)}
    done = subprocess.run(command, cwd=sent, env=variables, capture_output=True, text=True, check=False)
    assert "not found: a link to another server, which is not fetched" in done.stdout
    assert "exited with" in trace.read_text()
    assert "AF_INET" not in trace.read_text()


def test_the_page_on_security_names_a_test_for_each_danger():
    row = r"^\| [^|]+ \| [^|]+ \| [^|]+ \| \[(test_\w+\.py)\]\(\.\./(.+)\) \|$"
    rows = re.findall(row, PAGE.read_text(), re.MULTILINE)
    named = {Path(place).name for _, place in rows}
    assert {file.name for file in Path(__file__).parent.glob("test_*.py")} <= named
    assert all((PAGE.parents[1] / place).is_file() and Path(place).name == name for name, place in rows)
