"""Where a result comes from: by a file's content, an experiment, a revision or an MLflow run.

    locatable locate TARGET [--json]

TARGET is any file, wherever it was copied to: it is found by its content, among outputs and
their folders, source data and code of all experiments and of all commits of branches and tags.
"""

import argparse
import json
import re
import signal
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..coordinates import coordinates_of
from ..errors import NotFoundError, UnreadableError
from ..git import git
from ..history.hashes import hash_of, md5_of
from ..history.reader import BRANCHES, Experiment, Reader
from ..history.snapshot import Snapshot
from ..rebuild import origin_url, rebuild_commands

# Results that are told in full; of more, each gets a line (`--json` has all).
SHOWN = 5


@dataclass
class Result:
    """A revision that the target belongs to: `roles` says how, by path."""

    snapshot: Snapshot
    experiment: Experiment | None
    roles: dict[str, str] = field(default_factory=dict)
    uncommitted: list[str] = field(default_factory=list)


def locate(reader: Reader, target: str) -> list[Result]:
    """All results that match; those that made the target come before those that used it.

    Raises:
        NotFoundError: nothing matches.
        UnreadableError: a file of DVC's in a matching revision is broken.
    """
    experiments = reader.experiments()
    if Path(target).is_file():
        if found := _by_content(reader, Path(target), experiments):
            return found
        raise NotFoundError(
            f"{target}: no experiment and no commit of a branch or tag has a file with this content"
        )
    named = [experiment for experiment in experiments if target in (experiment.name, experiment.rev)]
    if named:
        snapshots = reader.snapshots(experiment.rev for experiment in named)
        return [Result(*pair) for pair in zip(snapshots, named, strict=True)]
    commit = reader.objects.read([target + "^{commit}"])[0]
    rev = commit[0] if commit else _by_run(reader, target)
    if not rev:
        raise NotFoundError(f"{target}: no file, experiment, Git revision or MLflow run of that name")
    return [Result(reader.snapshot(rev), next((e for e in experiments if e.rev == rev), None))]


def _by_content(reader: Reader, file: Path, experiments: list[Experiment]) -> list[Result]:
    md5 = md5_of(file)
    head = reader.objects.read(["HEAD^{commit}"])[0]
    by_rev = {experiment.rev: experiment for experiment in reversed(experiments)}
    commits = git(reader.root, "rev-list", *BRANCHES, *(["HEAD"] if head else [])).split()
    revs = dict.fromkeys([*by_rev, *(e.baseline for e in experiments), *commits])
    present = [rev for rev, there in zip(revs, reader.objects.read(revs), strict=True) if there]
    # SHA-1 is how Git names a blob, in all but repositories made for SHA-256.
    kind = "sha256" if head and len(head[0]) == 64 else "sha1"
    blob = hash_of(file, kind, b"blob %d\0" % file.stat().st_size)
    # At once: the folders of all revisions do not stay in memory.
    pairs = [(one, reader.objects.paths_of_blob(one.tree, blob)) for one in reader.snapshots(present)]
    snapshots = [snapshot for snapshot, _ in pairs]
    workspace = _workspace(reader, snapshots[present.index(head[0])]) if head else None

    marks = [mark.encode() for mark in (md5, *_folders(reader, snapshots, md5))]
    found = []
    for snapshot, kept in pairs:
        recorded = any(mark in text for text in snapshot.files.values() for mark in marks)
        if recorded or kept:
            try:
                roles = _roles(snapshot, {mark.decode() for mark in marks}, kept)
            except UnreadableError as error:
                print(f"left out: {error}", file=sys.stderr)
            else:
                found.append(Result(snapshot, by_rev.get(snapshot.rev), roles))
    if workspace:
        found += _in_workspace(workspace, file, head[0])
    made = [result for result in found if any(role.startswith("output") for role in result.roles.values())]
    return sorted(
        found, key=lambda result: (result not in made, bool(result.uncommitted), result.snapshot.time)
    )


def _folders(reader: Reader, snapshots: list[Snapshot], md5: str) -> list[str]:
    """Hashes of tracked folders that hold the file, as far as the DVC cache has their lists."""
    locks = {text for snapshot in snapshots for text in snapshot.files.values()}
    listed = {mark for text in locks for mark in re.findall(rb"[0-9a-f]{32}\.dir", text)}
    lists = {mark.decode(): reader.cached_file(mark.decode()) for mark in listed}
    return [mark for mark, file in lists.items() if file and md5.encode() in file.read_bytes()]


def _roles(snapshot: Snapshot, marks: set[str], kept: list[str]) -> dict[str, str]:
    """How the file belongs to a revision: an output, source data, an input of a stage, or kept in Git."""
    roles = dict.fromkeys(kept, "kept in Git")
    for path, entry in snapshot.sources.items():
        if entry.get("md5") in marks:
            roles[path] = "source data"
    for name, stage in snapshot.stages.items():
        for path, entry in stage.deps.items():
            if entry.get("md5") in marks and roles.get(path, "kept in Git") == "kept in Git":
                roles[path] = f"read by {name}"
    for name, stage in snapshot.stages.items():
        for path, entry in stage.outs.items():
            inside = [file for file in kept if file == path or file.startswith(f"{path}/")]
            for file in inside or ([path] if entry.get("md5") in marks else []):
                roles[file] = f"output of {name}"
    return roles


def _workspace(reader: Reader, head: Snapshot) -> Snapshot | None:
    """HEAD with the workspace's own dvc.lock and .dvc files; None when they are those of HEAD."""
    names = (":(glob)**/dvc.lock", ":(glob)**/dvc.yaml", ":(glob)**/*.dvc", ":(glob)**/environment.json")
    listed = git(reader.root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *names)
    files = {path: reader.root / path for path in listed.split("\0") if path}
    here = {path: file.read_bytes() for path, file in files.items() if file.is_file()}
    return replace(head, files=here) if here != head.files else None


def _in_workspace(workspace: Snapshot, file: Path, head: str) -> list[Result]:
    """The file, or its original, as an output that the workspace's dvc.lock records and HEAD does not."""
    root, size, md5 = workspace.reader.root, file.stat().st_size, md5_of(file)
    made = {}
    for name, stage in workspace.stages.items():
        for out, entry in stage.outs.items():
            inside = (root / out).rglob("*") if (root / out).is_dir() else [root / out]
            same = [path for path in inside if path.is_file() and path.stat().st_size == size]
            found = [path for path in same if md5_of(path) == md5]
            if found and md5_of(root / out) == entry.get("md5"):
                made |= {path.relative_to(root).as_posix(): f"output of {name}" for path in found}
    ours, theirs = coordinates_of(workspace), coordinates_of(workspace.reader.snapshot(head))
    differing = [name for name in vars(ours) if getattr(ours, name).digest != getattr(theirs, name).digest]
    return [Result(workspace, None, made, differing)] if made and differing else []


def _by_run(reader: Reader, target: str) -> str | None:
    """The revision that an MLflow run mirrors."""
    if not re.fullmatch("[0-9a-f]{32}", target):
        return None
    from ..mlflow import store  # MLflow takes seconds to import

    return store.revision(reader, target)


def story(result: Result, url: str | None) -> dict[str, Any]:
    """Everything to say about a result, as in JSON."""
    snapshot, experiment = result.snapshot, result.experiment
    found = coordinates_of(snapshot)
    changed = {}
    base = experiment.baseline if experiment else result.uncommitted and snapshot.rev
    if base and snapshot.reader.objects.read([base])[0]:
        before = snapshot.reader.snapshot(base).params
        keys = dict.fromkeys([*before, *snapshot.params])
        pairs = {key: [before.get(key), snapshot.params.get(key)] for key in keys}
        changed = {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}
    return {
        "rev": snapshot.rev,
        "experiment": experiment and asdict(experiment),
        "roles": result.roles,
        "uncommitted": result.uncommitted,
        "coordinates": asdict(found),
        "params_changed": changed,
        "rebuild": [] if result.uncommitted else rebuild_commands(snapshot, experiment, url),
    }


def text(told: dict[str, Any]) -> str:
    """A result for people to read."""
    experiment, found = told["experiment"], told["coordinates"]
    record = found["environment"]["content"]["record"]
    changed = [f"{key} {before!r} → {after!r}" for key, (before, after) in told["params_changed"].items()]
    notes = {
        "data": [f"{path} {md5}" for path, md5 in found["data"]["content"].items()],
        "code": [f"commit {told['rev']}", f"{len(found['code']['content']['files'])} files"],
        "params": changed
        or [f"{len(found['params']['content'])} values" + ", as in the baseline" * bool(experiment)],
        "environment": [
            f"Python {record.get('python', '?')}",
            f"{len(record.get('drift', {}))} packages not as locked",
        ],
        "execution": list(found["execution"]["content"]["stages"]),
    }
    lines = [title(told)]
    for name, note in notes.items():
        mark = "  UNCOMMITTED" if name in told["uncommitted"] else ""
        shown = ", ".join(note[:SHOWN]) + (f" and {len(note) - SHOWN} more" if len(note) > SHOWN else "")
        lines.append(f"  {name:<12} {found[name]['digest'][:12]}  {shown}{mark}")
    if told["uncommitted"]:
        return "\n".join(
            [*lines, "  commit these before anyone else can rebuild it: git add --all && git commit"]
        )
    if experiment:
        lines.append(f"  {'apply':<12} dvc exp apply {experiment['name']}")
    return "\n".join([*lines, "  rebuild", *(f"    {line}" for line in told["rebuild"])])


def title(told: dict[str, Any]) -> str:
    """One line about a result: what it is called, and how the target belongs to it."""
    experiment, name = told["experiment"], told["rev"][:7]
    if isinstance(experiment, Experiment):
        experiment = asdict(experiment)
    if experiment:
        name = f"{experiment['name']}  {name} on {experiment['baseline'][:7]}"
    if told["uncommitted"]:
        name = f"workspace on {name}"
    return "  ".join([name, *(f"{path} ({role})" for path, role in told["roles"].items())])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `locatable locate`."""
    parser.add_argument("target", help="a file, an experiment, a Git revision or an MLflow run id")
    parser.add_argument("--json", action="store_true", help="everything, for machines")


def run(arguments: argparse.Namespace) -> int:
    """Print the results that match."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is no error
    with Reader(".") as reader:
        results = locate(reader, arguments.target)
        url = origin_url(reader)
        if arguments.json:
            print(json.dumps([story(result, url) for result in results], indent=1, default=str))
            return 0
        pages = [text(story(result, url)) for result in results[:SHOWN]]
        told = [{**vars(result), "rev": result.snapshot.rev} for result in results[SHOWN:]]
        print("\n\n".join([*pages, "\n".join(map(title, told))]).rstrip())
    return 0
