{%- set classes = cookiecutter.task == 'classification' -%}
"""The section `train` of params.yaml: the chosen model, and the settings of each model."""

from typing import Literal

from pydantic import Field

from . import Section

{% if classes %}
class Logistic(Section):
    """Logistic regression by stochastic gradient descent."""

    alpha: float = Field(gt=0)
    epochs: int = Field(ge=1)
{% else %}
class Linear(Section):
    """Elastic net (Zou and Hastie, 2005, doi:10.1111/j.1467-9868.2005.00503.x) by coordinate descent."""

    alpha: float = Field(gt=0)
    l1_ratio: float = Field(ge=0, le=1)
    epochs: int = Field(ge=1)
{% endif %}

class Forest(Section):
    """Random forest (Breiman, 2001, doi:10.1023/A:1010933404324)."""

    trees: int = Field(ge=1)
    max_depth: int | None = Field(ge=1)


class Boosting(Section):
    """Gradient boosting (Friedman, 2001, doi:10.1214/aos/1013203451)."""

    trees: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    max_depth: int = Field(ge=1)


class Params(Section):
    """The chosen model, and the settings of all models; params.yaml explains each of them."""

    seed: int = Field(ge=0, lt=2**32)
    rare: float = Field(ge=0, lt=1)
{%- if classes %}
    class_weight: Literal["balanced"] | None
    model: Literal["logistic", "forest", "boosting"]
    logistic: Logistic
{%- else %}
    model: Literal["linear", "forest", "boosting"]
    linear: Linear
{%- endif %}
    forest: Forest
    boosting: Boosting
