"""The estimators that `train` can choose from.

To add one: its section of parameters in `params/train.py` and in params.yaml, and a branch
in `select_model`.
"""

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import SGDClassifier

from .params.train import Params

FOREST_STEP = 10


def select_model(params: Params) -> tuple[ClassifierMixin, list[int]]:
    """Build the untrained estimator that `params` asks for.

    Returns:
        The estimator and the sizes it grows through, for `fit_step`: epochs seen so far
        (logistic) or trees held (forest, boosting).
    """
    match params.model:
        case "logistic":
            chosen = params.logistic
            estimator = SGDClassifier(loss="log_loss", alpha=chosen.alpha, random_state=params.seed)
            sizes = range(1, chosen.epochs + 1)
        case "forest":
            chosen = params.forest
            estimator = RandomForestClassifier(
                max_depth=chosen.max_depth, warm_start=True, random_state=params.seed
            )
            sizes = [*range(FOREST_STEP, chosen.trees, FOREST_STEP), chosen.trees]
        case "boosting":
            chosen = params.boosting
            estimator = GradientBoostingClassifier(
                learning_rate=chosen.learning_rate,
                max_depth=chosen.max_depth,
                warm_start=True,
                random_state=params.seed,
            )
            sizes = range(1, chosen.trees + 1)
    return estimator, list(sizes)


def fit_step(estimator: ClassifierMixin, size: int, features: np.ndarray, labels: pd.Series) -> None:
    """Train one step further: one more epoch, or up to `size` trees.

    Args:
        estimator: from `select_model`, with all smaller sizes fitted before.
        size: the next of its sizes.
        features: (n_rows, n_features), standardised.
        labels: (n_rows,), 0 or 1.
    """
    if hasattr(estimator, "partial_fit"):
        estimator.partial_fit(features, labels, classes=[0, 1])
    else:
        estimator.set_params(n_estimators=size).fit(features, labels)
