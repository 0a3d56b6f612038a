"""A project that `uv init` made, and no template: its results are proven from the lock that it has."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from support import run

# No server answers there.
NOWHERE = "http://127.0.0.1:9"
COUNT = """\
import json
import six
from demo import __version__

result = {"six": six.__version__, "demo": __version__, "letters": len(open("words.txt").read())}
json.dump(result, open("metrics.json", "w"))
"""
PACKAGE = """\
from importlib.metadata import version

__version__ = version("demo")


def main() -> None:
    print(len(open("metrics.json").read()), file=open("size.txt", "w"))
"""
PIPELINE = """\
stages:
  count:
    cmd: uv run python -m demo.count
    deps: [LOCK, words.txt, src/demo/__init__.py, src/demo/count.py]
    metrics: [{metrics.json: {cache: false}}]
  size:
    cmd: uv run demo
    deps: [LOCK, pyproject.toml, metrics.json, src/demo/__init__.py]
    outs: [size.txt]
"""


@pytest.fixture
def with_uv(env: Mapping[str, str], tmp_path: Path) -> dict[str, str]:
    """`env` with uv in a folder of the user's, as its own installer puts it there."""
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs/uv").symlink_to(str(shutil.which("uv", path=env["PATH"])))
    others = {name: value for name, value in env.items() if name != "VIRTUAL_ENV"}
    return {**others, "PATH": f"{tmp_path / 'programs'}{os.pathsep}{env['PATH']}"}


@pytest.fixture
def demo(with_uv: Mapping[str, str], tmp_path: Path) -> Path:
    """A project with a package, a dependency and data; its pipeline has not run."""
    run("uv", "init", "--package", "demo", cwd=tmp_path, env=with_uv)
    project = tmp_path / "demo"
    run("uv", "add", "six==1.17.0", cwd=project, env=with_uv)
    run("dvc", "init", "--quiet", cwd=project, env=with_uv)
    (project / "words.txt").write_text("some words\n")
    (project / "src/demo/__init__.py").write_text(PACKAGE)
    (project / "src/demo/count.py").write_text(COUNT)
    return project


def rebuild(project: Path, env: Mapping[str, str], lock: str) -> None:
    """Have the pipeline depend on a lock, run it and commit."""
    (project / "dvc.yaml").write_text(PIPELINE.replace("LOCK", lock))
    run("dvc", "repro", cwd=project, env=env)
    run("git", "add", "--all", cwd=project, env=env)
    run("git", "commit", "--quiet", "--message", "Results", cwd=project, env=env)


@pytest.mark.parametrize("lock", ["uv.lock", pytest.param("pylock.toml", marks=pytest.mark.weekly)])
def test_results_are_proven_from_the_lock_that_stages_declare(demo, with_uv, lock):
    run("uv", "export", "--quiet", "--output-file", "pylock.toml", cwd=demo, env=with_uv)
    rebuild(demo, with_uv, lock)
    # What is installed here is not what the stages get.
    shutil.rmtree(demo / ".venv")
    done = run("locatable", "reproduce", "--json", cwd=demo, env=with_uv)
    report = json.loads(done.stdout)
    assert report["environment"] == f"fresh, from {lock}"
    assert "which this revision has as well" not in done.stderr
    assert {row["output"]: row["verdict"] for row in report["outputs"]} == {
        "metrics.json": "identical",
        "size.txt": "identical",
    }
    assert run("git", "status", "--porcelain", cwd=demo, env=with_uv).stdout == ""


def test_of_two_locks_that_no_stage_declares_the_one_that_is_taken_is_named(demo, with_uv):
    run("uv", "export", "--quiet", "--output-file", "pylock.toml", cwd=demo, env=with_uv)
    rebuild(demo, with_uv, "words.txt")
    done = run("locatable", "reproduce", cwd=demo, env=with_uv)
    assert "takes uv.lock, and not pylock.toml, which this revision has as well" in done.stderr.splitlines()


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        ("import demo.extra", "count imports src/demo/extra.py, which dvc.yaml does not declare"),
        ("import tomli_w", "count fails (exit 1): ModuleNotFoundError: No module named 'tomli_w'"),
    ],
)
def test_a_module_or_package_that_was_only_here_is_found(demo, with_uv, line, finding):
    (demo / "src/demo/extra.py").write_text("")
    (demo / "src/demo/count.py").write_text(f"{line}\n{COUNT}")
    run("uv", "pip", "install", "--quiet", "tomli-w", cwd=demo, env=with_uv)
    rebuild(demo, {**with_uv, "UV_NO_SYNC": "1"}, "uv.lock")
    done = run("locatable", "reproduce", "--stage", "count", cwd=demo, env=with_uv, code=1)
    assert finding in done.stdout.splitlines()


def test_without_a_network_a_proof_takes_what_uv_has_on_this_machine(demo, with_uv, tmp_path):
    rebuild(demo, with_uv, "uv.lock")
    blocked = {**with_uv, **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), NOWHERE)}
    done = run("locatable", "reproduce", cwd=demo, env=blocked)
    assert "2 of 2 outputs rebuilt as recorded, 0 findings" in done.stdout

    blocked |= {"UV_CACHE_DIR": str(tmp_path / "empty"), "UV_HTTP_RETRIES": "0"}
    done = run("locatable", "reproduce", cwd=demo, env=blocked, code=2)
    assert "Failed to fetch" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert run("git", "status", "--porcelain", cwd=demo, env=with_uv).stdout == ""


def test_an_archive_of_it_is_proven_elsewhere(demo, with_uv, tmp_path):
    rebuild(demo, with_uv, "uv.lock")
    run("locatable", "archive", "-o", tmp_path / "result.zip", cwd=demo, env=with_uv)
    shutil.rmtree(demo)
    done = run("locatable", "reproduce", "result.zip", cwd=tmp_path, env=with_uv)
    assert "2 of 2 outputs rebuilt as recorded, 0 findings" in done.stdout


def test_locate_installs_it_with_uv(demo, with_uv):
    rebuild(demo, with_uv, "uv.lock")
    done = run("locatable", "locate", "size.txt", cwd=demo, env=with_uv)
    assert "uv sync --frozen --project ." in done.stdout
