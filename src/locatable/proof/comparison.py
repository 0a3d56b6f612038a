"""Compares rebuilt outputs with the recorded ones, value by value, and judges them.

Values can be compared in JSON, YAML, TOML, CSV, TSV and Parquet files, and in folders of such files.
"""

import contextlib
import csv
import filecmp
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ..clones.checkout import load_values
from ..errors import UnreadableError
from ..model import Output, Stage, flatten_all, overlaps, same_value
from .inputs import files_below

Values = Mapping[str, Any]
# A place in a file, such as "line 2, ", and the values there by key. A table has one such pair for each row.
# Any other file has a single pair, with an empty place and all its values.
Row = tuple[str, Values]
NO_ROW: Row = ("", {})

# Numbers differ only by rounding if their relative difference is at most this, the default of `math.isclose`.
ROUNDING = 1e-9
# A report shows this many differing values of an output: more would not help its reader.
MOST_LINES = 20


class Nothing:
    """The type of `NOTHING`, which stands for a missing value, because None and any text can be values."""

    def __str__(self) -> str:
        return "nothing"


NOTHING = Nothing()


@dataclass
class Differences:
    """The differences between a recorded and a rebuilt output, collected value by value.

    Attributes:
        rtol: largest relative difference at which two numbers count as equal.
        largest: the largest relative difference between two numbers at the same place.
        only_rounding: true if numbers differ at most by rounding and other values do not differ.
        within_rtol: true if numbers differ at most by `rtol` and other values do not differ.
        changed: one line for each of the first values that are not within `rtol`.
        opaque: files whose bytes differ and whose values cannot be compared.
    """

    rtol: float = 0.0
    largest: float = 0.0
    only_rounding: bool = True
    within_rtol: bool = True
    changed: list[str] = field(default_factory=list)
    opaque: list[str] = field(default_factory=list)

    def add(self, place: str, recorded: Any, rebuilt: Any) -> None:
        """Compare the two values at one place, and note how they differ."""
        # Python takes True and 1 for equal, but in a file they are different values.
        same_kind = isinstance(recorded, bool) == isinstance(rebuilt, bool)
        if same_kind and same_value(recorded, rebuilt):
            return
        relative = relative_difference(recorded, rebuilt)
        if relative is None:
            self.only_rounding = False
        else:
            self.largest = max(self.largest, relative)
            # A difference between two whole numbers is never one of rounding.
            whole = isinstance(recorded, int) and isinstance(rebuilt, int)
            if whole or relative > ROUNDING:
                self.only_rounding = False
            if relative <= self.rtol:
                return
        self.within_rtol = False
        if len(self.changed) < MOST_LINES:
            self.changed.append(f"{place} {recorded} -> {rebuilt}")

    def add_all(self, prefix: str, recorded: Values, rebuilt: Values) -> None:
        """Compare the values of two files or rows, key by key; `prefix` says where they are."""
        for key in sorted(recorded.keys() | rebuilt.keys()):
            self.add(f"{prefix}{key}", recorded.get(key, NOTHING), rebuilt.get(key, NOTHING))


def relative_difference(first: Any, second: Any) -> float | None:
    """Return the difference relative to the larger of two values, or None unless both are finite numbers."""
    if not (is_number(first) and is_number(second)):
        return None
    try:
        if not (math.isfinite(first) and math.isfinite(second)):
            return None
        larger = max(abs(first), abs(second))
        return float(abs(first - second) / larger) if larger else 0.0
    except OverflowError:
        # A whole number can be too large for a float.
        return None


def largest_in_words(largest: float) -> str:
    """Return the largest relative difference as text for the user."""
    return f"largest relative difference {largest:.1g}"


def is_number(value: Any) -> bool:
    """Return whether a value is a number. Booleans do not count as numbers."""
    return isinstance(value, int | float) and not isinstance(value, bool)


class Verdict(StrEnum):
    """The outcome for one output, in the words that a user reads."""

    IDENTICAL = "identical"
    WITHIN_RTOL = "within rtol"
    NUMBERS_AFTER = "differs, numbers after it within rtol"
    CLOSE = "close"
    DIFFERS = "differs"
    MISSING = "missing"
    NOT_TRIED = "not tried"
    FROZEN = "frozen, not proven"


AS_RECORDED = frozenset({Verdict.IDENTICAL, Verdict.WITHIN_RTOL, Verdict.NUMBERS_AFTER})


@dataclass(frozen=True)
class OutputVerdict:
    """The verdict on one output of a stage, with the recorded and the rebuilt hash.

    Attributes:
        stage: address of the stage.
        output: path of the output, relative to the DVC root.
        recorded: the hash in dvc.lock, None if dvc.lock has none.
        rebuilt: the hash after the rebuild, None if the output does not exist.
        verdict: the outcome.
        differences: the differences of their values, None if the values were not or could not be compared.
    """

    stage: str
    output: str
    recorded: str | None
    rebuilt: str | None
    verdict: Verdict
    differences: Differences | None = None

    @property
    def as_recorded(self) -> bool:
        """True if the output is accepted: identical, or within the tolerance of the proof."""
        return self.verdict in AS_RECORDED

    @property
    def changed(self) -> tuple[str, ...]:
        """One line for each of the first values that differ; empty if values cannot be compared."""
        return tuple(self.differences.changed) if self.differences else ()

    @property
    def largest(self) -> float | None:
        """The largest relative difference of two numbers, or None if no numbers are known to differ."""
        largest = self.differences.largest if self.differences else 0.0
        return largest or None

    @property
    def only_opaque(self) -> bool:
        """True if the only differences are in files whose values cannot be compared, such as models."""
        if self.verdict is not Verdict.DIFFERS or self.differences is None:
            return False
        return bool(self.differences.opaque) and self.differences.within_rtol

    def __str__(self) -> str:
        """Return the verdict as the report's table shows it."""
        remark = f" ({largest_in_words(self.largest)})" if self.largest else ""
        return f"{self.verdict}{remark}"

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as the report in JSON contains it."""
        return {
            "stage": self.stage,
            "output": self.output,
            "recorded": self.recorded,
            "rebuilt": self.rebuilt,
            "verdict": str(self.verdict),
            "changed": list(self.changed),
            "largest_relative_difference": self.largest,
            "not_compared": list(self.differences.opaque) if self.differences else [],
        }


def judge(
    address: str, output: Output, rebuilt: str | None, differences: Differences | None = None
) -> OutputVerdict:
    """Judge one output of a stage that ran.

    Args:
        address: address of the stage.
        output: the output, with its recorded hash.
        rebuilt: hash of the rebuilt output as DVC computes it, None if the stage did not write it.
        differences: the differences from the recorded output, None if the values were not or could not be
            compared.
    """
    verdict = Verdict.DIFFERS
    if rebuilt is None:
        verdict = Verdict.MISSING
    elif rebuilt == output.recorded:
        verdict = Verdict.IDENTICAL
    elif differences and not differences.opaque:
        if differences.rtol > 0 and differences.within_rtol:
            verdict = Verdict.WITHIN_RTOL
        elif differences.only_rounding:
            verdict = Verdict.CLOSE
    return OutputVerdict(address, output.path, output.recorded, rebuilt, verdict, differences)


def unproven(stage: Stage, verdict: Verdict) -> list[OutputVerdict]:
    """Return the same verdict for each output of a stage that is not run."""
    verdicts = []
    for output in stage.outs.values():
        verdicts.append(OutputVerdict(stage.address, output.path, output.recorded, None, verdict))
    return verdicts


def accept_by_later_results(
    verdicts: Sequence[OutputVerdict], stages: Sequence[Stage], output_has_numbers: Callable[[str], bool]
) -> list[OutputVerdict]:
    """Accept outputs without numbers by the numbers of later stages, and return the final verdicts.

    An output without numbers, such as a model, can only be judged by the results computed from it. If its
    bytes differ, it is accepted if every stage that reads it was rebuilt, if all outputs of these stages are
    accepted, and if there are numbers among them.

    Args:
        verdicts: one for each output, of a proof with a tolerance whose stages have all run.
        stages: all stages of the revision. Each comes after the stages that it depends on.
        output_has_numbers: returns whether numbers can be read from the output at a path.
    """
    judged = list(verdicts)
    # Begin with the last stages, because one model can be computed from another model.
    for stage in reversed(stages):
        for position, verdict in enumerate(judged):
            if verdict.stage != stage.address or not verdict.only_opaque:
                continue
            readers = {each.address for each in stages if overlaps(verdict.output, each.deps)}
            results = [each for each in judged if each.stage in readers]
            # A reader that was not rebuilt, or that has no outputs, tells nothing about the model.
            all_known = readers == {each.stage for each in results}
            if all_known and _are_accepted_numbers(results, output_has_numbers):
                judged[position] = replace(verdict, verdict=Verdict.NUMBERS_AFTER)
    return judged


def _are_accepted_numbers(verdicts: list[OutputVerdict], output_has_numbers: Callable[[str], bool]) -> bool:
    """Return whether all outputs are accepted, and at least one has numbers or was accepted by numbers."""
    seen_numbers = False
    for each in verdicts:
        if not each.as_recorded:
            return False
        if each.verdict is Verdict.NUMBERS_AFTER or output_has_numbers(each.output):
            seen_numbers = True
    return seen_numbers


def values_by_key(content: Any) -> Values:
    """Return all values in the content of a file by dotted key. Positions serve as the keys of a list."""
    if isinstance(content, list) and content:
        content = dict(enumerate(content))
    if isinstance(content, Mapping) and content:
        return flatten_all(content, lists=True)
    # The file contains a single value, or is empty.
    return {"": content}


def compare_contents(recorded: Path, rebuilt: Path, rtol: float) -> Differences:
    """Compare two files, or two folders file by file."""
    differences = Differences(rtol)
    if recorded.is_file() and rebuilt.is_file():
        _compare_files(recorded, rebuilt, rebuilt.name, "", differences)
        return differences
    if recorded.is_file() or rebuilt.is_file():
        kinds = ("a file", "a folder") if recorded.is_file() else ("a folder", "a file")
        differences.add(rebuilt.name, *kinds)
        return differences
    names: set[str] = set()
    for folder in (recorded, rebuilt):
        names.update(str(file.relative_to(folder)) for file in files_below(folder))
    for name in sorted(names):
        recorded_file = recorded / name
        rebuilt_file = rebuilt / name
        # The file can be missing in one of the two folders, or be a folder there.
        if not recorded_file.is_file():
            differences.add(name, NOTHING, "a file")
        elif not rebuilt_file.is_file():
            differences.add(name, "a file", NOTHING)
        else:
            _compare_files(recorded_file, rebuilt_file, name, f"{name}: ", differences)
    return differences


def _compare_files(recorded: Path, rebuilt: Path, name: str, prefix: str, differences: Differences) -> None:
    """Add the differences between two files, which are called `name`, to `differences`.

    `prefix` is put before the places of their values.
    """
    if filecmp.cmp(recorded, rebuilt, shallow=False):
        return
    read = READERS.get(rebuilt.suffix.lower())
    if read is None:
        differences.opaque.append(name)
        return
    try:
        rows = zip_longest(read(recorded), read(rebuilt), fillvalue=NO_ROW)
        for (recorded_place, recorded_values), (rebuilt_place, rebuilt_values) in rows:
            place = recorded_place or rebuilt_place
            # Most rows of a table are equal. Comparing a row as a whole is faster than value by value.
            if not place or recorded_values != rebuilt_values:
                differences.add_all(f"{prefix}{place}", recorded_values, rebuilt_values)
    except UnreadableError as error:
        differences.opaque.append(f"{name} ({error.message})")
    except UnicodeDecodeError as error:
        differences.opaque.append(f"{name} ({error})")


def can_be_compared(path: Path) -> bool:
    """Return whether the values of an output, or of any file in it, can be compared."""
    return any(file.suffix.lower() in READERS for file in files_below(path))


def has_numbers(path: Path) -> bool:
    """Return whether an output, or any file in it, contains numbers that can be read."""
    for file in files_below(path):
        read = READERS.get(file.suffix.lower())
        if read is None:
            continue
        with contextlib.suppress(UnreadableError, UnicodeDecodeError):
            for _, values in read(file):
                if any(map(is_number, values.values())):
                    return True
    return False


def _read_values(path: Path) -> Iterator[Row]:
    yield "", values_by_key(load_values(path))


def _read_text_table(path: Path) -> Iterator[Row]:
    """Yield the rows of a CSV or TSV file, with the first line, which also names the columns."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header = file.readline()
            file.seek(0)
            rows = csv.reader(file, delimiter=_delimiter(path, header))
            names: list[str] = []
            for row in rows:
                names = names or row
                values = {}
                for position, text in enumerate(row):
                    values[_column(names, position)] = _cell(text)
                yield f"line {rows.line_num}, ", values
    except (csv.Error, UnicodeDecodeError) as error:
        raise UnreadableError(f"{path.name}: {error}") from None


def _delimiter(path: Path, header: str) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    # In locales with a decimal comma, spreadsheets separate the columns by semicolons.
    return ";" if ";" in header and "," not in header else ","


def _column(names: list[str], position: int) -> str:
    """Return the name of a column, or its number if the first line has no name for it or repeats the name."""
    name = names[position] if position < len(names) else ""
    if name and names.count(name) == 1 and not is_number(_cell(name)):
        return name
    return f"column {position + 1}"


def _cell(text: str) -> Any:
    """Return the value of a cell as a number if possible, otherwise as text."""
    # Only Python takes digits that are grouped by underscores for a number.
    if "_" in text:
        return text
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _read_parquet(path: Path) -> Iterator[Row]:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise UnreadableError("pyarrow, which reads Parquet, is not installed beside locatable") from None
    try:
        # Read as a data set, the file would get columns for folders in its path such as `year=2024`.
        table = parquet.ParquetFile(path)
        number = 0
        for batch in table.iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield f"row {number}, ", dict(values_by_key(row))
    except (OSError, ValueError, arrow.ArrowException) as error:
        raise UnreadableError(f"{path.name}: {str(error).splitlines()[0]}") from None


# The functions that read values, by the suffix of the file.
READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".csv": _read_text_table,
    ".json": _read_values,
    ".parquet": _read_parquet,
    ".toml": _read_values,
    ".tsv": _read_text_table,
    ".yaml": _read_values,
    ".yml": _read_values,
}
