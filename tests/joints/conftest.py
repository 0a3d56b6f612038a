"""Which joints pytest collects, and what they need.

`make joints` gives each an environment of its own. Any other run of pytest collects those that need nothing
large, where their tool is installed: requirements.in names it.
"""

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools.joints import Joint, read_joint

# Commands that a test starts are to find the sources, too.
os.environ["PYTHONPATH"] = str(Path(__file__).parents[2] / "src")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out joints whose tool is not here, or that are large and were not asked for by name."""
    if not collection_path.name.startswith("test_"):
        return None
    joint = read_joint(collection_path)
    asked_for = any(str(argument).endswith(collection_path.name) for argument in config.args)
    if is_installed(joint) and (joint.small or asked_for):
        return None
    return True


def is_installed(joint: Joint) -> bool:
    """Whether all packages of a joint are here, whatever their versions."""
    try:
        for dependency in joint.dependencies:
            version(Requirement(dependency).name)
    except PackageNotFoundError:
        return False
    return True
