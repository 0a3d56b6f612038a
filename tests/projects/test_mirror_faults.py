"""A mirror that is killed, doubled, refused or given odd values loses nothing and leaves nothing twice."""

import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mirrored import check_all, dump, git, refs
from servers import free_port, needs_postgres, postgres
from support import run

from bench import synthetic

MIRROR = ("locatable", "mirror")
NAME = "tumour-classifier"


@pytest.fixture
def crowd(rebuilt: Path, tmp_path: Path) -> Callable[[int], Path]:
    """A project of the test's own with so many experiments."""

    def make(number: int) -> Path:
        project = Path(shutil.copytree(rebuilt, tmp_path / "project", symlinks=True))
        synthetic.add(project, number, "try")
        return project

    return make


@contextmanager
def serving(store: str, folder: Path, env: dict[str, str]) -> Iterator[str]:
    """A real MLflow server over a database; yields its address."""
    port = free_port()
    command = ("mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1")
    stored = ("--backend-store-uri", store, "--artifacts-destination", str(folder / "artifacts"))
    quiet = {**env, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            (*command, *stored), cwd=folder, env=quiet, stdout=log, stderr=log, start_new_session=True
        )
    try:
        for _ in range(600):
            assert server.poll() is None, (folder / "server.log").read_text()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                    break
            except OSError:
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
        server.wait()


@pytest.fixture(scope="module")
def server(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    with serving(f"sqlite:///{folder}/served.db", folder, env) as address:
        yield address


def one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.stdout == ""
    (line,) = [line for line in done.stderr.splitlines() if "run/s" not in line]
    assert all(word in line for word in (*words, "nothing is lost"))


def rows(store: Path) -> int:
    """How many runs there are, read beside the mirror's back."""
    if not store.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=5)) as database:
            return database.execute("select count(*) from runs").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


@pytest.mark.long
@pytest.mark.parametrize(("times", "number"), [(2, 8), pytest.param(20, 50, marks=pytest.mark.weekly)])
def test_a_mirror_that_is_killed_again_and_again(
    crowd: Callable, env: dict[str, str], times: int, number: int
) -> None:
    project = crowd(number)
    pick = random.Random(11)  # noqa: S311 (nothing secret)
    kills = 0
    while kills < times:
        before = rows(project / "mlflow.db")
        process = subprocess.Popen(
            MIRROR, cwd=project, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        # One at any moment of the start, the next while runs are written.
        limit = time.monotonic() + pick.uniform(0.5, 4) if kills % 2 == 0 else float("inf")
        while process.poll() is None and rows(project / "mlflow.db") == before and time.monotonic() < limit:
            time.sleep(0.005)
        time.sleep(pick.uniform(0, 0.15))
        assert process.poll() is None, "not killed in time"
        process.kill()
        process.wait()
        kills += 1
    done = run(*MIRROR, cwd=project, env=env)
    assert done.stdout.endswith(", 0 failed\n")
    found = dump(f"sqlite:///{project}/mlflow.db", NAME, env, project)
    assert len(found) == number + 1
    check_all(project, found)
    again = run(*MIRROR, cwd=project, env=env).stdout
    assert again == f"mirrored 0 new, {number + 1} already there, 0 failed\n"


def at_once(project: Path, uri: str, env: dict[str, str]) -> None:
    """Two mirrors into one store: each ends well, and each experiment has one run."""
    call = (*MIRROR, "--tracking-uri", uri)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(call, cwd=project, env=env, **pipes) for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, out + err
    found = dump(uri, NAME, env, project)
    assert len(found) == len(refs(project)) + 1
    check_all(project, found)


def test_two_at_once_on_one_database(crowd: Callable, env: dict[str, str]) -> None:
    project = crowd(6)
    at_once(project, f"sqlite:///{project}/mlflow.db", env)


@pytest.mark.weekly
def test_two_at_once_on_one_server(crowd: Callable, env: dict[str, str], server: str) -> None:
    at_once(crowd(6), server, env)


def test_a_server_that_refuses_or_hangs(crowd: Callable, env: dict[str, str]) -> None:
    project = crowd(1)
    soon = {**env, "MLFLOW_HTTP_REQUEST_TIMEOUT": "2", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
    refusing = f"http://ada:secret@127.0.0.1:{free_port()}"
    done = run(*MIRROR, "--tracking-uri", refusing, cwd=project, env=soon, code=1, timeout=120)
    one_line(done, "127.0.0.1")
    assert "secret" not in done.stderr
    with socket.socket() as hanging:
        hanging.bind(("127.0.0.1", 0))
        hanging.listen()
        uri = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        one_line(run(*MIRROR, "--tracking-uri", uri, cwd=project, env=soon, code=1, timeout=120), "127.0.0.1")
    for wrong in ("nonsense://store", f"sqlite:////{project}/data/raw.csv", "sqlite:////proc/none/x.db"):
        one_line(run(*MIRROR, "--tracking-uri", wrong, cwd=project, env=soon, code=1, timeout=120))


@contextmanager
def between(server: str, spoil: Callable[[str], tuple[int, bytes] | None]) -> Iterator[str]:
    """Hands requests on to a server, unless `spoil` has another answer to their path; yields the address."""

    class Between(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            self.close_connection = True
            super().handle_one_request()

        def do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if spoilt := spoil(self.path):
                (status, content), kind = spoilt, "application/json"
            else:
                onward = http.client.HTTPConnection(server.removeprefix("http://"), timeout=60)
                onward.request(self.command, self.path, body, dict(self.headers))
                reply = onward.getresponse()
                status, content = reply.status, reply.read()
                kind = reply.headers.get("Content-Type", "text/plain")
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do  # noqa: N815

        def log_message(self, *args: object) -> None:
            """Keep quiet."""

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Between)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{proxy.server_port}"
    proxy.shutdown()


def test_a_server_that_fails_half_way(crowd: Callable, env: dict[str, str], server: str) -> None:
    project, asked = crowd(4), []

    def after_thirty(path: str) -> tuple[int, bytes] | None:
        asked.append(path)
        return (500, b"{}") if len(asked) > 30 else None

    few = {**env, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_EXPERIMENT_NAME": "half-way"}
    with between(server, after_thirty) as uri:
        one_line(run(*MIRROR, "--tracking-uri", uri, cwd=project, env=few, code=1), "500")
    started = dump(server, "half-way", env, project, deep=False)
    assert 0 < len(started) < 5
    run(*MIRROR, "--tracking-uri", server, cwd=project, env=few)
    found = dump(server, "half-way", env, project)
    assert len(found) == 5
    check_all(project, found)


@pytest.mark.weekly
def test_a_data_set_that_another_mirror_adds_first(crowd: Callable, env: dict[str, str], server: str) -> None:
    project, asked = crowd(2), []
    # What MLflow answers when another has added the row between its look and its insert.
    why = "(sqlite3.IntegrityError) UNIQUE constraint failed: datasets.experiment_id, datasets.name"

    def first_time(path: str) -> tuple[int, bytes] | None:
        asked.append(path.rpartition("/")[2])
        lost = asked[-1] == "log-inputs" and asked.count("log-inputs") == 1
        return (400, json.dumps({"error_code": "BAD_REQUEST", "message": why}).encode()) if lost else None

    own = {**env, "MLFLOW_EXPERIMENT_NAME": "first"}
    with between(server, first_time) as uri:
        run(*MIRROR, "--tracking-uri", uri, cwd=project, env=own)
    found = dump(server, "first", env, project)
    assert len(found) == 3
    check_all(project, found)


def test_a_full_disk(crowd: Callable, env: dict[str, str], full_disk: Path) -> None:
    project = crowd(8)
    ballast = full_disk / "ballast"
    # Of the database's 8 MB, room for its tables and some of the runs.
    ballast.write_bytes(bytes(7_000_000))
    there = (*MIRROR, "--tracking-uri", f"sqlite:///{full_disk}/mlflow.db")
    one_line(run(*there, cwd=project, env=env, code=1), "disk is full")
    begun = rows(full_disk / "mlflow.db")
    assert 0 < begun < 9
    ballast.unlink()
    # Now the files have no room, and the database has.
    shutil.move(full_disk / "mlflow.db", project)
    shutil.move(project / "mlartifacts", full_disk)
    (project / "mlartifacts").symlink_to(full_disk / "mlartifacts")
    with ballast.open("wb") as file, suppress(OSError):
        file.write(bytes(8_000_000))
    one_line(run(*MIRROR, cwd=project, env=env, code=1), "No space left")
    ballast.unlink()
    run(*MIRROR, cwd=project, env=env)
    found = dump(f"sqlite:///{project}/mlflow.db", NAME, env, project)
    assert len(found) == 9
    check_all(project, found)


def commit(project: Path, name: str, files: dict[str, str]) -> None:
    """An experiment on HEAD with these files, made without DVC."""
    head = git(project, "rev-parse", "HEAD").strip()
    script = f"commit refs/exps/{head[:2]}/{head[2:]}/{name}\ncommitter A <a@b.c> 1700000000 +0000\n"
    script += f"data 1\nx\nfrom {head}\n"
    for path, text in files.items():
        script += f"M 100644 inline {path}\ndata {len(text.encode())}\n{text}\n"
    subprocess.run(("git", "fast-import", "--quiet"), cwd=project, input=script, text=True, check=True)


def test_what_mlflow_cannot_hold_is_kept_beside_it(crowd: Callable, env: dict[str, str]) -> None:
    """That a real MLflow takes it; how each value is changed is in tests/unit/test_mlflow_limits.py."""
    project = crowd(0)
    params = {f"many.p{n:03}": n for n in range(250)}
    params |= {"long": "x" * 10_000, "k" * 300: 1, "odd@key": "at", "größe.日本": True, "..": "dots"}
    lock = git(project, "show", "HEAD:dvc.lock")
    lines = "".join(f"        {json.dumps(key)}: {json.dumps(value)}\n" for key, value in params.items())
    lock = re.sub(r"(  train:\n(?:.*\n)*?    params:\n      params.yaml:\n)", lambda m: m[1] + lines, lock)
    metrics = '{"a": NaN, "b": Infinity, "c": "good", "d": {"x@5": 1, "e": true}, "n": 123456789012345678901}'
    series = "reports/train/plots/metrics/valid/log_loss.tsv"
    table = "step\tlog_loss\n0\t1.5\n1\tnan\n2\tinf\n3\t-inf\n"
    commit(project, "hard", {"dvc.lock": lock, "reports/train/metrics.json": metrics, series: table})
    assert run(*MIRROR, cwd=project, env=env).stdout.endswith("2 new, 0 already there, 0 failed\n")

    found = next(f for f in dump(f"sqlite:///{project}/mlflow.db", NAME, env, project) if f["name"] == "hard")
    plain = {key: str(value) for key, value in params.items() if key.startswith("many.")}
    assert {key: value for key, value in found["params"].items() if key.startswith("many.")} == plain
    assert len(found["params"]["long"]) == 6000
    points = [value for _, value, _ in sorted(found["series"]["valid/log_loss"])]
    assert points[0] == 1.5
    assert points[1] != points[1]
    assert points[2] > 1e308
    assert points[3] < -1e308
    assert "as they are in Git" in found["tags"]["mirror.kept"]
    assert "mirror/kept.json" in found["files"]


@needs_postgres
@pytest.mark.weekly
def test_postgresql(
    crowd: Callable, env: dict[str, str], with_driver: dict[str, str], tmp_path: Path
) -> None:
    project = crowd(8)
    with postgres() as store, serving(store, tmp_path, with_driver) as address:
        at_once(project, address, env)
        straight = run(*MIRROR, "--tracking-uri", store, cwd=project, env=with_driver)
        assert straight.stdout == "mirrored 0 new, 9 already there, 0 failed\n"
    gone = run(*MIRROR, "--tracking-uri", store, cwd=project, env=with_driver, code=1, timeout=60)
    one_line(gone, "127.0.0.1")
