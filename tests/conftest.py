"""What the tests share: one real environment, and ready-made projects to copy.

Building an environment takes half a minute and a first `dvc repro` a quarter of one, so
both are done once for all test processes. Tests run what a user runs, as subprocesses.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter
from filelock import FileLock
from searching import make
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

TEMPLATE = Path(__file__).parents[1]
Search = Callable[..., subprocess.CompletedProcess[str]]
TOGETHER = ("test_flow.py", "test_locate.py", "test_mirror.py", "test_ray.py")
# What a developer has set for themselves must not reach a test.
PRIVATE = ("DVC", "GIT_", "MLFLOW", "OPTUNA", "PYTHON", "VIRTUAL_ENV", "XDG_")

# A shell has background jobs ignore Ctrl-C, and their children too: tests send it to some.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A machine that runs tests may have no Git identity; tests that need there to be none say so.
for role in ("AUTHOR", "COMMITTER"):
    os.environ[f"GIT_{role}_NAME"], os.environ[f"GIT_{role}_EMAIL"] = "Ada", "ada@example.org"


def run(
    *command: str | Path, cwd: Path, env: Mapping[str, str], code: int | None = 0, timeout: float = 600
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, its output captured; `code` is the exit code it must have (None: any)."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=dict(env),
        text=True,
        capture_output=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if code is not None:
        said = f"{' '.join(map(str, command))}\nexit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == code, said
    return done


def generate(folder: Path, **answers: str) -> Path:
    """Generate a project with these answers, all others by default, and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return Path(
        cookiecutter(
            str(TEMPLATE), no_input=True, default_config=True, output_dir=str(folder), extra_context=answers
        )
    )


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Tests go to whoever is free; but those of a module that share what takes long to make stay together."""
    # xdist's own groups do not reach its scheduler with pytest 9.
    config.option.loadscopereorder = False
    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = lambda test: (
        test.split("::")[0] if test.split("::")[0].endswith(TOGETHER) else test
    )
    return scheduler


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first: no processor waits for the last of them."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


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
def env(shared: Path, bare_env: dict[str, str]) -> dict[str, str]:
    """`bare_env` with a generated project's environment activated: made once, by its own `make setup`."""
    venv = shared / "venv"
    with FileLock(shared / "venv.lock"):
        if not (shared / "venv.done").exists():
            project = generate(shared / "setup", project_name="Setup")
            run("make", "setup", f"VENV={venv}", cwd=project, env=bare_env)
            (shared / "venv.done").touch()
    return {**bare_env, "VIRTUAL_ENV": str(venv), "PATH": f"{venv / 'bin'}{os.pathsep}{bare_env['PATH']}"}


@pytest.fixture(scope="session")
def extras_env(shared: Path, bare_env: dict[str, str]) -> dict[str, str]:
    """`env` with all extras and DVC's plug-in for S3: made once, by `make setup EXTRAS=...`."""
    venv = shared / "extras-venv"
    with FileLock(shared / "extras-venv.lock"):
        if not (shared / "extras-venv.done").exists():
            project = generate(shared / "extras-setup", project_name="Setup", dvc_remote="s3://bucket/path")
            run("make", "setup", "EXTRAS=prefect ray postgresql", f"VENV={venv}", cwd=project, env=bare_env)
            (shared / "extras-venv.done").touch()
    return {**bare_env, "VIRTUAL_ENV": str(venv), "PATH": f"{venv / 'bin'}{os.pathsep}{bare_env['PATH']}"}


@pytest.fixture(scope="session")
def with_driver(shared: Path, rebuilt: Path, env: dict[str, str]) -> dict[str, str]:
    """`env` with the extra `postgresql`: a driver, and nothing else."""
    place = shared / "driver"
    lock = rebuilt / "extras/postgresql.lock"
    with FileLock(shared / "driver.lock"):
        if not place.exists():
            into = ("uv", "pip", "install", "--quiet", "--target", place, "--require-hashes", "--no-deps")
            run(*into, "--requirement", lock, cwd=shared, env=env)
    return {**env, "PYTHONPATH": str(place)}


@pytest.fixture(scope="session")
def with_scripts(env: dict[str, str]) -> dict[str, str]:
    """`env` for repositories that were not generated: the template's scripts, importable from anywhere.

    Bytecode written beside them would be copied into every project that is generated afterwards.
    """
    scripts = TEMPLATE / "{{cookiecutter.project_slug}}"
    return {**env, "PYTHONPATH": str(scripts), "PYTHONDONTWRITEBYTECODE": "1"}


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
    return lambda folder, *options, **how: run(
        "python", "-m", "scripts.search", *options, cwd=folder, env=user, **how
    )


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
