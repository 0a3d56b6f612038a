"""Make a PyTorch network an estimator of scikit-learn that trains one epoch at a time.

Copy this file to `network.py` in the package of a project; docs/how-to/frameworks.md explains the next steps.
"""
# ruff: noqa: D102

from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from skorch import NeuralNetClassifier
from torch import nn

SETTINGS = {
    **{"criterion": nn.CrossEntropyLoss, "optimizer": torch.optim.Adam, "lr": 0.01, "max_epochs": 1},
    **{"iterator_train__shuffle": True, "train_split": None, "device": "cpu", "verbose": 0},
}


class Layers(nn.Sequential):
    """A network with one hidden layer, in double precision like the output of `make_encoder`."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__(nn.Linear(inputs, 16).double(), nn.ReLU(), nn.Linear(16, classes).double())


class NetworkClassifier(ClassifierMixin, BaseEstimator):
    """A classifier for classes of any type. Only its weights are pickled."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def start(self, inputs: int, classes: np.ndarray) -> None:
        torch.manual_seed(self.seed)
        torch.use_deterministic_algorithms(True)
        self.inputs_, self.classes_ = inputs, classes
        sizes = {"module__inputs": inputs, "module__classes": len(classes)}
        self.net_ = NeuralNetClassifier(Layers, **sizes, **SETTINGS)
        self.net_.initialize()

    def partial_fit(self, features: np.ndarray, target: pd.Series, classes: np.ndarray) -> None:
        if not hasattr(self, "net_"):
            self.start(features.shape[1], classes)
        self.net_.partial_fit(features, np.searchsorted(classes, target.to_numpy()))

    fit = partial_fit  # scikit-learn recognizes an estimator by this method

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        return self.net_.predict_proba(features)

    def __getstate__(self) -> dict[str, Any]:
        weights = self.net_.module_.state_dict()
        return vars(self) | {"net_": {name: tensor.cpu().numpy() for name, tensor in weights.items()}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.start(self.inputs_, self.classes_)
        weights = {name: torch.from_numpy(array) for name, array in state["net_"].items()}
        self.net_.module_.load_state_dict(weights)
