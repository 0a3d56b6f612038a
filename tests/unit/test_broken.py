"""Broken commits: whatever is wrong with one, its neighbours are read, located and mirrored."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tiny_git import commit

from locatable.locate.by_content import find_content
from locatable.mlflow.content import Content
from locatable.mlflow.mirror import Applier, MirrorOptions
from locatable.mlflow.plan import Action, PlannedRun, wanted_runs
from locatable.repository.reader import Reader
from locatable.results.coordinates import coordinates_of

STAGE = "stages: {train: {cmd: x, outs: [out.txt], params: [a], metrics: [m.json: {cache: false}]}}\n"
LOCK = """schema: '2.0'
stages:
  train:
    cmd: x
    params:
      params.yaml:
        a: 1
    outs:
    - path: out.txt
      hash: md5
      md5: 900150983cd24fb0d6963f7d28e17f72
      size: 3
"""
PROJECT = {
    ".dvc/config": "",
    "dvc.yaml": STAGE,
    "dvc.lock": LOCK,
    "params.yaml": "a: 1\n",
    "m.json": '{"v": 1}',
}
ODD = {
    "a lock that is no YAML": {"dvc.lock": LOCK + "  train: [\n"},
    "a lock of a later DVC": {"dvc.lock": LOCK.replace("2.0", "9.0")},
    "a lock that DVC rejects": {"dvc.lock": "schema: '2.0'\nstages: [1, 2]\n"},
    "a lock with conflicts": {"dvc.lock": f"<<<<<<< HEAD\n{LOCK}=======\n{LOCK}>>>>>>> other\n"},
    "a lock that is no text": {"dvc.lock": b"\xff\xfe\0"},
    "an empty lock": {"dvc.lock": ""},
    "entries without a path": {"dvc.lock": LOCK.replace("path: out.txt", "pfad: out.txt")},
    "params in a list": {"dvc.lock": LOCK.replace("params.yaml:\n        a: 1", "params.yaml:\n        - a")},
    "a pipeline that is no YAML": {"dvc.yaml": "stages: {train: [\n"},
    "a pipeline that DVC rejects": {"dvc.yaml": "stages: {train: {cmd: x, live: {out.txt: }}}\n"},
    "a pipeline of lists": {"dvc.yaml": "- train\n"},
    "stages of lists": {"dvc.yaml": "stages: [train]\n"},
    "a stage of nothing": {"dvc.yaml": "stages: {train: }\n"},
    "outputs of numbers": {"dvc.yaml": "stages: {train: {cmd: x, outs: [1]}}\nmetrics: [2]\nplots: [3]\n"},
    "artifacts of numbers": {"dvc.yaml": STAGE + "artifacts: {model: 1}\n"},
    "a template of nothing": {"dvc.yaml": "stages: {train: {cmd: '${nothing}', outs: [out.txt]}}\n"},
    "a loop over nothing": {"dvc.yaml": "stages: {train: {foreach: '${nothing}', do: {cmd: x}}}\n"},
    "a .dvc file that is no YAML": {"data.dvc": "outs: [\n"},
    "a .dvc file of numbers": {"data.dvc": "outs: [1]\ndeps: 2\n"},
    "params that are no YAML": {"params.yaml": "a: [\n"},
    "params that are a list": {"params.yaml": "- a\n"},
    "metrics that are no JSON": {"m.json": "{"},
    "an environment of lists": {"environment.json": "[1]"},
    "a .dvcignore that is no text": {".dvcignore": b"\xff\xfe\0\n"},
}


@dataclass
class Writer:
    """Stands for MLflow.

    Attributes:
        written: keys of runs.
    """

    written: list[str] = field(default_factory=list)

    def create(self, content: Content, parent_id: str | None) -> str:
        """Note a run."""
        self.written.append(content.key)
        return content.key


@dataclass(frozen=True)
class Broken:
    """A repository whose second of three commits is odd."""

    reader: Reader
    whole: list[str]
    odd: str


@pytest.fixture(scope="module", params=ODD)
def broken(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broken]:
    """Repositories that are odd in each way."""
    root = tmp_path_factory.mktemp("broken") / "repo"
    first = commit(root, PROJECT)
    odd = commit(root, ODD[request.param])
    for path in ODD[request.param]:
        (root / path).unlink()
    third = commit(root, {**PROJECT, "notes.md": "mended\n"})
    with Reader(root) as reader:
        yield Broken(reader, [first, third], odd)


def test_the_others_are_read(broken: Broken) -> None:
    first, third = broken.whole
    snapshots = broken.reader.snapshots([first, broken.odd, third])
    read = [coordinates_of(one).params.content for one in snapshots if one.rev != broken.odd]
    assert read == [{"a": 1}, {"a": 1}]


def test_the_others_are_located(broken: Broken, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("abc")
    found = find_content(broken.reader, tmp_path / "target")
    assert {one.rev for one in found.results} - {broken.odd} == set(broken.whole)


def test_the_others_are_mirrored(broken: Broken) -> None:
    wanted = wanted_runs(broken.reader, all_commits=True)
    plan = [PlannedRun(run, Action.CREATE) for run in wanted.values()]
    writer = Writer()
    applier = Applier(broken.reader, writer, MirrorOptions(), None)  # type: ignore[arg-type]
    applier.write_runs(plan, {})
    assert set(writer.written) - {broken.odd} == set(broken.whole)
