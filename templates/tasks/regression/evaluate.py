"""Stage `evaluate`: how good the model is on test rows that nothing before has seen.

Reads `models/model.joblib` and `data/prepared/{test,train}.parquet`; writes under
`reports/evaluate/`: `metrics.json`, `plots/rows.csv` (drawn by `dvc plots`) and `figures/*.png`.
Beside the scores of the model are those of one number for all rows: the mean of the training rows or,
if rows are split by time and no two have the same (as where a table holds many series), their last value.
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
    """Summarise predictions, all but R² in units of the target.

    Args:
        observed: (n_rows,).
        predicted: (n_rows,).
        interval: share of rows for `half_width`: so many are no further than this from their prediction.
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
    # Git keeps them with every experiment: of more than 2,000, as many at random.
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
