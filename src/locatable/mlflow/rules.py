"""What MLflow takes as a name, as its own checks say. Imports MLflow."""

import os
import re
from collections.abc import Callable
from functools import lru_cache

from .client import MlflowException, validate_path_is_safe, validation
from .naming import NameRules, Rule

# What MLflow does not check: its database's columns, and what file systems take, in bytes.
LONGEST_MODEL_NAME = 500
LONGEST_PART_OF_A_PATH = 255
# Its HTTP client takes these characters for parts of an address.
NOT_IN_PATHS = re.compile(r"[#?%\x00-\x1f]")


def _accepted_by(check: Callable[[str], object]) -> Callable[[str], bool]:
    """Return whether one of MLflow's checks raises nothing."""

    @lru_cache(10_000)  # the names of one run are those of the next
    def takes(name: str) -> bool:
        try:
            check(name)
        except MlflowException:
            return False
        return True

    return takes


def _is_part_of_a_path(name: str) -> bool:
    """Return whether a file or folder of that name can be an artifact, also through a tracking server."""
    path = f"{name}/file"
    return not NOT_IN_PATHS.search(name) and not _leads_elsewhere(path) and _is_safe(path)


_leads_elsewhere: Callable[[str], bool] = validation.path_not_unique
_is_safe = _accepted_by(validate_path_is_safe)


def _bytes(name: str) -> int:
    return len(os.fsencode(name))


def _escape(character: str) -> str:
    return f"~{ord(character):02x}"


RULES = NameRules(
    param=Rule(_accepted_by(validation._validate_param_name), validation.MAX_ENTITY_KEY_LENGTH),
    metric=Rule(_accepted_by(validation._validate_metric_name), validation.MAX_ENTITY_KEY_LENGTH),
    tag=Rule(_accepted_by(validation._validate_tag_name), validation.MAX_ENTITY_KEY_LENGTH),
    model=Rule(_accepted_by(validation._validate_logged_model_name), LONGEST_MODEL_NAME),
    dataset=Rule(bool, validation.MAX_DATASET_NAME_SIZE),
    artifact=Rule(_is_part_of_a_path, LONGEST_PART_OF_A_PATH, _bytes, _escape),
)
