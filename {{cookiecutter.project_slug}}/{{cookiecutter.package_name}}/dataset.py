"""How the tables that `prepare` writes are read: features apart from the target; an index is the time."""

import pandas as pd


def read(path: str) -> tuple[pd.DataFrame, pd.Series]:
    """Return features, (n_rows, n_features) of float64 or text with gaps, and the target: the last column."""
    table = pd.read_parquet(path)
    return table.iloc[:, :-1], table.iloc[:, -1]


def rounded(value: float) -> float:
    """Return a number with ten significant digits; in the last of sixteen, processors differ."""
    return float(f"{value:.10g}")
