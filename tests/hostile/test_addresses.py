"""Which servers get a user's credentials: those that the user has named, whatever a repository names."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from tiny_git import IDENTITY, commit, git, write

SOURCES = Path(__file__).parents[2] / "src"
RUN_ID = "0123456789abcdef" * 2
COMMANDS = (("locate", RUN_ID), ("mirror",), ("ui",))
PIPELINE = "stages:\n  copy:\n    cmd: cp raw out\n    deps: [raw]\n    outs: [out: {cache: false}]\n"
MD5 = "764efa883dda1e11db47671c4a3bbd9e"
LOCK = f"""\
schema: '2.0'
stages:
  copy:
    cmd: cp raw out
    deps:
    - {{path: raw, hash: md5, md5: {MD5}, size: 3}}
    outs:
    - {{path: out, hash: md5, md5: {MD5}, size: 3}}
"""
# What `git lfs install` writes.
LFS = """\
[filter "lfs"]
\tclean = git-lfs clean -- %f
\tsmudge = git-lfs smudge -- %f
\tprocess = git-lfs filter-process
\trequired = true
"""
DATA = f"outs:\n- md5: {MD5}\n  size: 3\n  hash: md5\n  path: raw\n"


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """The address of a server, and what it was sent to log in with."""
    received = []

    class Recorder(BaseHTTPRequestHandler):
        def do_GET(self):
            received.append(self.headers.get("Authorization", ""))
            self.send_error(404)

        def do_POST(self):
            self.do_GET()

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as listening:
        Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}", received
        listening.shutdown()


@pytest.fixture
def repo(tmp_path, server) -> Path:
    """A repository that names the server as the place of its runs."""
    settings = f'[tool.locatable]\nmlflow-tracking-uri = "{server[0]}"\n'
    commit(tmp_path / "repo", {".dvc/config": "", "dvc.yaml": PIPELINE, "pyproject.toml": settings})
    return tmp_path / "repo"


@pytest.fixture
def locatable(repo, tmp_path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command in the repository, as a user with a token for servers of their own."""
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")},
        "HOME": str(tmp_path / "home"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "PYTHONPATH": str(SOURCES),
        "MLFLOW_TRACKING_TOKEN": "secret",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "DVC_NO_ANALYTICS": "1",
        "DVC_STUDIO_TOKEN": "secret",
        **IDENTITY,
    }
    write(tmp_path, {"home/.gitconfig": LFS})

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = (sys.executable, "-m", "locatable", *words)
        return subprocess.run(
            command, cwd=repo, env=variables, capture_output=True, text=True, check=False, timeout=120
        )

    return run


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_server_that_a_repository_names_gets_nothing_and_a_line_says_how_to_trust_it(
    command, locatable, server
):
    done = locatable(*command)
    assert server[1] == []
    assert done.stderr.count("\n") == 1
    assert f"locatable mirror --tracking-uri {server[0]}" in done.stderr


def test_a_server_that_the_user_has_named_once_gets_the_token(locatable, server):
    locatable("mirror", "--tracking-uri", server[0])
    server[1].clear()
    locatable("locate", RUN_ID)
    assert "Bearer secret" in server[1]


SCORE = '{"score": 1}'
SCORE_MD5 = hashlib.md5(SCORE.encode(), usedforsecurity=False).hexdigest()
TRIED = f"""\
schema: '2.0'
stages:
  score:
    cmd: cp raw m.json
    deps:
    - {{path: raw, hash: md5, md5: {SCORE_MD5}, size: 12}}
    params:
      params.yaml: {{lr: 0.1}}
    outs:
    - {{path: m.json, hash: md5, md5: {SCORE_MD5}, size: 12}}
"""


@pytest.fixture
def named_everywhere(repo, server) -> Path:
    """The repository, naming the server wherever something of it can name one."""
    url = server[0]
    places = (
        f"[studio]\nurl = {url}\n[exp]\nauto_push = true\ngit_remote = {url}/git\n[core]\nremote = there\n"
    )
    stage = "stages:\n  score:\n    cmd: cp raw m.json\n    deps: [raw]\n    params: [lr]\n"
    files = {
        ".dvc/config": f"{places}['remote \"there\"']\nurl = {url}\n",
        ".lfsconfig": f"[lfs]\nurl = {url}/lfs\n",
        "CITATION.cff": f"cff-version: 1.2.0\ntitle: a\nrepository: {url}\nurl: {url}\n",
        "dvc.lock": TRIED,
        "dvc.yaml": f"{stage}    metrics: [m.json: {{cache: false}}]\n",
        "m.json": SCORE,
        "params.yaml": "lr: 0.1\n",
        "pip.conf": f"[global]\nindex-url = {url}\n",
        "raw": SCORE,
        "requirements.lock": f"--index-url {url}\n",
        "search.yaml": "study: s\nmetric: m.json:score\ndirection: maximize\nspace:\n"
        "  lr: {type: float, low: 0.1, high: 1}\n",
        "uv.toml": f'index-url = "{url}"\n',
    }
    commit(repo, files)
    git(repo, "remote", "add", "origin", f"{url}/origin")
    return repo


@pytest.mark.parametrize("command", ["search --trials 1", "archive", "locate HEAD", "declare --check"])
def test_a_server_that_a_repository_names_everywhere_is_not_asked(
    command, named_everywhere, locatable, server
):
    assert locatable(*command.split()).returncode == 0
    assert server[1] == []


def test_neither_does_a_search_ask_it_for_contents_of_git_lfs(named_everywhere, locatable, server):
    if not shutil.which("git-lfs"):
        pytest.skip("Git LFS is not installed")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 5\n"
    commit(named_everywhere, {"big.bin": pointer, ".gitattributes": "*.bin filter=lfs\n"})
    done = locatable("search", "--trials", "1")
    assert "this machine has only a Git LFS pointer to big.bin" in done.stderr
    assert server[1] == []


@pytest.fixture(params=["endpointurl = http://127.0.0.1:1", "configpath = /aws"])
def setting(request) -> str:
    """What a repository says of how to log in to its remote: a server; a file that can name commands."""
    return request.param


@pytest.fixture
def remote(repo, setting) -> str:
    """The section of a DVC remote whose settings in Git choose what becomes of credentials."""
    section = "['remote \"there\"']\n"
    settings = f"[core]\nremote = there\n{section}url = s3://bucket\n{setting}\n"
    commit(repo, {".dvc/config": settings, "dvc.lock": LOCK, "raw.dvc": DATA, ".gitignore": "/raw\n"})
    return f"{section}{setting}\n"


def test_a_remote_of_which_a_repository_says_how_to_log_in_is_not_asked(locatable, remote, setting):
    done = locatable("reproduce", "--env", "current")
    assert f"dvc remote modify --local there {setting.replace(' = ', ' ')}" in done.stderr


@pytest.mark.parametrize(
    ("settings", "data"),
    [
        ("[core]\nremote = images\n['remote \"images\"']\nurl = remote://THERE/images\n", DATA),
        ("", f"{DATA}  remote: THERE\n"),
    ],
    ids=["by another remote", "by its name in capitals"],
)
def test_neither_is_it_asked_in_a_roundabout_way(locatable, remote, repo, settings, data):
    remote = f"{remote.replace('there', 'THERE')}url = s3://bucket\n"
    commit(repo, {".dvc/config": settings + remote, "raw.dvc": data})
    assert "dvc remote modify --local there" in locatable("reproduce", "--env", "current").stderr


def test_what_a_user_has_for_one_address_goes_to_no_other_of_the_same_name(locatable, repo, server, tmp_path):
    own = "['remote \"there\"']\nurl = http://127.0.0.1:9\nauth = basic\nuser = me\npassword = secret\n"
    write(tmp_path, {"config/dvc/config": own})
    settings = f"[core]\nremote = there\n['remote \"there\"']\nurl = {server[0]}\n"
    commit(repo, {".dvc/config": settings, "dvc.lock": LOCK, "raw.dvc": DATA, ".gitignore": "/raw\n"})
    done = locatable("reproduce", "--env", "current")
    assert server[1] == []
    assert f"dvc remote modify --local there url {server[0]}" in done.stderr


def test_settings_of_the_user_can_say_it(locatable, remote, repo):
    (repo / ".dvc/config.local").write_text(remote)
    assert "your credentials" not in locatable("reproduce", "--env", "current").stderr


def test_settings_of_the_user_that_somebody_has_committed_do_not_count(locatable, remote, repo):
    (repo / ".dvc/config.local").write_text(remote)
    git(repo, "add", "--force", ".dvc/config.local")
    assert "your credentials" in locatable("reproduce", "--env", "current").stderr


def imported(source: Path, rev: str, path: str = "raw") -> str:
    """A .dvc file that imports a path of a repository."""
    return f"frozen: true\ndeps:\n- path: {path}\n  repo:\n    url: {source}\n    rev_lock: {rev}\n{DATA}"


@pytest.mark.parametrize("steps", [1, 3])
def test_neither_is_the_remote_of_a_repository_that_data_is_imported_from(
    locatable, repo, tmp_path, setting, steps
):
    section = "['remote \"there\"']\n"
    settings = f"[core]\nremote = there\n{section}url = s3://bucket\n{setting}\n"
    data = DATA
    for step in range(steps):
        # The first in a subfolder, and each of the others imports from the one before.
        folder = "" if step else "data/"
        files = {".dvc/config": settings, f"{folder}raw.dvc": data, f"{folder}.gitignore": "/raw\n"}
        rev = commit(tmp_path / f"source{step}", files)
        data, settings = imported(tmp_path / f"source{step}", rev, f"{folder}raw"), ""
    commit(repo, {"dvc.lock": LOCK, "raw.dvc": data, ".gitignore": "/raw\n"})
    done = locatable("reproduce", "--env", "current")
    assert f"dvc remote modify --global there {setting.replace(' = ', ' ')}" in done.stderr


def test_repositories_that_import_from_each_other_end_in_one_line(locatable, repo, tmp_path):
    ones, others = tmp_path / "ones", tmp_path / "others"
    files = {".dvc/config": "", ".gitignore": "/raw\n"}
    for source, other in ((ones, others), (others, ones)):
        commit(source, {**files, "raw.dvc": imported(other, "HEAD")})
    commit(repo, {"dvc.lock": LOCK, "raw.dvc": imported(ones, "HEAD"), ".gitignore": "/raw\n"})
    done = locatable("reproduce", "--env", "current")
    assert done.returncode == 2
    assert "cannot try: raw.dvc: imported by more than 10 repositories in turn" in done.stderr
