"""Which outputs a tolerance accepts although their bytes differ and they have no numbers: a model, for one.

All that can be said of such an output is what comes of it. It is accepted where every stage that reads it was
rebuilt, wrote nothing but what is as recorded or within the tolerance, and where numbers are among that.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ..dvc.stages import Stage
from .comparison import OutputVerdict, Verdict
from .inputs import overlaps


def accept_by_what_follows(
    verdicts: Sequence[OutputVerdict], stages: Sequence[Stage], has_numbers: Callable[[Path], bool]
) -> list[OutputVerdict]:
    """The verdicts of a proof with a tolerance, once all its stages have run.

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
                readers = [each for each in stages if overlaps(verdict.path, each.input_paths)]
                if _all_within(readers, judged, has_numbers):
                    judged[position] = replace(verdict, verdict=Verdict.NUMBERS_AFTER)
    return judged


def _all_within(
    readers: list[Stage], verdicts: list[OutputVerdict], has_numbers: Callable[[Path], bool]
) -> bool:
    """Whether stages wrote what is as recorded, and numbers among it."""
    addresses = {reader.address for reader in readers}
    after = [verdict for verdict in verdicts if verdict.stage in addresses]
    if addresses != {verdict.stage for verdict in after}:
        return False  # one of them was not rebuilt, or writes nothing: nobody knows
    if not all(verdict.as_recorded for verdict in after):
        return False
    return any(verdict.verdict is Verdict.NUMBERS_AFTER or has_numbers(verdict.path) for verdict in after)
