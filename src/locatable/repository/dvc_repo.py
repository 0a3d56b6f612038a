"""Answers of DVC itself: the project as it opens it, what it refuses in one line, templates of a dvc.yaml,
files that .dvcignore hides, the points of a plot."""

import copy
import functools
import io
import os
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import yaml

from ..errors import DISK_FULL, LocatableError, ProjectError, UnreadableError, disk_full, joined_lines
from ..model import no_text
from . import require_regular
from .parsing import TooLargeError, require_bounded_yaml

if TYPE_CHECKING:
    from dvc.fs import FileSystem
    from dvc.repo import Repo

# Packages whose errors are DVC's answers.
DVC_PACKAGES = ("dvc", "dvc_data", "dvc_objects", "scmrepo")
# Texts that are remembered; a trial reads a handful.
REMEMBERED = 200


@functools.cache
def remember_parsed_yaml() -> None:
    """Have DVC remember what it parsed: it reads dvc.yaml and dvc.lock a dozen times in each experiment.

    With its parser, which is pure Python, that takes longer than all other bookkeeping of a trial.
    """
    from dvc.utils import strictyaml
    from dvc.utils.serialize import _yaml

    bound_what_dvc_reads()
    original = _yaml.parse_yaml
    remembered = functools.lru_cache(REMEMBERED)(original)

    def parse_yaml(text: str, path: str, typ: str = "safe") -> Any:
        if typ != "safe":
            return original(text, path, typ)  # a document to be edited
        return copy.deepcopy(remembered(text, path))

    _yaml.parse_yaml = parse_yaml
    strictyaml.parse_yaml = parse_yaml


@functools.cache
def bound_what_dvc_reads() -> None:
    """Have DVC refuse YAML that is too large or expands to too much, and settings without end.

    What DVC parses then raises UnreadableError, which names the file.
    """
    from dvc.config import Config
    from dvc.utils import strictyaml
    from dvc.utils.serialize import _yaml

    original = _yaml.parse_yaml

    def parse_yaml(text: str, path: str, typ: str = "safe") -> Any:
        try:
            require_bounded_yaml(text)
        except TooLargeError as error:
            raise UnreadableError(f"{path}: {error}") from None
        except yaml.YAMLError:
            pass  # DVC says what is wrong, and where
        return original(text, path, typ)

    load_file = Config.load_file

    def load_settings(path: str, fs: Any = None) -> Any:
        # Of an import, a `.dvc` file can name any file of this machine for the settings of its source.
        if fs is None:
            require_regular(Path(path))
        return load_file(path, fs)

    _yaml.parse_yaml = parse_yaml
    strictyaml.parse_yaml = parse_yaml
    Config.load_file = staticmethod(load_settings)


@contextmanager
def open_repo(root: Path) -> Iterator["Repo"]:
    """Open the project around a folder as DVC does.

    Raises:
        ProjectError: Git may read this repository; DVC, whose Git library knows fewer formats, does not;
            or DVC refuses something in the project.
    """
    from dulwich.repo import UnsupportedExtension, UnsupportedVersion
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    bound_what_dvc_reads()
    with dvc_errors():
        try:
            repo = Repo(str(root))
        except NotDvcRepoError:
            raise ProjectError("not in a DVC project: there is no .dvc in this folder or above it") from None
        except (UnsupportedExtension, UnsupportedVersion) as error:
            raise ProjectError(
                f"DVC cannot read this repository, since its Git library does not know the format {error} "
                "(`extensions` in .git/config)"
            ) from None
        with repo:
            yield repo


@contextmanager
def dvc_errors(kind: type[LocatableError] = ProjectError) -> Iterator[None]:
    """Turn all that DVC raises, whatever its type, into one line for the user.

    Raises:
        LocatableError: of that kind, with DVC's own reason.
    """
    try:
        yield
    except LocatableError:
        raise
    except Exception as error:
        if not _is_of_dvc(error):
            raise
        reason = with_causes(error)
        raise kind(disk_full() if DISK_FULL.search(reason) else reason) from error


def _is_of_dvc(error: Exception) -> bool:
    """Return whether an error was raised in DVC, or in what DVC called."""
    packages = {type(error).__module__.partition(".")[0]}
    trace = error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        packages.add(module.partition(".")[0])
        trace = trace.tb_next
    return not packages.isdisjoint(DVC_PACKAGES)


def with_causes(error: BaseException) -> str:
    """Return what an error and its causes say, in one line, each of them once."""
    messages: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        message = _in_one_line(cause)
        if message and message not in messages:
            messages.append(message)
        # DVC's schema has the same complaint once more, and more words for it.
        is_whole = type(cause).__name__ in ("YAMLSyntaxError", "YAMLValidationError")
        following = cause.__cause__ if cause.__suppress_context__ else cause.__context__
        cause = None if is_whole else following
    return "; ".join(messages) or type(error).__name__


def _in_one_line(error: BaseException) -> str:
    """Return what an error says, with the line of the file where the error knows it."""
    from dvc.utils.strictyaml import YAMLSyntaxError, YAMLValidationError

    if isinstance(error, YAMLSyntaxError):
        cause = error.exc.__cause__
        mark = getattr(cause, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        return f"{error.relpath.removeprefix('./')}{line}: invalid YAML: {getattr(cause, 'problem', None)}"
    if isinstance(error, YAMLValidationError):
        first = error.exc.errors[0]
        where = ".".join(map(str, first.path))
        return f"{error.path.removeprefix('./')}: {where}: {first.error_message}"
    if mark := getattr(error, "problem_mark", None):
        return f"line {mark.line + 1}: {getattr(error, 'problem', '')}"
    return one_line(str(error))


def one_line(text: str) -> str:
    """Return a message of several lines, and lists in it, as one line."""
    listed = re.sub(r":\s*\n\s*- ", ": ", text.strip())
    listed = re.sub(r"\n\s*- ", ", ", listed)
    return " ".join(re.sub(r"(?<=[^.:;,!?])\n+(?=[A-Z])", "; ", listed).split())


def path_in_project(repo: "Repo", item: Any) -> str:
    """Return the path of one of DVC's outputs or dependencies relative to the DVC root; others as they are.

    Outside of the project it is not that of the clone which DVC reads: a relative one stays relative.
    """
    named: str = item.def_path
    if "://" in named or os.path.isabs(named):
        return named
    return os.path.relpath(str(item.fs_path), repo.root_dir)


def commands_of(stage: Any) -> list[str]:
    """Return the commands of a stage of DVC's.

    Raises:
        ProjectError: one is no text, which DVC only sees when it is to run it.
    """
    wrong = no_text(stage.cmd)
    if wrong:
        raise ProjectError(f"{stage.path_in_repo}: stages.{stage.name}.cmd: {wrong}")
    return stage.cmd if isinstance(stage.cmd, list) else [stage.cmd]


def possibly_new_files(stages: Iterable[Any]) -> Iterator[str]:
    """Yield files for Git to keep that a first run of these stages creates."""
    for stage in stages:
        yield str(Path(stage.path).with_name("dvc.lock"))
        for out in stage.outs:
            if not out.is_in_repo:
                continue
            # What DVC keeps, it has Git ignore.
            yield str(Path(out.fs_path).with_name(".gitignore")) if out.use_scm_ignore else out.fs_path


def edited_in_workspace(root: Path) -> dict[str, str]:
    """Return the present hash by path of each file or folder that DVC keeps and that differs from its record.

    A file that is not in the workspace is left out: it may only not have been pulled.

    Raises:
        ProjectError: DVC cannot open the project, or cannot read one of its files.
    """
    edited = {}
    with open_repo(root) as repo, dvc_errors():
        for out in repo.index.outs:
            if out.use_cache and out.hash_info and out.is_in_repo and out.exists:
                present = out.get_hash()
                if present != out.hash_info:
                    edited[path_in_project(repo, out)] = str(present.value)
    return edited


@dataclass(frozen=True)
class PlotData:
    """The points of a plot.

    Attributes:
        title: of the plot.
        x_label: of the axis; `step` where lines of the file are counted.
        y_label: of the other one.
        template: by which DVC draws it, empty where that is not said.
        lines: points (x, y) by the name of the line, as the files have them.
    """

    title: str
    x_label: str
    y_label: str
    template: str
    lines: dict[str, list[tuple[Any, Any]]] = field(default_factory=dict)


def plot_data(name: str, settings: Mapping[str, Any], contents: Mapping[str, Any]) -> PlotData:
    """Have DVC find the points of a plot.

    Args:
        name: of the plot; its path, where the settings name no files.
        settings: as dvc.yaml has them.
        contents: of its files by path, parsed.

    Raises:
        ValueError: the files have no such points.
    """
    from dvc.exceptions import DvcException
    from dvc.render.converter.vega import VegaConverter

    try:
        points, found = VegaConverter(name, dict(contents), dict(settings)).flat_datapoints("")
    except DvcException as error:
        raise ValueError(one_line(str(error))) from None
    except (AttributeError, IndexError, KeyError, StopIteration, TypeError) as error:
        raise ValueError(f"not as a plot's file is: {error!r}") from None
    # A line is named after its file, its column or both: after what tells it from the others.
    several_files = len({point["filename"] for point in points}) > 1
    several_columns = len({point["field"] for point in points}) > 1
    lines: dict[str, list[tuple[Any, Any]]] = {}
    for point in points:
        line, _ = posixpath.splitext(point["filename"])
        if not several_files:
            line = point["field"]
        elif several_columns:
            line = f"{line} {point['field']}"
        lines.setdefault(line, []).append((point.get(found["x"]), point.get(found["y"])))
    return PlotData(
        title=str(settings.get("title") or name),
        x_label=str(found.get("x_label") or ""),
        y_label=str(found.get("y_label") or ""),
        template=str(settings.get("template") or ""),
        lines=lines,
    )


def schema_fault(definition: dict[str, Any]) -> str:
    """Return what DVC's schema refuses in a dvc.yaml, by its key; empty where DVC takes it."""
    from dvc.dvcfile import ProjectFile

    try:
        with dvc_errors(UnreadableError):
            ProjectFile.validate(definition)
    except UnreadableError as error:
        return error.message.removeprefix(": ")
    return ""


@dataclass(frozen=True)
class ResolvedPipeline:
    """A dvc.yaml whose templates are resolved.

    Attributes:
        definition: its content.
        variables: values that the templates name, by file and dotted key; the file as seen from the Git root.
    """

    definition: dict[str, Any]
    variables: dict[str, dict[str, Any]]


def resolve_pipeline(
    definition: dict[str, Any], folder: str, read: Callable[[str], bytes | None]
) -> ResolvedPipeline:
    """Have DVC resolve the templates of a dvc.yaml.

    Args:
        definition: content of the file, parsed.
        folder: where the file is, seen from the Git root; empty for the root itself.
        read: content of a file, by its path as seen from the Git root; None where there is none.

    Raises:
        UnreadableError: DVC refuses it; the message is what DVC says.
    """
    from dvc.parsing import DataResolver

    with dvc_errors(UnreadableError):
        resolver = DataResolver(SimpleNamespace(fs=_Files(read), config={}), folder, definition)
        resolved = {
            "stages": resolver.resolve()["stages"],
            "metrics": resolver.resolve_metrics(),
            "params": resolver.resolve_params(),
            "plots": resolver.resolve_plots(),
            "artifacts": resolver.resolve_artifacts(),
        }
        variables = _variables(resolver, definition)
    return ResolvedPipeline({**definition, **resolved}, variables)


class _Files:
    """As much of a file system as DVC asks for to resolve templates."""

    def __init__(self, read: Callable[[str], bytes | None]) -> None:
        self._read = read
        self.join = posixpath.join
        self.normpath = posixpath.normpath

    def suffix(self, path: str) -> str:
        return posixpath.splitext(path)[1]

    def exists(self, path: str) -> bool:
        return self._read(path) is not None

    def isdir(self, path: str) -> bool:
        return False

    def open(self, path: str, encoding: str = "utf-8") -> io.TextIOWrapper:
        return io.TextIOWrapper(io.BytesIO(self._read(path) or b""), encoding)


def _variables(resolver: Any, definition: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return values of files that templates name.

    DVC keeps track of those in stages, but not of sections, of what `foreach` and `matrix` name, and of what
    templates outside of stages do: it shows all of params.yaml.
    """
    from dvc.parsing.context import ContextError

    found: dict[str, dict[str, Any]] = {}
    for tracked in resolver.tracked_vars.values():
        for file, values in tracked.items():
            found.setdefault(file, {}).update(values)
    for name in _named_by_templates(definition):
        try:
            node = resolver.context.select(name)
        except ContextError:
            continue  # of a loop, or of a stage's own `vars`
        for file, dotted, value in _leaves(node):
            found.setdefault(file, {})[dotted] = value
    for values in found.values():
        # Without items of a list that is there as a whole.
        lists = tuple(f"{dotted}." for dotted, value in values.items() if isinstance(value, list))
        for dotted in list(values):
            if dotted.startswith(lists):
                del values[dotted]
    return found


def _named_by_templates(value: Any) -> Iterator[str]:
    """Yield what stands between the braces of each `${...}` in a value."""
    from dvc.parsing.interpolate import get_matches

    match value:
        case str():
            for found in get_matches(value):
                yield found["inner"].strip()
        case dict():
            for item in value.values():
                yield from _named_by_templates(item)
        case list():
            for item in value:
                yield from _named_by_templates(item)


def _leaves(node: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield file, dotted key and value of what a name of DVC's stands for, if a file says it."""
    from dvc.parsing.context import CtxDict

    if isinstance(node, CtxDict):
        for item in node.values():
            yield from _leaves(item)
    elif node.meta.source and not node.meta.local:
        yield node.meta.source, node.meta.path(), node.value


def hidden_in_revision(top: Path, rev: str, prefix: str, paths: Iterable[str]) -> frozenset[str]:
    """Return those of some files that DVC does not see in a checkout of a revision.

    Raises:
        UnreadableError: a `.dvcignore` is broken.
    """
    from dvc.fs import GitFileSystem

    return _hidden(GitFileSystem(path=str(top), rev=rev), f"/{prefix}", paths)


def hidden_in_workspace(root: Path, paths: Iterable[str]) -> frozenset[str]:
    """Return those of some files that DVC does not see in a workspace.

    Raises:
        UnreadableError: a `.dvcignore` is broken.
    """
    from dvc.fs import localfs

    return _hidden(localfs, str(root), paths)


def _hidden(fs: "FileSystem", root: str, paths: Iterable[str]) -> frozenset[str]:
    from dvc.exceptions import DvcException
    from dvc.ignore import DvcIgnoreFilter

    try:
        ignored = DvcIgnoreFilter(fs, root)
        return frozenset(path for path in paths if ignored.is_ignored_file(fs.join(root, path)))
    except (DvcException, ValueError, re.error) as error:
        raise UnreadableError(f".dvcignore: {joined_lines(error)}") from None
