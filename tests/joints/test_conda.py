# /// script
# dependencies = ["conda-lock==4.0.3", "py-rattler==0.28.0", "dvclive==3.49.1"]
# [tool.joint]
# question = "Environments"
# tool = "conda, mamba"
# joint = "examples/conda/conda.py"
# ///
"""conda-lock.yml is the environment coordinate, and a proof builds its environment from it, or pixi.lock.

micromamba, conda and pixi are stand-ins (see `conda_channel`) with their command lines; conda-lock is real,
as are the packages and their installation.
"""

import contextlib
import json
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import tiny_dvc
import yaml
from conda_channel import Package, lock_of, pixi_lock_of, stand_in
from tiny_git import git, write
from trained import Trained

from locatable import read_coordinates
from locatable.errors import CannotTryError
from locatable.proof.reproduce import ProofOptions, Report, reproduce
from locatable.proof.sandbox import USER_FOLDERS

EXAMPLES = Path(__file__).parents[2] / "examples/conda"
SHOUT = {"bin/shout": "#!/bin/sh\ntr a-z A-Z < $1\necho $SHOUTED_BY\n"}
ACTIVATION = {"etc/conda/activate.d/shout.sh": "export SHOUTED_BY=conda\n"}
PACKAGE = Package("shout", "1.2", {**SHOUT, **ACTIVATION})
PIPELINE = """\
stages:
  make:
    cmd: shout raw.csv > copy.csv
    deps: [conda-lock.yml, raw.csv]
    outs: [copy.csv]
"""


@pytest.fixture(autouse=True)
def without_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> None:
    """The packages of the stand-ins are in uv's cache, which no sandbox shows."""
    monkeypatch.setattr("locatable.proof.sandbox.allowed_limits", lambda: ((), "not in this test"))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose stage declares the lock, and runs a program that only the locked environment has."""
    for name in ("micromamba", "mamba", "conda", "pixi"):
        assert not shutil.which(name), "a real one would take the place of the stand-in"
    root = tmp_path / "project"
    tiny_dvc.init(root)
    lock = lock_of(tmp_path / "channel", PACKAGE)
    write(root, {"dvc.yaml": PIPELINE, "conda-lock.yml": lock, "raw.csv": "a,b\n1,2\n"})
    active = tmp_path / "active"
    write(active, SHOUT)
    (active / "bin/shout").chmod(0o755)
    with monkeypatch.context() as activated:
        activated.setenv("PATH", str(active / "bin"), prepend=":")
        activated.setenv("SHOUTED_BY", "conda")
        rebuild(root)
    return root


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the search path, for stand-ins; another environment of conda is active."""
    folder = tmp_path / "programs"
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.setenv("CONDA_PREFIX", str(tmp_path / "active"))
    return folder


def rebuild(root: Path) -> list[str]:
    """Have DVC run what is out of date; returns the stages that ran, and commits."""
    with tiny_dvc.dvc(root) as repo:
        ran = [stage.addressing for stage in repo.reproduce()]
    tiny_dvc.commit(root)
    return ran


def prove(root: Path, fresh_environment: bool = True) -> Report:
    with contextlib.chdir(root):
        return reproduce(ProofOptions(fresh_environment=fresh_environment, allow_build=True), print)


def test_conda_lock_reads_the_lock_of_these_tests(root: Path) -> None:
    command = ("conda-lock", "render", "--kind", "explicit", "--platform", "linux-64", "conda-lock.yml")
    subprocess.run(command, cwd=root, check=True)
    assert "/shout-1.2-0.tar.bz2#" in (root / "conda-linux-64.lock").read_text()


def test_the_lock_is_the_environment(root: Path) -> None:
    files = read_coordinates(root, "HEAD").environment.content["files"]
    assert list(files) == ["conda-lock.yml"]


def test_environment_yml_is_the_environment_without_being_declared(root: Path) -> None:
    write(root, {"environment.yml": "dependencies: [shout=1.2]\n"})
    tiny_dvc.commit(root)
    files = read_coordinates(root, "HEAD").environment.content["files"]
    assert files["environment.yml"] == git(root, "rev-parse", "HEAD:environment.yml")


def test_micromamba_builds_the_environment_of_a_proof(root: Path, programs: Path) -> None:
    stand_in(programs, "micromamba")
    report = prove(root)
    assert report.proven, report.findings
    assert report.environment == "fresh, from conda-lock.yml"


def test_conda_builds_it_by_conda_lock(root: Path, programs: Path) -> None:
    stand_in(programs, "conda")
    assert prove(root).proven


def test_pixi_builds_it_from_its_own_lock(root: Path, programs: Path, tmp_path: Path) -> None:
    stand_in(programs, "pixi")
    (root / "conda-lock.yml").unlink()
    lock = pixi_lock_of(tmp_path / "channel", PACKAGE)
    write(root, {"dvc.yaml": PIPELINE.replace("conda-lock.yml", "pixi.lock"), "pixi.lock": lock})
    with tiny_dvc.dvc(root) as repo:
        repo.commit(force=True)
    tiny_dvc.commit(root)
    report = prove(root)
    assert report.proven, report.findings
    assert report.environment == "fresh, from pixi.lock"


@pytest.mark.parametrize("program", ["micromamba", "conda"])
def test_the_reason_why_a_lock_cannot_be_installed_is_shown(
    root: Path, programs: Path, tmp_path: Path, program: str
) -> None:
    stand_in(programs, program)
    (tmp_path / "channel/shout-1.2-0.tar.bz2").unlink()
    with pytest.raises(CannotTryError, match=r"conda-lock\.yml cannot be installed: .*shout-1\.2") as caught:
        prove(root)
    assert "Traceback" not in str(caught.value)


def test_what_another_version_of_a_package_writes_is_not_proven(
    root: Path, programs: Path, tmp_path: Path
) -> None:
    stand_in(programs, "micromamba")
    other = Package("shout", "1.3", {"bin/shout": "#!/bin/sh\necho AH\n"})
    write(root, {"conda-lock.yml": lock_of(tmp_path / "channel", other)})
    with tiny_dvc.dvc(root) as repo:
        repo.commit(force=True)
    tiny_dvc.commit(root)
    assert not prove(root).proven


def test_without_any_of_them_a_proof_says_what_to_do(root: Path) -> None:
    with pytest.raises(CannotTryError, match=r"conda-lock\.yml needs micromamba, .* --env current$"):
        prove(root)


def test_a_proof_in_the_environment_that_is_active_passes(root: Path) -> None:
    # Another package for a stage that needs none of conda's.
    write(root, {"dvc.yaml": PIPELINE.replace("shout raw.csv", "cat raw.csv")})
    rebuild(root)
    assert prove(root, fresh_environment=False).proven


def test_another_package_makes_results_out_of_date(root: Path, tmp_path: Path) -> None:
    before = read_coordinates(root, "HEAD").environment.digest
    write(root, {"dvc.yaml": PIPELINE.replace("shout raw.csv", "cat raw.csv")})
    rebuild(root)
    write(root, {"conda-lock.yml": lock_of(tmp_path / "channel", Package("shout", "1.3"))})
    assert rebuild(root) == ["make"]
    assert read_coordinates(root, "HEAD").environment.digest != before


SITE_PACKAGES = "lib/python{}.{}/site-packages".format(*sys.version_info)
DVC = '#!/bin/sh\nexec "$(dirname "$0")/python" -m dvc "$@"\n'
# Names of conda-forge that are not those of the package index.
NAMES = {"matplotlib-base": "matplotlib"}


def python() -> Package:
    """A package that is the Python of these tests, and has its packages."""
    found = [path for path in sys.path if path.endswith("site-packages")]
    files = {
        "pyvenv.cfg": f"home = {sysconfig.get_config_var('BINDIR')}\n",
        f"{SITE_PACKAGES}/tests.pth": "".join(f"{path}\n" for path in found),
    }
    program = str(Path(sys.executable).resolve())
    links = {"bin/python": program, "bin/python3": program}
    return Package("python", platform.python_version(), files, links)


def requirements() -> list[str]:
    """Names of the packages in environment.yml."""
    dependencies = yaml.safe_load((EXAMPLES / "environment.yml").read_text())["dependencies"]
    return [line.split()[0] for line in dependencies]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A generated project in which the how-to is followed; its lock is what conda-lock would have written."""
    folder = tmp_path_factory.mktemp("conda")
    programs = folder / "programs"
    stand_in(programs, "micromamba")
    names = [name for name in requirements() if name != "python"]
    packages = [Package(name, metadata.version(NAMES.get(name, name))) for name in names]
    # Without it no stage runs; dvclive of conda-forge has it installed, too.
    dvc = Package("dvc", metadata.version("dvc"), {"bin/dvc": DVC})
    lock = lock_of(folder / "channel", python(), dvc, *packages)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(programs), prepend=":")
        files = {
            "conda-lock.yml": lock,
            "environment.yml": (EXAMPLES / "environment.yml").read_text(),
            "scripts/conda.py": (EXAMPLES / "conda.py").read_text(),
        }
        return Trained(folder, "conda", files)


def record_of(project: Trained) -> dict[str, object]:
    return json.loads((project.root / "environment.json").read_text())


def test_environment_yml_has_the_packages_of_the_project(project: Trained) -> None:
    table = tomllib.loads((project.root / "pyproject.toml").read_text())["project"]
    declared = [re.split(r"[<>=]", line)[0] for line in table["dependencies"]]
    assert [NAMES.get(name, name) for name in requirements()] == ["python", *declared]


def test_stages_run_in_the_environment_of_conda(project: Trained) -> None:
    asked = project.run(".venv/bin/python", "-c", "import sys; print(sys.prefix)")
    assert asked.stdout.strip() == str(project.root / ".venv")
    assert (project.root / ".venv/conda-meta").is_dir()


def test_the_record_names_the_lock_of_conda(project: Trained) -> None:
    lock = yaml.safe_load((project.root / "dvc.lock").read_text())["stages"]["environment"]
    (hashed,) = [dep["md5"] for dep in lock["deps"] if dep["path"] == "conda-lock.yml"]
    assert record_of(project)["lock"] == hashed


def test_what_is_installed_as_locked_has_not_drifted(project: Trained) -> None:
    assert record_of(project)["drift"] == {}


def test_a_project_of_conda_carries_no_other_lock(project: Trained) -> None:
    files = read_coordinates(project.root, "HEAD").environment.content["files"]
    assert sorted(files) == ["conda-lock.yml", "environment.json", "environment.yml"]


def test_a_package_that_is_not_as_locked_is_recorded(project: Trained) -> None:
    lock = project.root / "conda-lock.yml"
    before = lock.read_text()
    installed = metadata.version("numpy")
    lock.write_text(before.replace(f"version: '{installed}'", "version: '0.1'", 1))
    project.run(".venv/bin/python", "-m", "scripts.environment")
    drifted = record_of(project)["drift"]
    lock.write_text(before)
    project.run("git", "checkout", "--quiet", "environment.json")
    assert drifted == {"numpy": {"locked": "0.1", "installed": installed}}


def test_the_proof_of_the_project_builds_its_environment(project: Trained) -> None:
    hidden = (*USER_FOLDERS, str(Path.home()))
    if any(path.startswith(hidden) for path in sys.path if path.endswith("site-packages")):
        pytest.skip("the packages of these tests are in a folder of users, which a proof hides")
    done = project.run("locatable", "reproduce", "--allow-build")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "environment: fresh, from conda-lock.yml" in done.stdout + done.stderr


def test_the_style_is_kept(project: Trained) -> None:
    for check in ("check", "format --check"):
        done = project.run("ruff", *check.split())
        assert done.returncode == 0, done.stdout


def test_the_tests_of_the_project_pass(project: Trained) -> None:
    done = project.run(".venv/bin/python", "-m", "pytest", "--quiet")
    assert done.returncode == 0, done.stdout + done.stderr
