"""What a stage that means harm can do in the sandbox of a proof, as root and as another user."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_dvc
from tiny_git import git

from locatable.clones.checkout import Checkout
from locatable.proof.sandbox import (
    RunOptions,
    Sandbox,
    allowed_limits,
    isolation_command,
    make_sandbox,
    run_stage,
)

NOBODY = 65534
# Each prints `harm` where it succeeds.
ATTEMPTS = {
    "make the system's folders writable": "mount -o remount,rw /usr && echo harm",
    "take the cover off the home": "umount {home} && cat {home}/secret && echo harm",
    "read the home": "cat {home}/secret && echo harm",
    "read the checkout": "cat {home}/checkout/secret && echo harm",
    "read what lies beside a folder of programs": "cat {home}/projects/secret && echo harm",
    "write into a folder of programs": "touch {home}/projects/bin/tool && echo harm",
    "read passwords of the machine": "cat /etc/shadow && echo harm",
    "read a folder of the root that holds no system": "ls / | grep -vxE '{roots}' && echo harm",
    "use a socket of the machine's services": "test -e {socket} && echo harm",
    "write into the root": "mkdir /made && echo harm",
    "get privileges in a namespace of its own": "unshare --user --map-root-user true && echo harm",
    "have any privilege": "grep -qE '^Cap(Prm|Eff|Bnd):.*[1-9a-f]' /proc/self/status && echo harm",
    "see other processes": "test -d /proc/{pid}/cwd && echo harm",
    "see a disk": "ls /dev | grep -E '^(sd|vd|nvme|mem$|kmsg$)' && echo harm",
}
ROOTS = "bin|dev|etc|home|lib|lib32|lib64|libx32|media|mnt|nix|gnu|proc|root|sbin|srv|sys|tmp|usr|var"


@pytest.fixture(params=["root", "another user"])
def as_user(request) -> list[str]:
    """What to put before a command to run it as a user."""
    is_root = os.geteuid() == 0
    if request.param == "root":
        if not is_root:
            pytest.skip("only root can try what root can do")
        return []
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if is_root else []


@pytest.fixture
def home() -> Iterator[Path]:
    """A home with a checkout, and with programs beside files that are nobody's business."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    for name in ("checkout", "projects/bin", "made/bin", "work/run"):
        (folder / name).mkdir(parents=True)
    for name in ("secret", "checkout/secret", "projects/secret"):
        (folder / name).write_text("secret")
    (folder / "env").symlink_to("made")
    (folder / "env/bin/python").symlink_to("/bin/sh")
    (folder / "work/run").chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def attempt(home, as_user, monkeypatch) -> Callable[[str], str]:
    """Run a shell command as a stage would be run, and return what it prints."""
    limits, problem = allowed_limits()
    if not limits:
        pytest.skip(problem)
    monkeypatch.setenv("PATH", f"{home}/projects/bin:{Path.home()}/bin:/usr/bin:/bin")
    hidden = (home, Path("/home"), Path("/root"), home.parent)
    sandbox = Sandbox(home / "work", home / "env/bin", home / "checkout", hidden, limits)
    folder = home / "work/run"

    # As of a stage, whose environment comes first.
    variables = {**os.environ, "PATH": f"{home}/env/bin:{os.environ['PATH']}"}

    def run(command: str) -> str:
        line = [*as_user, *isolation_command(sandbox, folder, folder), "/bin/sh", "-c", command]
        done = subprocess.run(line, env=variables, capture_output=True, text=True, check=False)
        assert not done.stderr.startswith("bwrap:"), done.stderr
        return done.stdout

    return run


@pytest.fixture
def service(as_user) -> Iterator[Path]:
    """A socket where services of the machine have theirs."""
    path = Path("/run" if os.geteuid() == 0 else f"/run/user/{os.getuid()}") / f"hostile-{os.getpid()}.sock"
    if not os.access(path.parent, os.W_OK):
        pytest.skip(f"nothing can be made in {path.parent} here")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        path.chmod(0o777)
        yield path
    path.unlink()


@pytest.mark.parametrize("what", ATTEMPTS)
def test_a_stage_cannot(what, attempt, home, service):
    command = ATTEMPTS[what].format(home=home, roots=ROOTS, socket=service, pid=os.getpid())
    assert "harm" not in attempt(command)


def test_no_program_of_the_environment_takes_the_place_of_bubblewrap(attempt, home):
    program = home / "env/bin/bwrap"
    program.write_text("#!/bin/sh\necho harm\n")
    program.chmod(0o755)
    assert "harm" not in attempt("true")


def test_no_recorded_variable_has_bubblewrap_load_a_library(attempt, home, tmp_path, as_user):
    """The record is a file of the repository."""
    if as_user:
        pytest.skip("the same for every user")
    root = tmp_path / "project"
    tiny_dvc.with_results(
        root, {"raw": "1", "dvc.yaml": "stages: {a: {cmd: cp raw b, deps: [raw], outs: [b]}}"}
    )
    sandbox, _ = make_sandbox(home / "work", home / "env/bin", root, root, {"LD_PRELOAD": "/harm.so"})
    with Checkout(root, git(root, "rev-parse", "HEAD"), tmp_path / "clone", tmp_path / "dvc") as clone:
        (stage,) = clone.stages
        printed = run_stage(replace(stage, cmd="true"), clone, sandbox, RunOptions()).printed
    # The shell of the stage tries, and says so.
    assert printed.count("harm.so") == 1


def test_a_stage_can_write_in_its_own_folder(attempt, home):
    attempt("echo done > result")
    assert (home / "work/run/result").read_text() == "done\n"


def test_a_stage_can_run_a_program_of_the_path(attempt, home):
    program = home / "projects/bin/tool"
    program.write_text("#!/bin/sh\necho here\n")
    program.chmod(0o755)
    assert attempt("tool") == "here\n"


def test_a_stage_can_use_an_environment_that_is_a_link(attempt, home):
    assert attempt(f"{home}/env/bin/python -c 'echo here'") == "here\n"


def test_a_stage_can_use_temporary_files(attempt):
    assert attempt('file=$(mktemp) && echo here > "$file" && cat "$file"') == "here\n"


def test_a_stage_reaches_no_server_of_this_machine(attempt):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert "harm" not in attempt(f"bash -c 'echo > /dev/tcp/127.0.0.1/{port}' && echo harm")
