"""The section `evaluate` of params.yaml."""

from pydantic import Field

from . import Section


class Params(Section):
    """The settings of the evaluation; params.yaml explains each of them."""
{% if cookiecutter.task == 'classification' %}
    threshold: float = Field(gt=0, lt=1)
    calibration_bins: int = Field(ge=2)
{%- else %}
    interval: float = Field(gt=0, lt=1)
{%- endif %}
