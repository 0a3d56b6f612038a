"""Recorded outputs to compare with: those of Git are set aside, those of DVC fetched when they are needed."""

import contextlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from ..clones.checkout import Checkout
from ..clones.recorded_data import fetch
from ..errors import CannotTryError
from ..model import Output
from .contents import can_be_compared, compare_contents
from .differences import Differences


@dataclass(frozen=True)
class RecordedOutputs:
    """Copies of recorded outputs.

    Attributes:
        checkout: the clean clone.
        folder: for the copies.
        rtol: relative difference up to which numbers count as equal.
    """

    checkout: Checkout
    folder: Path
    rtol: float
    _known: dict[tuple[str, str], Differences | None] = field(default_factory=dict)

    def set_aside(self, output: Output) -> Path | None:
        """Take an output out of the clone; returns where it is then, None where there is none."""
        place = self.checkout.path_of(output.path)
        if not place.exists():
            remove(place)  # a link to nowhere
            return None
        copy = self._copy_of(output)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(place, copy)
        return copy

    def differences(self, output: Output, rebuilt: str) -> Differences | None:
        """Return how the output in the clone differs from the recorded one.

        Args:
            output: the output.
            rebuilt: its hash; a diagnosis rebuilds the same bytes again and again.

        Returns:
            None where the recorded output cannot be had.
        """
        key = (output.path, rebuilt)
        if key not in self._known:
            self._known[key] = self._compare(output)
        return self._known[key]

    def _compare(self, output: Output) -> Differences | None:
        if not output.recorded:
            return None
        place = self.checkout.path_of(output.path)
        if not can_be_compared(place):
            # There is no need to have the recorded one.
            found = Differences(self.rtol)
            found.add_opaque(output.path)
            return found
        copy = self._copy_of(output)
        if output.cached and not copy.exists():
            with contextlib.suppress(CannotTryError):
                fetch(self.checkout, output, copy)
        return compare_contents(copy, place, self.rtol) if copy.exists() else None

    def _copy_of(self, output: Output) -> Path:
        return self.folder / output.path


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
