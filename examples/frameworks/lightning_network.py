"""Train a network with Lightning, continue an interrupted run from its checkpoint, and keep the weights.

Copy this file to `network.py` in the package of a project; docs/how-to/frameworks.md explains the next steps.
"""
# ruff: noqa: D102

import shutil
from pathlib import Path
from typing import Self

import joblib
import numpy as np
import pandas as pd
import torch
from dvclive.lightning import DVCLiveLogger
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from sklearn.base import BaseEstimator, ClassifierMixin
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from .params.train import Params


def make_layers(inputs: int, classes: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, 16), nn.ReLU(), nn.Linear(16, classes))


class Network(LightningModule):
    """Trains on the training rows, and measures itself on all rows after each epoch."""

    def __init__(self, layers: nn.Sequential, rows: dict[str, TensorDataset], seed: int) -> None:
        super().__init__()
        self.layers, self.rows, self.seed, self.series = layers, rows, seed, []

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.01)

    def train_dataloader(self) -> DataLoader:
        random = torch.Generator().manual_seed(self.seed + len(self.series))
        order = torch.randperm(len(self.rows["train"]), generator=random).tolist()
        return DataLoader(self.rows["train"], batch_size=32, sampler=order)

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self.layers(batch[0]), batch[1])

    def on_train_epoch_end(self) -> None:
        values = {}
        for name, rows in self.rows.items():
            features, target = (tensor.to(self.device) for tensor in rows.tensors)
            scores = self.layers(features).detach()
            values[f"{name}/log_loss"] = nn.functional.cross_entropy(scores, target).item()
            values[f"{name}/accuracy"] = (scores.argmax(dim=1) == target).double().mean().item()
        self.record(values)

    def record(self, values: dict[str, float]) -> None:
        self.series.append(values)
        self.logger.log_metrics(values, step=len(self.series))  # Step 0 would count as no step.

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        checkpoint["series"] = self.series

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        for values in checkpoint["series"]:
            self.record(values)


class NetworkClassifier(ClassifierMixin, BaseEstimator):
    """The model that `evaluate` reads. It holds arrays, which, unlike tensors, always give the same bytes."""

    def fit(self, features: dict[str, np.ndarray], target: dict[str, pd.Series], params: Params) -> Self:
        self.classes_ = np.unique(target["train"].unique())
        rows = {}
        for name, numbers in features.items():
            labels = torch.from_numpy(np.searchsorted(self.classes_, target[name].to_numpy()))
            rows[name] = TensorDataset(torch.from_numpy(numbers.astype("float32")), labels)
        here = Path(__file__)
        files = [here.read_text(), here.parents[1].joinpath("environment.json").read_text()]
        arrays = {name: [tensor.numpy() for tensor in part.tensors] for name, part in rows.items()}
        checkpoints = Path("checkpoints") / joblib.hash([params.model_dump(), arrays, files])
        last = checkpoints / "last.ckpt"
        seed_everything(params.seed)
        layers = make_layers(features["train"].shape[1], len(self.classes_))
        trainer = Trainer(
            **{"accelerator": params.accelerator, "devices": 1, "deterministic": True},
            **{"max_epochs": params.logistic.epochs, "reload_dataloaders_every_n_epochs": 1},
            **{"callbacks": [ModelCheckpoint(checkpoints, save_last=True)], "enable_progress_bar": False},
            logger=DVCLiveLogger(dir="reports/train", dvcyaml=None, save_dvc_exp=False),
        )
        network = Network(layers, rows, params.seed)
        trainer.fit(network, ckpt_path=last if last.exists() else None)
        shutil.rmtree(checkpoints)
        self.weights_ = {name: weights.cpu().numpy() for name, weights in layers.state_dict().items()}
        return self

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        layers = make_layers(features.shape[1], len(self.classes_))
        layers.load_state_dict({name: torch.from_numpy(array) for name, array in self.weights_.items()})
        with torch.no_grad():
            return layers(torch.from_numpy(features.astype("float32"))).double().softmax(dim=1).numpy()
