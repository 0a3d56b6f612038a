"""Every stage declares all modules of ours that it imports, or DVC misses a change: `locatable declare`."""

from pathlib import Path

import pytest
from locatable.testing import unchecked_stages, undeclared_imports

ROOT = Path(__file__).parents[1]


def test_stages_declare_what_they_import() -> None:
    """Imports of stages that start Python in other ways are seen by `make reproduce` alone."""
    missing = undeclared_imports(ROOT)
    assert not missing, "\n".join(missing)
    if unchecked := unchecked_stages(ROOT):
        pytest.skip("\n".join(unchecked))
