"""The section `prepare` of params.yaml."""

from pydantic import Field, model_validator

from . import Section


class Params(Section):
    """How rows are split; see the comments in params.yaml."""

    seed: int = Field(ge=0, lt=2**32)
    valid_fraction: float = Field(gt=0, lt=1)
    test_fraction: float = Field(gt=0, lt=1)

    @model_validator(mode="after")
    def _leave_rows_to_train_on(self) -> "Params":
        if self.valid_fraction + self.test_fraction >= 1:
            raise ValueError("valid_fraction + test_fraction below 1: no row would be left to train on")
        return self
