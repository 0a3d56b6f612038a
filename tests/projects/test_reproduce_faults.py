"""What `locatable reproduce` prints and ends with where something is wrong, and faults of environments.

All other faults that it is there to find are planted in tests/projects/test_proof_faults.py.
"""

import hashlib
import json
import re
import subprocess
from pathlib import Path

import pytest
from small_pipeline import SmallPipeline, copied, make
from support import TEMPLATE, run


class Pipeline(SmallPipeline):
    """A small pipeline that is reproduced by command."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        super().__init__(folder)
        self.env = env

    def reproduce(self, *options: str, code: int, **variables: str) -> subprocess.CompletedProcess[str]:
        """Reproduce it, and check that nothing of the user's changed."""
        before = self.state()
        command = ("locatable", "reproduce", *options)
        done = run(*command, cwd=self.folder, env={**self.env, **variables}, code=code)
        assert self.state() == before
        assert "Traceback" not in done.stderr
        return done

    def findings(self, *options: str, **variables: str) -> list[str]:
        """What it finds, in the report for programs."""
        done = self.reproduce("--json", *options, code=1, **variables)
        return json.loads(done.stdout)["findings"]

    def refusal(self, **variables: str) -> str:
        """The one line that says why it cannot be tried."""
        done = self.reproduce("--json", code=2, **variables)
        assert done.stdout == ""
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("cannot try")]
        return line


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pipeline before its first run, with its data in a remote; copy it."""
    return make(tmp_path_factory.mktemp("small"))


@pytest.fixture
def plain(small: Path, env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """The small pipeline, whose stages run in the environment of a generated project."""
    monkeypatch.setenv("PATH", env["PATH"])
    return Pipeline(copied(small, tmp_path), env)


@pytest.fixture
def recorded(plain: Pipeline) -> Pipeline:
    """As `plain`, with its results committed."""
    plain.repro()
    return plain


def test_a_fault_is_said_below_the_table_and_ends_with_one(recorded: Pipeline) -> None:
    recorded.edit("metrics.json", "12", "13")
    recorded.commit()
    said = recorded.reproduce("--env", "current", code=1).stdout.splitlines()
    assert said[-2:] == [
        "total: metrics.json in Git is not the one that dvc.lock records",
        "2 of 2 outputs rebuilt as recorded, 1 findings",
    ]


def test_a_tolerance_and_other_conditions_are_asked_for_by_options(recorded: Pipeline) -> None:
    recorded.edit("metrics.json", "12", "13")
    lock = recorded.folder / "dvc.lock"
    true, made_up = [hashlib.md5(b'{"total":%d}' % total).hexdigest() for total in (12, 13)]  # noqa: S324
    recorded.edit("dvc.lock", true, made_up)
    recorded.commit()
    assert made_up in lock.read_text()
    said = recorded.reproduce("--env", "current", "--rtol", "0.1", "--vary", code=0).stdout
    assert re.search(
        r"^total +metrics.json +\w{8} +\w{8} +within rtol \(largest relative difference 0.08\)$",
        said,
        re.MULTILINE,
    )
    assert "each stage also with another " in said
    assert recorded.reproduce("--env", "current", code=1)


def test_what_cannot_be_tried_ends_with_two(plain: Pipeline) -> None:
    done = plain.reproduce("nonsense", code=2)
    assert done.stdout == ""
    assert done.stderr == (
        "cannot try: nonsense: neither a Git revision nor an experiment here (dvc exp list --all-commits)\n"
    )


def locked(name: str) -> str:
    """One package's lines of the lock that generated projects share."""
    blocks = (
        (TEMPLATE / "{{cookiecutter.project_slug}}/requirements.lock")
        .read_text()
        .replace("\n    --hash", "\0")
        .splitlines()
    )
    (block,) = (block for block in blocks if block.startswith(f"{name}=="))
    return block.replace("\0", "\n    --hash") + "\n"


def test_a_package_that_is_not_in_the_lock(plain: Pipeline) -> None:
    plain.insert("import packaging")
    plain.write("requirements.lock", locked("ruamel-yaml"))
    plain.repro()
    (line,) = plain.findings()
    assert line.startswith("make needs packages as installed here and not as locked: packaging ")
    plain.write("requirements.lock", locked("ruamel-yaml") + locked("packaging"))
    plain.commit()
    plain.reproduce(code=0)


def test_a_tool_that_a_stage_imports(plain: Pipeline) -> None:
    """MLflow is installed beside what stages may import, and locked apart from it."""
    plain.insert("import mlflow")
    plain.write("requirements.lock", locked("ruamel-yaml"))
    plain.repro()
    asked = "from importlib import metadata; print(metadata.version('mlflow'))"
    version = run("python", "-c", asked, cwd=plain.folder, env=plain.env).stdout.strip()
    assert plain.findings() == [f"make needs packages as installed here and not as locked: mlflow {version}"]


@pytest.mark.parametrize(
    "lock",
    ["ruamel-yaml==0.0.77 \\\n    --hash=sha256:" + "0" * 64, "ruamel-yaml==0.18.16"],
    ids=["unknown", "no hash"],
)
def test_a_lock_that_cannot_be_installed(plain: Pipeline, lock: str) -> None:
    plain.write("requirements.lock", lock + "\n")
    plain.repro()
    line = plain.refusal()
    assert line.startswith("cannot try: requirements.lock cannot be installed from wheels alone ")
    assert "ruamel-yaml" in line


def test_another_python_than_recorded(plain: Pipeline) -> None:
    plain.write("requirements.lock", locked("ruamel-yaml"))
    plain.write("environment.json", '{"python": "2.7"}')
    plain.repro()
    line = plain.refusal()
    assert line.startswith("cannot try: the result was made with Python 2.7: ")


def test_a_package_edited_in_place(plain: Pipeline, tmp_path: Path) -> None:
    plain.write("requirements.lock", locked("ruamel-yaml") + locked("packaging"))
    plain.repro()
    cache = {"UV_CACHE_DIR": str(tmp_path / "uv")}
    plain.reproduce(code=0, **cache)
    # This is what an edit in site-packages comes to where uv links its cache into environments.
    (module,) = (tmp_path / "uv").rglob("packaging/version.py")
    module.write_text(module.read_text() + "# edited\n")
    assert plain.refusal(**cache) == (
        "cannot try: packaging/version.py is not as packaging was released: "
        "`uv cache clean packaging`, then again"
    )
