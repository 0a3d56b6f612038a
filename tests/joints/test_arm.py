# /// script
# dependencies = []
# [tool.joint]
# question = "Environments"
# tool = "ARM (arm64)"
# joint = "docs/6-proof.md"
# ///
"""A generated project on arm64, which QEMU emulates in a root of Debian: its results are the bytes of x86-64.

This needs bubblewrap, mmdebstrap and qemu-user-static, all of Debian, and a network for packages.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from support import PRIVATE, activated, environment, generate, run, snapshot

PROGRAMS = ("bwrap", "mmdebstrap", "qemu-aarch64-static")
BINFMT = Path("/proc/sys/fs/binfmt_misc")
# What Debian's package registers where systemd runs.
REGISTRATION = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")
PACKAGES = "usr/local/lib/python3.11/dist-packages"
# Seconds: all of it is emulated.
MOST_TIME = 1800
TASKS = ("classification", "regression")


@pytest.fixture(scope="module")
def emulated() -> Iterator[None]:
    """Have Linux start programs of arm64 by QEMU, until the tests end where it does not otherwise."""
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    entry = BINFMT / REGISTRATION.stem
    with ExitStack() as afterwards:
        try:
            if not (BINFMT / "register").exists():
                subprocess.run(("mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT), check=True)
                afterwards.callback(subprocess.run, ("umount", BINFMT), check=True)
            if not entry.exists():
                (BINFMT / "register").write_text(REGISTRATION.read_text())
                afterwards.callback(entry.write_text, "-1")
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"programs of arm64 do not start here, and only root can change that: {error}")
        yield


@pytest.fixture(scope="module")
def root(emulated: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The root folder of Debian for arm64, with what a project's tools.lock pins for it."""
    folder = tmp_path_factory.mktemp("arm")
    root = folder / "root"
    # No script of a package runs: Python and Git work as they are unpacked.
    unpack = ("mmdebstrap", "--quiet", "--mode=chrootless", "--variant=extract", "--architectures=arm64")
    subprocess.run((*unpack, "--include=python3.11,git,dash,libstdc++6", "bookworm", root), check=True)
    (root / "usr/bin/python").symlink_to("python3.11")
    install = ("uv", "pip", "install", "--quiet", "--require-hashes", "--compile-bytecode")
    kind = ("--python-version", "3.11", "--python-platform", "aarch64-manylinux_2_28")
    lock = ("--requirements", "tools.lock", "--target", root / PACKAGES)
    subprocess.run((*install, *kind, *lock), cwd=generate(folder), check=True)
    yield root
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def usual() -> dict[str, str]:
    """Variables for commands of a project's environment on this machine."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(PRIVATE)}
    kept["DVC_NO_ANALYTICS"] = "1"
    return activated(environment(kept), kept)


@pytest.fixture(scope="module", params=TASKS)
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp(request.param), task=request.param)


def on_arm(root: Path, project: Path, *command: str) -> str:
    """Run a Python module in a project as that machine would; returns what it printed."""
    variables = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LOGNAME": "ada", "DVC_NO_ANALYTICS": "1"}  # noqa: S108
    # Git's library does not start without certificates, and there is no network for it to need them.
    variables["SSL_CERT_DIR"] = "/tmp"  # noqa: S108
    place = ("--bind", root, "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp")  # noqa: S108
    alone = ("--unshare-all", "--die-with-parent", "--bind", project, "/project", "--chdir", "/project")
    in_root = ("bwrap", *place, *alone, "python", "-m")
    return run(*in_root, *command, cwd=project, env=variables, timeout=MOST_TIME).stdout


def difference(first: Mapping[str, str], second: Mapping[str, str]) -> set[str]:
    """Return the files that are not the same bytes in both."""
    return {name for name, _ in first.items() ^ second.items()}


def test_every_output_is_the_same_bytes(root: Path, project: Path, usual: dict[str, str]) -> None:
    copy = shutil.copytree(project, project.with_name("on-arm"), symlinks=True)
    run("dvc", "repro", cwd=project, env=usual)
    on_arm(root, copy, "dvc", "repro")
    assert len(snapshot(copy)) > 12
    assert difference(snapshot(project), snapshot(copy)) == set()


def test_the_projects_own_tests_pass_with_warnings_as_errors(root: Path, project: Path) -> None:
    done = on_arm(root, project, "pytest", "-p", "no:cacheprovider", "-W", "error")
    assert " passed" in done
    assert "skipped" not in done
