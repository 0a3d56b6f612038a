"""What packages of a stranger's lock can do while a proof builds their environment: by uv and by pip."""

import base64
import hashlib
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_git import write

from locatable.errors import CannotTryError
from locatable.proof.lock_files import CondaLock, HashedLock, build_environment, find_lock
from locatable.proof.sandbox import Sandbox, active_variables, allowed_limits, hidden_folders

HARM = "import pathlib; pathlib.Path({home!r}, 'harm').write_text('done')\n"
METADATA = "Metadata-Version: 2.1\nName: harm\nVersion: 1.0\n"
WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
# A build of a wheel that needs no other package.
BACKEND = f"""\
import contextlib, zipfile
with contextlib.suppress(OSError):
    HARM

def build_wheel(folder, settings=None, metadata=None):
    files = {{"harm.py": ""}}
    files["harm-1.0.dist-info/METADATA"] = {METADATA!r}
    files["harm-1.0.dist-info/WHEEL"] = {WHEEL!r}
    record = "".join(f"{{name}},,\\n" for name in files)
    with zipfile.ZipFile(folder + "/harm-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in {{**files, "harm-1.0.dist-info/RECORD": record}}.items():
            wheel.writestr(name, text)
    return "harm-1.0-py3-none-any.whl"
"""
PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """The home of a user who tries what a stranger sent."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


class NoPrograms:
    """In place of the module `shutil`."""

    @staticmethod
    def which(name, path):
        return None


@pytest.fixture(params=["uv", "pip"])
def installer(request, monkeypatch) -> str:
    """The program that installs: uv, or pip where no uv is found."""
    if request.param == "pip":
        monkeypatch.setattr("locatable.proof.lock_files.shutil", NoPrograms)
    return request.param


@pytest.fixture
def build(tmp_path, home, installer) -> Callable[..., Path]:
    """Build the environment of a lock with one package, and return its folder of programs."""

    def call(package: Path, *, allow_build: bool = False) -> Path:
        project, work = tmp_path / "project", tmp_path / "work"
        project.mkdir()
        work.mkdir()
        digest = hashlib.sha256(package.read_bytes()).hexdigest()
        (project / "requirements.lock").write_text(f"harm==1.0 --hash=sha256:{digest}\n")
        sandbox = Sandbox(
            work, work / "env/bin", project, hidden_folders(project, project), allowed_limits()[0]
        )
        lock = HashedLock(wheels=package.parent, allow_build=allow_build)
        return build_environment(lock, project, work / "env", sandbox)

    return call


@pytest.fixture
def wheel(tmp_path, home) -> Path:
    """A wheel whose `.pth` file runs code at the start of Python."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    files = {
        "harm.pth": HARM.format(home=str(home)),
        "harm.py": "",
        "harm-1.0.dist-info/METADATA": METADATA,
        "harm-1.0.dist-info/WHEEL": WHEEL,
    }
    record = ""
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
        record += f"{name},sha256={digest},{len(text)}\n"
    path = folder / "harm-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, "harm-1.0.dist-info/RECORD": record}.items():
            archive.writestr(name, text)
    return path


@pytest.fixture
def source(tmp_path, home) -> Path:
    """A source package whose build runs code."""
    folder = tmp_path / "sources"
    (folder / "harm-1.0").mkdir(parents=True)
    backend = BACKEND.replace("HARM", HARM.format(home=str(home)).strip())
    (folder / "harm-1.0/backend.py").write_text(backend)
    (folder / "harm-1.0/pyproject.toml").write_text(PROJECT)
    (folder / "harm-1.0/PKG-INFO").write_text(METADATA)
    path = folder / "harm-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder / "harm-1.0", "harm-1.0")
    return path


def test_a_wheel_runs_nothing_while_it_is_installed(build, wheel, home):
    build(wheel)
    assert not (home / "harm").exists()


def test_a_wheel_is_compiled_all_the_same(build, wheel):
    environment = build(wheel).parent
    assert list(environment.glob("lib/python*/site-packages/__pycache__/harm.*.pyc"))


@pytest.mark.parametrize(
    "line",
    [
        "--index-url http://127.0.0.1:9/${SECRET}",
        "--find-links \\\n  http://127.0.0.1:9/${SECRET}",
        "harm @ http://127.0.0.1:9/${SECRET}/harm-1.0-py3-none-any.whl --hash=sha256:00",
        "# coding: utf-7\n--index-url http://127.0.0.1:9/+ACQ-{SECRET}",
        "-r more.txt",
        "--constraint=more.txt",
        "-r http://127.0.0.1:9/more.txt",
    ],
)
def test_no_variable_of_the_environment_goes_to_a_server_that_a_lock_names(line, tmp_path):
    (tmp_path / "requirements.lock").write_text(f"{line}\n")
    (tmp_path / "more.txt").write_text("-r requirements.lock\n-f http://127.0.0.1:9/${SECRET}\n")
    with pytest.raises(CannotTryError, match=r"your environment \(\$\{\.\.\.\}\)|includes more\.txt, which"):
        next(iter(HashedLock().steps(tmp_path, tmp_path / "env")))


def test_servers_that_a_lock_names_are_announced(tmp_path):
    lock = "--extra-index-url https://me:secret@wheels.example/cpu # http://a comment\na==1\n"
    (tmp_path / "requirements.lock").write_text(lock)
    named = find_lock(tmp_path, [])
    expected = "wheels of requirements.lock from the package index, https://wheels.example"
    assert named.source == f"{expected} (its login is in the lock)"


def test_a_source_package_is_not_built_unless_that_is_allowed(build, source, home):
    with pytest.raises(CannotTryError, match=r"from wheels alone .*--allow-build.*: .*harm"):
        build(source)
    assert not (home / "harm").exists()


def test_a_source_package_that_may_be_built_sees_no_home(build, source, home):
    if not allowed_limits()[0]:
        pytest.skip("bubblewrap is not installed, or not allowed")
    environment = build(source, allow_build=True).parent
    assert list(environment.glob("lib/python*/site-packages/harm.py"))
    assert not (home / "harm").exists()


def test_a_package_of_conda_sees_no_home_when_its_environment_becomes_active(tmp_path, home):
    limits, problem = allowed_limits()
    if not limits:
        pytest.skip(problem)
    environment = tmp_path / "work/env"
    script = environment / "etc/conda/activate.d/harm.sh"
    for folder in (environment / "conda-meta", environment / "bin", script.parent):
        folder.mkdir(parents=True)
    script.write_text(f"touch {home}/harm\nexport MADE=here\n")
    hidden = hidden_folders(tmp_path / "project", tmp_path / "project")
    sandbox = Sandbox(tmp_path / "work", environment / "bin", tmp_path / "project", hidden, limits)
    assert active_variables(sandbox)["MADE"] == "here"
    assert not (home / "harm").exists()


# In place of what installs conda-lock.yml: it makes an environment of one package, where it sees no secret.
CONDA = """\
#!{python}
for prefix; do case $before in --prefix) break;; esac; before=$prefix; done
mkdir -p "$prefix/conda-meta"
cat {home}/secret && exit 1
echo '{{"name": "a", "version": "1", "files": []}}' > "$prefix/conda-meta/a-1-0.json"
"""


def in_the_home(home: Path) -> str:
    """A program in a folder of the PATH."""
    write(home, {"bin/micromamba": CONDA.format(python="/bin/sh", home=home)})
    return str(home / "bin")


def from_the_working_folder(home: Path) -> str:
    """The same, where the PATH has a relative folder."""
    return os.path.relpath(in_the_home(home))


def in_an_environment(home: Path) -> str:
    """A program that the Python of another environment runs, which is in the home, too."""
    (home / "python/bin").mkdir(parents=True)
    shutil.copy("/bin/sh", home / "python/bin/python3")
    write(home, {"env/pyvenv.cfg": "", "env/bin/conda": "#!/bin/sh\n"})
    (home / "env/bin/python").symlink_to(home / "python/bin/python3")
    write(home, {"env/bin/conda-lock": CONDA.format(python=home / "env/bin/python", home=home)})
    return str(home / "env/bin")


@pytest.mark.parametrize("installed", [in_the_home, from_the_working_folder, in_an_environment])
def test_an_installer_in_the_home_runs_and_sees_nothing_else_of_it(installed, home, tmp_path, monkeypatch):
    if not allowed_limits()[0]:
        pytest.skip("bubblewrap is not installed, or not allowed")
    write(home, {"secret": "secret"})
    folder = installed(home)
    for program in home.rglob("bin/*"):
        program.chmod(0o755)
    monkeypatch.setenv("PATH", folder, prepend=":")
    write(tmp_path, {"project/conda-lock.yml": ""})
    work, project = tmp_path / "work", tmp_path / "project"
    work.mkdir()
    sandbox = Sandbox(work, work / "env/bin", project, hidden_folders(project, project), allowed_limits()[0])
    build_environment(CondaLock(allow_build=True), project, work / "env", sandbox)
    assert (work / "env/conda-meta/a-1-0.json").is_file()
