"""Finds, loads and calls the function `describe` of a project's scripts/mirror.py, which changes its runs."""

import ast
import importlib.util
import posixpath
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ..errors import SettingsError
from .content import Description, RunContent

SCRIPT = "scripts/mirror.py"
FUNCTION = "describe"
LONGEST_NAME = 250
# The prefixes of tags that identify a run or that MLflow sets, which a script may not change.
IDENTITY = ("dvc.", "mirror.", "mlflow.parentRunId", "mlflow.runName")


@dataclass(frozen=True)
class DescribeScript:
    """A project's scripts/mirror.py with a `describe` that changes runs.

    Attributes:
        root: the DVC root, from which the script may import.
        digest: the digest of the script's text. A run that was described by a different text is described
            again.
    """

    root: Path
    digest: str

    def load(self) -> Callable[[RunContent], None]:
        """Import the script, and return a function that calls its `describe` on a run; see `describe_with`.

        Raises:
            SettingsError: the script fails.
        """
        if str(self.root) not in sys.path:
            sys.path.insert(0, str(self.root))
        spec = importlib.util.spec_from_file_location("scripts.mirror", self.root / SCRIPT)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            raise _script_error(self.root, error) from None
        function = getattr(module, FUNCTION)
        return lambda run: self.describe_with(function, run)

    def describe_with(self, function: Callable[[RunContent], object], run: RunContent) -> None:
        """Call a function that changes a run, and record in `run.description` what it changed.

        Raises:
            SettingsError: the function fails, or sets something that a run cannot hold.
        """
        name = run.name
        tags = dict(run.tags)
        artifacts = dict(run.artifacts)
        try:
            function(run)
        except Exception as error:
            raise _script_error(self.root, error) from None
        changed_tags = _changed_keys(tags, run.tags)
        problem = _invalid_change(run, changed_tags)
        if problem:
            raise SettingsError(f"{SCRIPT}: {FUNCTION}: {problem}")
        run.description = Description(
            digest=self.digest,
            name=run.name if run.name != name else None,
            tags=changed_tags,
            artifacts=_changed_keys(artifacts, run.artifacts),
        )


def find_script(root: Path) -> DescribeScript | None:
    """Return the script of a project; None if the project has none, or if its `describe` does nothing.

    The script is parsed and not imported, so that a mirror with nothing to do does not wait for the script's
    imports. A file of this name that does not import `locatable` belongs to another tool and is ignored.

    Raises:
        SettingsError: the script is not Python, or has no function `describe`.
    """
    file = root / SCRIPT
    if not file.is_file():
        return None
    # The digest must not depend on the line ends of a checkout.
    content = file.read_bytes().replace(b"\r\n", b"\n")
    if b"locatable" not in content:
        return None
    try:
        module = ast.parse(content, str(file))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _script_error(root, error) from None
    if not any(map(_imports_locatable, module.body)):
        return None
    definition = _definition(module)
    if not definition:
        raise SettingsError(f"{SCRIPT}: there is no function {FUNCTION}(run)")
    if isinstance(definition, ast.FunctionDef) and all(map(_does_nothing, definition.body)):
        return None
    return DescribeScript(root, sha256(content).hexdigest()[:16])


def _imports_locatable(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.ImportFrom):
        names = [statement.module or ""]
    elif isinstance(statement, ast.Import):
        names = [alias.name for alias in statement.names]
    else:
        return False
    return any(name.partition(".")[0] == "locatable" for name in names)


def _definition(module: ast.Module) -> ast.stmt | None:
    """Return the last statement of a module that defines or imports `describe`."""
    definition = None
    for statement in module.body:
        if isinstance(statement, ast.FunctionDef):
            names = [statement.name]
        elif isinstance(statement, ast.ImportFrom):
            names = [alias.asname or alias.name for alias in statement.names]
        else:
            continue
        if FUNCTION in names:
            definition = statement
    return definition


def _does_nothing(statement: ast.stmt) -> bool:
    """Return whether a statement is `pass` or a constant, such as a docstring."""
    is_constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return is_constant or isinstance(statement, ast.Pass)


def _changed_keys(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[str, ...]:
    """Return the keys that were added, changed or removed."""
    keys = dict.fromkeys([*before, *after])
    return tuple(key for key in keys if before.get(key) != after.get(key))


def _invalid_change(run: RunContent, changed_tags: tuple[str, ...]) -> str | None:
    """Return an error message if a script has set something that a run cannot hold, otherwise None."""
    if not isinstance(run.name, str) or not 0 < len(run.name) <= LONGEST_NAME:
        return f"a run's name is a text of at most {LONGEST_NAME} characters, not {run.name!r:.60}"
    for key in changed_tags:
        if key.startswith(IDENTITY):
            return f"the tag {key} says what the run is, and cannot be changed"
    for key, value in run.tags.items():
        if not isinstance(value, str):
            return f"a tag is a text, and {key} is {value!r:.60}"
    for path, content in run.artifacts.items():
        if not isinstance(content, bytes | None):
            return f"an artifact is bytes or None, and {path} is of type {type(content).__name__}"
        if posixpath.normpath(path) != path or path.startswith(("/", "../")) or path in (".", ".."):
            return f"an artifact's path is one inside of the run, not {path!r:.60}"
    return None


def _script_error(root: Path, error: BaseException) -> SettingsError:
    """Return an error of one line that names the line of the script at which it failed."""
    if isinstance(error, SettingsError):
        return error
    file = str(root / SCRIPT)
    if isinstance(error, SyntaxError) and error.filename == file:
        return SettingsError(f"{SCRIPT}, line {error.lineno}: {error.msg}")
    place = SCRIPT
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == file:
            place = f"{SCRIPT}, line {frame.lineno}"
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return SettingsError(f"{place}: {reason}")
