"""How far numbers may be apart, and what that means for outputs that have none, such as a model.

All that can be said of such an output is what comes of it. Where its bytes differ it is accepted if every
stage that reads it was rebuilt, wrote nothing but what is as recorded or within the tolerance, and if
numbers are among that.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import SettingsError, UsageError
from ..model import Stage, overlaps
from ..repository.project import read_settings
from .comparison import OutputVerdict, Verdict
from .differences import is_number

EXPECTED = "a relative difference is a number from 0 to below 1, such as 1e-9"


def choose_rtol(root: Path, asked: float | None) -> float:
    """The tolerance that a command asks for, else that of `[tool.locatable]` in pyproject.toml, else none.

    Args:
        root: the DVC root.
        asked: what the command line says.

    Raises:
        UsageError: the command line asks for something that is no tolerance.
        SettingsError: pyproject.toml does.
    """
    if asked is not None:
        if not _is_tolerance(asked):
            raise UsageError(f"--rtol {asked}: {EXPECTED}")
        return asked
    written = read_settings(root).get("rtol", 0.0)
    if not _is_tolerance(written):
        raise SettingsError(f"{root / 'pyproject.toml'}: rtol = {written!r} of [tool.locatable]: {EXPECTED}")
    return float(written)


def _is_tolerance(value: Any) -> bool:
    # One would accept any number for any other of its sign.
    return is_number(value) and 0 <= value < 1


def accept_by_what_follows(
    verdicts: Sequence[OutputVerdict], stages: Sequence[Stage], has_numbers: Callable[[str], bool]
) -> list[OutputVerdict]:
    """Return the verdicts of a proof with a tolerance, once all its stages have run.

    Args:
        verdicts: one for each output.
        stages: all stages of the revision, each after those that it depends on.
        has_numbers: whether numbers can be read from the output at a path.
    """
    judged = list(verdicts)
    # The last ones first: a model can be made of a model.
    for stage in reversed(stages):
        for position, verdict in enumerate(judged):
            if verdict.stage == stage.address and verdict.only_opaque:
                readers = [each for each in stages if overlaps(verdict.output, each.deps)]
                if _all_within(readers, judged, has_numbers):
                    judged[position] = replace(verdict, verdict=Verdict.NUMBERS_AFTER)
    return judged


def _all_within(
    readers: list[Stage], verdicts: list[OutputVerdict], has_numbers: Callable[[str], bool]
) -> bool:
    """Return whether stages wrote what is as recorded, and numbers among it."""
    addresses = {reader.address for reader in readers}
    after = [verdict for verdict in verdicts if verdict.stage in addresses]
    if addresses != {verdict.stage for verdict in after}:
        return False  # one of them was not rebuilt, or writes nothing: nobody knows
    if not all(verdict.as_recorded for verdict in after):
        return False
    return any(verdict.verdict is Verdict.NUMBERS_AFTER or has_numbers(verdict.output) for verdict in after)
