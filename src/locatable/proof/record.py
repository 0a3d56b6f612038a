"""What a revision records about a stage, checked against the revision itself. Nothing here runs a stage."""

import re
from pathlib import Path

from ..clones.checkout import Checkout
from ..errors import CannotTryError
from ..model import flatten, same_value
from ..repository.checkout_stages import DeclaredParams, Dependency, Output, Stage
from ..repository.hashes import differs_in_line_ends
from .inputs import declared_files, overlaps


def contradictions(stage: Stage, checkout: Checkout) -> list[str]:
    """Where dvc.lock says other than the revision's own dvc.yaml, params files and outputs kept in Git."""
    lines = []
    if stage.command_changed:
        lines.append(f"{stage.address}: {stage.lock_name} records another command than dvc.yaml has")
    for params in stage.params:
        lines += _changed_params(stage, params)
    for output in stage.outputs:
        line = _contradiction(stage, output, checkout)
        if line:
            lines.append(line)
    return lines


def _changed_params(stage: Stage, params: DeclaredParams) -> list[str]:
    current = flatten(params.current, lists=True)
    recorded = flatten(params.recorded, lists=True)
    lines = []
    for key in sorted(current.keys() | recorded.keys()):
        if key not in recorded:
            lines.append(f"{stage.address}: {stage.lock_name} does not record {key} of {params.name}")
        elif key not in current:
            lines.append(
                f"{stage.address}: {stage.lock_name} records {key}, which {params.name} does not have"
            )
        elif not same_value(current[key], recorded[key]):
            values = f"{key} = {recorded[key]!r}, {params.name} has {current[key]!r}"
            lines.append(f"{stage.address}: {stage.lock_name} records {values}")
    return lines


def _contradiction(stage: Stage, output: Output, checkout: Checkout) -> str | None:
    if not output.recorded:
        return f"{stage.address}: {stage.lock_name} does not record {output.name}"
    if output.cached:
        return None
    actual = checkout.hash_of(output)
    if actual is None:
        return f"{stage.address}: {stage.lock_name} records {output.name}, which this revision does not hold"
    if actual != output.recorded:
        return f"{stage.address}: {output.name} in Git is not the one that {stage.lock_name} records"
    return None


def wrong_inputs(stage: Stage, checkout: Checkout, differing: list[Path]) -> list[str]:
    """Dependencies that are not what dvc.lock records.

    Args:
        stage: a stage of the checkout.
        checkout: the clean clone, with every dependency of the stage in place.
        differing: outputs of earlier stages that already differ, and need not be named again.
    """
    lines = []
    for dependency in stage.dependencies:
        if overlaps(dependency.path, differing):
            continue
        actual = checkout.hash_of(dependency) or "missing"
        if actual != dependency.recorded and _has_other_line_ends(dependency):
            lines.append(
                f"{stage.address}: {stage.lock_name} records {dependency.name} with other line ends than Git "
                "checks out here: settle them in .gitattributes (core.autocrlf is each user's own)"
            )
        elif actual != dependency.recorded:
            recorded = f"{dependency.name} as {dependency.recorded}"
            lines.append(f"{stage.address}: {stage.lock_name} records {recorded}, and it is {actual}")
    return lines


def _has_other_line_ends(dependency: Dependency) -> bool:
    """Whether a file is as recorded but for its line ends."""
    if not dependency.path.is_file() or dependency.recorded is None:
        return False
    return differs_in_line_ends(dependency.path.read_bytes(), dependency.recorded)


def foreign_paths(stage: Stage, checkout: Checkout) -> list[str]:
    """Where the command of a stage, or a file that it declares, names the user's own checkout."""
    top = checkout.user_top
    name = re.compile(rf"(?<![\w.:/-]){re.escape(str(top))}(?![\w.-])")
    places = []
    if any(name.search(command) for command in stage.commands):
        places.append("its command")
    for file in declared_files(stage):
        if name.search(file.read_text(errors="ignore")):
            places.append(str(file.relative_to(checkout.root)))
    return [f"{stage.address}: {place} names {top}, a folder that only this machine has" for place in places]


def check_links(path: Path, checkout: Checkout) -> None:
    """Refuse a dependency that leads out of the clone: a link's target is in no revision.

    Raises:
        CannotTryError: it is, or holds, a symbolic link to somewhere else.
    """
    tree = checkout.tree.resolve()
    for each in (path, *path.rglob("*")):
        target = each.resolve()
        if not target.is_relative_to(tree):
            name = each.relative_to(checkout.root)
            raise CannotTryError(f"{name} is a link to {target}, which is outside the project")
