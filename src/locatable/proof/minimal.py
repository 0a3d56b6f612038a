"""Find a smallest set of inputs that makes a stage do as it should."""

from collections.abc import Callable, Sequence

from .inputs import Input, mentioned

Suffices = Callable[[list[Input]], bool]


def minimal_inputs(pool: Sequence[Input], text: str, suffices: Suffices) -> list[Input] | None:
    """Find inputs none of which can be left out.

    Args:
        pool: what the stage can be given.
        text: what it printed, and its code; what is mentioned there is tried first.
        suffices: runs the stage with some of them and says whether all is well.

    Returns:
        None if not even all of them suffice.
    """
    likely = [item for item in pool if mentioned(item, text)]
    for candidates in (likely, list(pool)):
        if candidates and suffices(candidates):
            return _fewest([], candidates, suffices)
    return None


def _fewest(given: list[Input], pool: list[Input], suffices: Suffices) -> list[Input]:
    """Return the part of `pool` that is needed beside `given`; all of both suffices.

    This is QuickXplain (Junker, 2004): some 2 log2(n) runs for each of the few inputs that matter.
    """
    if given and suffices(given):
        return []
    if len(pool) == 1:
        return pool
    half = len(pool) // 2
    left, right = pool[:half], pool[half:]
    from_left = _fewest(given + right, left, suffices)
    from_right = _fewest(given + from_left, right, suffices)
    return from_left + from_right
