"""Run a stage of a proof, under any conditions, and compare what it writes with what is recorded."""

import contextlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ..clones.checkout import Checkout
from ..clones.recorded_data import fetch
from ..errors import DISK_FULL, CannotTryError, disk_full
from ..model import Output, Stage, is_inside
from .comparison import OutputVerdict, Rebuilt, compare
from .conditions import Hashes
from .environment import current_programs
from .inputs import Input, InputKind, text_of, undeclared_inputs, undeclared_sentence
from .installed import packages_not_as_locked
from .recorded import RecordedOutputs, remove
from .sandbox import RunOptions, Sandbox, run_stage

PLAIN = RunOptions()


@dataclass(frozen=True)
class Attempt:
    """What came of one run of a stage.

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
        """Whether a command of the stage failed."""
        return self.exit_code != 0

    @property
    def as_recorded(self) -> bool:
        """Whether nothing is wrong with any output."""
        return all(verdict.as_recorded for verdict in self.verdicts)

    @property
    def hashes(self) -> Hashes:
        """Hash of each output by its name, None where the stage did not write it."""
        return {verdict.output: verdict.rebuilt for verdict in self.verdicts}

    def unlike(self, other: "Attempt") -> list[str]:
        """Return names of the outputs that came out differently in another attempt."""
        theirs = other.hashes
        return [name for name, rebuilt in self.hashes.items() if rebuilt != theirs[name]]


class Runner(Protocol):
    """Runs one stage again and again, and knows what could make a difference to it."""

    @property
    def stage(self) -> Stage:
        """The stage that it runs."""

    def attempt(self, options: RunOptions = PLAIN) -> Attempt:
        """Run the stage; its outputs are then in the clone."""

    def text(self) -> str:
        """Return the commands of the stage and the text of all files that it declares."""

    def undeclared(self, text: str) -> list[Input]:
        """Return what the stage could be given beyond its declarations."""

    def sentence(self, item: Input) -> str:
        """Return what the user reads about an undeclared input that the stage needs."""

    def own_outputs(self) -> list[Input]:
        """Return recorded outputs that the stage would find where it ran last (`persist: true`)."""

    def missing(self, text: str) -> str:
        """Return a remark on what a text names and the clone lacks; empty where that is nothing."""

    def path_of(self, path: str) -> Path:
        """Return where an output of the stage is."""

    def other_programs(self) -> Path | None:
        """Return the folder of programs installed here, None where the stage uses it already."""

    def packages_not_as_locked(self, text: str) -> str:
        """Return packages that are installed here otherwise than in the environment of the stage."""


@dataclass(frozen=True)
class StageRunner:
    """The runner of a proof, see `Runner`.

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

    def attempt(self, options: RunOptions = PLAIN) -> Attempt:
        """Run the stage; its outputs are then in the clone."""
        done = run_stage(self.stage, self.checkout, self.sandbox, options)
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
            verdicts.append(compare(self.stage.address, output, self._rebuilt(output)))
        shutil.rmtree(done.folder, ignore_errors=True)
        return Attempt(done.exit_code, done.printed, tuple(verdicts), done.seconds)

    def _rebuilt(self, output: Output) -> Rebuilt:
        found = self.checkout.hash_of(output.path)
        if found is None or found == output.recorded:
            return Rebuilt(found)
        return Rebuilt(found, self.recorded.differences(output, found))

    def not_tried(self) -> tuple[OutputVerdict, ...]:
        """Return verdicts on the outputs of a stage that is not run."""
        return tuple(compare(self.stage.address, output, None) for output in self.stage.outs.values())

    def text(self) -> str:
        """Return the commands of the stage and the text of all files that it declares."""
        return text_of(self.stage, self.checkout.root)

    def undeclared(self, text: str) -> list[Input]:
        """Return what the stage could be given beyond its declarations; fetches what DVC holds of it."""
        for output in self.taken_as_recorded:
            # DVC would ask servers for what is outside of the project.
            if is_inside(output.path) and not self.checkout.exists(output.path):
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
        for path in self.stage.outs:
            if path in self.kept:
                name = self.checkout.path_of(path).relative_to(self.checkout.tree)
                inputs.append(Input(InputKind.FILE, str(name), self.kept[path]))
        return inputs

    def missing(self, text: str) -> str:
        """Return a remark on what a text names and the clone lacks; empty where that is nothing."""
        problems = self.checkout.missing_contents().items()
        return "".join(f"; {problem}" for path, problem in problems if path in text)

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
