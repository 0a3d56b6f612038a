"""Commands of an environment without their start: a process that has imported everything forks for each.

To start `dvc` or `locatable mirror` takes one to four seconds of a processor, nearly all of it for imports,
and tests run many hundreds of them. What runs is what a user runs: the same entry point, in the same
environment, in a process with its own folder, variables and arguments. A test of a start itself (what is
imported, which variables are read, what signals do) starts a process, and so do all commands that pages and
Makefiles hold.
"""

import json
import os
import re
import select
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

SERVER = Path(__file__).with_name("warm_server.py")
# Variables that are read when Python, the C library or a numerical library starts.
AT_START = ("LANG", "LC_", "LD_", "MALLOC_", "MKL_", "MPL", "OMP_", "OPENBLAS_", "PYTHON", "TZ")
servers: dict[str, "Server"] = {}


class Server:
    """A process that forks for the commands of one environment; it ends with this one."""

    def __init__(self, venv: Path, env: Mapping[str, str]) -> None:
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (as long as the process)
        # MLflow would start a thread that reports its import, and a thread does not survive a fork.
        quiet = {**env, "MLFLOW_DISABLE_TELEMETRY": "true"}
        self.process = subprocess.Popen(
            (venv / "bin/python", "-u", SERVER),
            cwd="/",
            env=quiet,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            bufsize=0,
        )

    def reply(self, timeout: float | None = None) -> int | None:
        """The next number that it sends, None if that takes too long."""
        assert self.process.stdout
        if not select.select([self.process.stdout], [], [], timeout)[0]:
            return None
        answered = self.process.stdout.readline()
        if not answered:
            self.log.seek(0)
            raise RuntimeError(f"it died: {self.log.read()}")
        return int(answered)

    def run(
        self, command: Sequence[str], cwd: Path, env: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        with tempfile.TemporaryDirectory(prefix="warm-") as folder:
            output = [Path(folder, name) for name in ("stdout", "stderr")]
            for path in output:
                path.touch()
            request = {
                "command": command,
                "cwd": str(cwd),
                "env": dict(env),
                "output": list(map(str, output)),
            }
            assert self.process.stdin
            self.process.stdin.write(f"{json.dumps(request)}\n".encode())
            child = self.reply()
            code = self.reply(timeout)
            if code is None:
                os.kill(child, signal.SIGKILL)
                self.reply()
                raise subprocess.TimeoutExpired(command, timeout)
            return subprocess.CompletedProcess(command, code, *(path.read_text() for path in output))


def can_run(command: Sequence[str], env: Mapping[str, str]) -> bool:
    """Whether it makes no difference that a command's Python has started already."""
    asks_mlflow = tuple(command[:2]) == ("python", "-c") and re.search("(import|from) mlflow", command[2])
    if command[0] not in ("dvc", "locatable") and not asks_mlflow:
        return False
    if "VIRTUAL_ENV" not in env or not env["PATH"].startswith(env["VIRTUAL_ENV"]):
        return False
    usual = {key: os.environ[key] for key in os.environ if key.startswith(AT_START)}
    # Those of Python itself do not reach a user of these tests.
    wanted = {key: value for key, value in usual.items() if not key.startswith("PYTHON")}
    return wanted == {key: env[key] for key in env if key.startswith(AT_START)}


def run(
    command: Sequence[str], cwd: Path, env: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in a process that was forked for it."""
    venv = env["VIRTUAL_ENV"]
    if venv not in servers:
        servers[venv] = Server(Path(venv), env)
    return servers[venv].run(command, cwd, env, timeout)
