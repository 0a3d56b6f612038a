"""Stage `prepare`: check the raw table and split it into training, validation and test rows.

Reads `data/raw.csv`; writes `data/prepared/{train,valid,test}.parquet`.
"""

from pathlib import Path

import pandas as pd
from sklearn.model_selection import train_test_split

from .dataset import LABEL
from .params import load
from .params.prepare import Params

RAW = Path("data/raw.csv")
PREPARED = Path("data/prepared")
DIAGNOSES = {"benign": 0, "malignant": 1}


def clean(raw: pd.DataFrame) -> pd.DataFrame:
    """Turn the diagnosis into a 0/1 label and refuse a table that is not what we expect.

    Args:
        raw: one row per tumour, a `diagnosis` column, all other columns numeric.

    Returns:
        The same rows with `malignant` (int64, 0 or 1) in place of `diagnosis`.

    Raises:
        SystemExit: a column is missing, not numeric or has gaps; the message names it.
    """
    if "diagnosis" not in raw:
        raise SystemExit(f"{RAW}: no column 'diagnosis'")
    unknown = sorted(set(raw["diagnosis"].astype(str)) - DIAGNOSES.keys())
    if unknown:
        raise SystemExit(f"{RAW}: diagnosis: {unknown[0]!r} is neither 'benign' nor 'malignant'")
    features = raw.drop(columns="diagnosis")
    for column in features:
        if not pd.api.types.is_numeric_dtype(features[column]):
            raise SystemExit(f"{RAW}: {column}: not a number in every row")
        if features[column].isna().any():
            raise SystemExit(f"{RAW}: {column}: empty in row {features[column].isna().argmax() + 1}")
    return features.astype("float64").assign(**{LABEL: raw["diagnosis"].map(DIAGNOSES).astype("int64")})


def split(table: pd.DataFrame, params: Params) -> dict[str, pd.DataFrame]:
    """Split rows at random, with the same share of malignant tumours in every part.

    Raises:
        SystemExit: a part would have too few rows for that.
    """
    try:
        rest, test = train_test_split(
            table, test_size=params.test_fraction, stratify=table[LABEL], random_state=params.seed
        )
        train, valid = train_test_split(
            rest,
            test_size=params.valid_fraction / (1 - params.test_fraction),
            stratify=rest[LABEL],
            random_state=params.seed,
        )
    except ValueError as error:
        raise SystemExit(f"params.yaml: prepare: fractions do not fit {len(table)} rows: {error}") from None
    return {"train": train, "valid": valid, "test": test}


def main() -> None:
    params = load("prepare", Params)
    parts = split(clean(pd.read_csv(RAW)), params)
    PREPARED.mkdir(parents=True, exist_ok=True)
    for name, part in parts.items():
        part.to_parquet(PREPARED / f"{name}.parquet", index=False)


if __name__ == "__main__":
    main()
