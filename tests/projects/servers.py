"""Real servers for tests, each in a folder of its own and gone with its test."""

import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

needs_postgres = pytest.mark.skipif(
    not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")), reason="PostgreSQL is not installed"
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def postgres() -> Iterator[str]:
    """Debian's PostgreSQL on a folder of its own, as a user other than root; yields a database's address."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    folder = Path(tempfile.mkdtemp(prefix="postgres"))
    other = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups") if os.geteuid() == 0 else ()
    if other:
        shutil.chown(folder, "postgres", "postgres")
    port = free_port()
    quiet = {"cwd": folder, "check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    control = (*other, programs[-1] / "pg_ctl", "-D", folder / "data", "-w")
    subprocess.run(
        (*other, programs[-1] / "initdb", "-D", folder / "data", "-A", "trust", "-U", "ada"), **quiet
    )
    subprocess.run((*control, "-l", folder / "log", "-o", f"-p {port} -k {folder}", "start"), **quiet)
    try:
        yield f"postgresql+psycopg://ada@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run((*control, "-m", "immediate", "stop"), **quiet)
        shutil.rmtree(folder)


def wait_for(what: Callable[[], Any], seconds: float = 60) -> Any:
    """The first true answer of `what`."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return found


def answers(port: int) -> bool:
    """Whether something listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(*command: str | Path, folder: Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a process group of its own, and all that it started killed in the end."""
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        kill(process.pid)
        process.wait()


def kill(pid: int) -> None:
    """Kill a process and all that it started, at once."""
    try:
        top = psutil.Process(pid)
        family = [*top.children(recursive=True), top]
    except psutil.NoSuchProcess:
        return
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    wait_for(lambda: not any(map(alive, family)))


def alive(process: psutil.Process) -> bool:
    """Whether it still runs; one that only waits for its parent to take note of its end does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def git_daemon(folder: Path, env: Mapping[str, str]) -> Iterator[str]:
    """A Git server for the repositories in `folder`; yields its address."""
    port = free_port()
    options = ("--enable=receive-pack", "--export-all", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}")
    with running("git", "daemon", *options, f"--base-path={folder}", folder=folder, env=env):
        wait_for(lambda: answers(port))
        yield f"git://127.0.0.1:{port}"


@contextmanager
def s3(folder: Path, env: Mapping[str, str]) -> Iterator[str]:
    """A server that speaks S3, with a bucket named `bucket`; yields its address."""
    program = folder / "moto/bin/moto_server"
    # In an environment of its own: it brings fifty packages, and only one module of tests wants them.
    install = ("pip", "install", "--quiet", "--python", folder / "moto", "moto[server]>=5.2,<6")
    for command in [("venv", "--quiet", folder / "moto"), install]:
        uv = (sys.executable, "-m", "uv", *command)
        if subprocess.run(uv, env=dict(env), capture_output=True, check=False).returncode:
            pytest.skip("moto[server] cannot be installed here")
    port = free_port()
    with running(program, "-H", "127.0.0.1", "-p", str(port), folder=folder, env=env):
        wait_for(lambda: answers(port))
        bucket = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        bucket.request("PUT", "/bucket")
        assert bucket.getresponse().status == 200
        bucket.close()
        yield f"http://127.0.0.1:{port}"
