{%- set classes = cookiecutter.task == 'classification' -%}
"""Stage `prepare`: check the raw table and split it into training, validation and test rows.

Reads `data/raw.csv` or `data/raw.parquet`; writes `data/prepared/{train,valid,test}.parquet`, target last.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import shorten
from typing import NoReturn

import pandas as pd
from pandas.api.types import infer_dtype, {% if classes %}is_bool_dtype, {% endif %}is_numeric_dtype
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from .params import load
from .params.prepare import Params

RAW = next(filter(Path.exists, [Path("data/raw.csv"), Path("data/raw.parquet")]), Path("data/raw.csv"))
FORMAT = "a CSV is in UTF-8, with a comma between values, a point in numbers, and a line of names"
FEW = "merge it with another, take its rows out, or choose another column"
LARGEST = 1e150  # the square of a larger number would be infinite
MOST_CLASSES = 20  # more different numbers, with few rows for each, are a quantity and no classes
FEWEST_IDS = 10  # a column with fewer different values holds a category, not ids
MOST = 0.9  # if more than this share of whole numbers differ, they may be row numbers
ID = r"(?i:(.*[\W_])?(id|patient|person|subject|user))|.*[a-z]I[dD]"  # names of columns that hold ids
NUMBER = r"\W*\d[\d.,' ]*\W*"  # numbers as people write them: 1,5 or $3 or 20 %


def refuse(column: object, what: str, rows: pd.Series | None = None) -> NoReturn:
    """Exit with one line that names the column and, if there are `rows`, the first of them in the file."""
    place = "" if rows is None else f" in row {rows.idxmax() + 1}"
    raise SystemExit(f"{RAW}: {column}: {what.replace(' HERE', place)}")


def read_table() -> pd.DataFrame:
    """Read the whole table. Refuse repeated names and longer rows, which pandas would rename and shift."""
    try:
        if RAW.suffix != ".csv":
            table = pd.read_parquet(RAW)
            return table.reset_index(drop=table.index.name is None).rename(columns=str)
        names = pd.read_csv(RAW, header=None, nrows=2, dtype="str", skipinitialspace=True).iloc[0].dropna()
        table = pd.read_csv(RAW, low_memory=False, skipinitialspace=True)
    except (OSError, ValueError) as error:
        raise SystemExit(f"{RAW}: not read as a table: {str(error).splitlines()[0]}; {FORMAT}") from None
    if len(table.columns) == 1:
        refuse(table.columns[0], f"the only name in the first line; {FORMAT}")
    if names.duplicated().any():
        refuse(names[names.duplicated()].iloc[0], "the name of two columns; give each a name of its own")
    return table


def read_raw(params: Params) -> pd.DataFrame:
    """Read the rows that have a target, and check that the table has all columns that params.yaml names."""
    raw = read_table()
    there = shorten(", ".join(raw), 300, placeholder=" …")
    for key in ("target", "drop", "stratify", "group", "time"):
        value = getattr(params, key)
        for column in value if isinstance(value, list) else [value]:
            if isinstance(column, str) and column not in raw:
                refuse(column, f"no such column; params.yaml names it in prepare.{key}; there are: {there}")
    rows = raw[raw[params.target].notna()]
    if len(rows) < len(raw):
        print(f"{RAW}: {params.target}: {len(raw) - len(rows)} of {len(raw)} rows left out: empty there")
    if rows[params.target].nunique() < 2:
        refuse(params.target, "the same value in every row, or none; choose another prepare.target")
    return rows


def clean(raw: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Check every column. Numbers and booleans become float64, all else text; the target becomes the last."""
    target = check_target(raw[params.target])
    apart = {params.target, params.group, params.time, *params.drop}
    features, faults = {}, []
    for column in raw.columns.drop(apart, errors="ignore"):
        try:
            features[column] = check_feature(raw[column])
        except SystemExit as fault:
            faults.append(str(fault))
    if faults:
        raise SystemExit("\n".join(faults))
    if not features:
        refuse(params.target, "no other column is left to predict it from; see prepare.drop")
    return pd.DataFrame({**features, params.target: target})


def check_feature(values: pd.Series) -> pd.Series:
    """Return a column as float64 or text. Gaps stay; the model fills them with values from training rows."""
    kind = infer_dtype(values, skipna=True)
    if str(values.name).startswith("Unnamed: "):
        refuse(values.name, "it has no name, and may be a row number; add it to prepare.drop, or name it")
    if kind in ("boolean", "decimal", "integer") or is_numeric_dtype(values):
        numbers = values.astype("float64")
        if (large := numbers.abs() > LARGEST).any():
            refuse(values.name, "infinite HERE, or nearly; leave it empty, or take the row out", large)
        return numbers
    text = values.astype("str")
    counts = text.value_counts()
    words = counts.index.to_series()
    if kind.startswith(("date", "time", "period")) or are_dates(words.head(1000)):
        refuse(values.name, "dates; add it to prepare.drop, set prepare.time to it, or make numbers of it")
    numbers = pd.to_numeric(words, errors="coerce").notna()
    alike = numbers | words.str.fullmatch(NUMBER)
    if alike.sum() > MOST_CLASSES and counts[alike].sum() > counts.sum() / 2 and not numbers.all():
        odd = words[~numbers].iloc[0]
        refuse(values.name, f"{odd!r} HERE is no number, as most are; mend it, or empty it", text == odd)
    if len(counts) > counts.sum() / 2:
        refuse(values.name, "text that is another in nearly every row; add it to prepare.drop")
    return text


def are_dates(text: pd.Series) -> bool:
    """Return whether all texts are dates with a year or three numbers, unlike `May` or the range `10-12`."""
    dated = not text.empty and text.str.contains(r"\d{4}|\d[-/.]\d+[-/.]\d").all()
    return bool(dated and pd.to_datetime(text, format="mixed", errors="coerce", utc=True).notna().all())

{% if classes %}
def check_target(target: pd.Series) -> pd.Series:
    """Return the classes: whole numbers as int64, so that they sort as numbers, everything else as text."""
    numbers = is_numeric_dtype(target) and not is_bool_dtype(target)
    whole = numbers and bool((target % 1 == 0).all())
    if numbers and target.nunique() > max(MOST_CLASSES, len(target) / 10 if whole else 0):
        what = f"{target.nunique()} numbers in {len(target)} rows are no classes, but a quantity"
        refuse(target.name, f"{what}; generate a project with task=regression")
    return target.astype("int64" if whole else "str")
{% else %}
def check_target(target: pd.Series) -> pd.Series:
    """Return the quantity as float64."""
    numbers = pd.to_numeric(target, errors="coerce")
    if infer_dtype(target) in ("boolean", "datetime64", "timedelta64"):
        refuse(target.name, "no numbers; choose another prepare.target")
    wrong = numbers.isna() | (numbers.abs() > LARGEST)
    if wrong.any():
        what = "not a number HERE; mend it, or for classes generate a project with task=classification"
        refuse(target.name, what, wrong)
    return numbers.astype("float64")
{% endif %}

def split(raw: pd.DataFrame, params: Params) -> dict[str, pd.Index]:
    """Assign rows to parts. Refuse rows without a group or time{% if classes %}, and parts that lack a class{% endif %}."""
    keys = raw.loc[:, [params.target]].copy()
    for column in {params.stratify, params.group, params.time} - {True, False, None}:
        keys[column] = raw[column]
        if column == params.time and not is_numeric_dtype(raw[column]):
            keys[column] = pd.to_datetime(raw[column], format="ISO8601", errors="coerce", utc=True)
        if (gaps := keys[column].isna()).any():
            refuse(column, "empty HERE, or no date: write all like 2026-01-31, or split by another", gaps)
    if params.time:
        keys = keys.sort_values(params.time, kind="stable")
    try:
        rest, test = divide(keys, params.test_fraction, params)
        train, valid = divide(rest, params.valid_fraction / (1 - params.test_fraction), params)
    except ValueError as error:
        raise SystemExit(f"params.yaml: prepare: fractions do not fit {len(raw)} rows: {error}") from None
    parts = {"train": train, "valid": valid, "test": test}
    for name, part in parts.items():
        if part.empty:
            refuse(params.time, f"too many rows of one time, or too large a gap: no {name} rows are left")
{%- if classes %}
        missing = keys[params.target][~keys[params.target].isin(part[params.target].unique())]
        if not missing.empty:
            rows = keys[keys[params.target] == missing.iloc[0]]
            few = f"groups ({rows[params.group].nunique()})" if params.group else f"rows ({len(rows)})"
            refuse(params.target, f"too few {few} of '{missing.iloc[0]}': none is in the {name} rows; {FEW}")
{%- endif %}
    return {name: part.index for name, part in parts.items()}


def divide(keys: pd.DataFrame, fraction: float, params: Params) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split off a share: the newest rows if they are sorted by time, else whole groups, else random rows."""
    if params.time:
        times, gap = keys[params.time], params.gap or 0
        first = times.iloc[-math.ceil(fraction * len(keys)) :].min()
        before = first - (gap if is_numeric_dtype(times) else pd.Timedelta(days=gap))
        return keys[times < before], keys[times >= first]
    if params.group:
        splitter = GroupShuffleSplit(n_splits=1, test_size=fraction, random_state=params.seed)
        kept, taken = next(splitter.split(keys, groups=keys[params.group]))
        return keys.iloc[kept], keys.iloc[taken]
    column = {% if classes %}params.target if params.stratify is True else {% endif %}params.stratify
    strata = keys[column] if column else None
    if column and strata.value_counts().min() < 2:
        refuse(column, f"1 row of '{strata.value_counts().idxmin()}' is too few for three parts; {FEW}")
    return train_test_split(keys, test_size=fraction, stratify=strata, random_state=params.seed)


def doubts(raw: pd.DataFrame, table: pd.DataFrame, params: Params) -> Iterator[str]:
    """Yield a line for each column that may make a model look better than it is, with the param to set."""
    for name in raw.columns.drop(params.target):
        values = (table if name in table else raw.astype({name: "str"}))[name].dropna()
        target = table.loc[values.index, params.target]
        count, rows, numbers = values.nunique(), len(values), is_numeric_dtype(values)
        whole = not numbers or bool((values % 1 == 0).all())
        # Rows with the same value may all have the same target (alike), or be next to each other (in_blocks).
        alike = name in table and count <= rows / 2 and target.groupby(values).nunique().max() == 1
        in_blocks = count <= rows / 2 and (values != values.shift()).sum() == count
        grouped = (alike or in_blocks or re.fullmatch(ID, name)) and FEWEST_IDS <= count <= MOST * rows
{%- if classes %}
        copied = alike and count == target.nunique() > 1
{%- else %}
        copied = name in table and target.nunique() > 1 and values.rank().equals(target.rank())
{%- endif %}
        if copied and rows > len(table) / 2:
            yield f"{name}: says what the target says; add it to prepare.drop"
        elif numbers and whole and count > MOST * rows:
            yield f"{name}: whole numbers, nearly all different; if they are ids, add it to prepare.drop"
        elif grouped and whole and not params.group and not params.time:
            yield f"{name}: {count} values in {rows} rows; if these belong together, set prepare.group to it"
    if params.time and params.gap is None:
        yield f"{params.time}: if the target lies ahead (a forecast), set prepare.gap to how far, else to 0"


def main() -> None:
    params = load("prepare", Params)
    raw = read_raw(params)
    table = clean(raw, params)
    for doubt in doubts(raw, table, params):
        print(f"{RAW}: {doubt}")
    again = table.join(raw[[*filter(None, (params.group, params.time))]]).duplicated()
    if again.any():
        advice = "left out" if params.distinct else "set prepare.distinct: true to leave them out"
        print(f"{RAW}: {again.sum()} of {len(raw)} rows are like an earlier one; {advice}")
    if params.distinct:
        raw, table = raw[~again], table[~again]
    Path("data/prepared").mkdir(parents=True, exist_ok=True)
    for name, rows in split(raw, params).items():
        part = table.loc[rows].set_index(raw.loc[rows, params.time] if params.time else rows)
        part.to_parquet(f"data/prepared/{name}.parquet", index=bool(params.time))


if __name__ == "__main__":
    main()
