"""What a revision records about a stage, checked against the revision itself. Nothing here runs a stage."""

import re
from collections.abc import Collection
from pathlib import Path

from ..clones.checkout import Checkout
from ..errors import CannotTryError
from ..git.lfs import object_id
from ..model import Key, Output, Stage, overlaps, recorded_hash
from ..repository.hashes import differs_in_line_ends
from ..results.staleness import Difference, Kind, differences
from .inputs import declared_files


def contradictions(stages: Collection[Stage], checkout: Checkout) -> dict[str, list[str]]:
    """Return where dvc.lock says other than dvc.yaml, params files and outputs in Git.

    Args:
        stages: of the checkout, with no output outside of the project: DVC asks servers for such outputs.
        checkout: the clone.

    Returns:
        Lines by the address of a stage.
    """
    lines: dict[str, list[str]] = {}
    addresses = {stage.address for stage in stages}
    for found in differences(checkout.snapshot):
        if found.stage in addresses and found.kind in (Kind.COMMAND, Kind.PARAM, Kind.OUTPUT):
            lines.setdefault(found.stage, []).append(f"{found.stage}: {_sentence(found)}")
    for stage in stages:
        for output in stage.outs.values():
            if not output.recorded or output.cached:
                continue
            if not (checkout.exists(output.path) and checkout.path_of(output.path).exists()):
                line = f"{stage.address}: dvc.lock records {output.path}, which this revision does not hold"
                lines.setdefault(stage.address, []).append(line)
            elif _is_other_in_lfs(output, checkout):
                line = f"{stage.address}: {output.path} in Git is not the one that dvc.lock records"
                lines.setdefault(stage.address, []).append(line)
    return lines


def _is_other_in_lfs(output: Output, checkout: Checkout) -> bool:
    """Return whether Git LFS keeps an output, and its content is not the recorded one.

    Git alone has no more than a pointer, so the checked-out content is compared.
    """
    snapshot = checkout.snapshot
    pointers = snapshot.reader.objects.blobs(snapshot.git_files(output.path).values()).values()
    if not any(object_id(pointer) for pointer in pointers):
        return False
    missing = checkout.missing_contents()
    place = checkout.path_of(output.path).relative_to(checkout.tree).as_posix()
    return not overlaps(place, missing) and checkout.hash_of(output.path) != output.recorded


def _sentence(found: Difference) -> str:
    has_both = found.recorded is not None and found.present is not None
    match found.kind:
        case Kind.COMMAND:
            return "dvc.lock records another command than dvc.yaml has"
        case Kind.PARAM if has_both:
            file = Key.parse(found.name).file
            return f"dvc.lock records {found.name} = {found.recorded!r}, {file} has {found.present!r}"
        case Kind.OUTPUT if found.recorded is None:
            return f"dvc.lock does not record {found.name}"
        case Kind.OUTPUT if has_both:
            return f"{found.name} in Git is not the one that dvc.lock records"
    return f"dvc.lock is not of this revision: {found.sentence}"


def wrong_inputs(stage: Stage, checkout: Checkout, differing: list[str]) -> list[str]:
    """Return a line for each dependency that is not what dvc.lock records.

    Args:
        stage: a stage of the checkout.
        checkout: the clean clone, with every dependency of the stage in place.
        differing: outputs of earlier stages that already differ, and need not be named again.
    """
    lines = []
    recorded = stage.record.deps if stage.record else {}
    for path in stage.deps:
        if overlaps(path, differing):
            continue
        expected = recorded_hash(recorded.get(path))
        actual = checkout.hash_of(path, stage) or "missing"
        if actual == expected:
            continue
        if expected and _has_other_line_ends(checkout.path_of(path), expected):
            lines.append(
                f"{stage.address}: dvc.lock records {path} with other line ends than Git "
                "checks out here: settle them in .gitattributes (core.autocrlf is each user's own)"
            )
        else:
            lines.append(f"{stage.address}: dvc.lock records {path} as {expected}, and it is {actual}")
    return lines


def _has_other_line_ends(path: Path, recorded: str) -> bool:
    """Return whether a file is as recorded but for its line ends."""
    return path.is_file() and differs_in_line_ends(path.read_bytes(), recorded)


def foreign_paths(stage: Stage, checkout: Checkout) -> list[str]:
    """Return where the command of a stage, or a file that it declares, names the user's own checkout."""
    top = checkout.user_top
    name = re.compile(rf"(?<![\w.:/-]){re.escape(str(top))}(?![\w.-])")
    places = []
    if any(name.search(command) for command in stage.commands):
        places.append("its command")
    for file in declared_files(stage, checkout.root):
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
