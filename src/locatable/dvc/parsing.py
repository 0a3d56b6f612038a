"""How DVC parses YAML: within bounds, and once, where one process reads a repository many times."""

import copy
import functools
from typing import Any

import yaml

from ..bounds import TooLargeError, require_bounded_yaml
from ..errors import UnreadableError

# Texts that are remembered; a trial reads a handful.
REMEMBERED = 200


@functools.cache
def remember_parsed_yaml() -> None:
    """Have DVC remember what it parsed: it reads dvc.yaml and dvc.lock a dozen times in each experiment.

    With its parser, which is pure Python, that takes longer than all other bookkeeping of a trial.
    """
    from dvc.utils import strictyaml
    from dvc.utils.serialize import _yaml

    bound_parsed_yaml()
    original = _yaml.parse_yaml
    remembered = functools.lru_cache(REMEMBERED)(original)

    def parse_yaml(text: str, path: str, typ: str = "safe") -> Any:
        if typ != "safe":
            return original(text, path, typ)  # a document to be edited
        return copy.deepcopy(remembered(text, path))

    _yaml.parse_yaml = parse_yaml
    strictyaml.parse_yaml = parse_yaml


@functools.cache
def bound_parsed_yaml() -> None:
    """Have DVC refuse YAML that is too large or expands to too much: it would take all memory.

    What DVC parses then raises UnreadableError, which names the file.
    """
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

    _yaml.parse_yaml = parse_yaml
    strictyaml.parse_yaml = parse_yaml
