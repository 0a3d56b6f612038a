"""What a project's own scripts/mirror.py adds to its runs."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_git import commit, write

from locatable.errors import SettingsError
from locatable.mlflow.content import Description, RunContent
from locatable.mlflow.describe import DescribeScript, find_script
from locatable.repository.reader import Reader

TEMPLATE = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}"
HEAD = "from locatable.mlflow import RunContent\n\n\ndef describe(run: RunContent) -> None:\n"


@pytest.fixture(autouse=True)
def _import_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts add to it."""
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunContent]:
    """The content of a baseline."""
    commit(tmp_path, {"reports/notes.md": "Good.\n"})
    with Reader(tmp_path) as reader:
        yield RunContent(
            key="aaa",
            name="baseline aaa",
            start=0,
            end=0,
            tags={"dvc.rev": "aaa", "mlflow.note.content": "note"},
            params={"model": "forest"},
            artifacts={"dvc.lock": b"lock"},
            snapshot=reader.snapshot("HEAD"),
            experiment=None,
        )


def found(root: Path, text: str) -> DescribeScript | None:
    """The script of a project with this text."""
    write(root, {"scripts/mirror.py": text})
    return find_script(root)


def described(root: Path, body: str, line_end: str = "\n") -> DescribeScript:
    """A script whose function has this body."""
    script = found(root, f"{HEAD}    {body}\n".replace("\n", line_end))
    assert script
    return script


def test_a_project_need_not_have_a_script(tmp_path: Path) -> None:
    assert find_script(tmp_path) is None


def test_the_script_of_a_generated_project_adds_nothing_as_it_is() -> None:
    assert find_script(TEMPLATE) is None


@pytest.mark.parametrize(
    "text",
    [
        "import shutil\n\n\ndef describe(run):\n    shutil.rmtree('/nowhere')\n",
        "print 'Python 2'\n",
        "# Not for locatable.\nraise SystemExit('mirrors a web site')\n",
    ],
)
def test_a_script_of_another_tool_is_left_alone(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, text) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "from locatable.cli import main\n\nmain()\n",
            r"scripts/mirror.py: there is no function describe\(run\)",
        ),
        ("import locatable\n\ndef describe(run)\n", r"scripts/mirror\.py, line 3: expected ':'"),
    ],
)
def test_a_script_that_cannot_describe_is_an_error(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        found(tmp_path, text)


def test_a_digest_is_of_the_text_whatever_its_line_ends(tmp_path: Path) -> None:
    text = described(tmp_path, "run.name = 'a'").digest
    windows = described(tmp_path, "run.name = 'a'", "\r\n").digest
    assert text == windows != described(tmp_path, "run.name = 'b'").digest


def test_a_function_may_be_imported_from_the_project(tmp_path: Path, run: RunContent) -> None:
    write(tmp_path, {"shown_in_mlflow.py": "def describe(run):\n    run.name = 'imported'\n"})
    script = found(tmp_path, "import locatable\nfrom shown_in_mlflow import describe\n")
    assert script
    script.load()(run)
    assert run.name == "imported"


def test_a_script_is_run_when_it_is_loaded_and_an_error_names_its_line(tmp_path: Path) -> None:
    script = found(tmp_path, f"import no_such_module\n{HEAD}    run.name = 'a'\n")
    assert script
    with pytest.raises(SettingsError, match=r"scripts/mirror\.py, line 1: ModuleNotFoundError"):
        script.load()


def test_a_function_that_fails_is_an_error_with_its_line(tmp_path: Path, run: RunContent) -> None:
    with pytest.raises(SettingsError, match=r"scripts/mirror\.py, line 5: KeyError: 'mdoel'"):
        described(tmp_path, "run.name = run.params['mdoel']").load()(run)


def test_a_run_gets_a_name_of_the_projects_own(tmp_path: Path, run: RunContent) -> None:
    described(tmp_path, "run.name = f'{run.name} ({run.params[\"model\"]})'").load()(run)
    assert run.name == "baseline aaa (forest)"


@pytest.mark.parametrize(
    ("body", "tags", "artifacts"),
    [
        ("run.tags['team'] = 'x'", ("team",), ()),
        ("del run.tags['mlflow.note.content']", ("mlflow.note.content",), ()),
        ("run.artifacts['notes.md'] = run.snapshot.read('reports/notes.md')", (), ("notes.md",)),
        ("run.artifacts['x.md'] = run.snapshot.read('x.md')", (), ()),
    ],
    ids=["a new tag", "a tag that is taken away", "a file of the revision", "a file that it has not"],
)
def test_what_the_function_did_is_noted(
    tmp_path: Path, run: RunContent, body: str, tags: tuple[str, ...], artifacts: tuple[str, ...]
) -> None:
    script = described(tmp_path, body)
    script.load()(run)
    assert run.description == Description(script.digest, None, tags, artifacts)
    assert [run.artifacts[path] for path in artifacts] == [b"Good.\n"] * len(artifacts)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("run.name = ''", "a run's name is a text of at most 250 characters, not ''"),
        ("run.name = 5", "a run's name is a text of at most 250 characters, not 5"),
        ("run.tags['dvc.rev'] = 'bbb'", "the tag dvc.rev says what the run is, and cannot be changed"),
        ("run.tags = {}", "the tag dvc.rev says what the run is, and cannot be changed"),
        ("run.tags['mirror.state'] = 'x'", "the tag mirror.state says what the run is"),
        ("run.tags['epochs'] = 5", "a tag is a text, and epochs is 5"),
        ("run.artifacts['a'] = 'text'", "an artifact is bytes or None, and a is of type str"),
        ("run.artifacts['../a'] = b''", "an artifact's path is one inside of the run, not '../a'"),
        ("run.artifacts['/a'] = b''", "an artifact's path is one inside of the run, not '/a'"),
    ],
)
def test_what_a_run_cannot_hold_is_refused(tmp_path: Path, run: RunContent, body: str, problem: str) -> None:
    with pytest.raises(SettingsError) as refused:
        described(tmp_path, body).load()(run)
    assert f"scripts/mirror.py: describe: {problem}" in str(refused.value)


def test_the_script_is_found_by_its_path_whatever_else_is_called_scripts(
    tmp_path: Path, run: RunContent
) -> None:
    described(tmp_path, "run.name = __file__").load()(run)
    assert run.name == str(tmp_path / "scripts/mirror.py")
