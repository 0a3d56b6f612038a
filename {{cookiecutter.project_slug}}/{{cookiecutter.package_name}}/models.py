{%- set classes = cookiecutter.task == 'classification' -%}
{%- set kind = 'Classifier' if classes else 'Regressor' -%}
"""The estimators that `train` can choose from, and the encoder that turns columns into numbers for them.

To add an estimator, add its params to `params/train.py` and params.yaml, and a branch to `select_model`.
"""
{% if not classes %}
import warnings
{% endif %}
import numpy as np
import pandas as pd
from sklearn.base import {{ kind }}Mixin
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import GradientBoosting{{ kind }}, RandomForest{{ kind }}
{%- if not classes %}
from sklearn.exceptions import ConvergenceWarning
{%- endif %}
from sklearn.impute import SimpleImputer
from sklearn.linear_model import {{ 'SGDClassifier' if classes else 'ElasticNet' }}
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

{% if not classes %}from .dataset import rounded
{% endif %}from .params.train import Params


def make_encoder(params: Params) -> ColumnTransformer:
    """Return a transformer that fills gaps, scales numbers and encodes categories; sparse if mostly 0."""
    numbers = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    categories = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="missing", keep_empty_features=True),
        OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=params.rare or None),
    )
    return ColumnTransformer(
        [
            ("numbers", numbers, make_column_selector(dtype_include="number")),
            ("categories", categories, make_column_selector(dtype_exclude="number")),
        ]
    )


def select_model(params: Params) -> tuple[{{ kind }}Mixin, list[int]]:
    """Return the untrained estimator that `params` selects, and its size after each step: epochs or trees."""
    growing = {"warm_start": True, "random_state": params.seed}
    match params.model:
{%- if classes %}
        case "logistic":
            chosen = params.logistic
            estimator = SGDClassifier(loss="log_loss", alpha=chosen.alpha, random_state=params.seed)
            sizes = range(1, chosen.epochs + 1)
{%- else %}
        case "linear":
            chosen = params.linear
            estimator = ElasticNet(alpha=chosen.alpha, l1_ratio=chosen.l1_ratio, max_iter=1, warm_start=True)
            sizes = range(1, chosen.epochs + 1)
{%- endif %}
        case "forest":
            chosen = params.forest
            estimator = RandomForest{{ kind }}(max_depth=chosen.max_depth, **growing)
            sizes = [*range(10, chosen.trees, 10), chosen.trees]  # in steps of ten
        case "boosting":
            chosen = params.boosting
            shape = {"learning_rate": chosen.learning_rate, "max_depth": chosen.max_depth}
            estimator = GradientBoosting{{ kind }}(**shape, **growing)
            sizes = range(1, chosen.trees + 1)
    return estimator, list(sizes)


{% if classes -%}
def fit_step(
    estimator: ClassifierMixin, size: int, features: np.ndarray, target: pd.Series, **weights: np.ndarray
) -> None:
{%- else -%}
def fit_step(estimator: RegressorMixin, size: int, features: np.ndarray, target: pd.Series) -> None:
{%- endif %}
    """Train the estimator one step further: for one more epoch, or up to `size` trees."""
{%- if classes %}
    if hasattr(estimator, "partial_fit"):
        estimator.partial_fit(features, target, classes=np.unique(target.unique()), **weights)
    else:
        estimator.set_params(n_estimators=size).fit(features, target, **weights)
{%- else %}
    if isinstance(estimator, ElasticNet):
        with warnings.catch_warnings():
            # A single pass is not supposed to converge.
            warnings.simplefilter("ignore", ConvergenceWarning)
            estimator.fit(features, target)
        # Unlike the other models, this one sums with BLAS, in an order that depends on the processor.
        estimator.coef_ = np.vectorize(rounded)(estimator.coef_)
        estimator.intercept_ = rounded(estimator.intercept_)
        estimator.dual_gap_ = rounded(estimator.dual_gap_)
    else:
        estimator.set_params(n_estimators=size).fit(features, target)
{%- endif %}
