"""The keys and types that each stage accepts in its section of params.yaml.

Each stage depends only on its own module with the class `Params`, so that a new key of `evaluate` never
retrains a model. Run with `python -m`, this package checks the whole file.
"""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML, YAMLError

PARAMS = Path("params.yaml")


class Section(BaseModel):
    """A section of params.yaml: no unknown keys, no silent conversion, no NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


S = TypeVar("S", bound=Section)


def load(name: str, section: type[S]) -> S:
    """Read and validate one section of params.yaml; exit with one line for each fault in it."""
    values = read()
    if name not in values:
        raise SystemExit(f"{PARAMS}: {name}: the section is missing")
    try:
        return section.model_validate(values[name])
    except ValidationError as error:
        raise SystemExit("\n".join(_explain(name, section, fault) for fault in error.errors())) from None


def read() -> dict[str, Any]:
    """Read params.yaml with the parser that DVC uses, so that 1e-05 is a number as it is for DVC."""
    try:
        values = YAML(typ="safe").load(PARAMS.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SystemExit(f"{PARAMS}: not found; run stages from the project's folder") from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{PARAMS}: line {mark.line + 1}" if mark else PARAMS
        raise SystemExit(f"{where}: not valid YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(values, dict):
        raise SystemExit(f"{PARAMS}: expected one section per stage, found {values!r}")
    return values


def _explain(name: str, section: type[Section], fault: ErrorDetails) -> str:
    key = ".".join([name, *map(str, fault["loc"])])
    if fault["type"] == "missing":
        return f"{PARAMS}: {key}: missing; add this key"
    if fault["type"] == "extra_forbidden":
        for part in fault["loc"][:-1]:
            section = section.model_fields[str(part)].annotation
        return f"{PARAMS}: {key}: unknown key; allowed here: {', '.join(section.model_fields)}"
    if fault["type"] == "value_error":
        return f"{PARAMS}: {key}: {fault['msg'].removeprefix('Value error, ')}"
    allowed = fault["msg"].removeprefix("Input should be ")
    return f"{PARAMS}: {key}: {fault['input']!r} is not allowed; it should be {allowed}"
