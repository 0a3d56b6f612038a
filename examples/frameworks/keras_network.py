"""Make a Keras network an estimator of scikit-learn that trains one epoch at a time.

Copy this file to `network.py` in the package of a project; docs/how-to/frameworks.md explains the next steps.
"""
# ruff: noqa: D102

from typing import Any

import keras
import numpy as np
import pandas as pd
from keras import layers
from sklearn.base import BaseEstimator, ClassifierMixin


def make_network(inputs: int, classes: int) -> keras.Sequential:
    hidden = layers.Dense(16, activation="relu")
    network = keras.Sequential([keras.Input((inputs,)), hidden, layers.Dense(classes, activation="softmax")])
    network.compile(keras.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy")
    return network


class NetworkClassifier(ClassifierMixin, BaseEstimator):
    """A classifier for classes of any type. Only its weights are pickled."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def partial_fit(self, features: np.ndarray, target: pd.Series, classes: np.ndarray) -> None:
        if not hasattr(self, "network_"):
            keras.utils.set_random_seed(self.seed)
            self.inputs_, self.classes_ = features.shape[1], classes
            self.network_ = make_network(self.inputs_, len(classes))
        self.network_.fit(features, np.searchsorted(classes, target.to_numpy()), verbose=0)

    fit = partial_fit  # scikit-learn recognizes an estimator by this method

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        probability = self.network_.predict(features, verbose=0).astype("float64")
        return probability / probability.sum(axis=1, keepdims=True)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"network_": self.network_.get_weights()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.network_ = make_network(self.inputs_, len(self.classes_))
        self.network_.set_weights(state["network_"])
