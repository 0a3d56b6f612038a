"""Which locks a project has, what each of them pins, and how a change of them is said."""

import shutil

import pytest

from locatable.commands.resolution import (
    Change,
    Lock,
    added_blocks,
    compare,
    keep_if_equal,
    oldest_python,
    plan_locks,
    read_locks,
    resolve,
    write_locks,
)
from locatable.errors import ProjectError

PYPROJECT = """
[project]
name = "study"
version = "0.1.0"
requires-python = ">=3.11,<3.14"
dependencies = []
[project.optional-dependencies]
ray = ["ray"]
[dependency-groups]
dev = []
tools = []
"""


def block(name: str, version: str, digest: str = "0", marker: str = "") -> str:
    """What a lock says of a package."""
    return f"{name}=={version}{marker} \\\n    --hash=sha256:{digest} \\\n    --hash=sha256:{digest}1\n"


def test_each_lock_leaves_out_what_the_one_below_it_pins():
    assert plan_locks(PYPROJECT) == [
        Lock("requirements.lock", ()),
        Lock("tools.lock", ("--group", "tools", "--group", "dev"), "requirements.lock"),
        Lock("extras/ray.lock", ("--group", "tools", "--group", "dev", "--extra", "ray"), "tools.lock"),
    ]


def test_a_project_without_groups_and_extras_has_two_locks():
    assert plan_locks("[project]\nname = 'x'\n") == [
        Lock("requirements.lock", ()),
        Lock("tools.lock", (), "requirements.lock"),
    ]


def test_a_pyproject_that_is_no_toml_is_named():
    with pytest.raises(ProjectError, match=r"^pyproject\.toml: "):
        plan_locks("[project\n")


@pytest.mark.parametrize(
    ("bound", "version"), [(">=3.11,<3.14", "3.11"), ("<4, >= 3.12", "3.12"), ("==3.12.*", ""), ("", "")]
)
def test_the_oldest_python_is_the_lower_bound(bound, version):
    assert oldest_python(f'[project]\nrequires-python = "{bound}"\n') == version


def test_a_package_that_the_base_pins_in_the_same_way_is_left_out():
    base = block("numpy", "2.4")
    assert added_blocks(base, base + block("optuna", "5.0")) == block("optuna", "5.0")


def test_a_package_with_another_marker_stays():
    here = block("tzdata", "1", marker=" ; sys_platform == 'win32'")
    assert added_blocks(block("tzdata", "1"), here) == here


def test_nothing_is_said_of_equal_locks():
    assert compare(block("numpy", "2.4"), block("numpy", "2.4")) == []


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        (block("pandas", "3.0.1"), block("pandas", "3.0.2"), "pandas 3.0.1 -> 3.0.2"),
        ("", block("xxhash", "4.1"), "xxhash 4.1 added"),
        (block("xxhash", "4.1"), "", "xxhash 4.1 removed"),
        (block("xxhash", "4.1", "a"), block("xxhash", "4.1", "b"), "xxhash 4.1 has other hashes"),
        (
            block("numpy", "2.4"),
            block("numpy", "2.4", marker=" ; python_version < '3.12'") + block("numpy", "2.5"),
            "numpy 2.4 -> 2.4, 2.5",
        ),
    ],
)
def test_a_change_is_said_by_package(before, after, sentence):
    assert [change.sentence() for change in compare(before, after)] == [sentence]


def test_an_extra_in_a_pin_is_not_part_of_its_name():
    assert compare("", "locatable[mlflow]==0.2.0 \\\n    --hash=sha256:0\n") == [
        Change("locatable", (), ("0.2.0",))
    ]


def test_a_lock_in_another_order_keeps_its_text():
    before = block("optuna", "5.0") + block("numpy", "2.4")
    assert keep_if_equal(before, block("numpy", "2.4") + block("optuna", "5.0")) == before


def test_a_lock_that_pins_something_else_is_new():
    after = block("numpy", "2.5")
    assert keep_if_equal(block("numpy", "2.4"), after) == after


def test_locks_of_extras_that_are_gone_are_deleted(tmp_path):
    (tmp_path / "extras").mkdir()
    (tmp_path / "extras/old.lock").write_text("")
    write_locks(tmp_path, read_locks(tmp_path), {"requirements.lock": "", "extras/ray.lock": ""})
    assert sorted(read_locks(tmp_path)) == ["extras/ray.lock", "requirements.lock"]


def test_without_uv_the_line_says_how_to_get_it(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ProjectError, match="uv, which is not installed"):
        resolve(tmp_path)


def test_without_a_pyproject_the_line_says_where(tmp_path):
    with pytest.raises(ProjectError, match=r"has no pyproject\.toml"):
        resolve(tmp_path)


def test_what_cannot_be_resolved_is_said_in_one_line_and_changes_no_lock(tmp_path):
    text = PYPROJECT.replace("dependencies = []", 'dependencies = ["study-that-nobody-published>=1"]')
    (tmp_path / "pyproject.toml").write_text(text)
    (tmp_path / "requirements.lock").write_text("numpy==2.4\n")
    with pytest.raises(ProjectError) as caught:
        resolve(tmp_path)
    assert str(caught.value).startswith("pyproject.toml cannot be resolved, and no lock was changed: ")
    assert "\n" not in str(caught.value)


@pytest.fixture
def compiled(monkeypatch):
    """What uv would write for any lock of a project."""
    text = "numpy==2.4.0 \\\n    --hash=sha256:00\n"
    monkeypatch.setattr(
        "locatable.commands.resolution._compile", lambda project, options, output: output.write_text(text)
    )


def test_a_project_of_conda_gets_locks_of_its_tools_alone(tmp_path, compiled):
    (tmp_path / "pyproject.toml").write_text("[project]\ndependencies = ['numpy']\n")
    (tmp_path / "conda-lock.yml").write_text("version: 1\n")
    assert list(resolve(tmp_path)) == ["tools.lock"]


def test_a_project_with_both_locks_keeps_both(tmp_path, compiled):
    (tmp_path / "pyproject.toml").write_text("[project]\ndependencies = ['numpy']\n")
    for name in ("conda-lock.yml", "requirements.lock"):
        (tmp_path / name).write_text("")
    assert list(resolve(tmp_path)) == ["requirements.lock", "tools.lock"]
