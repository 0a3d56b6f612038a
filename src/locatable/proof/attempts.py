"""Runs a stage of a proof, under any conditions, and compares what it writes with what is recorded."""

import contextlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..clones.checkout import Checkout
from ..clones.recorded_data import fetch
from ..errors import DISK_FULL, CannotTryError, disk_full
from ..model import Output, Stage, is_inside
from .comparison import Differences, OutputVerdict, can_be_compared, compare, compare_contents
from .environment import current_programs, packages_not_as_locked
from .inputs import Input, InputKind, text_of, undeclared_inputs, undeclared_sentence
from .sandbox import USUAL, Conditions, Sandbox, run_stage


@dataclass(frozen=True)
class RecordedOutputs:
    """Recorded outputs to compare with: those of Git are set aside, those of DVC fetched when needed.

    Attributes:
        checkout: the clean clone.
        folder: for the copies.
        rtol: relative difference up to which numbers count as equal.
    """

    checkout: Checkout
    folder: Path
    rtol: float
    # A diagnosis rebuilds the same bytes again and again.
    _known: dict[tuple[str, str], Differences | None] = field(default_factory=dict)

    def set_aside(self, output: Output) -> Path | None:
        """Take an output out of the clone; returns where it is then, None where there is none."""
        place = self.checkout.path_of(output.path)
        if not place.exists():
            remove(place)  # a link to nowhere
            return None
        copy = self.folder / output.path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(place, copy)
        return copy

    def differences(self, output: Output, rebuilt: str) -> Differences | None:
        """Return how the output in the clone differs from the recorded one.

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
            return Differences(self.rtol, opaque=[output.path])
        copy = self.folder / output.path
        if output.cached and not copy.exists():
            with contextlib.suppress(CannotTryError):
                fetch(self.checkout, output, copy)
        return compare_contents(copy, place, self.rtol) if copy.exists() else None


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Attempt:
    """The outcome of one run of a stage.

    Attributes:
        exit_code: of the last command that ran.
        printed: the end of what it printed.
        verdicts: one for each output.
        seconds: how long it took.
    """

    exit_code: int
    printed: str
    verdicts: tuple[OutputVerdict, ...]
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """True if a command of the stage failed."""
        return self.exit_code != 0

    @property
    def wrong(self) -> list[OutputVerdict]:
        """The verdicts on outputs that are not as recorded."""
        return [verdict for verdict in self.verdicts if not verdict.as_recorded]

    @property
    def hashes(self) -> Mapping[str, str | None]:
        """Hash of each output by its path, None where the stage did not write it."""
        return {verdict.output: verdict.rebuilt for verdict in self.verdicts}

    def unlike(self, other: "Attempt") -> list[str]:
        """Return paths of the outputs that came out differently in another attempt."""
        theirs = other.hashes
        return [path for path, rebuilt in self.hashes.items() if rebuilt != theirs[path]]


@dataclass(frozen=True)
class StageRunner:
    """Runs one stage again and again, and knows what could make a difference to it.

    Attributes:
        stage: a stage of the checkout.
        checkout: the clean clone, with every dependency of the stage in place.
        sandbox: where to run.
        recorded: recorded outputs, to compare with.
        taken_as_recorded: what DVC holds and no stage of the proof writes.
        kept: copies of the stage's recorded persistent outputs by path, as far as they can be had.
    """

    stage: Stage
    checkout: Checkout
    sandbox: Sandbox
    recorded: RecordedOutputs
    taken_as_recorded: tuple[Output, ...]
    kept: Mapping[str, Path] = field(default_factory=dict)

    def attempt(self, conditions: Conditions = USUAL) -> Attempt:
        """Run the stage; its outputs are then in the clone.

        Raises:
            CannotTryError: a disk is full.
        """
        done = run_stage(self.stage, self.checkout, self.sandbox, conditions)
        if done.exit_code and DISK_FULL.search(done.printed):
            raise CannotTryError(f"{self.stage.address}: {disk_full()}")
        verdicts = []
        for output in self.stage.outs.values():
            place = self.checkout.path_of(output.path)
            remove(place)
            written = done.tree / place.relative_to(self.checkout.tree)
            # What a failed command leaves behind is no output.
            if written.exists() and not done.exit_code:
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(written, place)
            rebuilt = self.checkout.hash_of(output.path)
            differences = None
            if rebuilt is not None and rebuilt != output.recorded:
                differences = self.recorded.differences(output, rebuilt)
            verdicts.append(compare(self.stage.address, output, rebuilt, differences))
        shutil.rmtree(done.folder, ignore_errors=True)
        return Attempt(done.exit_code, done.printed, tuple(verdicts), done.seconds)

    def text(self) -> str:
        """Return the commands of the stage and the text of all files that it declares."""
        return text_of(self.stage, self.checkout.root)

    def undeclared(self, text: str) -> list[Input]:
        """Return what the stage could be given beyond its declarations; fetches what DVC holds of it."""
        for output in self.taken_as_recorded:
            # DVC would ask servers for what is outside of the project.
            if not is_inside(output.path) or self.checkout.exists(output.path):
                continue
            # What cannot be had was not what the stage used.
            with contextlib.suppress(CannotTryError):
                fetch(self.checkout, output)
        return undeclared_inputs(self.stage, self.checkout, text)

    def sentence(self, item: Input) -> str:
        """Return what the user reads about an undeclared input that the stage needs."""
        return undeclared_sentence(self.stage, item, self.checkout.tree, self.checkout.root)

    def own_outputs(self) -> list[Input]:
        """Return recorded outputs that the stage would find where it ran last (`persist: true`)."""
        inputs = []
        for path, copy in self.kept.items():
            place = self.checkout.path_of(path)
            name = place.relative_to(self.checkout.tree)
            inputs.append(Input(InputKind.FILE, str(name), copy))
        return inputs

    def missing(self, text: str) -> str:
        """Return a remark on what a text names and the clone lacks; empty where that is nothing."""
        remark = ""
        for path, problem in self.checkout.missing_contents().items():
            if path in text:
                remark += f"; {problem}"
        return remark

    def path_of(self, path: str) -> Path:
        """Return where an output of the stage is."""
        return self.checkout.path_of(path)

    def other_programs(self) -> Path | None:
        """Return the folder of programs installed here, None where the stage uses it already."""
        here = current_programs()
        return None if here == self.sandbox.programs else here

    def packages_not_as_locked(self, text: str) -> str:
        """Return packages that are installed here otherwise than in the environment of the stage."""
        return packages_not_as_locked(self.sandbox.programs, text)
