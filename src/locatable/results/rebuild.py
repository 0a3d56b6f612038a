"""Compute the commands that rebuild a revision on a clean machine."""

import posixpath
import re
from collections.abc import Collection
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from shlex import join, quote

from ..errors import UnreadableError
from ..git import remote_url
from ..git.objects import GitObjects
from ..git.pointers import annex_key
from ..model import PARAMS_FILE, Experiment, Stage, folders, is_in
from ..output import redact_urls
from ..repository.parsing import unrecordable_params
from ..repository.reader import Reader
from ..repository.snapshot import Snapshot
from .coordinates import (
    CONDA_LOCK,
    ENVIRONMENT_LOCKS,
    LOCKS,
    PIXI_LOCK,
    PYLOCK,
    REQUIREMENTS,
    UV_LOCK,
    coordinates_of,
)

# Text that can be a date, a YAML tag or a set, which DVC refuses as params. Without such text, DVC, which is
# slow to import, does not have to check the file.
_DOUBTFUL_PARAMS = re.compile(rb"\d[-:]\d|!|^\s*\?", re.MULTILINE)
# With more sources than this, the command does not name them and pulls all data.
MOST_SOURCES = 11
_VENV = "python3 -m venv .venv && source .venv/bin/activate"
_ACTIVATE = "source {folder}/.venv/bin/activate"
_CONDA = (
    "conda env create --prefix ./.venv --file {file}",
    'eval "$(conda shell.bash hook)" && conda activate ./.venv',
)
# The commands that install and activate an environment, by the file that they read. If a revision has several
# of these files, the first one is used, so the most reliable comes first.
PYTHON_TOOLS = {
    UV_LOCK: ("uv sync --frozen --project {folder}", _ACTIVATE),
    PYLOCK: (_VENV, "uv pip sync {file}"),
    "poetry.lock": (
        "poetry --directory {folder} install",
        'source "$(poetry --directory {folder} env info --path)/bin/activate"',
    ),
    "pdm.lock": ("pdm sync --project {folder}", _ACTIVATE),
    PIXI_LOCK: ("(cd {folder} && pixi install --frozen)", 'eval "$(cd {folder} && pixi shell-hook)"'),
    "Pipfile.lock": ("(cd {folder} && PIPENV_VENV_IN_PROJECT=1 pipenv sync)", _ACTIVATE),
    "environment.yml": _CONDA,
    "environment.yaml": _CONDA,
    "requirements.txt": (_VENV, "pip install -r {file}"),
    # micromamba reads this file by itself; conda would need the package conda-lock as well.
    CONDA_LOCK: (
        "micromamba create --yes --quiet --prefix .venv --file {file}",
        'eval "$(micromamba shell hook --shell bash)" && micromamba activate ./.venv',
    ),
}
# The same for other languages.
OTHER_LANGUAGES = {
    "renv.lock": ("(cd {folder} && Rscript -e 'renv::restore(prompt = FALSE)')",),
    "Manifest.toml": ("julia --project={folder} -e 'import Pkg; Pkg.instantiate()'",),
}


def origin_url(reader: Reader) -> str | None:
    """Return the URL that the project can be cloned from, or None if it has no remote."""
    url = remote_url(reader.root)
    return redact_urls(url) if url else None


def clone_command(source: str) -> str:
    """Return the command that clones a repository and enters the clone, the first step of every rebuild."""
    return f"git clone {quote(source)} project && cd project"


def rebuild_commands(snapshot: Snapshot, experiment: Experiment | None, url: str | None) -> list[str]:
    """Return the commands that rebuild a revision on a clean machine.

    If something cannot be rebuilt, a shell comment in place of a command says why.

    Args:
        snapshot: the revision.
        experiment: the experiment of the revision, if it is one.
        url: where to clone the repository from; None for its folder on this machine.
    """
    commands = [clone_command(url or str(snapshot.reader.top))]
    if experiment:
        # `git clone` does not fetch the refs of experiments.
        commands.append("git fetch origin 'refs/exps/*:refs/exps/*'")
    commands.append(f"git checkout --detach {snapshot.rev}")
    prefix = snapshot.reader.prefix
    # Enter the folder only after the checkout, because the default branch may not have it.
    if prefix and snapshot.reader.objects.entry(snapshot.root_tree, prefix):
        commands.append(f"cd {quote(prefix)}")
    commands += _git_commands(snapshot)
    commands += _install_commands(snapshot)
    old_stages = [entry["stage"] for entry in snapshot.sources.values() if "stage" in entry]
    if old_stages:
        names = ", ".join(dict.fromkeys(old_stages))
        return [
            *commands,
            f"# {names}: a stage as DVC 2 wrote it; DVC 3 refuses it, and rebuilds nothing here",
        ]
    fault = pipeline_fault(snapshot)
    if fault:
        return [*commands, f"# DVC cannot run the pipeline, and rebuilds nothing here: {fault}"]
    commands += [*_pull_commands(snapshot), *_artifact_comments(snapshot)]
    if snapshot.stages:
        return [*commands, *_warm_start_comments(snapshot), repro_command(snapshot)]
    if snapshot.records:
        lost = ", ".join(snapshot.records)
        commands.append(
            f"# {lost}: in dvc.lock, and in no dvc.yaml of this commit: no command here rebuilds it"
        )
    return commands


def pipeline_fault(snapshot: Snapshot) -> str:
    """Return why DVC cannot run the pipeline of a revision, with file and key; an empty string if it can."""
    for folder, pipeline in snapshot.pipelines.items():
        if pipeline.fault:
            return f"{posixpath.join(folder, 'dvc.yaml')}: {pipeline.fault}"
        if fault := _params_fault(snapshot, folder):
            return fault
        for stage in pipeline.stages.values():
            if fault := _unrecordable_params(snapshot, stage):
                return fault
    return _output_fault(snapshot) or _cycle_fault(snapshot)


def first_results(snapshot: Snapshot) -> str:
    """Return how to get results for a revision that has none, or why DVC cannot produce them."""
    fault = pipeline_fault(snapshot)
    return f"DVC cannot run the pipeline: {fault}" if fault else "`dvc repro`, then commit"


def _params_fault(snapshot: Snapshot, folder: str) -> str:
    """Return why DVC refuses params.yaml in a folder; an empty string if it does not.

    DVC resolves templates with this file, and reads it even if dvc.yaml has no templates.
    """
    path = posixpath.join(folder, PARAMS_FILE)
    content = snapshot.read(path)
    if not content or not _DOUBTFUL_PARAMS.search(content):
        return ""
    from ..repository.dvc_repo import resolve_pipeline

    try:
        resolve_pipeline({}, folder, {path: content}.get)
    except UnreadableError as error:
        return error.message
    return ""


def _unrecordable_params(snapshot: Snapshot, stage: Stage) -> str:
    """Return why DVC cannot record declared params, such as dates in TOML, or an empty string if it can."""
    for file, names in stage.params.items():
        content = snapshot.kept_files(file).get(file, b"")
        if file.endswith(".py") or _DOUBTFUL_PARAMS.search(content):
            reason = unrecordable_params(file, content, names)
            if reason:
                return f"params of {stage.address} in {file}: {reason}"
    return ""


def _output_fault(snapshot: Snapshot) -> str:
    """Return which two outputs are the same or overlap, or an empty string."""
    writers = dict.fromkeys(snapshot.sources, "a .dvc file")
    for address, stage in snapshot.stages.items():
        for path in stage.outs:
            if path in writers:
                return f"output '{path}' is specified in: {writers[path]}, {address}"
            writers[path] = address
    for path in writers:
        for folder in folders(path):
            if folder in writers:
                return f"output '{folder}' of {writers[folder]} has in it '{path}' of {writers[path]}"
    return ""


def _cycle_fault(snapshot: Snapshot) -> str:
    """Return which stages need each other in a cycle, or an empty string."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for address, stage in snapshot.stages.items():
        if not stage.outs.keys().isdisjoint(stage.deps):
            return f"{address} has a dependency among its outputs"
        sorter.add(address, *stage.needs)
    try:
        sorter.prepare()
    except CycleError as error:
        return f"each of these stages needs the next: {', '.join(error.args[1])}"
    return ""


def _git_commands(snapshot: Snapshot) -> list[str]:
    """Return commands for the files that `git checkout` leaves out: of submodules, Git LFS and git-annex."""
    start = f"{snapshot.rev}:"
    names = [f"{start}.gitmodules", f"{start}.gitattributes"]
    if snapshot.reader.prefix:
        names.append(f"{start}{snapshot.reader.prefix}/.gitattributes")
    modules, *attributes = snapshot.reader.objects.read(names)
    commands = ["git submodule update --init --recursive"] if modules else []
    if any(found and b"filter=lfs" in found.content for found in attributes):
        commands.append("git lfs pull")
    return [*commands, *_annex_commands(snapshot)]


def _annex_commands(snapshot: Snapshot) -> list[str]:
    """Return the command that gets the stages' dependencies from git-annex, if it keeps any."""
    if not snapshot.reader.has_annex:
        return []
    annexed = set()
    for record in snapshot.records.values():
        for path in record.deps:
            # A folder counts even if git-annex keeps only one of its files.
            contents = snapshot.reader.objects.present_blobs(snapshot.git_files(path).values())
            if any(map(annex_key, contents.values())):
                annexed.add(path)
    return [f"git annex get {join(sorted(annexed))}"] if annexed else []


def _install_commands(snapshot: Snapshot) -> list[str]:
    """Return the commands that install the packages of a revision; an empty list if no file names them."""
    lock = environment_lock(snapshot)
    if lock in PYTHON_TOOLS:
        return tool_commands(lock)
    locks = hashed_locks(snapshot)
    if locks:
        files = " ".join(f"-r {lock}" for lock in locks)
        return [_VENV, f"pip install --require-hashes {files}"]
    return _commands_of_other_tools(snapshot)


def hashed_locks(snapshot: Snapshot) -> list[str]:
    """Return the locks from which pip can install a revision's packages, if all of them have hashes.

    Otherwise return an empty list.
    """
    # A tools.lock alone does not hold the packages that stages import.
    if environment_lock(snapshot) != REQUIREMENTS:
        return []
    locks = [lock for lock in LOCKS if snapshot.in_git(lock)]
    # A file of this name that a different tool wrote can lack hashes, or not be a list for pip at all.
    blobs = [snapshot.git_files(lock).get(lock, "") for lock in locks]
    return locks if all(_has_hashes(snapshot.reader.objects, blob) for blob in blobs) else []


def _commands_of_other_tools(snapshot: Snapshot) -> list[str]:
    """Return the install commands of the tools that read the files of the environment coordinate."""
    paths = coordinates_of(snapshot).environment.content["files"]
    by_name = {path.rpartition("/")[2]: path for path in paths}
    for_python = [name for name in PYTHON_TOOLS if name in by_name]
    others = [name for name in OTHER_LANGUAGES if name in by_name]
    commands = []
    for name in [*for_python[:1], *others]:
        commands += tool_commands(by_name[name])
    return commands


def tool_commands(path: str) -> list[str]:
    """Return the commands with which a tool installs the packages that its own file at this path names."""
    folder, _, name = path.rpartition("/")
    commands = (PYTHON_TOOLS | OTHER_LANGUAGES)[name]
    return [command.format(file=quote(path), folder=quote(folder or ".")) for command in commands]


def environment_lock(snapshot: Snapshot) -> str:
    """Return the lock that the environment of a revision is built from, or an empty string.

    See `choose_lock`.
    """
    present = [name for name in ENVIRONMENT_LOCKS if snapshot.in_git(name)]
    declared: set[str] = set()
    for stage in snapshot.records.values():
        declared.update(name for name in present if name in stage.deps)
    return choose_lock(present, declared) or ""


def choose_lock(present: Collection[str], declared: Collection[str]) -> str | None:
    """Return the lock that the environment of a revision is built from, or None if it has no lock.

    A lock that stages declare is preferred. If they declare several or none, the order of ENVIRONMENT_LOCKS
    decides.

    Args:
        present: the locks that the revision has.
        declared: those of them that a stage declares.
    """
    for candidates in (declared, present):
        for name in ENVIRONMENT_LOCKS:
            if name in candidates:
                return name
    return None


@lru_cache(100)
def _has_hashes(objects: GitObjects, blob: str) -> bool:
    """Return whether the packages in a requirements file have hashes; true if the file lists no packages."""
    (found,) = objects.read([blob])
    if found is None:
        return False
    return b"--hash=" in found.content or not re.search(rb"^[^#\s]", found.content, re.MULTILINE)


def _pull_commands(snapshot: Snapshot) -> list[str]:
    if not snapshot.sources:
        return []
    # `dvc pull` without names pulls everything.
    names = list(snapshot.sources) if len(snapshot.sources) <= MOST_SOURCES else []
    return [join(["dvc", "pull", *names])]


def artifact_at(snapshot: Snapshot, source: str) -> str:
    """Return the name of the first artifact at or below a tracked path, or an empty string."""
    for artifact in snapshot.artifacts:
        if is_in(artifact.path, source):
            return artifact.name
    return ""


def _artifact_comments(snapshot: Snapshot) -> list[str]:
    """Return comments about artifacts that no stage wrote, such as those logged by DVCLive in a notebook."""
    comments = []
    for source in snapshot.sources:
        name = artifact_at(snapshot, source)
        if name:
            comments.append(f"# {source} (artifact {name}) was made by no stage: no command here rebuilds it")
    return comments


def _warm_start_comments(snapshot: Snapshot) -> list[str]:
    """Return comments about stages that read their own previous outputs, which a clone does not have."""
    comments = []
    for address, stage in snapshot.stages.items():
        if stage.warm_starts and not stage.frozen:
            comments.append(
                f"# {address} finds its own last output, {', '.join(stage.warm_starts)} (persist: true): "
                "run without it, it can have other results"
            )
    return comments


def repro_command(snapshot: Snapshot) -> str:
    """Return the DVC command that rebuilds all stages."""
    # Only the addresses of stages outside of the root's dvc.yaml have a colon, after the path of their file.
    several_pipelines = any(":" in address for address in snapshot.stages)
    return "dvc repro --all-pipelines" if several_pipelines else "dvc repro"
