"""What a stage that means harm can do in the sandbox of a proof, as root and as another user."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tiny_dvc
from tiny_git import write

from locatable.clones.checkout import Checkout
from locatable.proof.sandbox import (
    Conditions,
    Sandbox,
    _secrets,
    allowed_limits,
    hidden_folders,
    isolation_command,
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

    def run(command: str) -> str:
        line = [*as_user, *isolation_command(sandbox, folder, folder), "/bin/sh", "-c", command]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
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
    # A folder for temporary files can lie anywhere.
    roots = f"{ROOTS}|{home.parts[1]}"
    command = ATTEMPTS[what].format(home=home, roots=roots, socket=service, pid=os.getpid())
    assert "harm" not in attempt(command)


@pytest.mark.parametrize(
    ("mode", "is_secret"), [(0o640, True), (0o711, True), (0o644, False), (0o604, False)]
)
def test_what_is_not_for_every_account_is_secret(tmp_path, mode, is_secret):
    (tmp_path / "file").touch()
    (tmp_path / "file").chmod(mode)
    assert (tmp_path / "file" in _secrets(tmp_path)) == is_secret


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


@pytest.fixture
def printed(tmp_path, monkeypatch) -> str:
    """The variables of a stage whose environment and record act on bubblewrap; that notes its own."""
    if not allowed_limits()[0]:
        pytest.skip(allowed_limits()[1])
    harm = f"touch {tmp_path}/harm\n"
    noting = f'#!/bin/sh\nenv >> {tmp_path}/noted\nexec {shutil.which("bwrap")} "$@"\n'
    files = {
        "own/bwrap": noting,
        "env/bin/bwrap": f"#!/bin/sh\n{harm}",
        "env/conda-meta/a.json": "{}",
        "env/etc/conda/activate.d/a.sh": f"{harm}export ACTIVE=yes\n",
        "work/empty": "",
    }
    write(tmp_path, files)
    (tmp_path / "env/bin/python").symlink_to(sys.executable)
    for program in tmp_path.rglob("bwrap"):
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "own"), prepend=":")
    project = tmp_path / "project"
    tiny_dvc.init(project)
    write(project, {"dvc.yaml": "stages: {env: {cmd: env, outs: [{out: {cache: false}}]}}\n"})
    rev = tiny_dvc.commit(project)
    hidden = hidden_folders(project, project)
    recorded = {"LD_LIBRARY_PATH": "recorded"}
    sandbox = Sandbox(tmp_path / "work", tmp_path / "env/bin", project, hidden, allowed_limits()[0], recorded)
    with Checkout(project, rev, tmp_path / "clone", tmp_path / "dvc") as checkout:
        return run_stage(checkout.stages[0], checkout, sandbox, Conditions()).printed


def test_what_a_revision_records_is_set_for_its_stages_alone(printed, tmp_path):
    assert "LD_LIBRARY_PATH=recorded" in printed
    assert "LD_LIBRARY_PATH" not in (tmp_path / "noted").read_text()


def test_an_environment_is_made_active_in_the_sandbox_by_a_bubblewrap_that_is_not_its_own(printed, tmp_path):
    assert "ACTIVE=yes" in printed
    assert not (tmp_path / "harm").exists()
