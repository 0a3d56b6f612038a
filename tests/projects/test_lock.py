"""`make lock` of a generated project, and `uv` in it: they ask the package index for versions."""

import re
import tomllib
from pathlib import Path

import pytest
from support import TEMPLATE, generate, run

LOCKS = ("requirements.lock", "tools.lock", "extras.lock")


@pytest.fixture
def uv(bare_env: dict[str, str]) -> dict[str, str]:
    """The environment of a user who has the template's uv."""
    return {**bare_env, "PATH": f"{bare_env['PATH']}:{TEMPLATE / '.venv/bin'}"}


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
    assert changed(project, uv) == []


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
    run("git", "commit", "--quiet", "--all", "--message", "An older pandas", cwd=project, env=uv)
    edit(project / "pyproject.toml", "tools = [", 'tools = ["mlflow==3.17.1", ')
    run("make", "lock", cwd=project, env=uv)
    assert changed(project, uv) == ["extras.lock", "pyproject.toml", "tools.lock"]
    assert "\nmlflow==3.17.1 " in (project / "tools.lock").read_text()


def test_versions_that_do_not_fit_together_change_no_lock(project, uv):
    edit(project / "pyproject.toml", '"ruff>=0.17,<0.18"', '"ruff>=0.17,<0.18", "numpy<2"')
    done = run("make", "lock", cwd=project, env=uv, code=2)
    assert "No solution found" in done.stderr
    assert changed(project, uv) == ["pyproject.toml"]


def test_uv_finds_all_packages_of_a_new_project(project, uv):
    run("uv", "lock", "--quiet", cwd=project, env=uv)
    lock = tomllib.loads((project / "uv.lock").read_text())
    (found,) = [package["source"] for package in lock["package"] if package["name"] == "locatable"]
    assert found == {"registry": "vendor"}
