"""Stage `evaluate`: measure the model on test rows that it has never seen.

Reads `models/model.joblib` and `data/prepared/{test,train}.parquet`. Writes `metrics.json`, `plots/*.csv`
(which `dvc plots` draws) and `figures/*.png` in `reports/evaluate/`. Of two classes, the last one in sorted
order is positive; of several, each is compared with the rest. The scores of the prior stand beside those of
the model: it predicts for every row the shares of the classes among the training rows.
"""

import json
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn import metrics
from sklearn.calibration import calibration_curve

from . import figures
from .dataset import read, rounded
from .params import load
from .params.evaluate import Params

REPORTS = Path("reports/evaluate")


def call(probability: np.ndarray, threshold: float) -> np.ndarray:
    """Return the most probable class of each row; of two, the last one if it reaches the threshold."""
    if probability.shape[1] == 2:
        return (probability[:, 1] >= threshold).astype(int)
    return probability.argmax(axis=1)


def one_or_rest(labels: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return truth and probability of each row, with a column for each class; of two, for the last only."""
    first = 1 if probability.shape[1] == 2 else 0
    return np.eye(probability.shape[1], dtype=int)[labels][:, first:], probability[:, first:]


def score(labels: np.ndarray, probability: np.ndarray, threshold: float) -> dict[str, float]:
    """Return the scores of predictions, (n_rows, n_classes); `labels` are the numbers of the true classes."""
    called = call(probability, threshold)
    truth, chance = one_or_rest(labels, probability)
    scores = {
        "log_loss": metrics.log_loss(labels, probability),
        "roc_auc": metrics.roc_auc_score(truth, chance),
        "average_precision": metrics.average_precision_score(truth, chance),
        "brier": metrics.brier_score_loss(labels, probability),
        "accuracy": metrics.accuracy_score(labels, called),
    }
    if probability.shape[1] == 2:
        scores["precision"] = metrics.precision_score(labels, called, zero_division=0.0)
        scores["recall"] = metrics.recall_score(labels, called)
    else:
        scores["balanced_accuracy"] = metrics.balanced_accuracy_score(labels, called)
        scores["macro_f1"] = metrics.f1_score(labels, called, average="macro", zero_division=0.0)
    return {name: rounded(value) for name, value in scores.items()}


def thin(curve: pd.DataFrame) -> pd.DataFrame:
    """Return at most 2,000 points of a curve, evenly spaced, because Git keeps them with every experiment."""
    return curve.iloc[np.linspace(0, len(curve) - 1, min(len(curve), 2000)).round().astype(int)]


def roc(truth: np.ndarray, chance: np.ndarray) -> pd.DataFrame:
    false_positive, true_positive, _ = metrics.roc_curve(truth, chance)
    return thin(pd.DataFrame({"false_positive_rate": false_positive, "true_positive_rate": true_positive}))


def precision_recall(truth: np.ndarray, chance: np.ndarray) -> pd.DataFrame:
    """Return the highest precision for each recall, from the first true positive on."""
    precision, recall, _ = metrics.precision_recall_curve(truth, chance)
    points = pd.DataFrame({"recall": recall, "precision": precision})[recall > 0]
    points = points.groupby("recall", as_index=False).max()
    return thin(pd.concat([points.head(1).assign(recall=0.0), points]))


def main() -> None:
    params = load("evaluate", Params)
    features, target = read("data/prepared/test.parquet")
    _, known = read("data/prepared/train.parquet")
    model = joblib.load("models/model.joblib")
    classes, probability = model.classes_.astype(str), model.predict_proba(features)
    labels = np.searchsorted(model.classes_, target.to_numpy())
    called = call(probability, params.threshold)
    truth, chance = one_or_rest(labels, probability)
    test = score(labels, probability, params.threshold)
    shares = known.value_counts(normalize=True)[model.classes_].to_numpy()
    prior = score(labels, np.tile(shares, (len(labels), 1)), params.threshold)
    # With several classes, calibrate the predicted class; the tables then hold one curve for all classes.
    hits, calibrated = (labels, classes[1]) if len(classes) == 2 else (called == labels, "the called class")
    sure = chance.max(axis=1)
    observed, predicted = calibration_curve(hits, sure, n_bins=params.calibration_bins, strategy="quantile")
    tables = {
        "roc": roc(truth.ravel(), chance.ravel()),
        "precision_recall": precision_recall(truth.ravel(), chance.ravel()),
        "calibration": pd.DataFrame({"predicted": predicted, "observed": observed}),
        "confusion": pd.DataFrame({"actual": classes[labels], "predicted": classes[called]}),
    }
    names = [f"{target.name} {name}" for name in classes[-truth.shape[1] :][:10]]  # as many as colours
    rocs = {name: roc(truth[:, n], chance[:, n]) for n, name in enumerate(names)}
    curves = {name: precision_recall(truth[:, n], chance[:, n]) for n, name in enumerate(names)}
    shares, counts = truth.mean(axis=0), metrics.confusion_matrix(labels, called)

    (REPORTS / "plots").mkdir(parents=True, exist_ok=True)
    (REPORTS / "metrics.json").write_text(json.dumps({"test": test, "prior": prior}, indent=2) + "\n")
    for name, table in tables.items():
        table.to_csv(REPORTS / f"plots/{name}.csv", index=False, lineterminator="\n", float_format=rounded)
    for draw, what, key, *data in [
        (figures.roc, "ROC curve", "roc_auc", rocs),
        (figures.precision_recall, "Precision–recall", "average_precision", curves, shares),
        (figures.calibration, "Calibration", "brier", tables["calibration"], calibrated),
        (figures.confusion, "Confusion matrix", "accuracy", counts, classes, target.name),
    ]:
        title = f"{what} of {target.name}\n{key} {test[key]:.3f}, of the prior {prior[key]:.3f}"
        figures.save(draw, REPORTS / f"figures/{draw.__name__}.png", title, *data)


if __name__ == "__main__":
    main()
