"""Every stage declares all modules of ours that it imports, or DVC misses a change: `locatable declare`."""

from pathlib import Path

import pytest
from locatable.testing import unchecked_stages, undeclared_imports

ROOT = Path(__file__).parents[1]


def test_stages_declare_what_they_import() -> None:
    missing = undeclared_imports(ROOT)
    assert not missing, "\n".join(missing)


def test_the_imports_of_every_stage_can_be_seen() -> None:
    """Those of a stage that starts Python in other ways are seen by `make reproduce` alone."""
    if unchecked := unchecked_stages(ROOT):
        pytest.skip("\n".join(unchecked))
