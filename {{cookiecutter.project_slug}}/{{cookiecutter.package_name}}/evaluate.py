"""Stage `evaluate`: how good the model is on test rows that nothing before has seen.

Reads `models/model.joblib` and `data/prepared/test.parquet`; writes under
`reports/evaluate/`: `metrics.json`, `plots/*.csv` (drawn by `dvc plots`) and `figures/*.png`.
"""

import json
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn import metrics

from . import figures
from .dataset import read
from .params import load
from .params.evaluate import Params

REPORTS = Path("reports/evaluate")
CLASSES = ["benign", "malignant"]


def score(labels: np.ndarray, probability: np.ndarray, threshold: float) -> dict[str, float]:
    """Summarise predictions.

    Args:
        labels: (n_rows,), 1 for malignant.
        probability: (n_rows,), predicted probability of malignant.
        threshold: probability from which a tumour is called malignant.
    """
    called = probability >= threshold
    return {
        "log_loss": metrics.log_loss(labels, probability, labels=[0, 1]),
        "roc_auc": metrics.roc_auc_score(labels, probability),
        "average_precision": metrics.average_precision_score(labels, probability),
        "brier": metrics.brier_score_loss(labels, probability),
        "accuracy": metrics.accuracy_score(labels, called),
        "precision": metrics.precision_score(labels, called, zero_division=0.0),
        "recall": metrics.recall_score(labels, called),
    }


def calibration(labels: np.ndarray, probability: np.ndarray, bins: int) -> pd.DataFrame:
    """Mean predicted probability and observed frequency in `bins` groups of (nearly) equal size."""
    order = np.argsort(probability, kind="stable")
    groups = [group for group in np.array_split(order, bins) if len(group)]
    return pd.DataFrame(
        {
            "predicted": [probability[group].mean() for group in groups],
            "observed": [labels[group].mean() for group in groups],
        }
    )


def main() -> None:
    params = load("evaluate", Params)
    features, labels = read("data/prepared/test.parquet")
    labels = labels.to_numpy()
    probability = joblib.load("models/model.joblib").predict_proba(features)[:, 1]
    called = (probability >= params.threshold).astype(int)

    test = score(labels, probability, params.threshold)
    false_positive_rate, true_positive_rate, _ = metrics.roc_curve(labels, probability)
    # With rising recall: DVC's plots keep the order of points with the same recall.
    precision, recall = (values[::-1] for values in metrics.precision_recall_curve(labels, probability)[:2])
    tables = {
        "roc": pd.DataFrame(
            {"false_positive_rate": false_positive_rate, "true_positive_rate": true_positive_rate}
        ),
        "precision_recall": pd.DataFrame({"recall": recall, "precision": precision}),
        "calibration": calibration(labels, probability, params.calibration_bins),
        "confusion": pd.DataFrame(
            {"actual": np.take(CLASSES, labels), "predicted": np.take(CLASSES, called)}
        ),
    }

    (REPORTS / "plots").mkdir(parents=True, exist_ok=True)
    (REPORTS / "figures").mkdir(parents=True, exist_ok=True)
    (REPORTS / "metrics.json").write_text(json.dumps({"test": test}, indent=2) + "\n")
    for name, table in tables.items():
        table.to_csv(REPORTS / "plots" / f"{name}.csv", index=False, lineterminator="\n")
    draw = REPORTS / "figures"
    figures.save(figures.roc, draw / "roc.png", tables["roc"], test["roc_auc"])
    figures.save(
        figures.precision_recall,
        draw / "precision_recall.png",
        tables["precision_recall"],
        test["average_precision"],
    )
    figures.save(figures.calibration, draw / "calibration.png", tables["calibration"], test["brier"])
    figures.save(
        figures.confusion,
        draw / "confusion.png",
        metrics.confusion_matrix(labels, called, labels=[0, 1]),
        CLASSES,
    )


if __name__ == "__main__":
    main()
