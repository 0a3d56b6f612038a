"""How the tables that `prepare` writes are read: features apart from the target."""

import pandas as pd


def read(path: str) -> tuple[pd.DataFrame, pd.Series]:
    """Read one split.

    Returns:
        features: (n_rows, n_features), each column float64 or text, with gaps.
        target: (n_rows,), the last column of the file, without gaps.
    """
    table = pd.read_parquet(path)
    return table.iloc[:, :-1], table.iloc[:, -1]
