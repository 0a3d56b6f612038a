{%- set classes = cookiecutter.task == 'classification' -%}
"""Stage `train`: fit the chosen model step by step, with its loss on training and validation rows.

Reads `data/prepared/{train,valid}.parquet`, never the test rows. Writes `models/model.joblib` and, in
`reports/train/`, `metrics.json` (the values of the last step) and one series per metric.
"""

from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from dvclive import Live
from sklearn.base import {{ 'ClassifierMixin' if classes else 'RegressorMixin' }}
from sklearn.metrics import {{ 'accuracy_score, log_loss' if classes else 'mean_absolute_error, root_mean_squared_error' }}
from sklearn.pipeline import make_pipeline
{%- if classes %}
from sklearn.utils.class_weight import compute_sample_weight
{%- endif %}

from .dataset import read, rounded
from .models import fit_step, make_encoder, select_model
from .params import load
from .params.train import Params

{% if classes %}
def losses(estimator: ClassifierMixin, features: np.ndarray, target: pd.Series) -> dict[str, float]:
    """Return the log loss and the accuracy of the estimator on these rows."""
    probability = estimator.predict_proba(features)
    called = estimator.classes_[probability.argmax(axis=1)]
    loss = log_loss(target, probability, labels=estimator.classes_)
    return {"log_loss": loss, "accuracy": accuracy_score(target, called)}
{% else %}
def losses(estimator: RegressorMixin, features: np.ndarray, target: pd.Series) -> dict[str, float]:
    """Return the errors of the estimator on these rows, in units of the target."""
    predicted = estimator.predict(features)
    rmse = root_mean_squared_error(target, predicted)
    return {"rmse": rmse, "mae": mean_absolute_error(target, predicted)}
{% endif %}

def main() -> None:
    params = load("train", Params)
    features, target = {}, {}
    for name in ("train", "valid"):
        features[name], target[name] = read(f"data/prepared/{name}.parquet")
    encoder = make_encoder(params).fit(features["train"])
    encoded = {name: encoder.transform(table) for name, table in features.items()}

    estimator, sizes = select_model(params)
{%- if classes %}
    weights = {}
    if params.class_weight:
        weights["sample_weight"] = compute_sample_weight(params.class_weight, target["train"])
{%- endif %}
    # dvc.yaml declares these files, and DVC records the experiment, so DVCLive should do neither.
    with Live("reports/train", dvcyaml=None, save_dvc_exp=False) as live:
        for size in sizes:
            fit_step(estimator, size, encoded["train"], target["train"]{{ ', **weights' if classes }})
            for name in encoded:
                for metric, value in losses(estimator, encoded[name], target[name]).items():
                    # With time stamps, every rebuild would write different files.
                    live.log_metric(f"{name}/{metric}", rounded(value), timestamp=False)
            live.next_step()

    Path("models").mkdir(exist_ok=True)
    joblib.dump(make_pipeline(encoder, estimator), "models/model.joblib")


if __name__ == "__main__":
    main()
