"""Train a network with Hugging Face's Trainer. It is created from a configuration, so nothing is downloaded.

Copy this file to `network.py` in the package of a project; docs/how-to/frameworks.md explains the next steps.
"""
# ruff: noqa: D101, D102

import os
import shutil
from pathlib import Path
from typing import Any, Self

import joblib
import numpy as np
import pandas as pd
import torch
from dvclive import Live
from sklearn.base import BaseEstimator, ClassifierMixin
from torch import nn
from torch.utils.data import StackDataset
from transformers import PreTrainedConfig, PreTrainedModel, Trainer, TrainerCallback, TrainingArguments

from .params.train import Params


class NetworkConfig(PreTrainedConfig):
    inputs: int = 1  # number of features
    classes: int = 2


class Network(PreTrainedModel):
    config_class = NetworkConfig

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.layers = nn.Sequential(nn.Linear(config.inputs, 16), nn.ReLU(), nn.Linear(16, config.classes))
        self.post_init()

    def forward(self, features: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        scores = self.layers(features)
        return {"loss": nn.functional.cross_entropy(scores, labels), "scores": scores}


def measure(predicted: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    scores, labels = (torch.from_numpy(array) for array in predicted)
    loss, right = nn.functional.cross_entropy(scores, labels), scores.argmax(dim=1) == labels
    return {"log_loss": loss.item(), "accuracy": right.double().mean().item()}


class Series(TrainerCallback):
    """Writes the metrics of each epoch to the files that the stage declares."""

    def __init__(self, live: Live) -> None:
        self.live = live

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        for logs in state.log_history:
            self.on_log(args, state, control, logs)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        self.live.step = round(logs["epoch"])
        for name, value in sorted(logs.items()):  # Checkpoints hold them in this order too.
            if name.endswith(("_log_loss", "_accuracy")):
                self.live.log_metric(name.removeprefix("eval_").replace("_", "/", 1), value)


class NetworkClassifier(ClassifierMixin, BaseEstimator):
    """The model that `evaluate` reads. It holds arrays, which, unlike tensors, always give the same bytes."""

    def fit(self, features: dict[str, np.ndarray], target: dict[str, pd.Series], params: Params) -> Self:
        self.classes_ = np.unique(target["train"].unique())
        rows = {}
        for name, numbers in features.items():
            labels = np.searchsorted(self.classes_, target[name].to_numpy())
            rows[name] = StackDataset(features=numbers.astype("float32"), labels=labels)
        machine = {"use_cpu": params.accelerator == "cpu", "dataloader_pin_memory": torch.cuda.is_available()}
        logs = {"eval_strategy": "epoch", "logging_strategy": "no", "report_to": "none", "disable_tqdm": True}
        here = Path(__file__)
        code = [here.read_text(), here.parents[1].joinpath("environment.json").read_text()]
        arrays = {name: part.datasets for name, part in rows.items()}
        checkpoints = Path("checkpoints") / joblib.hash([params.model_dump(), arrays, code])
        files = {"output_dir": checkpoints, "save_strategy": "epoch", "save_total_limit": 1}
        learning = {"seed": params.seed, "num_train_epochs": params.logistic.epochs, "learning_rate": 0.01}
        arguments = TrainingArguments(full_determinism=True, **learning, **machine, **logs, **files)
        torch.manual_seed(params.seed)
        network = Network(NetworkConfig(inputs=features["train"].shape[1], classes=len(self.classes_)))
        data = {"train_dataset": rows["train"], "eval_dataset": rows}
        with Live("reports/train", dvcyaml=None, save_dvc_exp=False) as live:
            trainer = Trainer(network, arguments, **data, compute_metrics=measure, callbacks=[Series(live)])
            # This file is written last, so a checkpoint without it is incomplete.
            last = max(checkpoints.glob("*/trainer_state.json"), key=os.path.getmtime, default=None)
            trainer.train(last.parent if last else None)
        shutil.rmtree(checkpoints)
        self.weights_ = {name: weights.cpu().numpy() for name, weights in network.state_dict().items()}
        return self

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        network = Network(NetworkConfig(inputs=features.shape[1], classes=len(self.classes_)))
        network.load_state_dict({name: torch.from_numpy(array) for name, array in self.weights_.items()})
        scores = network.layers(torch.from_numpy(features.astype("float32"))).detach()
        return scores.double().softmax(dim=1).numpy()
