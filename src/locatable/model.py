"""The words of the domain, each once: stages and their records, experiments, paths, keys and values.

What dvc.yaml declares and what dvc.lock records stand side by side in a `Stage`. A path is a text relative
to the DVC root (`../x` beside it), or a URL. DVC writes the key of a value as `file:dotted.key`, or as
`dotted.key` where the file is params.yaml.
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
# Where DVCLive puts series, below its own folder.
SERIES_FOLDER = "plots/metrics/"
# Characters of a name in a stage's `params` that make DVC take it for a pattern.
PATTERN = frozenset("*?[")
# What a lock or a `.dvc` file says of a file or folder: `md5`, `size`, `nfiles` of a folder, and more.
Entry = Mapping[str, Any]
# Its keys that hold a hash: of local files, of S3 and HTTP, or of HDFS.
HASHES = ("md5", "etag", "checksum")
# In the message of an experiment's commit: between the name of a group of Hydra's and what was chosen of it,
# which neither can hold; and how the line begins that holds what Optuna knew of a trial.
CHOSEN = " := "
MEMORY = "optuna: "


@dataclass(frozen=True)
class Experiment:
    """A DVC experiment.

    Attributes:
        name: what DVC calls it.
        rev: its commit.
        baseline: the commit that it started from.
        committed: when it was committed, in seconds since 1970.
        study: the Optuna study whose search made it, None if no search did.
    """

    name: str
    rev: str
    baseline: str
    committed: int
    study: str | None = None


def experiment_ref(baseline: str, name: str) -> str:
    """Return where DVC keeps an experiment of a baseline commit."""
    return f"refs/exps/{baseline[:2]}/{baseline[2:]}/{name}"


def experiment_message(name: str, choices: Mapping[str, str], memory: Mapping[str, Any]) -> str:
    """Return the message of an experiment's commit: its name, choices in Hydra's groups, what Optuna knew.

    The choices are kept, since params.yaml holds what they stand for and not their names.
    """
    body = [f"{group}{CHOSEN}{chosen}" for group, chosen in choices.items()]
    if memory:
        body.append(MEMORY + json.dumps(memory))
    return "\n".join([f"search: {name}", "", *body]).rstrip()


def choices_in(text: str) -> dict[str, str]:
    """Return what a message, or any text around it, says was chosen of Hydra's groups."""
    choices = {}
    for line in text.split("\n"):
        group, mark, chosen = line.partition(CHOSEN)
        if mark and not line.startswith(MEMORY):
            choices[group] = chosen
    return choices


def memory_in(text: str) -> dict[str, Any]:
    """Return what a message, or any text around it, says that Optuna knew of the trial; empty for nothing.

    Raises:
        ValueError: the line was damaged.
    """
    for line in text.split("\n"):
        if line.startswith(MEMORY):
            memory: dict[str, Any] = json.loads(line.removeprefix(MEMORY))
            return memory
    return {}


@dataclass(frozen=True)
class Artifact:
    """An entry below `artifacts` of a dvc.yaml; its path is relative to the DVC root."""

    name: str
    path: str
    type: str = ""
    desc: str = ""


@dataclass(frozen=True)
class Record:
    """What `dvc.lock` records of a stage; all paths are relative to the DVC root.

    Attributes:
        cmd: a command or a list of them.
        deps: entry of each file and folder that the stage read, by path.
        outs: the same of what it wrote.
        params: values by file, nested as the lock has them.
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
        cached: whether DVC keeps it; otherwise Git does.
        persistent: whether a run of the stage finds what the last one wrote (`persist: true`).
        entry: what is recorded of it; None where nothing is.
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
        """Bytes in it as recorded, 0 where that is not."""
        return int((self.entry or {}).get("size") or 0)


@dataclass(frozen=True)
class Stage:
    """A stage: what dvc.yaml declares, templates resolved, and beside it what dvc.lock records.

    Attributes:
        address: what DVC calls it: `train`, `pipelines/a/dvc.yaml:train@x`.
        folder: where it runs, relative to the DVC root.
        cmd: a command or a list of them.
        deps: paths of the files and folders that it reads.
        params: names by file of the params that it reads; no names for all of a file.
        outs: what it writes, by path.
        frozen: whether DVC never runs it, and does not look at its dependencies and params.
        always_changed: whether DVC runs it every time.
        record: what it read and wrote when it ran; None where nothing is recorded.
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
        """Return the same stage with what dvc.lock records of it."""
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
        """Its commands, to be run by a shell one after the other; of a text, DVC runs each line by itself."""
        return tuple(self.cmd if isinstance(self.cmd, list) else self.cmd.splitlines())

    @property
    def warm_starts(self) -> list[str]:
        """Paths at which it finds its own last output, and may go on from there.

        What DVC runs every time is a check or a download: it replaces what it wrote.
        """
        return [out.path for out in self.outs.values() if out.persistent and not self.always_changed]


def no_text(commands: str | list[Any]) -> str:
    """Return what is wrong with commands of which one is no text; empty where all are."""
    for command in commands if isinstance(commands, list) else ():
        if not isinstance(command, str):
            return f"YAML reads {command!r}, which cannot run: put the command in quotes"
    return ""


@dataclass(frozen=True)
class PipelineFile:
    """What a dvc.yaml declares, with its templates resolved; all paths are relative to the DVC root.

    Attributes:
        stages: by name.
        metrics: files and folders, of the top and of all stages.
        plots: the same.
        plot_definitions: settings of each plot, by its path; by its name where the settings name the files.
        params: files and folders that the top names.
        artifacts: as named below `artifacts`.
        variables: values that templates name, by file and dotted key.
        fault: why DVC cannot run it; empty where it can.
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
        """Paths of what its stages write."""
        return frozenset(path for stage in self.stages.values() for path in stage.outs)


def recorded_hash(entry: Entry | None) -> str | None:
    """Return the hash in an entry, whatever kind it is."""
    for kind in HASHES:
        if entry and kind in entry:
            return str(entry[kind])
    return None


def address_of(folder: str, stage: str) -> str:
    """Return what DVC calls a stage of the dvc.yaml in a folder: `train`, `pipelines/a/dvc.yaml:train@x`."""
    return f"{folder}/dvc.yaml:{stage}" if folder else stage


@lru_cache(10_000)
def join(*parts: str) -> str:
    """Return a path relative to the DVC root; URLs and absolute paths stay as they are."""
    if "://" in parts[-1]:
        return parts[-1]
    return posixpath.normpath(posixpath.join(*parts))


def is_in(path: str, place: str) -> bool:
    """Return whether a path is that of a file or folder, or of something in that folder."""
    return path == place or path.startswith(f"{place}/") or place == "."


def with_needs(stages: Mapping[str, Stage]) -> dict[str, Stage]:
    """Return stages, by their address, that know which of the others they need."""
    writers: dict[str, list[str]] = {}
    below: dict[str, list[str]] = {}
    for stage in stages.values():
        for path in stage.outs:
            writers.setdefault(path, []).append(stage.address)
            for folder in (".", *folders(path)):
                below.setdefault(folder, []).append(stage.address)
    linked = {}
    for stage in stages.values():
        needs: dict[str, None] = {}
        for path in (*stage.deps, *stage.params):
            found = [address for place in (path, ".", *folders(path)) for address in writers.get(place, ())]
            needs |= dict.fromkeys([*found, *below.get(path, ())])
        needs.pop(stage.address, None)
        linked[stage.address] = replace(stage, needs=tuple(needs))
    return linked


def run_order(needs: Mapping[str, Collection[str]]) -> list[str]:
    """Return stages, by those that each needs: each after these, and otherwise as they come.

    Stages in a circle, which DVC refuses to run, stay as they come.
    """
    order: list[str] = []
    waiting = dict.fromkeys(needs)
    while waiting:
        next_one = next(iter(waiting))  # of a circle, where none is ready
        for address in waiting:
            if waiting.keys().isdisjoint(needs[address]):
                next_one = address
                break
        order.append(next_one)
        del waiting[next_one]
    return order


@lru_cache(50_000)
def folders(path: str) -> tuple[str, ...]:
    """Return the folders around a path, outermost first, without the DVC root."""
    names = path.split("/")
    return tuple("/".join(names[:length]) for length in range(1, len(names)))


def is_inside(path: str) -> bool:
    """Return whether a path leads into the DVC project: neither beside it, nor to elsewhere, nor to a URL."""
    return not (path.startswith(("/", "../")) or path == ".." or "://" in path)


def overlaps(path: str, others: Iterable[str]) -> bool:
    """Return whether a path is one of the others, lies in one of them, or one of them in it."""
    return any(is_in(path, other) or is_in(other, path) for other in others)


def is_series(path: str) -> bool:
    """Return whether a file is one of those that DVCLive writes for values over steps."""
    return SERIES_FOLDER in path


def holder(places: Iterable[str], path: str) -> str | None:
    """Return the first of some files and folders that a path is, or lies in; None if there is none."""
    return next((place for place in places if is_in(path, place)), None)


@dataclass(frozen=True)
class Key:
    """The place of a value.

    Attributes:
        file: path of the file, as seen from the DVC root.
        dotted: names of the sections around the value, and its own, joined by dots.
    """

    file: str
    dotted: str

    @classmethod
    def parse(cls, text: str) -> "Key":
        """Read a key as `dvc exp run -S` takes it."""
        file, _, dotted = text.rpartition(":")
        return cls(file or PARAMS_FILE, dotted)

    def __str__(self) -> str:
        return self.dotted if self.file == PARAMS_FILE else f"{self.file}:{self.dotted}"

    @property
    def parts(self) -> list[str]:
        """The names that `dotted` joins."""
        return self.dotted.split(".")

    def value_in(self, content: Any) -> Any:
        """Return the value that the key names in the content of its file.

        Raises:
            LookupError, TypeError or ValueError: there is none.
        """
        value = content
        for part in self.parts:
            value = value[index(value, part)]
        return value


def index(container: Any, part: str) -> int | str:
    """Return a part of a dotted key, as what indexes `container`: a position where that is a list."""
    return int(part) if isinstance(container, list) else part


def flatten(values: Mapping[Any, Any], *, lists: bool = False) -> dict[str, Any]:
    """Return nested mappings as one, with dotted keys; an empty mapping stays, as a value.

    With `lists`, what is in lists counts, too; its keys are positions.
    """
    return dict(_leaves(values, lists))


def flatten_all(values: Mapping[Any, Any], *, lists: bool = False) -> dict[str, Any]:
    """Return what `flatten` does, and lose no value: of `{"a.b": 1, "a": {"b": 2}}`, `a.b` and `a.b 2`."""
    flat: dict[str, Any] = {}
    times: Counter[str] = Counter()
    for dotted, leaf in _leaves(values, lists):
        times[dotted] += 1
        flat[f"{dotted} {times[dotted]}" if times[dotted] > 1 else dotted] = leaf
    return flat


def _leaves(values: Mapping[Any, Any], lists: bool) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        inside = _items(value, lists)
        if not inside:
            yield str(key), value
            continue
        for dotted, leaf in _leaves(inside, lists):
            yield f"{key}.{dotted}", leaf


def _items(value: Any, lists: bool) -> Mapping[Any, Any]:
    """Return what is inside of a value, by key; empty where nothing is."""
    if isinstance(value, Mapping):
        return value
    if lists and isinstance(value, list):
        return dict(enumerate(value))
    return {}


def json_text(content: Any, **layout: Any) -> str:
    """Return content as JSON that every parser reads.

    JSON has no NaN and no infinities: they become the texts `"NaN"`, `"Infinity"` and `"-Infinity"`. What
    else it does not have, such as dates, becomes the text of the value.
    """
    return json.dumps(_strict(content), default=str, allow_nan=False, **layout)


def _strict(value: Any) -> Any:
    match value:
        case Mapping():
            strict = {}
            for key, item in value.items():
                # YAML has dates, floats and lists for keys, too.
                strict[key if isinstance(key, str | int | None) else str(key)] = _strict(item)
            return strict
        case list() | tuple():
            return [_strict(item) for item in value]
        case float() if not math.isfinite(value):
            return json.dumps(value)
    return value


def same_value(one: Any, other: Any) -> bool:
    """Return whether two values are equal, as Python compares them, and a NaN equal to any other NaN."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same_value(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_value, one, other))
    both_nan = one != one and other != other
    return both_nan or bool(one == other)


def flat_params(files: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Return values of params files by the keys of `dvc exp run -S`."""
    values = {}
    for file, content in files:
        for dotted, value in flatten(content).items():
            values[_key_text(file, dotted)] = value
    return values


@lru_cache(10_000)
def _key_text(file: str, dotted: str) -> str:
    return str(Key(file, dotted))


def named_values(content: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return values of a params file by their dotted names; all of the file if there are no names."""
    values = {}
    for name in names:
        try:
            values[name] = named_value(content, name)
        except (LookupError, TypeError, ValueError):
            continue  # the stage would fail
    return values if names else dict(content)


def named_value(content: Any, name: str) -> Any:
    """Return the value that a name in a stage's `params` stands for; DVC takes patterns such as `models.rf*`.

    Raises:
        LookupError, TypeError or ValueError: there is none, or several values match.
    """
    try:
        return Key("", name).value_in(content)
    except (LookupError, TypeError, ValueError):
        if PATTERN.isdisjoint(name):
            raise
        from dpath import get  # DVC's own

        return get(content, name, separator=".")
