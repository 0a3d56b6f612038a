"""The version of the package is the one that the repository's documents name."""

import re
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def version() -> str:
    """The version, as `src/locatable/__init__.py` spells it."""
    source = (REPOSITORY / "src/locatable/__init__.py").read_text()
    (found,) = re.findall(r'^__version__ = "(.+)"$', source, re.MULTILINE)
    return found


def test_the_citation_names_the_version_of_the_package(version):
    assert yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())["version"] == version


def test_the_topmost_heading_of_the_changelog_names_the_version_of_the_package(version):
    headings = re.findall(r"^## \[(.+?)\]", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == version


def test_every_version_of_the_changelog_has_a_link():
    text = (REPOSITORY / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert re.findall(r"^\[(.+?)\]: https://", text, re.MULTILINE) == headings
