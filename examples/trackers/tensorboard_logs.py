"""Write the DVC experiments of a project as logs of TensorBoard: scalars, the HPARAMS page, notes and tags.

TensorBoard cannot store files, and rounds values to 32 bits. In the folder of a DVC project:

    python tensorboard_logs.py FOLDER
    tensorboard --logdir FOLDER

The name of each log contains its commit, so repeating the first command only adds new experiments.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.record_writer import RecordWriter

from locatable import TrackedRun, tracked_runs

# TensorBoard reads files whose names contain this.
EVENTS = "events.out.tfevents"


def known(folder: Path) -> set[str]:
    """Return the commits that have a complete log."""
    return {file.suffix.removeprefix(".") for file in folder.glob(f"*/{EVENTS}.*")}


def write(run: TrackedRun, folder: Path) -> None:
    """Write a log under a temporary name, and rename it when it is complete."""
    seconds = run.time // 1000
    # TensorBoard shows each folder as a run. Experiments of different baselines can have the same name.
    name = run.name if run.rev[:7] in run.name else f"{run.name[:100]} {run.rev[:7]}"
    place = folder / re.sub(r"[^-.=@ \w]", "_", name)
    place.mkdir(parents=True, exist_ok=True)
    partial = place / f"{run.rev}.partial"
    with partial.open("wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=seconds, file_version="brain.Event:2").SerializeToString())
        for event in events(run):
            writer.write(event.SerializeToString())
    partial.replace(place / f"{EVENTS}.{seconds}.{run.rev}")


def events(run: TrackedRun) -> Iterator[Event]:
    """Yield the events of a log."""
    seconds = run.time / 1000
    for summary in (hparams_pb(run.params, run.rev, seconds), *texts(run)):
        yield Event(wall_time=seconds, summary=summary)
    for point in run.points:
        yield Event(wall_time=point.time / 1000, step=point.step, summary=scalar_pb(point.key, point.value))


def texts(run: TrackedRun) -> Iterator[Summary]:
    """Yield the note, tags, hashes, and the names and values that had to be changed, as they are in Git."""
    yield text_pb("note", run.note)
    for key, value in (run.tags | run.inputs).items():
        yield text_pb(f"tags/{key}", value)
    for path, content in run.artifacts.items():
        if path.startswith("mirror/"):
            yield text_pb(path, content.decode(errors="replace"))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    if not folder.exists():
        folder.mkdir(parents=True)
        for hidden in (".gitignore", ".dvcignore"):
            Path(folder, hidden).write_text("*\n")
    for run in tracked_runs(known=known(folder)):
        write(run, folder)
        print(f"wrote {run.name}")
