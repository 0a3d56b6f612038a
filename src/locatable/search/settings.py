"""search.yaml: what a search may change, how it is judged, and by which sampler; checked before it starts.

    search = load(Path("search.yaml"))
    check(search, files, outputs)

Each fault ends in one line: the key, what is wrong there, and what is allowed.
"""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator
from yaml import YAMLError

from ..errors import SettingsError
from ..history import formats
from .space import Categorical, Float, Int, Section

PARAMS = "params.yaml"
Direction = Literal["minimize", "maximize"]


class Resources(Section):
    """What a trial takes of a Ray cluster."""

    cpu: float = Field(1, gt=0)
    gpu: float = Field(0, ge=0)


class Search(Section):
    """All of search.yaml; see the comments there."""

    study: str
    metric: str | list[str]
    direction: Direction | list[Direction]
    trials: int = Field(20, ge=1)
    sampler: dict[str, Any] = Field({"name": "TPESampler"})
    pruner: dict[str, Any] | None = None
    series: str | None = None
    resources: Resources = Resources()
    space: dict[str, Annotated[Float | Int | Categorical, Field(discriminator="type")]] = Field(min_length=1)

    @property
    def metrics(self) -> list[str]:
        """Objectives, each as file:dotted.key."""
        return [self.metric] if isinstance(self.metric, str) else self.metric

    @property
    def directions(self) -> list[str]:
        """The direction of each objective."""
        return [self.direction] if isinstance(self.direction, str) else self.direction

    @model_validator(mode="after")
    def _coherent(self) -> "Search":
        if not re.fullmatch(r"\w[\w-]*", self.study, re.ASCII):
            raise ValueError(f"study: {self.study!r}: only letters, digits, - and _ can be in a name")
        if not self.metrics:
            raise ValueError("metric: needs one at least")
        if len(self.metrics) != len(self.directions):
            raise ValueError("direction: needs as many entries as metric")
        if self.pruner and (len(self.metrics) > 1 or not self.series):
            raise ValueError("pruner: needs a `series` to watch, and a single metric")
        self.ordered()
        return self

    def ordered(self) -> list[str]:
        """Keys of the space, each after those that its `when` looks at; raises ValueError for a circle."""
        graph = {key: self.space.keys() & param.when.keys() for key, param in self.space.items()}
        order = TopologicalSorter({key: sorted(graph[key]) for key in graph})
        try:
            return list(order.static_order())
        except CycleError as error:
            raise ValueError(f"space: `when` goes in a circle: {' → '.join(error.args[1])}") from None

    def active(self, choose: Callable[[str], Any], base: Callable[[str], Any]) -> Iterator[tuple[str, Any]]:
        """Each key that has an effect, with its value.

        Args:
            choose: value of a searched key, asked only where it has an effect.
            base: value of a key that is not searched.
        """
        chosen: dict[str, Any] = {}

        def holds(key: str, wanted: Any) -> bool:
            if key in self.space and key not in chosen:
                return False
            return (chosen[key] if key in chosen else base(key)) in (
                wanted if isinstance(wanted, list) else [wanted]
            )

        for key in self.ordered():
            if all(holds(other, wanted) for other, wanted in self.space[key].when.items()):
                chosen[key] = choose(key)
                yield key, chosen[key]


def load(path: Path, study: str | None = None) -> Search:
    """Read search.yaml and validate it by itself.

    Args:
        path: of the file.
        study: a name instead of the one in the file.

    Raises:
        SettingsError: what is wrong, one line a fault.
    """
    try:
        # As in params files, 1e-5 is a number here.
        values = formats.load_yaml(path.read_text(encoding="utf-8"))
        return Search.model_validate(
            {**values, "study": study} if study and isinstance(values, dict) else values
        )
    except FileNotFoundError:
        raise SettingsError(f"{path}: not found; run this from the project's folder") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from None
    except YAMLError as error:
        raise SettingsError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        # Of a value that could be of several types, the first fault says enough.
        faults = {_where(fault): fault for fault in reversed(error.errors())}
        lines = [f"{path}: {_explain(fault)}" for fault in reversed(faults.values())]
        raise SettingsError("\n".join(lines)) from None


def _where(fault: Mapping[str, Any]) -> str:
    place = [str(part) for part in fault["loc"]]
    # Within the space, the third part only names the type that was tried.
    return ".".join(place[:2] + place[3:] if place[:1] == ["space"] else place[:1])


def _explain(fault: Mapping[str, Any]) -> str:
    what = fault["msg"].removeprefix("Value error, ")
    what = {"extra_forbidden": "unknown key", "missing": "missing; add this key"}.get(fault["type"], what)
    return ": ".join(filter(None, (_where(fault), what)))


def check(search: Search, files: Mapping[str, Any], outputs: Mapping[str, bool]) -> None:
    """Hold search.yaml against the project.

    Args:
        search: what `load` gave.
        files: content of each params file, by path.
        outputs: for each path that a stage writes, whether DVC (not Git) keeps it.

    Raises:
        SettingsError: it names a param or file that there is not.
    """
    known = ["" if path == PARAMS else f"{path}:" for path in files]
    known = [
        prefix + key for prefix, values in zip(known, files.values(), strict=True) for key in _keys(values)
    ]
    for name, param in search.space.items():
        for key in (name, *param.when):
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                raise SettingsError(
                    f"search.yaml: space: {key}: no such param{f'; is it {near[0]}?' if near else ''}"
                )
    for metric in search.metrics:
        path, _, key = metric.partition(":")
        if not key:
            raise SettingsError(f"search.yaml: metric: {metric}: write it as file:dotted.key")
        if _out(path, outputs):
            raise SettingsError(
                f"search.yaml: metric: {path}: declare it with `cache: false`, so that Git keeps it"
            )
    if search.series and _out(search.series, outputs):
        # DVC would put the baseline's there before the trial's begins.
        raise SettingsError(f"search.yaml: series: {search.series}: declare it with `cache: false`")


def _keys(values: Any, above: str = "") -> Iterator[str]:
    """Dotted keys of a params file's values, and of its sections."""
    inside = (
        enumerate(values) if isinstance(values, list) else values.items() if isinstance(values, dict) else ()
    )
    for key, value in inside:
        yield f"{above}{key}"
        yield from _keys(value, f"{above}{key}.")


def _out(path: str, outputs: Mapping[str, bool]) -> bool:
    for out, cached in outputs.items():
        if PurePosixPath(path).is_relative_to(out):
            return cached
    raise SettingsError(f"search.yaml: {path}: no stage writes this file")


def lookup(files: Mapping[str, Any], key: str) -> Any:
    """Value of a key, as after `-S` or as file:dotted.key; raises LookupError, TypeError or ValueError."""
    path, _, dotted = key.rpartition(":")
    value = files[path or PARAMS]
    for part in dotted.split("."):
        value = value[int(part) if isinstance(value, list) else part]
    return value
