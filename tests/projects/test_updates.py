"""`cruft update`: a project keeps what its owner wrote, and gets what is new in the template.

A new version of the tools alone makes no result out of date; a new package that stages import does.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from support import TEMPLATE, activated, run

FIRST_RELEASE = "317d311"
GENERATED = "{{cookiecutter.project_slug}}"
STAGES = ["environment", "prepare", "train", "evaluate"]
PROGRAMS = Path(sys.executable).parent
pytestmark = pytest.mark.weekly


def cruft(*arguments: str | Path, cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the cruft of the template's own environment."""
    return run(PROGRAMS / "cruft", *arguments, cwd=cwd, env=env)


def create(template: Path, folder: Path, env: Mapping[str, str], *options: str) -> Path:
    """Generate a project by cruft, and commit it.

    In a temporary folder the template's hook does not: cruft renders there to compare.
    """
    cruft(
        "create",
        template,
        *options,
        "--no-input",
        "--default-config",
        "--output-dir",
        folder,
        cwd=folder,
        env=env,
    )
    project = folder / "tumour-classifier"
    git(project, "init", "--quiet", env=env)
    git(project, "add", "--all", env=env)
    git(project, "commit", "--quiet", "--message", "Generated", env=env)
    return project


def git(folder: Path, *arguments: str | Path, env: Mapping[str, str]) -> str:
    return run("git", *arguments, cwd=folder, env=env).stdout


def ran(shown: str) -> list[str]:
    """The stages that `dvc repro` ran."""
    return re.findall(r"^Running stage '(\w+)'", shown, re.MULTILINE)


def conflicts(project: Path, env: Mapping[str, str]) -> set[str]:
    """Files that cruft could not merge: those with conflict markers, and those with rejected hunks."""
    marked = git(project, "diff", "--name-only", "--diff-filter=U", env=env).split()
    rejected = [path.relative_to(project).as_posix().removesuffix(".rej") for path in project.rglob("*.rej")]
    return {*marked, *rejected}


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text, path
    path.write_text(text.replace(before, after, 1))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, bare_env: dict[str, str]) -> Path:
    """A clone of the template, with what is not committed yet."""
    clone = tmp_path_factory.mktemp("template") / "template"
    git(TEMPLATE, "clone", "--quiet", TEMPLATE, clone, env=bare_env)
    listed = git(TEMPLATE, "ls-files", "-z", "--cached", "--others", "--exclude-standard", env=bare_env)
    for path in clone.iterdir():
        if path.name != ".git":
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for name in filter(None, listed.split("\0")):
        if (TEMPLATE / name).exists():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TEMPLATE / name, clone / name, follow_symlinks=False)
    git(clone, "add", "--all", env=bare_env)
    git(clone, "commit", "--quiet", "--allow-empty", "--message", "As it is now", env=bare_env)
    return clone


@pytest.fixture(scope="module")
def newer_tools(template: Path, tmp_path_factory: pytest.TempPathFactory, bare_env: dict[str, str]) -> Path:
    """The template after a made-up release of locatable, 0.2.1, with another MLflow."""
    newer = Path(shutil.copytree(template, tmp_path_factory.mktemp("newer") / "template", symlinks=True))
    edit(newer / "src/locatable/__init__.py", '"0.2.0"', '"0.2.1"')
    run(sys.executable, "tools/wheel.py", cwd=newer, env=bare_env)
    newest = "\n".join(f"{name}==3.17.1" for name in ("mlflow", "mlflow-skinny", "mlflow-tracing"))
    (newer / "asked.in").write_text(newest)
    resolve = "pip compile --quiet --no-deps --universal --generate-hashes --no-header --no-annotate".split()
    pins = run(PROGRAMS / "uv", *resolve, "--no-emit-index-url", "asked.in", cwd=newer, env=bare_env).stdout
    (newer / "asked.in").unlink()
    for lock in (newer / "templates/locks/tools.lock", newer / "templates/locks/extras.lock"):
        kept = re.sub(r"^mlflow(-skinny|-tracing)?==.*\n(    --hash.*\n)+", "", lock.read_text(), flags=re.M)
        lock.write_text(kept + pins)
    git(newer, "add", "--all", env=bare_env)
    git(newer, "commit", "--quiet", "--message", "Release 0.2.1", env=bare_env)
    return newer


@pytest.fixture(scope="module")
def updated(
    template: Path, newer_tools: Path, tmp_path_factory: pytest.TempPathFactory, bare_env: dict[str, str]
) -> tuple[Path, dict[str, str], str]:
    """A project with results that got newer tools, its environment, and what `dvc repro` then printed."""
    folder = tmp_path_factory.mktemp("updated")
    project = create(template, folder, bare_env)
    env = activated(project / ".venv", bare_env)
    run("make", "setup", cwd=project, env=bare_env)
    run("dvc", "repro", cwd=project, env=env)
    git(project, "add", "--all", env=env)
    git(project, "commit", "--quiet", "--message", "Results", env=env)
    edit(project / ".cruft.json", str(template), str(newer_tools))
    git(project, "commit", "--quiet", "--all", "--message", "The template has moved", env=env)
    cruft("update", "--skip-apply-ask", cwd=project, env=bare_env)
    run("make", "setup", cwd=project, env=bare_env)
    return project, env, run("dvc", "repro", cwd=project, env=env).stdout


def test_newer_tools_arrive_as_a_wheel_and_a_lock(updated):
    project, env, _ = updated
    changed = git(project, "diff", "--name-only", "--no-renames", "HEAD", env=env).split()
    assert set(changed) == {
        ".cruft.json",
        "extras.lock",
        "pyproject.toml",
        "tools.lock",
        "uv.lock",
        "vendor/locatable-0.2.0-py3-none-any.whl",
        "vendor/locatable-0.2.1-py3-none-any.whl",
    }
    assert [path.name for path in (project / "vendor").iterdir()] == ["locatable-0.2.1-py3-none-any.whl"]
    assert run("locatable", "--version", cwd=project, env=env).stdout == "locatable 0.2.1\n"
    assert "3.17.1" in run("mlflow", "--version", cwd=project, env=env).stdout


def test_newer_tools_make_no_result_out_of_date(updated):
    project, env, shown = updated
    assert ran(shown) == ["environment"]
    assert "environment.json" not in git(project, "diff", "--name-only", "HEAD", env=env).split()


def test_another_package_that_stages_import_makes_results_out_of_date(updated, tmp_path, bare_env):
    project, env, _ = updated
    (tmp_path / "asked.in").write_text("pandas==3.1.0\n")
    resolve = "pip compile --quiet --no-deps --universal --generate-hashes --no-header --no-annotate".split()
    pin = run(PROGRAMS / "uv", *resolve, "--no-emit-index-url", "asked.in", cwd=tmp_path, env=bare_env).stdout
    for lock in (project / "requirements.lock", project / "tools.lock"):
        lock.write_text(re.sub(r"^pandas==.*\n(    --hash.*\n)+", pin, lock.read_text(), flags=re.M))
    run("make", "setup", cwd=project, env=bare_env)
    assert ran(run("dvc", "repro", cwd=project, env=env).stdout) == STAGES


@pytest.fixture(scope="module")
def moved(
    template: Path, tmp_path_factory: pytest.TempPathFactory, bare_env: dict[str, str]
) -> tuple[Path, dict[str, str], set[str]]:
    """A project of the first release, changed by its owner, after `cruft update`; and what is in conflict."""
    folder = tmp_path_factory.mktemp("moved")
    project = create(template, folder, bare_env, "--checkout", FIRST_RELEASE)
    edit(project / "params.yaml", "alpha: 0.001", "alpha: 0.002")
    edit(project / "dvc.yaml", "desc: Fit the chosen model", "desc: Fit our chosen model")
    edit(project / "tumour_classifier/prepare.py", '"""Stage `prepare`', '"""Our stage `prepare`')
    edit(project / "README.md", "## Six commands", "## Our own words\n\nThey stay.\n\n## Six commands")
    edit(
        project / "pyproject.toml",
        '    "scikit-learn>=1.8,<2",\n',
        '    "scikit-learn>=1.8,<2",\n    "xxhash>=3",\n',
    )
    uv = {**bare_env, "PATH": os.pathsep.join([bare_env["PATH"], str(PROGRAMS)])}
    run("make", "lock", cwd=project, env=uv)
    git(project, "add", "--all", env=bare_env)
    git(project, "commit", "--quiet", "--message", "Ours", env=bare_env)
    cruft("update", "--skip-apply-ask", cwd=project, env=bare_env)
    return project, uv, conflicts(project, bare_env)


def test_the_first_release_is_updated_with_conflicts_only_where_both_changed(moved):
    _, _, found = moved
    assert found <= {"README.md", "pyproject.toml", "requirements.lock", "dvc.yaml"}


@pytest.fixture(scope="module")
def moved_and_built(moved) -> tuple[Path, dict[str, str], str]:
    """The project after the steps that docs/updates.md gives, and what `dvc repro` then printed."""
    project, uv, found = moved
    git(project, "checkout", "--theirs", "--", *found, env=uv)
    edit(
        project / "pyproject.toml",
        '    "scikit-learn>=1.8,<2",\n',
        '    "scikit-learn>=1.8,<2",\n    "xxhash>=3",\n',
    )
    run("make", "lock", cwd=project, env=uv)
    old = ("history", "proof", "tracking", "trials")
    remove = ("rm", "-r", "--quiet", "--ignore-unmatch", *(f"scripts/{name}" for name in old))
    git(project, *remove, env=uv)
    git(project, "clean", "-d", "-f", "-X", "--quiet", "scripts", env=uv)
    run("make", "setup", cwd=project, env=uv)
    env = activated(project / ".venv", uv)
    shown = run("dvc", "repro", cwd=project, env=env).stdout
    git(project, "add", "--all", env=env)
    return project, env, shown


def test_after_an_update_from_the_first_release_only_thin_scripts_are_left(moved_and_built):
    project, _, _ = moved_and_built
    assert {path.name for path in (project / "scripts").iterdir() if path.name != "__pycache__"} == {
        "__init__.py",
        "environment.py",
        "mirror.py",
        "setup.py",
    }


def test_an_update_from_the_first_release_keeps_what_the_owner_wrote(moved_and_built):
    project, _, _ = moved_and_built
    assert "alpha: 0.002" in (project / "params.yaml").read_text()
    assert "desc: Fit our chosen model" in (project / "dvc.yaml").read_text()
    assert '"""Our stage `prepare' in (project / "tumour_classifier/prepare.py").read_text()
    assert "\nxxhash==" in (project / "requirements.lock").read_text()


def test_an_update_from_the_first_release_rebuilds_everything_once(moved_and_built):
    project, env, shown = moved_and_built
    assert ran(shown) == STAGES
    assert ran(run("dvc", "repro", cwd=project, env=env).stdout) == ["environment"]
