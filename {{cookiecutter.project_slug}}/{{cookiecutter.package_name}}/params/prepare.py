{%- set classes = cookiecutter.task == 'classification' -%}
"""The section `prepare` of params.yaml."""

from pydantic import Field, model_validator

from . import Section


class Params(Section):
    """The target, and the settings of the split; params.yaml explains each of them."""

    target: str
    drop: list[str]
    stratify: bool | str
    group: str | None
    time: str | None
    gap: float | None = Field(ge=0)
    distinct: bool
    seed: int = Field(ge=0, lt=2**32)
    valid_fraction: float = Field(gt=0, lt=1)
    test_fraction: float = Field(gt=0, lt=1)

    @model_validator(mode="after")
    def _one_way_to_split(self) -> "Params":
        if self.valid_fraction + self.test_fraction >= 1:
            raise ValueError("valid_fraction + test_fraction must be below 1, or no row is left to train on")
        if self.group and self.time:
            raise ValueError("rows are split by group or by time; set one of them to null")
        if self.gap and not self.time:
            raise ValueError("gap is for rows that are split by time; set time, or gap: null")
        if self.stratify and (self.group or self.time):
            raise ValueError("rows that are split by group or time cannot be stratified; set stratify: false")
{%- if not classes %}
        if self.stratify is True:
            raise ValueError("stratify: true is for classes; set it to false, or to a column of classes")
{%- endif %}
        return self
