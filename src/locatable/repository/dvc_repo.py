"""Calls into DVC's internals, for decisions that only DVC can make.

They open the project, turn DVC's errors into one line, resolve the templates of a dvc.yaml, tell which files
a .dvcignore hides, and find the points of a plot.
"""

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
from ..model import command_fault
from . import require_regular
from .parsing import TooLargeError, require_bounded_yaml

if TYPE_CHECKING:
    from dvc.fs import FileSystem
    from dvc.repo import Repo

# Errors raised in one of these packages count as DVC's.
DVC_PACKAGES = ("dvc", "dvc_data", "dvc_objects", "scmrepo")
# The number of parsed texts to cache; a trial reads a handful.
MOST_CACHED = 200


@functools.cache
def remember_parsed_yaml() -> None:
    """Patch DVC to cache parsed YAML, since it reads dvc.yaml and dvc.lock a dozen times per experiment.

    DVC's parser is pure Python: without the patch, parsing takes longer than all other bookkeeping of a
    trial.
    """
    from dvc.utils import strictyaml
    from dvc.utils.serialize import _yaml

    bound_dvc_input()
    original = _yaml.parse_yaml
    cached = functools.lru_cache(MOST_CACHED)(original)

    def parse_yaml(text: str, path: str, typ: str = "safe") -> Any:
        if typ != "safe":
            return original(text, path, typ)  # DVC is going to edit and write the parsed document
        return copy.deepcopy(cached(text, path))

    _yaml.parse_yaml = parse_yaml
    strictyaml.parse_yaml = parse_yaml


@functools.cache
def bound_dvc_input() -> None:
    """Patch DVC to refuse YAML that is too large or expands to too many values, and endless settings files.

    DVC then raises UnreadableError, which names the file.
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
            pass  # DVC reports what is wrong, and where
        return original(text, path, typ)

    load_file = Config.load_file

    def load_settings(path: str, fs: Any = None) -> Any:
        # The `.dvc` file of an import can name any file of this machine as the settings of its source.
        if fs is None:
            require_regular(Path(path))
        return load_file(path, fs)

    _yaml.parse_yaml = parse_yaml
    strictyaml.parse_yaml = parse_yaml
    Config.load_file = staticmethod(load_settings)


@contextmanager
def open_repo(root: Path) -> Iterator["Repo"]:
    """Open the DVC project that contains a folder, and close it at the end.

    Raises:
        ProjectError: the folder is not in a DVC project, DVC refuses something in it, or DVC's Git library,
            which supports fewer formats than Git, cannot read the repository.
    """
    from dulwich.repo import UnsupportedExtension, UnsupportedVersion
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    bound_dvc_input()
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
    """Turn any exception that DVC raises, whatever its type, into one line for the user.

    Args:
        kind: the type of error to raise instead.

    Raises:
        LocatableError: of type `kind`, with DVC's reason as its message.
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
    """Return whether an error was raised by DVC, or by code that DVC called."""
    packages = {type(error).__module__.partition(".")[0]}
    trace = error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        packages.add(module.partition(".")[0])
        trace = trace.tb_next
    return not packages.isdisjoint(DVC_PACKAGES)


def with_causes(error: BaseException) -> str:
    """Return the messages of an error and its causes in one line, without duplicates."""
    messages: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        message = _message(cause)
        if message and message not in messages:
            messages.append(message)
        if type(cause).__name__ in ("YAMLSyntaxError", "YAMLValidationError"):
            break  # the causes of these two only say the same again, with more words
        cause = cause.__cause__ if cause.__suppress_context__ else cause.__context__
    return "; ".join(messages) or type(error).__name__


def _message(error: BaseException) -> str:
    """Return the message of an error in one line, with the line number in the file if the error knows it."""
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
    """Join the lines of a message, and the items of lists in it, into one line."""
    listed = re.sub(r":\s*\n\s*- ", ": ", text.strip())
    listed = re.sub(r"\n\s*- ", ", ", listed)
    return " ".join(re.sub(r"(?<=[^.:;,!?])\n+(?=[A-Z])", "; ", listed).split())


def path_in_project(repo: "Repo", item: Any) -> str:
    """Return the path of a DVC output or dependency, relative to the DVC root.

    A URL or an absolute path is returned as it is written. A path such as `../x` stays relative, so that it
    does not name the clone in which DVC happens to read it.
    """
    declared: str = item.def_path
    if "://" in declared or os.path.isabs(declared):
        return declared
    return os.path.relpath(str(item.fs_path), repo.root_dir)


def commands_of(stage: Any) -> list[str]:
    """Return the commands of a DVC stage.

    Raises:
        ProjectError: a command is not a string. DVC itself would only notice when it runs the stage.
    """
    fault = command_fault(stage.cmd)
    if fault:
        raise ProjectError(f"{stage.path_in_repo}: stages.{stage.name}.cmd: {fault}")
    return stage.cmd if isinstance(stage.cmd, list) else [stage.cmd]


def possibly_new_files(stages: Iterable[Any]) -> Iterator[str]:
    """Yield the files for Git to track that a first run of the stages may create."""
    for stage in stages:
        yield str(Path(stage.path).with_name("dvc.lock"))
        for out in stage.outs:
            if out.is_in_repo and out.use_scm_ignore:
                # DVC's cache keeps the output, and DVC adds the output to a .gitignore.
                yield str(Path(out.fs_path).with_name(".gitignore"))
            elif out.is_in_repo:
                yield out.fs_path


def edited_in_workspace(root: Path) -> dict[str, str]:
    """Return the current hash of each file or folder in the workspace that differs from its record, by path.

    Only outputs in DVC's cache count. A file that is not in the workspace is left out, because it may just
    not have been pulled yet.

    Raises:
        ProjectError: DVC cannot open the project, or cannot read one of its files.
    """
    edited = {}
    with open_repo(root) as repo, dvc_errors():
        for out in repo.index.outs:
            if out.use_cache and out.hash_info and out.is_in_repo and out.exists:
                current = out.get_hash()
                if current != out.hash_info:
                    edited[path_in_project(repo, out)] = str(current.value)
    return edited


@dataclass(frozen=True)
class PlotData:
    """The points of a plot.

    Attributes:
        title: the title of the plot.
        x_label: the label of the x axis; `step` if x is the position in the file.
        y_label: the label of the y axis.
        template: the name of DVC's template for the plot; empty if dvc.yaml names none.
        lines: the points (x, y) of each line by its name, with the values as they are in the files.
    """

    title: str
    x_label: str
    y_label: str
    template: str
    lines: dict[str, list[tuple[Any, Any]]] = field(default_factory=dict)


def plot_data(name: str, settings: Mapping[str, Any], contents: Mapping[str, Any]) -> PlotData:
    """Return the points of a plot, as DVC finds them.

    Args:
        name: the name of the plot; this is the path of its file unless the settings name files.
        settings: the settings of the plot in dvc.yaml.
        contents: the parsed content of the plot's files, by path.

    Raises:
        ValueError: the files do not contain the values that the settings name.
    """
    from dvc.exceptions import DvcException
    from dvc.render.converter.vega import VegaConverter

    try:
        points, properties = VegaConverter(name, dict(contents), dict(settings)).flat_datapoints("")
    except DvcException as error:
        raise ValueError(one_line(str(error))) from None
    except (AttributeError, IndexError, KeyError, StopIteration, TypeError) as error:
        raise ValueError(f"not as a plot's file is: {error!r}") from None
    # Name each line after its column. If there are several files, use the file instead, or both if there are
    # several columns too.
    several_files = len({point["filename"] for point in points}) > 1
    several_columns = len({point["field"] for point in points}) > 1
    lines: dict[str, list[tuple[Any, Any]]] = {}
    for point in points:
        line, _ = posixpath.splitext(point["filename"])
        if not several_files:
            line = point["field"]
        elif several_columns:
            line = f"{line} {point['field']}"
        x, y = point.get(properties["x"]), point.get(properties["y"])
        lines.setdefault(line, []).append((x, y))
    return PlotData(
        title=str(settings.get("title") or name),
        x_label=str(properties.get("x_label") or ""),
        y_label=str(properties.get("y_label") or ""),
        template=str(settings.get("template") or ""),
        lines=lines,
    )


def schema_fault(definition: dict[str, Any]) -> str:
    """Return what DVC's schema refuses in a dvc.yaml, with the key; empty if DVC accepts the file."""
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
        definition: the content of the file after templates are resolved.
        variables: the values that the templates use, by file (relative to the Git root) and dotted key.
    """

    definition: dict[str, Any]
    variables: dict[str, dict[str, Any]]


def resolve_pipeline(
    definition: dict[str, Any], folder: str, read: Callable[[str], bytes | None]
) -> ResolvedPipeline:
    """Resolve the templates of a dvc.yaml, with DVC.

    Args:
        definition: the parsed content of the file.
        folder: the folder of the file, relative to the Git root; empty for the root itself.
        read: returns the content of a file by its path relative to the Git root; None if there is no file.

    Raises:
        UnreadableError: DVC refuses the file; the message is DVC's.
    """
    from dvc.parsing import DataResolver

    with dvc_errors(UnreadableError):
        repo = SimpleNamespace(fs=_FileSystem(read), config={})
        resolver = DataResolver(repo, folder, definition)
        resolved = {
            "stages": resolver.resolve()["stages"],
            "metrics": resolver.resolve_metrics(),
            "params": resolver.resolve_params(),
            "plots": resolver.resolve_plots(),
            "artifacts": resolver.resolve_artifacts(),
        }
        variables = _variables(resolver, definition)
    return ResolvedPipeline({**definition, **resolved}, variables)


class _FileSystem:
    """The part of a file system that DVC uses while it resolves templates."""

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
    """Return the values from files that templates use, by file and dotted key.

    DVC tracks the values that templates in stages use. It does not track whole sections, the values that
    `foreach` and `matrix` use, and templates outside of stages; these are added here.
    """
    from dvc.parsing.context import ContextError

    variables: dict[str, dict[str, Any]] = {}
    for tracked in resolver.tracked_vars.values():
        for file, values in tracked.items():
            variables.setdefault(file, {}).update(values)
    for name in _template_names(definition):
        try:
            node = resolver.context.select(name)
        except ContextError:
            continue  # a loop variable, or from a stage's own `vars`
        for file, dotted, value in _leaves(node):
            variables.setdefault(file, {})[dotted] = value
    for values in variables.values():
        # Drop the items of each list that is already there as a whole.
        list_prefixes = tuple(f"{dotted}." for dotted, value in values.items() if isinstance(value, list))
        for dotted in list(values):
            if dotted.startswith(list_prefixes):
                del values[dotted]
    return variables


def _template_names(value: Any) -> Iterator[str]:
    """Yield the name inside each `${...}` in a value and in everything nested in it."""
    from dvc.parsing.interpolate import get_matches

    match value:
        case str():
            for template in get_matches(value):
                yield template["inner"].strip()
        case dict():
            for item in value.values():
                yield from _template_names(item)
        case list():
            for item in value:
                yield from _template_names(item)


def _leaves(node: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield file, dotted key and value of each leaf below a node of DVC's context that comes from a file."""
    from dvc.parsing.context import CtxDict

    if isinstance(node, CtxDict):
        for item in node.values():
            yield from _leaves(item)
    elif node.meta.source and not node.meta.local:
        yield node.meta.source, node.meta.path(), node.value


def hidden_in_revision(top: Path, rev: str, prefix: str, paths: Iterable[str]) -> frozenset[str]:
    """Return the paths that a `.dvcignore` hides from DVC in a revision.

    Raises:
        UnreadableError: a `.dvcignore` is broken.
    """
    from dvc.fs import GitFileSystem

    return _hidden(GitFileSystem(path=str(top), rev=rev), f"/{prefix}", paths)


def hidden_in_workspace(root: Path, paths: Iterable[str]) -> frozenset[str]:
    """Return the paths that a `.dvcignore` hides from DVC in a workspace.

    Raises:
        UnreadableError: a `.dvcignore` is broken.
    """
    from dvc.fs import localfs

    return _hidden(localfs, str(root), paths)


def _hidden(fs: "FileSystem", root: str, paths: Iterable[str]) -> frozenset[str]:
    """Return the paths that DVC's filter for .dvcignore files hides in a file system."""
    from dvc.exceptions import DvcException
    from dvc.ignore import DvcIgnoreFilter

    try:
        ignore = DvcIgnoreFilter(fs, root)
        return frozenset(path for path in paths if ignore.is_ignored_file(fs.join(root, path)))
    except (DvcException, ValueError, re.error) as error:
        raise UnreadableError(f".dvcignore: {joined_lines(error)}") from None
