"""What all tests of the package need."""

import os
from pathlib import Path

# Some tests ask a fresh interpreter what it imports; it, too, is to find the sources.
os.environ["PYTHONPATH"] = str(Path(__file__).parents[2] / "src")
