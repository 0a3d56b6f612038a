"""How the tables that `prepare` writes are read: features apart from the label."""

import pandas as pd

LABEL = "malignant"


def read(path: str) -> tuple[pd.DataFrame, pd.Series]:
    """Read one split.

    Returns:
        features: (n_rows, n_features) float64, in the units of `data/raw.csv`.
        labels: (n_rows,) int64, 1 for malignant and 0 for benign.
    """
    table = pd.read_parquet(path)
    return table.drop(columns=LABEL), table[LABEL]
