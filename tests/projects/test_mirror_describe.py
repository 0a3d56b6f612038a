"""What a project's own `describe` in scripts/mirror.py makes of its runs in MLflow."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mirrored import dump, git
from support import run

from bench import synthetic

# The first mirror with a text of the script says it.
ONCE = "runs `describe` of this repository's scripts/mirror.py; this is said once"
Runs = dict[str, dict[str, Any]]
OWN = """    run.name = f"{run.name} ({run.params['train.model']})"
    run.tags["team"] = "pathology"
    run.artifacts["notes.md"] = run.snapshot.read("notes.md")
"""


@pytest.fixture(scope="module")
def origin(rebuilt: Path, env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two experiments, a trial and notes, all mirrored; copy it, do not change it."""
    project = Path(shutil.copytree(rebuilt, tmp_path_factory.mktemp("describe") / "project", symlinks=True))
    (project / "notes.md").write_text("Good.\n")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "-m", "Notes")
    synthetic.add(project, 2, "plain")
    synthetic.add(project, 1, "wide", trials=True)
    assert mirror(project, env) == "mirrored 5 new, 0 already there, 0 failed\n"
    return project


@pytest.fixture
def project(origin: Path, tmp_path: Path) -> Path:
    """A project of the test's own, and its runs."""
    return Path(shutil.copytree(origin, tmp_path / "project", symlinks=True))


@pytest.fixture
def runs(project: Path, env: dict[str, str]) -> Callable[[], Runs]:
    """All runs of the project by their ids."""
    uri = f"sqlite:///{project}/mlflow.db"
    return lambda: {found["id"]: found for found in dump(uri, "tumour-classifier", env, project)}


def mirror(project: Path, env: dict[str, str], **how: Any) -> str:
    """Mirror, and return what that prints."""
    return run("locatable", "mirror", cwd=project, env=env, **how).stdout


def describe(project: Path, body: str) -> None:
    """Write this body into the project's `describe`."""
    script = project / "scripts/mirror.py"
    start, mark, rest = script.read_text().partition("    # A name of your own:\n")
    assert mark
    script.write_text(start + body + mark + rest)


def names(found: Runs) -> list[str]:
    return sorted(one["name"] for one in found.values())


def test_runs_that_are_there_are_described_once_and_all_else_of_them_stays(
    project: Path, env: dict[str, str], runs: Callable[[], Runs]
) -> None:
    before = runs()
    describe(project, OWN)
    assert mirror(project, env) == "mirrored 0 new, 5 already there, 0 failed, 4 described again\n"
    after = runs()
    for run_id, one in before.items():
        found = after.pop(run_id)
        is_study = one["name"] == "wide"
        assert found["name"] == (one["name"] if is_study else f"{one['name']} (logistic)")
        assert found["tags"].get("team") == (None if is_study else "pathology")
        notes = None if is_study else hashlib.md5(b"Good.\n", usedforsecurity=False).hexdigest()
        assert found["files"].pop("notes.md", None) == notes
        for part in ("params", "metrics", "series", "files", "datasets", "models", "start", "end"):
            assert found[part] == one[part], part
    assert after == {}
    assert mirror(project, env) == "mirrored 0 new, 5 already there, 0 failed\n"
    synthetic.add(project, 1, "late")
    assert mirror(project, env) == "mirrored 1 new, 5 already there, 0 failed\n"
    assert "late-0 (logistic)" in names(runs())


def test_the_thin_script_does_the_same(project: Path, env: dict[str, str]) -> None:
    describe(project, OWN)
    said = run("python", "-m", "scripts.mirror", "--prune", cwd=project, env=env).stdout
    assert said == "mirrored 0 new, 5 already there, 0 failed, 4 described again, 0 pruned\n"


def test_a_script_that_adds_nothing_any_more_leaves_nothing_behind(
    project: Path, env: dict[str, str], runs: Callable[[], Runs]
) -> None:
    before = runs()
    describe(project, "    run.name = 'x'\n    run.tags['team'] = 'pathology'\n")
    mirror(project, env)
    git(project, "checkout", "--quiet", "scripts/mirror.py")
    mirror(project, env)
    assert runs() == before


def test_a_run_is_created_again_where_a_param_changes_and_stays_below_its_parent(
    project: Path, env: dict[str, str], runs: Callable[[], Runs]
) -> None:
    before = names(runs())
    describe(project, "    run.params['train.model'] = 'ours'\n    run.artifacts['extra.txt'] = b'x'\n")
    assert mirror(project, env) == "mirrored 0 new, 5 already there, 0 failed, 4 described again\n"
    found = runs()
    assert names(found) == before
    assert [one["params"].get("train.model", "ours") for one in found.values()] == ["ours"] * 5
    parents = {
        one["name"]: found[one["tags"]["mlflow.parentRunId"]]["name"]
        for one in found.values()
        if "mlflow.parentRunId" in one["tags"]
    }
    baseline = f"baseline {git(project, 'rev-parse', 'HEAD')[:7]}"
    assert parents == {"wide-0": "wide", "plain-0": baseline, "plain-1": baseline}
    # So it is where an artifact is not described any more, which MLflow cannot delete.
    git(project, "checkout", "--quiet", "scripts/mirror.py")
    mirror(project, env)
    assert not any("extra.txt" in one["files"] for one in runs().values())


def test_a_function_that_fails_for_some_runs_stops_no_other(project: Path, env: dict[str, str]) -> None:
    describe(project, "    run.tags['study'] = run.experiment.study\n")
    done = run("locatable", "mirror", cwd=project, env=env, code=1)
    assert done.stdout == "mirrored 0 new, 5 already there, 3 failed, 1 described again\n"
    once, error, name = done.stderr.splitlines()
    assert once == ONCE
    assert "AttributeError: 'NoneType' object has no attribute 'study'" in error
    assert name == "plain-0 and 1 more: scripts/mirror.py: describe: a tag is a text, and study is None"


def test_a_script_that_cannot_be_imported_writes_nothing(
    project: Path, env: dict[str, str], runs: Callable[[], Runs]
) -> None:
    before = runs()
    describe(project, "    import no_such_module\n")
    script = project / "scripts/mirror.py"
    script.write_text(script.read_text().replace("\nfrom ", "\nimport no_such_module\nfrom ", 1))
    line = script.read_text().splitlines().index("import no_such_module") + 1
    done = run("locatable", "mirror", cwd=project, env=env, code=1)
    assert done.stdout == ""
    failure = f"scripts/mirror.py, line {line}: ModuleNotFoundError: No module named 'no_such_module'"
    assert done.stderr.splitlines() == [ONCE, failure]
    assert runs() == before
