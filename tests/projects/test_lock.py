"""`make lock` of a generated project, and `uv` in it: they ask the package index for versions."""

import json
import os
import re
from pathlib import Path

import pytest
from support import TEMPLATE, generate, run

LOCKS = ("requirements.lock", "tools.lock", "extras.lock")
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def uv(bare_env: dict[str, str]) -> dict[str, str]:
    """The environment of a user who has the template's uv, and of the developer's what uv has stored."""
    env = {**bare_env, "PATH": f"{bare_env['PATH']}:{TEMPLATE / '.venv/bin'}"}
    cache = run("uv", "cache", "dir", cwd=TEMPLATE, env={**env, "HOME": os.environ["HOME"]}).stdout.strip()
    return {**env, "UV_CACHE_DIR": cache}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that was just generated."""
    return generate(tmp_path)


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text, path
    path.write_text(text.replace(before, after, 1))


def changed(project: Path, env: dict[str, str]) -> list[str]:
    """Files that are not as they were committed."""
    listed = run("git", "status", "--porcelain", cwd=project, env=env).stdout
    return [line[3:] for line in listed.splitlines()]


def test_the_locks_of_a_new_project_are_what_uv_resolves(tmp_path, uv):
    project = generate(tmp_path, dvc_remote="s3://bucket/path")
    run("make", "lock", cwd=project, env={**uv, "UV_FIND_LINKS": str(tmp_path)})
    # uv has completed its own lock; the versions in it are the same.
    assert changed(project, uv) == ["uv.lock"]


@pytest.mark.weekly
def test_another_version_of_a_tool_leaves_what_stages_may_import(project, uv):
    # As if pandas, which MLflow needs as well, had made a release since it was locked.
    (project / "asked.in").write_text("pandas==3.1.0\n")
    older = (
        "uv pip compile --quiet --no-deps --universal --generate-hashes --no-header --no-annotate asked.in"
    )
    pin = run(*older.split(), cwd=project, env=uv).stdout
    (project / "asked.in").unlink()
    for name in LOCKS:
        lock = project / name
        lock.write_text(re.sub(r"^pandas==.*\n(    --hash.*\n)+", pin, lock.read_text(), flags=re.MULTILINE))
    lock = project / "uv.lock"
    lock.write_text(re.sub(r'("pandas"\nversion = )".*"', r'\1"3.1.0"', lock.read_text()))
    run("git", "commit", "--quiet", "--all", "--message", "An older pandas", cwd=project, env=uv)
    edit(project / "pyproject.toml", "tools = [", 'tools = ["mlflow==3.17.1", ')
    run("make", "lock", cwd=project, env=uv)
    assert changed(project, uv) == ["extras.lock", "pyproject.toml", "tools.lock", "uv.lock"]
    assert "\nmlflow==3.17.1 " in (project / "tools.lock").read_text()


def test_versions_that_do_not_fit_together_change_no_lock(project, uv):
    edit(project / "pyproject.toml", '"ruff>=0.17,<0.18"', '"ruff>=0.17,<0.18", "numpy<2"')
    done = run("make", "lock", cwd=project, env=uv, code=2)
    assert "No solution found" in done.stderr
    assert changed(project, uv) == ["pyproject.toml"]


def test_without_uv_make_lock_says_where_it_comes_from(project, bare_env):
    folders = bare_env["PATH"].split(os.pathsep)
    path = os.pathsep.join(folder for folder in folders if not Path(folder, "uv").exists())
    done = run("make", "--silent", "lock", cwd=project, env={**bare_env, "PATH": path}, code=2)
    assert done.stderr.splitlines()[0] == "make lock needs uv, which 'make setup' installs"
    assert changed(project, bare_env) == []


def test_a_uv_that_is_too_old_says_so_and_changes_no_lock(project, uv):
    edit(project / "pyproject.toml", 'required-version = ">=', 'required-version = ">=99')
    done = run("make", "--silent", "lock", cwd=project, env=uv, code=2)
    said = " ".join(done.stderr.split())  # uv breaks the line where it is long
    assert "Required uv version `>=99" in said
    assert "does not match the running version" in said
    assert changed(project, uv) == ["pyproject.toml"]


@pytest.fixture(scope="module")
def synced(uv: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of a new project in which `uv sync` was the first command; each test leaves it so."""
    folder = tmp_path_factory.mktemp("synced")
    run("git", "clone", "--quiet", generate(folder / "origin"), folder / "clone", cwd=folder, env=uv)
    run("uv", "sync", "--quiet", cwd=folder / "clone", env=uv)
    return folder / "clone"


def test_uv_sync_in_a_clone_installs_what_the_lock_of_pip_pins(synced, uv):
    compared = "uv pip sync --dry-run --require-hashes tools.lock"
    assert "Would make no changes" in run(*compared.split(), cwd=synced, env=uv).stderr
    assert changed(synced, uv) == ["uv.lock"]


def test_uv_run_in_a_second_clone_needs_no_network(synced, uv):
    folder = synced.parent
    run("git", "clone", "--quiet", folder / "origin/tumour-classifier", folder / "second", cwd=folder, env=uv)
    blocked = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), NOWHERE)
    tested = ("uv", "run", "--offline", "pytest", "-q", "tests/test_declared.py")
    assert "1 passed" in run(*tested, cwd=folder / "second", env={**uv, **blocked}).stdout


def test_uvx_runs_the_wheel_of_a_project_that_is_not_set_up(project, uv):
    (wheel,) = project.glob("vendor/*.whl")
    located = run("uvx", "--from", wheel, "locatable", "locate", "params.yaml", cwd=project, env=uv).stdout
    assert located.splitlines()[0].endswith(" params.yaml (kept in Git)")


def drift(project: Path, env: dict[str, str]) -> tuple[str, dict[str, object]]:
    """What `dvc repro` prints and records of packages that are not as they are locked."""
    done = run("uv", "run", "python", "-m", "scripts.environment", cwd=project, env=env)
    record = project / "environment.json"
    found = json.loads(record.read_text())["drift"]
    record.unlink()
    return done.stdout, found


def test_what_uv_adds_and_removes_is_named_until_make_lock_has_it(synced, uv):
    advice = "after `uv add`: `make lock`, else `make setup`\n"
    run("uv", "add", "--quiet", "humanize<4.17", cwd=synced, env=uv)
    said, found = drift(synced, uv)
    assert said == f"Not as in requirements.lock: humanize; {advice}"
    assert list(found) == ["humanize"]
    run("make", "lock", cwd=synced, env=uv)
    assert drift(synced, uv) == ("", {})
    assert changed(synced, uv) == [*sorted(["pyproject.toml", *LOCKS]), "uv.lock"]
    run("uv", "sync", "--locked", cwd=synced, env=uv)

    run("uv", "remove", "--quiet", "humanize", cwd=synced, env=uv)
    assert list(drift(synced, uv)[1]) == ["humanize"]
    run("git", "checkout", "--quiet", ".", cwd=synced, env=uv)
    run("uv", "sync", "--quiet", cwd=synced, env=uv)


def test_uv_sync_with_nothing_on_this_machine_and_no_network_changes_nothing(project, uv, tmp_path):
    blocked = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), NOWHERE)
    alone = {**uv, **blocked, "UV_CACHE_DIR": str(tmp_path / "cache"), "UV_HTTP_RETRIES": "0"}
    done = run("uv", "sync", cwd=project, env=alone, code=None)
    assert done.returncode
    assert "Failed to fetch" in done.stderr
    assert changed(project, uv) == []
    assert not list(project.glob(".venv/lib/python*/site-packages/dvc"))
