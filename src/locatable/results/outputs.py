"""Files that the stages of a revision wrote, as far as views show them, and the models among them."""

from collections.abc import Iterable
from dataclasses import dataclass

from ..git.pointers import lfs_id
from ..model import holder, is_in
from ..repository.snapshot import Snapshot


@dataclass(frozen=True)
class OutputFiles:
    """What stages wrote.

    Attributes:
        contents: content by path.
        missing: cached files that should be among them and are not on this machine.
    """

    contents: dict[str, bytes]
    missing: list[str]


def read_outputs(snapshot: Snapshot, models: Iterable[str] = ()) -> OutputFiles:
    """Return what Git keeps of outputs, metrics and plots; what DVC's cache has of these and `models`."""
    outs = snapshot.outs
    shown = [*snapshot.metric_files, *snapshot.plot_files]
    files = OutputFiles({}, [])
    for path, content in snapshot.git_contents({*outs, *shown}).items():
        if lfs_id(content):
            files.missing.append(f"{path} (Git LFS)")
        else:
            files.contents[path] = content
    for path in dict.fromkeys([*shown, *models]):
        output = holder(outs, path)
        if not output or snapshot.in_git(path):
            continue
        for file, md5 in snapshot.reader.folder_files(output, outs[output]).items():
            # Where nothing lists the files of a folder, the folder itself stands for what is missing.
            if file != output and not is_in(file, path):
                continue
            cached = snapshot.reader.cached_file(md5)
            if cached:
                files.contents[file] = cached.read_bytes()
            elif file not in files.missing:
                files.missing.append(file)
    return files


@dataclass(frozen=True)
class ModelFile:
    """An output, or file in one, that a dvc.yaml calls an artifact of type `model`.

    Attributes:
        name: that dvc.yaml gives it.
        path: relative to the DVC root.
        md5: its hash; that of the folder around it where this machine has no list of the files in there.
        desc: what dvc.yaml says of it.
    """

    name: str
    path: str
    md5: str
    desc: str


def model_files(snapshot: Snapshot) -> list[ModelFile]:
    """Return the models of a revision; of one path, what the last dvc.yaml says."""
    outs = snapshot.outs
    models: dict[str, ModelFile] = {}
    for artifact in snapshot.artifacts:
        output = holder(outs, artifact.path)
        if artifact.type == "model" and output:
            listed = snapshot.reader.folder_files(output, outs[output])
            md5 = listed.get(artifact.path) or str(outs[output].get("md5", ""))
            models[artifact.path] = ModelFile(artifact.name, artifact.path, md5, artifact.desc)
    return list(models.values())
