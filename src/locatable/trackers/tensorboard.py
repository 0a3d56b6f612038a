"""Runs in TensorBoard: scalars, the HPARAMS page, and the note and all tags as text.

It has no place for files. Values are rounded to 32 bits, as TensorBoard's own scalars are.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.record_writer import RecordWriter

from ..mlflow.naming import Names
from .run import RULES, TrackedRun

# TensorBoard reads files that have this in their name.
EVENTS = "events.out.tfevents"


class TensorBoard:
    """A folder for `tensorboard --logdir`: a folder for each run, with one file that is named by the commit.

    Args:
        folder: which is created where there is none.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def complete_runs(self) -> set[str]:
        """Commits that have a file of events; see `Tracker`."""
        return {file.suffix.removeprefix(".") for file in self._folder.glob(f"*/{EVENTS}.*")}

    def write(self, run: TrackedRun) -> None:
        """Write a file, and give it its name when it is whole."""
        seconds = run.time // 1000
        short = run.rev[:7]
        # A folder is a run, and an experiment's name can be that of another baseline's, too.
        name = run.name if short in run.name else f"{run.name} {short}"
        folder = self._folder / Names(RULES.artifact, [name])[name]
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{run.rev}.partial"
        with partial.open("wb") as file:
            writer = RecordWriter(file)
            writer.write(Event(wall_time=seconds, file_version="brain.Event:2").SerializeToString())
            for event in _events(run):
                writer.write(event.SerializeToString())
        os.replace(partial, folder / f"{EVENTS}.{seconds}.{run.rev}")


def _events(run: TrackedRun) -> Iterator[Event]:
    seconds = run.time / 1000
    for summary in (hparams_pb(run.params, run.rev, seconds), *_texts(run)):
        yield Event(wall_time=seconds, summary=summary)
    for point in sorted(run.points, key=lambda point: (point.key, point.step)):
        yield Event(wall_time=point.time / 1000, step=point.step, summary=scalar_pb(point.key, point.value))


def _texts(run: TrackedRun) -> Iterator[Summary]:
    yield text_pb("note", run.note)
    for key, value in (run.tags | run.inputs).items():
        yield text_pb(f"tags/{key}", value)
    for path, content in run.artifacts.items():
        if path.startswith("mirror/"):
            yield text_pb(path, content.decode(errors="replace"))
