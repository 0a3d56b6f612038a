"""What GitHub, pre-commit and people who cite or contribute read at the root of the repository."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
WORKFLOWS = REPOSITORY / ".github/workflows"
PAGES = ["CONTRIBUTING.md", "CHANGELOG.md"]
FORMS = ["bug.yml", "feature.yml"]


def load(path: str) -> dict[str, Any]:
    """A YAML file of the repository."""
    return yaml.safe_load((REPOSITORY / path).read_text())


@pytest.fixture(scope="module")
def steps() -> list[dict[str, Any]]:
    """The steps of the workflow's only job."""
    (job,) = load(".github/workflows/ci.yml")["jobs"].values()
    return job["steps"]


def test_the_citation_has_what_its_format_requires_and_names_the_holder_of_the_licence():
    citation = load("CITATION.cff")
    assert all(citation[key] for key in ("cff-version", "message", "title", "authors"))
    (author,) = citation["authors"]
    assert f" {author['name']}\n" in (REPOSITORY / "LICENSE").read_text()


def test_the_workflow_runs_what_ci_runs(steps):
    assert "bash .ci/run" in [step.get("run") for step in steps]


def test_the_workflow_pins_its_actions_to_commits_as_generated_projects_do(steps):
    actions = {step["uses"] for step in steps if "uses" in step}
    assert all(re.search(r"@[0-9a-f]{40}$", action) for action in actions)
    generated = (REPOSITORY / "{{cookiecutter.project_slug}}/.github/workflows/ci.yml").read_text()
    assert actions <= set(re.findall(r"uses: (\S+)", generated))


def test_a_security_linter_finds_nothing_in_the_workflow():
    zizmor = Path(sys.executable).with_name("zizmor")
    command = [zizmor, "--offline", "--no-progress", WORKFLOWS]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_issue_form_is_tested_here():
    forms = {path.name for path in (REPOSITORY / ".github/ISSUE_TEMPLATE").iterdir()}
    assert forms == {*FORMS, "config.yml"}


@pytest.mark.parametrize("form", FORMS)
def test_an_issue_form_has_what_github_requires_and_fields_with_ids_of_their_own(form):
    loaded = load(f".github/ISSUE_TEMPLATE/{form}")
    assert all(loaded[key] for key in ("name", "description", "body"))
    ids = [field["id"] for field in loaded["body"]]
    assert len(ids) == len(set(ids))


def test_a_bug_report_asks_for_the_versions():
    labels = [field["attributes"]["label"] for field in load(".github/ISSUE_TEMPLATE/bug.yml")["body"]]
    assert {"locatable --version", "dvc doctor"} <= set(labels)


def test_dependabot_finds_the_workflows_of_the_repository_and_of_generated_projects():
    (update,) = load(".github/dependabot.yml")["updates"]
    # What it calls the root stands for the workflows there.
    folders = [".github/workflows" if name == "/" else name.lstrip("/") for name in update["directories"]]
    found = {path for folder in folders for path in REPOSITORY.glob(f"{folder}/*.yml")}
    assert {path.name for path in found} == {"ci.yml", "documents.yml", "joints.yml"}
    for path in found:
        jobs = yaml.safe_load(path.read_text())["jobs"].values()
        steps = [step for job in jobs for step in job["steps"] if "uses" in step]
        assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", step["uses"]) for step in steps)
    assert len(found) == 4


def test_pre_commit_downloads_no_hook():
    assert [repo["repo"] for repo in load(".pre-commit-config.yaml")["repos"]] == ["local"]


@pytest.mark.parametrize("page", PAGES)
def test_links_of_a_page_lead_to_files(page):
    links = re.findall(r"\]\(([^)#]+)", (REPOSITORY / page).read_text())
    local = [link for link in links if not link.startswith("https://")]
    assert [link for link in local if not (REPOSITORY / link).exists()] == []


def test_every_target_that_contributing_names_is_in_the_makefile():
    page = (REPOSITORY / "CONTRIBUTING.md").read_text()
    makefile = (REPOSITORY / "Makefile").read_text()
    named = re.findall(r"(?:^|`)make ([\w-]+)", page, re.MULTILINE)
    targets = re.findall(r"^([\w-]+):", makefile, re.MULTILINE)
    assert set(named) - set(targets) == set()
