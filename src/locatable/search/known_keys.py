"""Keys of params that a search can choose, or look at."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..clones.project_setup import ProjectSetup
from ..errors import SettingsError
from ..model import PARAMS_FILE, Key, flatten
from .space import Categorical, Param, Space


def known_keys(space: Space, project: ProjectSetup) -> list[str]:
    """Keys of all values of the params files, of sections and lists around them, and of groups of Hydra's.

    Args:
        space: what is searched.
        project: as DVC reads it.

    Raises:
        SettingsError: a group of Hydra's cannot be searched like this.
        ProjectError: Hydra does not compose what is to be chosen.
    """
    known = dict.fromkeys(_keys(project.params_files))
    for name, param in space.items():
        _check_conditions(name, param, space, project.groups)
        if name in project.groups:
            known[name] = None
            for choice in _choices(name, param, project.groups[name]):
                # What is chosen of a group can have values that nothing else has.
                composed = project.composition.compose({name: choice}) if project.composition else {}
                known |= dict.fromkeys(_keys({PARAMS_FILE: composed}))
    return list(known)


def _check_conditions(name: str, param: Param, space: Space, groups: Mapping[str, list[str]]) -> None:
    for key in param.when:
        if key in groups and key not in space:
            raise SettingsError(
                f"search.yaml: space: {name}: when: {key}: a group of Hydra's, which is not in this space"
            )


def _choices(name: str, param: Param, options: list[str]) -> list[str]:
    if not isinstance(param, Categorical) or any(choice not in options for choice in param.choices):
        raise SettingsError(
            f"search.yaml: space: {name}: a group of Hydra's: it needs `type: categorical`, "
            f"and `choices` among {', '.join(options)}"
        )
    return param.choices


def _keys(params_files: Mapping[str, Any]) -> Iterator[str]:
    for file, content in params_files.items():
        for dotted in flatten(content, lists=True):
            parts = dotted.split(".")
            for length in range(1, len(parts) + 1):
                yield str(Key(file, ".".join(parts[:length])))
