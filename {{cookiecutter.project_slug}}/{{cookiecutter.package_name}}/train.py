"""Stage `train`: fit the chosen model step by step, with its loss on training and validation rows.

Reads `data/prepared/{train,valid}.parquet` (never the test rows); writes
`models/model.joblib`, `reports/train/metrics.json` (the last step) and one series per
metric under `reports/train/plots/metrics/`.
"""

from pathlib import Path

import joblib
from dvclive import Live
from sklearn.metrics import accuracy_score, log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from .dataset import read
from .models import fit_step, select_model
from .params import load
from .params.train import Params

MODEL = Path("models/model.joblib")


def main() -> None:
    params = load("train", Params)
    scaler = StandardScaler()
    features, labels, scaled = {}, {}, {}
    for name in ("train", "valid"):
        features[name], labels[name] = read(f"data/prepared/{name}.parquet")
    scaled["train"] = scaler.fit_transform(features["train"])
    scaled["valid"] = scaler.transform(features["valid"])

    estimator, sizes = select_model(params)
    # The root dvc.yaml declares these files already, and DVC itself records the experiment.
    with Live("reports/train", dvcyaml=None, save_dvc_exp=False) as live:
        for size in sizes:
            fit_step(estimator, size, scaled["train"], labels["train"])
            for name in ("train", "valid"):
                probability = estimator.predict_proba(scaled[name])[:, 1]
                # A time stamp would make every rebuild differ.
                live.log_metric(f"{name}/log_loss", log_loss(labels[name], probability), timestamp=False)
                live.log_metric(
                    f"{name}/accuracy", accuracy_score(labels[name], probability >= 0.5), timestamp=False
                )
            live.next_step()

    MODEL.parent.mkdir(parents=True, exist_ok=True)
    joblib.dump(make_pipeline(scaler, estimator), MODEL)


if __name__ == "__main__":
    main()
