"""Stage `evaluate`: measure the model on test rows that it has never seen.

Reads `models/model.joblib` and `data/prepared/{test,train}.parquet`. Writes `metrics.json`, `plots/rows.csv`
(which `dvc plots` draws) and `figures/*.png` in `reports/evaluate/`. The scores of a guess stand beside those
of the model. It is one number for all rows: the mean of the training rows or, if rows are split by time and
all times differ (so that the table is a single series), their last value.
"""

import json
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn import metrics

from . import figures
from .dataset import read, rounded
from .params import load
from .params.evaluate import Params

REPORTS = Path("reports/evaluate")


def score(observed: np.ndarray, predicted: np.ndarray, interval: float) -> dict[str, float]:
    """Return the scores of predictions, all except R² in units of the target.

    Args:
        observed: (n_rows,).
        predicted: (n_rows,).
        interval: the share of rows whose distance to their prediction is at most the score `half_width`.
    """
    distance = np.abs(observed - predicted)
    return {
        "rmse": rounded(metrics.root_mean_squared_error(observed, predicted)),
        "mae": rounded(metrics.mean_absolute_error(observed, predicted)),
        "r2": rounded(metrics.r2_score(observed, predicted)),
        "half_width": rounded(np.quantile(distance, interval, method="higher")),
    }


def main() -> None:
    params = load("evaluate", Params)
    features, target = read("data/prepared/test.parquet")
    observed = target.to_numpy()
    predicted = np.vectorize(rounded)(joblib.load("models/model.joblib").predict(features))
    test = score(observed, predicted, params.interval)
    _, known = read("data/prepared/train.parquet")
    is_series = known.index.name is not None and known.index.is_unique
    name, guess = ("last_value", known.iloc[-1]) if is_series else ("mean", known.mean())
    guessed = score(observed, np.full(len(observed), guess), params.interval)
    rows = pd.DataFrame({"observed": observed, "predicted": predicted, "residual": observed - predicted})
    # Keep at most 2,000 random rows, because Git keeps them with every experiment.
    rows = rows.sample(min(len(rows), 2000), random_state=0).sort_index()

    (REPORTS / "plots").mkdir(parents=True, exist_ok=True)
    (REPORTS / "metrics.json").write_text(json.dumps({"test": test, name: guessed}, indent=2) + "\n")
    rows.to_csv(REPORTS / "plots/rows.csv", index=False, lineterminator="\n", float_format=rounded)
    for draw, what, key, *data in [
        (figures.predicted, "Predicted against observed", "rmse", rows),
        (figures.residuals, "Residuals", "half_width", rows, test["half_width"]),
    ]:
        title = f"{what}\n{key} {test[key]:.3g}, of the {name.replace('_', ' ')} {guessed[key]:.3g}"
        figures.save(draw, REPORTS / f"figures/{draw.__name__}.png", title, target.name, *data)


if __name__ == "__main__":
    main()
