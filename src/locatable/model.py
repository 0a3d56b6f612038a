"""The domain model: stages and their records, experiments, paths, keys and values.

A `Stage` combines what dvc.yaml declares with what dvc.lock records. A path is a string relative to the DVC
root (`../x` is outside of it), or a URL. The key of a value has DVC's form: `file:dotted.key`, or just
`dotted.key` if the file is params.yaml.
"""

import json
import math
import posixpath
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

PARAMS_FILE = "params.yaml"
# The folder, inside its own, in which DVCLive writes series: one file of values over steps for each metric.
SERIES_FOLDER = "plots/metrics/"
# If a name in a stage's `params` contains one of these characters, DVC takes it for a pattern.
PATTERN = frozenset("*?[")
# The record of a file or folder in a lock or `.dvc` file: `md5`, `size`, `nfiles` (folders only), and more.
Entry = Mapping[str, Any]
# The keys of an entry that can hold a hash: for local files, for S3 and HTTP, and for HDFS.
HASHES = ("md5", "etag", "checksum")
# Stands between a Hydra group and the option chosen from it, in a trial's commit message; neither name can
# contain it.
CHOSEN = " := "
# Begins the line with Optuna's record of the trial, in a trial's commit message.
MEMORY = "optuna: "


@dataclass(frozen=True)
class Experiment:
    """A DVC experiment.

    Attributes:
        name: its name in DVC.
        rev: its commit.
        baseline: the commit that it started from.
        committed: when it was committed, in seconds since 1970.
        study: the Optuna study whose search created it; None if no search did.
    """

    name: str
    rev: str
    baseline: str
    committed: int
    study: str | None = None


def experiment_ref(baseline: str, name: str) -> str:
    """Return the Git ref under which DVC keeps an experiment of a baseline commit."""
    return f"refs/exps/{baseline[:2]}/{baseline[2:]}/{name}"


def experiment_message(name: str, choices: Mapping[str, str], memory: Mapping[str, Any]) -> str:
    """Return the commit message of a trial's experiment.

    It has the name, the options chosen from Hydra's groups, and Optuna's record of the trial. The choices
    must be kept there because params.yaml contains the values they stand for but not their names.
    """
    body = [f"{group}{CHOSEN}{chosen}" for group, chosen in choices.items()]
    if memory:
        body.append(MEMORY + json.dumps(memory))
    return "\n".join([f"search: {name}", "", *body]).rstrip()


def choices_in(text: str) -> dict[str, str]:
    """Return the chosen option of each Hydra group, read from a commit message or a text that contains it."""
    choices = {}
    for line in text.split("\n"):
        group, mark, chosen = line.partition(CHOSEN)
        if mark and not line.startswith(MEMORY):
            choices[group] = chosen
    return choices


def memory_in(text: str) -> dict[str, Any]:
    """Return Optuna's record of the trial, read from a commit message or a text that contains it.

    The result is empty if the message has no such record.

    Raises:
        ValueError: the line with the record is damaged.
    """
    for line in text.split("\n"):
        if line.startswith(MEMORY):
            memory: dict[str, Any] = json.loads(line.removeprefix(MEMORY))
            return memory
    return {}


@dataclass(frozen=True)
class Artifact:
    """An entry of the `artifacts` section of a dvc.yaml; its path is relative to the DVC root."""

    name: str
    path: str
    type: str = ""
    desc: str = ""


@dataclass(frozen=True)
class Record:
    """The record of a stage in `dvc.lock`; all paths are relative to the DVC root.

    Attributes:
        cmd: a command or a list of commands.
        deps: the entries of the files and folders that the stage read, by path.
        outs: the entries of the files and folders that it wrote, by path.
        params: the values it used, by file, nested as in the lock.
    """

    cmd: str | list[str] = ""
    deps: dict[str, Entry] = field(default_factory=dict)
    outs: dict[str, Entry] = field(default_factory=dict)
    params: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Output:
    """A file or folder that a stage writes, or that a `.dvc` file tracks.

    Attributes:
        path: relative to the DVC root.
        cached: True if DVC's cache keeps it, False if Git does.
        persistent: True if DVC does not delete it before the stage runs (`persist: true`).
        entry: its recorded entry; None if it is not recorded.
    """

    path: str
    cached: bool = True
    persistent: bool = False
    entry: Entry | None = field(default=None, hash=False)

    @property
    def recorded(self) -> str | None:
        """Its recorded hash, if any."""
        return recorded_hash(self.entry)

    @property
    def size(self) -> int:
        """Its recorded size in bytes; 0 if none is recorded."""
        return int((self.entry or {}).get("size") or 0)


@dataclass(frozen=True)
class Stage:
    """A stage, as declared in dvc.yaml (with templates resolved) and as recorded in dvc.lock.

    Attributes:
        address: its name in DVC's commands: `train`, `pipelines/a/dvc.yaml:train@x`.
        folder: the folder it runs in, relative to the DVC root.
        cmd: a command or a list of commands.
        deps: paths of the files and folders that it reads.
        params: the names of the params that it reads, by file; an empty list means the whole file.
        outs: its outputs, by path.
        frozen: True if DVC never runs it and ignores changes of its dependencies and params.
        always_changed: True if DVC runs it every time.
        record: its record in dvc.lock; None if it has none.
        needs: addresses of the stages whose outputs it reads.
    """

    address: str
    folder: str
    cmd: str | list[str]
    deps: tuple[str, ...] = ()
    params: dict[str, list[str]] = field(default_factory=dict)
    outs: dict[str, Output] = field(default_factory=dict)
    frozen: bool = False
    always_changed: bool = False
    record: Record | None = None
    needs: tuple[str, ...] = ()

    def with_record(self, record: Record | None) -> "Stage":
        """Return the stage with a record from dvc.lock, and with the record's entries in its outputs."""
        entries = record.outs if record else {}
        outs = {path: replace(out, entry=entries.get(path)) for path, out in self.outs.items()}
        return replace(self, outs=outs, record=record)

    @property
    def name(self) -> str:
        """The last part of its address."""
        return self.address.rpartition(":")[2]

    @property
    def pipeline(self) -> str:
        """The dvc.yaml that declares it, relative to the DVC root."""
        return self.address.rpartition(":")[0] or "dvc.yaml"

    @property
    def commands(self) -> tuple[str, ...]:
        """Its commands in order, each run by its own shell; if `cmd` is a string, each line is a command."""
        return tuple(self.cmd if isinstance(self.cmd, list) else self.cmd.splitlines())

    @property
    def warm_starts(self) -> list[str]:
        """Paths of the outputs from its previous run that it can continue from.

        A stage that DVC always runs has none: it is a check or a download, and replaces its outputs.
        """
        return [out.path for out in self.outs.values() if out.persistent and not self.always_changed]


def command_fault(commands: str | list[Any]) -> str:
    """Return an error message if one of the commands is not a string; empty if all are.

    DVC's schema accepts such a command, and DVC only fails when it runs the stage.
    """
    if isinstance(commands, list):
        for command in commands:
            if not isinstance(command, str):
                return f"YAML reads {command!r}, which cannot run: put the command in quotes"
    return ""


@dataclass(frozen=True)
class PipelineFile:
    """The declarations of a dvc.yaml, with templates resolved; all paths are relative to the DVC root.

    Attributes:
        stages: its stages, by name.
        metrics: files and folders with metrics, declared at the top level or by a stage.
        plots: files and folders with plots, declared at the top level or by a stage.
        plot_definitions: the settings of each plot, by its path; by its name if the settings list the files.
        params: params files and folders declared at the top level.
        artifacts: the entries of `artifacts`.
        variables: the values that templates use, by file and dotted key.
        fault: why DVC cannot run the file; empty if it can.
    """

    stages: dict[str, Stage] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    plots: tuple[str, ...] = ()
    plot_definitions: dict[str, dict[str, Any]] = field(default_factory=dict)
    params: tuple[str, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    variables: dict[str, dict[str, Any]] = field(default_factory=dict)
    fault: str = ""

    @cached_property
    def outs(self) -> frozenset[str]:
        """Paths of the outputs of its stages."""
        return frozenset(path for stage in self.stages.values() for path in stage.outs)


def recorded_hash(entry: Entry | None) -> str | None:
    """Return the hash in an entry, of any of the kinds in `HASHES`; None if there is none."""
    for kind in HASHES:
        if entry and kind in entry:
            return str(entry[kind])
    return None


def address_of(folder: str, stage: str) -> str:
    """Return DVC's address of a stage in a folder's dvc.yaml: `train`, `pipelines/a/dvc.yaml:train@x`."""
    return f"{folder}/dvc.yaml:{stage}" if folder else stage


@lru_cache(10_000)
def join(*parts: str) -> str:
    """Join the parts of a path and normalize it. If the last part is a URL or absolute, it is the result."""
    if "://" in parts[-1]:
        return parts[-1]
    return posixpath.normpath(posixpath.join(*parts))


def is_in(path: str, place: str) -> bool:
    """Return whether a path equals `place` or lies inside it."""
    return path == place or path.startswith(f"{place}/") or place == "."


def with_needs(stages: Mapping[str, Stage]) -> dict[str, Stage]:
    """Return the stages by address, each with `needs` set to the addresses of the stages it depends on."""
    # The stages that write each path, and the stages that write something inside each folder.
    writers: dict[str, list[str]] = {}
    writers_inside: dict[str, list[str]] = {}
    for stage in stages.values():
        for path in stage.outs:
            writers.setdefault(path, []).append(stage.address)
            for folder in (".", *folders(path)):
                writers_inside.setdefault(folder, []).append(stage.address)
    linked = {}
    for stage in stages.values():
        needs: dict[str, None] = {}  # used as an ordered set
        for path in (*stage.deps, *stage.params):
            for place in (path, ".", *folders(path)):
                needs |= dict.fromkeys(writers.get(place, ()))
            needs |= dict.fromkeys(writers_inside.get(path, ()))
        needs.pop(stage.address, None)
        linked[stage.address] = replace(stage, needs=tuple(needs))
    return linked


def run_order(needs: Mapping[str, Collection[str]]) -> list[str]:
    """Return stage addresses in an order in which every stage comes after the stages it needs.

    Otherwise the order of the input is kept, also for stages in a cycle, which DVC refuses to run.

    Args:
        needs: the addresses of the stages that each stage needs, by its address.
    """
    order: list[str] = []
    waiting = dict.fromkeys(needs)
    while waiting:
        ready = (address for address in waiting if waiting.keys().isdisjoint(needs[address]))
        address = next(ready, next(iter(waiting)))  # in a cycle, no stage is ready
        order.append(address)
        del waiting[address]
    return order


@lru_cache(50_000)
def folders(path: str) -> tuple[str, ...]:
    """Return the parent folders of a path, outermost first, without the DVC root."""
    names = path.split("/")
    return tuple("/".join(names[:length]) for length in range(1, len(names)))


def is_inside(path: str) -> bool:
    """Return whether a path is inside the DVC project, so neither an absolute path, nor `../x`, nor a URL."""
    return not (path.startswith(("/", "../")) or path == ".." or "://" in path)


def overlaps(path: str, others: Iterable[str]) -> bool:
    """Return whether a path equals one of the others, lies inside it, or contains it."""
    return any(is_in(path, other) or is_in(other, path) for other in others)


def is_series(path: str) -> bool:
    """Return whether DVCLive wrote a file as a series: the values of a metric over steps."""
    return SERIES_FOLDER in path


def holder(places: Iterable[str], path: str) -> str | None:
    """Return the first place that equals a path or is a folder around it; None if there is none."""
    return next((place for place in places if is_in(path, place)), None)


@dataclass(frozen=True)
class Key:
    """The key of a value in a file of params or metrics.

    Attributes:
        file: path of the file, relative to the DVC root.
        dotted: the names of the sections around the value and of the value itself, joined by dots.
    """

    file: str
    dotted: str

    @classmethod
    def parse(cls, text: str) -> "Key":
        """Parse a key in the form that `dvc exp run -S` takes."""
        file, _, dotted = text.rpartition(":")
        return cls(file or PARAMS_FILE, dotted)

    def __str__(self) -> str:
        return self.dotted if self.file == PARAMS_FILE else f"{self.file}:{self.dotted}"

    @property
    def parts(self) -> list[str]:
        """The names in `dotted`, one for each level."""
        return self.dotted.split(".")

    def value_in(self, content: Any) -> Any:
        """Look up the value in the content of the file.

        Raises:
            LookupError, TypeError or ValueError: the content has no such value.
        """
        value = content
        for part in self.parts:
            value = value[index(value, part)]
        return value


def index(container: Any, part: str) -> int | str:
    """Return a part of a dotted key as an index of `container`: an integer if that is a list."""
    return int(part) if isinstance(container, list) else part


def flatten(values: Mapping[Any, Any], *, lists: bool = False) -> dict[str, Any]:
    """Flatten nested mappings into one with dotted keys; an empty mapping is kept as a value.

    With `lists`, lists are flattened too, with positions for keys.
    """
    return dict(_leaves(values, lists))


def flatten_all(values: Mapping[Any, Any], *, lists: bool = False) -> dict[str, Any]:
    """Flatten nested mappings like `flatten`, but number equal keys instead of losing a value.

    For example, `{"a.b": 1, "a": {"b": 2}}` becomes `{"a.b": 1, "a.b 2": 2}`.
    """
    flat: dict[str, Any] = {}
    times: Counter[str] = Counter()
    for dotted, leaf in _leaves(values, lists):
        times[dotted] += 1
        flat[f"{dotted} {times[dotted]}" if times[dotted] > 1 else dotted] = leaf
    return flat


def _leaves(values: Mapping[Any, Any], lists: bool) -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and value of each leaf."""
    for key, value in values.items():
        inside = _items(value, lists)
        if not inside:
            yield str(key), value
            continue
        for dotted, leaf in _leaves(inside, lists):
            yield f"{key}.{dotted}", leaf


def _items(value: Any, lists: bool) -> Mapping[Any, Any]:
    """Return the items of a mapping, and with `lists` of a list, by key; empty for any other value."""
    if isinstance(value, Mapping):
        return value
    if lists and isinstance(value, list):
        return dict(enumerate(value))
    return {}


def json_text(content: Any, **layout: Any) -> str:
    """Return content as JSON that every parser can read.

    JSON has no NaN and no infinities, so they are written as the strings `"NaN"`, `"Infinity"` and
    `"-Infinity"`. Values of other types that JSON lacks, such as dates, are written as `str` shows them.
    """
    return json.dumps(_strict(content), default=str, allow_nan=False, **layout)


def _strict(value: Any) -> Any:
    """Replace the values and keys that JSON lacks, at any depth."""
    match value:
        case Mapping():
            strict = {}
            for key, item in value.items():
                # In YAML, a key can also be a date, a float or a list.
                json_key = key if isinstance(key, str | int | None) else str(key)
                strict[json_key] = _strict(item)
            return strict
        case list() | tuple():
            return [_strict(item) for item in value]
        case float() if not math.isfinite(value):
            return json.dumps(value)
    return value


def same_value(left: Any, right: Any) -> bool:
    """Return whether two values are equal in Python, except that NaN equals NaN, also in nested values."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(same_value(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same_value, left, right))
    both_nan = left != left and right != right
    return both_nan or bool(left == right)


def flat_params(files: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Return the values of params files by key, as `dvc exp run -S` takes it; later files take precedence."""
    values = {}
    for file, content in files:
        for dotted, value in flatten(content).items():
            values[_key_text(file, dotted)] = value
    return values


@lru_cache(10_000)
def _key_text(file: str, dotted: str) -> str:
    return str(Key(file, dotted))


def named_values(content: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the named values of a params file; without names, its whole content."""
    values = {}
    for name in names:
        try:
            values[name] = named_value(content, name)
        except (LookupError, TypeError, ValueError):
            continue  # a stage that names a missing param fails by itself
    return values if names else dict(content)


def named_value(content: Any, name: str) -> Any:
    """Return the value that a name in a stage's `params` refers to.

    As in DVC, the name can be a pattern such as `models.rf*`.

    Raises:
        LookupError, TypeError or ValueError: no value matches, or several do.
    """
    try:
        return Key("", name).value_in(content)
    except (LookupError, TypeError, ValueError):
        if PATTERN.isdisjoint(name):
            raise
        from dpath import get  # the library with which DVC resolves patterns

        return get(content, name, separator=".")
