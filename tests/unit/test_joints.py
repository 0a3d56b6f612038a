"""Joints with other tools: what their modules say of themselves, and the page that has a row for each."""

import fnmatch
import re
from pathlib import Path

import pytest

from tools.joints import FOLDER, Joint, is_good, outcome, read_joint, read_joints

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs/ecosystem.md"
JOINTS = read_joints()
EXAMPLES = sorted((REPOSITORY / "examples").rglob("*.py"))
SMALL = [joint for joint in JOINTS if joint.small]
MODULE = """# /// script
# dependencies = ["tool==1.2", "other>=3"]
#
# [tool.joint]
# question = "Tracking"
# tool = "Tool"
# joint = "src/tool.py"
# small = true
# ///
"""


@pytest.fixture
def joint(tmp_path: Path) -> Joint:
    (tmp_path / "test_tool.py").write_text(MODULE)
    return read_joint(tmp_path / "test_tool.py")


def section(question: str) -> str:
    """What the page says about a question."""
    return PAGE.read_text().partition(f"\n## {question}")[2].partition("\n## ")[0]


def names(joints: list[Joint]) -> list[str]:
    return [joint.name for joint in joints]


def test_a_module_says_which_tool_it_is_about(joint: Joint) -> None:
    assert (joint.question, joint.tool, joint.joint, joint.small) == ("Tracking", "Tool", "src/tool.py", True)


def test_the_version_is_that_of_the_first_package(joint: Joint) -> None:
    assert joint.version == "tool 1.2"


def test_a_module_without_metadata_is_named(tmp_path: Path) -> None:
    (tmp_path / "test_tool.py").write_text('"""No metadata."""\n')
    with pytest.raises(ValueError, match=r"test_tool\.py: no inline script metadata"):
        read_joint(tmp_path / "test_tool.py")


def test_a_result_is_what_pytest_counts_or_the_reason_that_there_is_none() -> None:
    assert outcome("..s\n3 passed, 1 skipped, 2 warnings in 1.20s\n", "") == "3 passed, 1 skipped"
    assert outcome("", "error: no wheel\nmore\n") == "failed: error: no wheel"


@pytest.mark.parametrize("result", ["1 failed, 2 passed", "1 error", "2 skipped", "failed: no wheel"])
def test_a_joint_that_did_not_pass_is_not_good(result: str) -> None:
    assert not is_good(result)


@pytest.mark.parametrize("joint", JOINTS, ids=names(JOINTS))
def test_a_joint_is_pinned_has_a_row_below_its_question_and_runs_when_it_changes(joint: Joint) -> None:
    assert all("==" in dependency for dependency in joint.dependencies[:1])
    rows = re.findall(rf"^\| {re.escape(joint.tool)} \|.*\|$", section(joint.question), re.MULTILINE)
    assert [joint.path.name in row and joint.joint in row for row in rows] == [True]
    assert (REPOSITORY / joint.joint).exists()
    workflow = (REPOSITORY / ".github/workflows/joints.yml").read_text()
    paths = re.findall(r"^      - (\S+)$", workflow, re.MULTILINE)
    assert any(fnmatch.fnmatch(joint.joint, path) for path in paths)


@pytest.mark.parametrize("joint", SMALL, ids=names(SMALL))
def test_what_a_small_one_needs_is_installed_for_all_tests(joint: Joint) -> None:
    needed = (REPOSITORY / "requirements.in").read_text().splitlines()
    packages = {re.split(r"[<>=\[]", line)[0] for line in needed}
    assert {re.split(r"[<>=\[]", dependency)[0] for dependency in joint.dependencies} <= packages


@pytest.mark.parametrize("example", EXAMPLES, ids=[path.name for path in EXAMPLES])
def test_an_example_is_short_and_has_a_joint_that_runs_it(example: Path) -> None:
    """A network has its checkpoints with it, and is the project's own code once it is copied."""
    most = 100 if example.parent.name == "frameworks" else 80
    assert len(example.read_text().splitlines()) <= most
    assert str(example.relative_to(REPOSITORY)) in [joint.joint for joint in JOINTS]


def test_the_page_links_no_joint_that_does_not_exist() -> None:
    linked = re.findall(r"\(\.\./tests/joints/(\w+\.py)\)", PAGE.read_text())
    assert sorted(linked) == sorted(path.name for path in FOLDER.glob("test_*.py"))
