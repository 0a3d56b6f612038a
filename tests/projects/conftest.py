"""What the tests share: real environments, and ready-made projects to copy.

Building an environment takes half a minute and a first `dvc repro` a quarter of one, so both are done once
for all test processes.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from searching import make
from support import PRIVATE, TEMPLATE, Search, activated, environment, generate, run


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all test processes of this run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@pytest.fixture(scope="session")
def bare_env(shared: Path) -> dict[str, str]:
    """Environment variables of a user with a home and a Git identity, and nothing installed."""
    home = shared / "home"
    home.mkdir(exist_ok=True)
    (home / ".gitconfig").write_text("[user]\nname = Ada\nemail = ada@example.org\n")
    # The template's own environment must not serve a generated project.
    path = [part for part in os.environ["PATH"].split(os.pathsep) if part != str(TEMPLATE / ".venv/bin")]
    kept = {key: value for key, value in os.environ.items() if not key.startswith(PRIVATE)}
    # Repositories that were not generated would each report every command of DVC to its makers.
    return {**kept, "HOME": str(home), "PATH": os.pathsep.join(path), "DVC_NO_ANALYTICS": "1"}


@pytest.fixture(scope="session")
def env(bare_env: dict[str, str]) -> dict[str, str]:
    """`bare_env` with a generated project's environment activated."""
    return activated(environment(bare_env), bare_env)


@pytest.fixture(scope="session")
def extras_env(bare_env: dict[str, str]) -> dict[str, str]:
    """`env` with all extras and DVC's plug-in for S3."""
    extras = "EXTRAS=prefect ray postgresql"
    return activated(environment(bare_env, extras, dvc_remote="s3://bucket/path"), bare_env)


@pytest.fixture(scope="session")
def with_driver(shared: Path, rebuilt: Path, env: dict[str, str]) -> dict[str, str]:
    """`env` with the extra `postgresql`: a driver, and nothing else."""
    place = shared / "driver"
    lock = rebuilt / "extras.lock"
    with FileLock(shared / "driver.lock"):
        if not place.exists():
            into = ("uv", "pip", "install", "--quiet", "--target", place, "--no-deps", "--constraint", lock)
            run(*into, "psycopg", "psycopg-binary", cwd=shared, env=env)
    return {**env, "PYTHONPATH": str(place)}


@pytest.fixture(scope="session")
def rebuilt(shared: Path, env: dict[str, str]) -> Path:
    """A default project after `dvc repro` and a commit of the results; copy it, do not change it."""
    with FileLock(shared / "rebuilt.lock"):
        if not (shared / "rebuilt.done").exists():
            project = generate(shared / "rebuilt")
            run("dvc", "config", "--local", "core.site_cache_dir", shared / "site", cwd=project, env=env)
            run("dvc", "repro", cwd=project, env=env)
            run("git", "add", "--all", cwd=project, env=env)
            run("git", "commit", "--quiet", "-m", "Results", cwd=project, env=env)
            (shared / "rebuilt.done").touch()
    return shared / "rebuilt" / "tumour-classifier"


@pytest.fixture
def project(rebuilt: Path, tmp_path: Path) -> Path:
    """A rebuilt and committed project of the test's own."""
    return Path(shutil.copytree(rebuilt, tmp_path / "project", symlinks=True))


@pytest.fixture
def sh(project: Path, env: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command in `project`, with its environment activated."""

    def call(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
        return run(*command, **{"cwd": project, "env": env, **options})

    return call


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """One line for each time that a stage of the small repository ran."""
    return tmp_path / "runs.txt"


@pytest.fixture
def user(env: dict[str, str], runs: Path) -> dict[str, str]:
    """The environment of a user, and what stages of the small repository need."""
    return {**env, "RUNS": str(runs)}


@pytest.fixture
def small(tmp_path: Path, rebuilt: Path, user: dict[str, str]) -> Callable[..., Path]:
    """Make a small repository with this search.yaml and these params."""
    return lambda search, **train: make(tmp_path / "small" / "repo", rebuilt, user, search, **train)


@pytest.fixture
def search(user: dict[str, str]) -> Search:
    """Run a search to its end."""
    return lambda folder, *options, **how: run("locatable", "search", *options, cwd=folder, env=user, **how)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 8 MB."""
    place = tmp_path / "full"
    place.mkdir()
    mounted = subprocess.run(
        ("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)), capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root can mount a small file system here")
    yield place
    subprocess.run(("umount", "--lazy", str(place)), check=True)
