"""Runs one stage of a proof, under any conditions, and compares its outputs with the recorded ones."""

import contextlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..clones.checkout import Checkout
from ..clones.recorded_data import fetch
from ..errors import DISK_FULL, CannotTryError, disk_full
from ..model import Output, Stage, is_inside
from .comparison import Differences, OutputVerdict, can_be_compared, compare_contents, judge
from .environment import current_programs, packages_not_as_locked
from .inputs import Input, InputKind, undeclared_finding, undeclared_inputs
from .sandbox import USUAL, Conditions, Sandbox, run_stage


@dataclass(frozen=True)
class RecordedOutputs:
    """The recorded outputs that rebuilt outputs are compared with.

    Outputs in the clone are moved to a folder of their own. Other outputs that DVC stores are fetched when
    they are needed.

    Attributes:
        checkout: the clean clone.
        folder: the folder for the copies.
        rtol: largest relative difference at which two numbers count as equal.
    """

    checkout: Checkout
    folder: Path
    rtol: float
    # Comparisons by path and rebuilt hash: a diagnosis rebuilds the same bytes again and again.
    _compared: dict[tuple[str, str], Differences | None] = field(default_factory=dict)

    def set_aside(self, output: Output) -> Path | None:
        """Move an output out of the clone and return its new path, or None if it is not in the clone."""
        place = self.checkout.path_of(output.path)
        if not place.exists():
            # A link whose target does not exist has to go, too.
            remove(place)
            return None
        copy = self.folder / output.path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(place, copy)
        return copy

    def differences(self, output: Output, rebuilt: str) -> Differences | None:
        """Compare the rebuilt output in the clone, whose hash is given, with the recorded output.

        Returns None if the recorded output is not available.
        """
        key = (output.path, rebuilt)
        if key not in self._compared:
            self._compared[key] = self._compare(output)
        return self._compared[key]

    def _compare(self, output: Output) -> Differences | None:
        if not output.recorded:
            return None
        place = self.checkout.path_of(output.path)
        if not can_be_compared(place):
            # Do not fetch the recorded output, which can be large: its values cannot be read either.
            return Differences(self.rtol, opaque=[output.path])
        copy = self.folder / output.path
        if output.cached and not copy.exists():
            with contextlib.suppress(CannotTryError):
                fetch(self.checkout, output, copy)
        return compare_contents(copy, place, self.rtol) if copy.exists() else None


def remove(path: Path) -> None:
    """Delete a file, a folder or a link, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Attempt:
    """The outcome of one run of a stage.

    Attributes:
        exit_code: the exit code of the last command that ran.
        printed: the end of the text that the stage printed.
        verdicts: one verdict for each output.
        seconds: how long the run took.
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
        """The verdicts on the outputs that are not accepted, see `OutputVerdict.as_recorded`."""
        return [verdict for verdict in self.verdicts if not verdict.as_recorded]

    @property
    def hashes(self) -> Mapping[str, str | None]:
        """The hash of each output by its path, None for an output that the stage did not write."""
        return {verdict.output: verdict.rebuilt for verdict in self.verdicts}

    def changed_outputs(self, other: "Attempt") -> list[str]:
        """Return the paths of the outputs whose hashes differ between the two attempts."""
        other_hashes = other.hashes
        return [path for path, rebuilt in self.hashes.items() if rebuilt != other_hashes[path]]


@dataclass(frozen=True)
class StageRunner:
    """Runs one stage any number of times, and lists the undeclared inputs that could change its outcome.

    It is all that a diagnosis knows of a stage, so tests of the diagnosis replace it.

    Attributes:
        stage: a stage of the checkout.
        checkout: the clean clone, with every dependency of the stage in place.
        sandbox: the sandbox in which the stage runs.
        recorded: the recorded outputs to compare with.
        taken_as_recorded: data that DVC stores and no stage of the proof writes.
        persistent: copies of the stage's recorded persistent outputs, by path. Unavailable ones are missing.
    """

    stage: Stage
    checkout: Checkout
    sandbox: Sandbox
    recorded: RecordedOutputs
    taken_as_recorded: tuple[Output, ...]
    persistent: Mapping[str, Path] = field(default_factory=dict)

    def attempt(self, conditions: Conditions = USUAL) -> Attempt:
        """Run the stage once, and move its outputs into the clone in place of the previous ones.

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
            # Files that a failed command leaves behind do not count as outputs.
            if written.exists() and not done.exit_code:
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(written, place)
            rebuilt = self.checkout.hash_of(output.path)
            differences = None
            if rebuilt is not None and rebuilt != output.recorded:
                differences = self.recorded.differences(output, rebuilt)
            verdicts.append(judge(self.stage.address, output, rebuilt, differences))
        shutil.rmtree(done.folder, ignore_errors=True)
        return Attempt(done.exit_code, done.printed, tuple(verdicts), done.seconds)

    def undeclared_inputs(self, text: str) -> list[Input]:
        """Return the undeclared inputs that the stage could use, after fetching data that DVC stores.

        Untracked files of the user are returned only if `text` mentions them.
        """
        for output in self.taken_as_recorded:
            # For an output outside the project, DVC would ask a server.
            if not is_inside(output.path) or self.checkout.exists(output.path):
                continue
            # Data that is not available cannot be what the stage used.
            with contextlib.suppress(CannotTryError):
                fetch(self.checkout, output)
        return undeclared_inputs(self.stage, self.checkout, text)

    def finding(self, item: Input) -> str:
        """Return the finding about an undeclared input that the stage needs."""
        return undeclared_finding(self.stage, item, self.checkout.tree, self.checkout.root)

    def last_outputs(self) -> list[Input]:
        """Return the persistent outputs of the stage's last run (`persist: true`), as inputs of the next."""
        inputs = []
        for path, copy in self.persistent.items():
            name = self.checkout.path_of(path).relative_to(self.checkout.tree)
            inputs.append(Input(InputKind.FILE, str(name), copy))
        return inputs

    def remark_on_missing(self, text: str) -> str:
        """Return a remark on files that a text names and whose content the clone lacks, or an empty text."""
        problems = self.checkout.content_problems().items()
        return "".join(f"; {problem}" for path, problem in problems if path in text)

    def path_of(self, path: str) -> Path:
        """Return the path of an output of the stage in the clone."""
        return self.checkout.path_of(path)

    def other_programs(self) -> Path | None:
        """Return the folder of programs of the current environment, or None if the stage uses it already."""
        here = current_programs()
        return None if here == self.sandbox.programs else here

    def packages_not_as_locked(self, text: str) -> str:
        """Return the packages installed here that the stage's environment lacks or has in another version."""
        return packages_not_as_locked(self.sandbox.programs, text)
