"""Reads outputs whose values can be compared: JSON, YAML, TOML, CSV, TSV, Parquet; also folders of them."""

import csv
import filecmp
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ..clones.checkout import load_values
from ..errors import UnreadableError
from .differences import NOTHING, Differences, is_number, values_by_key
from .inputs import files_below

Compare = Callable[[Path, Path, str, Differences], None]
# One row of a table: its place for a reader, and the value in each column by name.
Row = tuple[str, dict[str, Any]]


def compare_contents(recorded: Path, rebuilt: Path, rtol: float) -> Differences:
    """Compare two files, or two folders file by file.

    Args:
        recorded: the output as recorded.
        rebuilt: the same output, rebuilt.
        rtol: relative difference up to which numbers count as equal.
    """
    differences = Differences(rtol)
    if recorded.is_file() and rebuilt.is_file():
        _compare_files(recorded, rebuilt, rebuilt.name, "", differences)
        return differences
    if recorded.is_file() or rebuilt.is_file():
        kinds = ["a file" if path.is_file() else "a folder" for path in (recorded, rebuilt)]
        differences.add(rebuilt.name, *kinds)
        return differences
    names = {str(path.relative_to(recorded)) for path in files_below(recorded)}
    names |= {str(path.relative_to(rebuilt)) for path in files_below(rebuilt)}
    for name in sorted(names):
        pair = recorded / name, rebuilt / name
        if all(path.is_file() for path in pair):
            _compare_files(*pair, name, f"{name}: ", differences)
        else:
            there = ["a file" if path.is_file() else NOTHING for path in pair]
            differences.add(name, *there)
    return differences


def can_be_compared(path: Path) -> bool:
    """Return whether an output, or a file in it, has a format whose values can be compared."""
    return any(file.suffix.lower() in FORMATS for file in files_below(path))


def has_numbers(path: Path) -> bool:
    """Return whether numbers can be read from an output, or from any file in it."""
    return any(_has_numbers(file) for file in files_below(path) if file.suffix.lower() in FORMATS)


def _compare_files(recorded: Path, rebuilt: Path, name: str, prefix: str, differences: Differences) -> None:
    if filecmp.cmp(recorded, rebuilt, shallow=False):
        return
    compare = FORMATS.get(rebuilt.suffix.lower())
    if compare is None:
        differences.add_opaque(name)
        return
    try:
        compare(recorded, rebuilt, prefix, differences)
    except UnreadableError as error:
        differences.add_opaque(f"{name} ({error.message})")
    except UnicodeDecodeError as error:
        differences.add_opaque(f"{name} ({error})")


def _has_numbers(file: Path) -> bool:
    try:
        return any(is_number(value) for value in _values_of(file))
    except (UnreadableError, UnicodeDecodeError):
        return False


def _values_of(file: Path) -> Iterator[Any]:
    ending = file.suffix.lower()
    if ending in TABLES:
        for _, row in TABLES[ending](file):
            yield from row.values()
    else:
        yield from values_by_key(load_values(file)).values()


def _compare_values(recorded: Path, rebuilt: Path, prefix: str, differences: Differences) -> None:
    differences.add_all(prefix, values_by_key(load_values(recorded)), values_by_key(load_values(rebuilt)))


def _compare_tables(recorded: Path, rebuilt: Path, prefix: str, differences: Differences) -> None:
    read = TABLES[rebuilt.suffix.lower()]
    for one, other in zip_longest(read(recorded), read(rebuilt)):
        if one == other:
            continue  # most rows are, and this is quicker
        place = (one or other)[0]
        differences.add_all(f"{prefix}{place} ", one[1] if one else {}, other[1] if other else {})


def _rows_of_text(path: Path) -> Iterator[Row]:
    """Rows of a CSV or TSV file; the first line names the columns, and is a row, too."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header = file.readline()
            file.seek(0)
            rows = csv.reader(file, delimiter=_delimiter(path, header))
            names: list[str] = []
            for row in rows:
                names = names or row
                cells = enumerate(row)
                yield (
                    f"line {rows.line_num},",
                    {_column(names, position): _value(text) for position, text in cells},
                )
    except (csv.Error, UnicodeDecodeError) as error:
        raise UnreadableError(f"{path.name}: {error}") from None


def _delimiter(path: Path, header: str) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    return ";" if ";" in header and "," not in header else ","


def _column(names: list[str], position: int) -> str:
    """Return the name of a column; its number where the first line names none, or one of several columns."""
    name = names[position] if position < len(names) else ""
    if name and names.count(name) == 1 and not is_number(_value(name)):
        return name
    return f"column {position + 1}"


def _value(text: str) -> Any:
    """Return a cell's number where it is one."""
    if "_" in text:
        return text  # digits in groups, which only Python reads as a number
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _rows_of_parquet(path: Path) -> Iterator[Row]:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise UnreadableError("pyarrow, which reads Parquet, is not installed beside locatable") from None
    try:
        # Not as a data set: folders of a path such as `year=2024` would become columns.
        table = parquet.ParquetFile(path)
        number = 0
        for batch in table.iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield f"row {number},", dict(values_by_key(row))
    except (OSError, ValueError, arrow.ArrowException) as error:
        raise UnreadableError(f"{path.name}: {str(error).splitlines()[0]}") from None


TABLES: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".csv": _rows_of_text,
    ".parquet": _rows_of_parquet,
    ".tsv": _rows_of_text,
}
FORMATS: dict[str, Compare] = {
    ".json": _compare_values,
    ".toml": _compare_values,
    ".yaml": _compare_values,
    ".yml": _compare_values,
    **dict.fromkeys(TABLES, _compare_tables),
}
