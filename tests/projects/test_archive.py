"""An archive where there is only Python, Git and an empty home: the four commands of its README."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support import run

NETWORK = re.compile(r"^SSL_CERT_|_CA_BUNDLE$|_proxy$", re.IGNORECASE)


def bare_machine(folder: Path) -> dict[str, str]:
    """All environment variables of a user who has Python and Git, and an empty home.

    Where there is uv, its cache stands for a package index that answers at once. What this machine needs to
    reach a network at all is no part of a user's set-up.
    """
    programs = folder / "bin"
    programs.mkdir()
    (folder / "home").mkdir()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for name in ("python3", version):
        (programs / name).symlink_to(Path(sys.base_prefix) / "bin" / version)
    (programs / "git").symlink_to(shutil.which("git"))
    network = {name: value for name, value in os.environ.items() if NETWORK.search(name)}
    variables = {**network, "HOME": str(folder / "home"), "PATH": str(programs)}
    uv = shutil.which("uv")
    if uv is None:
        return variables
    (programs / "uv").symlink_to(uv)
    cache = subprocess.check_output((uv, "cache", "dir"), text=True).strip()
    return {**variables, "UV_CACHE_DIR": cache}


def lend_packages(venv: Path, project: Path) -> None:
    """Give a clone the packages of an environment beforehand, so that pip finds all of them installed."""
    (lent,) = venv.glob("lib/python*/site-packages")
    place = project / ".venv" / lent.relative_to(venv)
    place.mkdir(parents=True)
    for path in lent.iterdir():
        # Who makes an environment gets pip with Python.
        if path.name != "pip" and not path.name.startswith("pip-"):
            (place / path.name).symlink_to(path)
    program = project / ".venv/bin/locatable"
    program.parent.mkdir()
    program.write_text((venv / "bin/locatable").read_text().replace(str(venv), str(project / ".venv")))
    program.chmod(0o755)


# That an archive is proven at all, test_machines.py shows; a fresh environment, test_reproduce.py.
@pytest.mark.weekly
def test_the_four_commands_rebuild_it_where_there_is_nothing_else(
    project: Path, env: dict[str, str], tmp_path: Path
) -> None:
    place = tmp_path / "elsewhere"
    place.mkdir()
    variables = bare_machine(place)
    run("locatable", "archive", "-o", place / "result.zip", cwd=project, env=env)
    shutil.rmtree(project)
    with zipfile.ZipFile(place / "result.zip") as archive:
        readme = archive.read("README.md").decode()
    commands = re.search(r"```console\n(.*?)```", readme, re.DOTALL)[1].splitlines()
    assert len(commands) == 4
    before, after = "\n".join(commands[:2]), "\n".join(commands[2:])

    def type_in(folder: Path, text: str) -> str:
        done = subprocess.run(
            ("/bin/bash", "-e", "-c", text),
            cwd=folder,
            env=variables,
            text=True,
            capture_output=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    type_in(place, before)
    lend_packages(Path(env["VIRTUAL_ENV"]), place / "result/project")
    printed = type_in(place / "result/project", after)
    assert "10 of 10 outputs rebuilt as recorded, 0 findings" in printed
    assert "environment: fresh, from requirements.lock" in printed
