"""Read the tables that `prepare` writes. If rows are split by time, the index holds the times."""

import pandas as pd


def read(path: str) -> tuple[pd.DataFrame, pd.Series]:
    """Return features, (n_rows, n_features) of float64 or text with gaps, and the target, the last column."""
    table = pd.read_parquet(path)
    return table.iloc[:, :-1], table.iloc[:, -1]


def rounded(value: float) -> float:
    """Round a number to ten significant digits, because processors differ in the last of sixteen."""
    return float(f"{value:.10g}")
