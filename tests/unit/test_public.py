"""What `import locatable` offers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import locatable


@pytest.mark.parametrize("name", locatable.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(locatable, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'locatable' has no attribute 'nothing'"):
        locatable.nothing  # noqa: B018 (asking is the test)


def test_completion_shows_what_is_public() -> None:
    assert dir(locatable) == sorted(locatable.__all__)


def printed(code: str) -> str:
    """What a new Python process prints."""
    source = str(Path(locatable.__file__).parents[1])
    env = {**os.environ, "PYTHONPATH": source}
    return subprocess.run(
        (sys.executable, "-c", code), env=env, capture_output=True, text=True, check=True
    ).stdout


def test_importing_the_package_imports_nothing_else_of_it() -> None:
    imported = "[name for name in sys.modules if name.startswith('locatable.')]"
    assert printed(f"import sys, locatable; print({imported})") == "[]\n"


def test_reading_coordinates_imports_no_dvc() -> None:
    code = "import sys; from locatable import read_coordinates; print('dvc' in sys.modules)"
    assert printed(code) == "False\n"
