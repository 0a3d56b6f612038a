"""Errors of trackers, as one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from ..addresses import redact_urls
from ..errors import LocatableError, StoreError


@contextmanager
def tracker_errors() -> Iterator[None]:
    """Turn whatever a tracker raises, whose errors have no type in common, into StoreError."""
    try:
        yield
    except LocatableError:
        raise
    except Exception as error:
        reason = redact_urls(" ".join(f"{type(error).__name__}: {error}".split()))
        raise StoreError(
            f"--to: {reason[:400]}", hint="nothing is lost, the next call goes on from here"
        ) from None
