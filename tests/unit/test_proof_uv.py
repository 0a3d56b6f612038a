"""An environment from uv.lock or pylock.toml: what is in it, what makes it, what is said of bad locks."""

import base64
import hashlib
import os
import platform
import subprocess
import zipfile
from pathlib import Path

import pytest
from tiny_git import write

from locatable.errors import CannotTryError
from locatable.proof.environment import distributions
from locatable.proof.lock_files import PyLock, UvLock, build_environment, find_lock, python_for
from locatable.proof.sandbox import Sandbox, active_variables

PYPROJECT = """\
[project]
name = "demo"
version = "0.1.0"
requires-python = ">=3.8"
dependencies = [{dependencies}]

[project.scripts]
demo = "demo:main"
python = "demo:main"
"../outside" = "demo:main"

[build-system]
requires = ["no-such-backend"]
build-backend = "no_such_backend"
"""
LOCK = """\
version = 1
revision = 3
requires-python = ">=3.8"

[[package]]
name = "demo"
version = "0.1.0"
source = { editable = "." }
"""
# Nobody answers there.
SERVER = "https://me:secret@127.0.0.1:9"
MODULE = """\
import sys
from importlib.metadata import version

def main():
    print(version("demo"), *sys.argv[1:])
"""
FILES = {"pyproject.toml": PYPROJECT.format(dependencies=""), "uv.lock": LOCK, "src/demo/__init__.py": MODULE}
PYLOCK = 'lock-version = "1.0"\ncreated-by = "a test"\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout of a project as `uv init` makes it, beside which its environment is built."""
    write(tmp_path / "clone", FILES)
    return tmp_path / "clone"


def build(project: Path, lock: PyLock | None = None) -> Path:
    """Build the environment of a checkout; returns its folder of programs."""
    work = project.parent
    sandbox = Sandbox(work, work / "env/bin", work)
    return build_environment(lock or find_lock(project, []), project, work / "env", sandbox)


def depend(project: Path, name: str, source: str, more: str = "") -> None:
    """Have the project depend on a package from a source of uv's."""
    lock = f'{LOCK}dependencies = [{{ name = "{name}" }}]\n'
    package = f'\n[[package]]\nname = "{name}"\nversion = "1.0"\nsource = {{ {source} }}\n{more}\n'
    write(project, {"uv.lock": lock + package, "pyproject.toml": PYPROJECT.format(dependencies=f'"{name}"')})


def make_wheel(folder: Path, name: str) -> str:
    """Write a wheel of an empty module; returns its hash."""
    folder.mkdir(exist_ok=True)
    head = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files = {
        f"{name}.py": "",
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{name}-1.0.dist-info/WHEEL": head,
    }
    record = ""
    for file, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
        record += f"{file},sha256={digest},{len(text)}\n"
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**files, f"{name}-1.0.dist-info/RECORD": record}.items():
            archive.writestr(file, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def print_of(program: Path, *arguments: str, tree: Path) -> str:
    """Run a program as a stage whose files are in this folder; returns what it prints."""
    variables = {"PATH": os.environ["PATH"], "DVC_ROOT": str(tree)}
    done = subprocess.run([program, *arguments], cwd="/", env=variables, capture_output=True, check=True)
    return done.stdout.decode()


def test_the_project_itself_is_imported_from_where_the_stage_runs(project: Path, tmp_path: Path) -> None:
    python = build(project) / "python"
    write(tmp_path / "tree", {"src/demo/__init__.py": "print('the declared one')"})
    assert print_of(python, "-c", "import demo", tree=tmp_path / "tree") == "the declared one\n"


def test_a_command_of_the_project_runs(project: Path) -> None:
    command = build(project) / "demo"
    assert print_of(command, "a b", "c", tree=project) == "0.1.0 a b c\n"


def test_no_command_of_a_project_replaces_a_program_of_the_environment(project: Path) -> None:
    programs = build(project)
    assert print_of(programs / "python", "-c", "print(1)", tree=project) == "1\n"
    assert not (programs.parent / "outside").exists()


def test_no_file_is_left_in_the_checkout(project: Path) -> None:
    build(project)
    assert {str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()} == set(FILES)


def test_default_groups_are_installed_and_no_extra(project: Path) -> None:
    hashes = {name: make_wheel(project / "wheels", name) for name in ("needed", "tested", "extra", "other")}
    lock = f"""{LOCK}dependencies = [{{ name = "needed" }}]

[package.optional-dependencies]
more = [{{ name = "extra" }}]

[package.dev-dependencies]
dev = [{{ name = "tested" }}]
docs = [{{ name = "other" }}]
"""
    for name, digest in hashes.items():
        wheel = f"{name}-1.0-py3-none-any.whl"
        lock += f'\n[[package]]\nname = "{name}"\nversion = "1.0"\nsource = {{ path = "wheels/{wheel}" }}\n'
        lock += f'wheels = [{{ filename = "{wheel}", hash = "sha256:{digest}" }}]\n'
    groups = '[project.optional-dependencies]\nmore = ["extra"]\n'
    groups += '[dependency-groups]\ndev = ["tested"]\ndocs = ["other"]\n'
    write(project, {"uv.lock": lock, "pyproject.toml": PYPROJECT.format(dependencies='"needed"') + groups})
    environment = build(project).parent
    assert {package.name for package in distributions(environment)} == {"demo", "needed", "tested"}


def test_a_member_of_a_workspace_is_imported_from_where_the_stage_runs(project: Path) -> None:
    member = '\n[[package]]\nname = "member"\nversion = "1.0"\nsource = { editable = "packages/member" }\n'
    files = {
        "packages/member/pyproject.toml": '[project]\nname = "member"\nversion = "1.0"\n',
        "packages/member/member.py": "print('member')",
        "pyproject.toml": FILES["pyproject.toml"] + '[tool.uv.workspace]\nmembers = ["packages/*"]\n',
        "uv.lock": LOCK.replace("\n[[", '\n[manifest]\nmembers = ["demo", "member"]\n\n[[', 1) + member,
    }
    write(project, files)
    assert print_of(build(project) / "python", "-c", "import member", tree=project) == "member\n"


def test_pylock_is_installed_with_its_folders(project: Path) -> None:
    digest = make_wheel(project / "wheels", "needed")
    needed = f'path = "wheels/needed-1.0-py3-none-any.whl", hashes = {{ sha256 = "{digest}" }}'
    packages = '[[packages]]\nname = "demo"\ndirectory = { path = ".", editable = true }\n'
    packages += f'[[packages]]\nname = "needed"\nversion = "1.0"\narchive = {{ {needed} }}\n'
    (project / "uv.lock").unlink()
    write(project, {"pylock.toml": PYLOCK + packages})
    python = build(project) / "python"
    assert print_of(python, "-c", "import demo, needed; demo.main()", tree=project) == "0.1.0\n"


REGISTRY = f'registry = "{SERVER}/simple"'
DIGEST = f'hash = "sha256:{64 * "0"}"'


@pytest.mark.parametrize(
    ("source", "files", "expected"),
    [
        ('editable = "../lib"', "", r"uv\.lock has lib in \.\./lib, and this revision has no such folder"),
        (f'git = "file:///x?rev=main#{40 * "0"}"', "", r"wheels alone \(`--allow-build`.*lib.* no bin"),
        (
            REGISTRY,
            f'sdist = {{ url = "{SERVER}/lib-1.0.tar.gz", {DIGEST} }}',
            r"`--allow-build`.*lib.* no bin",
        ),
        (REGISTRY, f'wheels = [{{ url = "{SERVER}/lib-1.0-py3-none-any.whl", {DIGEST} }}]', r"127\.0\.0\.1"),
        (
            REGISTRY,
            f'wheels = [{{ url = "{SERVER}/lib-1.0-py3-none-win32.whl", {DIGEST} }}]',
            r"lib.* no bin",
        ),
    ],
)
def test_a_package_that_cannot_be_had_is_named(project, monkeypatch, source, files, expected) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    depend(project, "lib", source, files)
    with pytest.raises(CannotTryError, match=expected) as caught:
        build(project)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(distributions(project.parent / "env"))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[[package]]", "[[", r"uv\.lock cannot be used: .*parse"),
        ("version = 1\n", "version = 9\n", r"uv\.lock cannot be used: .*schema version"),
        ('name = "demo"', 'name = "other"', r"uv\.lock cannot be used: .*[Mm]issing.*`demo`"),
        (
            "revision",
            "supported-markers = [\"sys_platform == 'win32'\"]\nrevision",
            r"uv\.lock cannot be installed .* not supported by the lockfile",
        ),
        ('python = ">=3.8"', 'python = ">=3.99"', r"uv\.lock is for Python >=3\.99: .*No interpreter"),
    ],
)
def test_a_lock_that_is_not_for_this_project_or_machine_is_refused(project, old, new, expected) -> None:
    lock = (project / "uv.lock").read_text()
    assert old in lock
    write(project, {"uv.lock": lock.replace(old, new, 1)})
    with pytest.raises(CannotTryError, match=expected) as caught:
        build(project)
    assert "\n" not in str(caught.value)
    assert not list(distributions(project.parent / "env"))


@pytest.mark.parametrize(
    "text", ["[[", "packages = 1", "[[packages]]\nversion = '1'\ndirectory = {path = '.'}"]
)
def test_a_broken_pylock_is_refused(project: Path, text: str) -> None:
    write(project, {"pylock.toml": text})
    with pytest.raises(CannotTryError, match=r"pylock\.toml cannot be (read|installed)"):
        build(project, PyLock())


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (None, r"uv\.lock needs uv, and this machine has none: install it, or .*--env current"),
        ("0.6.14", r"uv\.lock needs uv 0\.6\.15 or later, and .*/uv is 0\.6\.14: update it"),
    ],
)
def test_a_machine_without_a_uv_that_could_is_told_so(
    project, tmp_path, monkeypatch, version, expected
) -> None:
    if version:
        write(tmp_path, {"bin/uv": f"#!/bin/sh\necho uv {version}\n"})
        (tmp_path / "bin/uv").chmod(0o755)
    monkeypatch.setattr("locatable.proof.lock_files._installer_path", lambda variables: str(tmp_path / "bin"))
    with pytest.raises(CannotTryError, match=expected):
        build(project)
    assert not (tmp_path / "env").exists()


RUNNING = ".".join(platform.python_version_tuple()[:2])


@pytest.mark.parametrize(
    ("files", "lock", "expected"),
    [
        ({}, "", None),
        ({".python-version": "3.12\n"}, "", "3.12"),
        ({".python-version": "./my-python\n"}, "", None),
        ({".python-version": "3.12\n", "environment.json": '{"python": "2.7"}'}, "", "2.7"),
        ({}, f'requires-python = ">={RUNNING}"', None),
        ({}, 'requires-python = ">=3.99, <4"', ">=3.99, <4"),
        ({}, 'requires-python = "./my-python"', None),
    ],
)
def test_the_python_is_the_pinned_one_else_the_running_one_where_it_fits(tmp_path, files, lock, expected):
    write(tmp_path, files)
    assert python_for(tmp_path, lock) == expected


@pytest.mark.parametrize("own", [{}, {"pyproject.toml": '[project]\nname = "ml"\nversion = "0.1.0"\n'}])
def test_a_project_in_a_folder_of_a_workspace_has_the_lock_around_it(project: Path, own) -> None:
    write(project / "ml", {"train.py": "", **own})
    (project / ".git").mkdir()
    if own:
        members = '\n[tool.uv.workspace]\nmembers = ["ml"]\n'
        package = '\n[[package]]\nname = "ml"\nversion = "0.1.0"\nsource = { virtual = "ml" }\n'
        lock = LOCK.replace("\n[[", '\n[manifest]\nmembers = ["demo", "ml"]\n\n[[', 1) + package
        write(project, {"pyproject.toml": FILES["pyproject.toml"] + members, "uv.lock": lock})
    lock = find_lock(project / "ml", [])
    folder = project.parent / "env"
    sandbox = Sandbox(project.parent, folder / "bin", project.parent)
    build_environment(lock, project / "ml", folder, sandbox)
    expected = set() if own else {"demo"}
    assert {package.name for package in distributions(folder)} == expected


def test_no_lock_around_the_repository_is_taken(project: Path) -> None:
    (project / "ml/.git").mkdir(parents=True)
    with pytest.raises(CannotTryError, match=r"the root of this project has no .*uv\.lock"):
        find_lock(project / "ml", [])


def test_nothing_of_a_project_runs_or_says_where_to_write(project: Path, tmp_path: Path) -> None:
    harm = f"#!/bin/sh\ntouch {tmp_path}/harm\n"
    pyproject = FILES["pyproject.toml"] + f'[tool.uv]\ncache-dir = "{tmp_path}/harm"\n'
    files = {".venv/bin/python": harm, "python": harm, ".python-version": "./python\n"}
    write(project, {**files, ".venv/pyvenv.cfg": "home = /usr/bin\n", "pyproject.toml": pyproject})
    for path in (".venv/bin/python", "python"):
        (project / path).chmod(0o755)
    build(project)
    assert not (tmp_path / "harm").exists()


def test_servers_of_a_lock_are_announced_without_logins(project: Path) -> None:
    depend(project, "lib", f'registry = "{SERVER}/simple"')
    expected = "wheels of uv.lock from https://127.0.0.1:9 (its login is in the lock)"
    assert find_lock(project, []).source == expected


def test_a_lock_of_local_packages_alone_needs_no_server(project: Path) -> None:
    assert UvLock().source == "wheels of uv.lock from the revision itself"
    assert find_lock(project, []).source == UvLock().source


def test_uv_run_in_a_stage_uses_the_environment_as_it_is(project: Path) -> None:
    programs = build(project)
    folder = str(programs.parent)
    assert active_variables(Sandbox(project.parent, programs, project)) == {
        "VIRTUAL_ENV": folder,
        "UV_PROJECT_ENVIRONMENT": folder,
        "UV_NO_SYNC": "1",
    }
