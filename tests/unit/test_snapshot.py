"""What Git knows of one revision, through `Snapshot`."""

import datetime
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from tiny_git import commit, git

from locatable.errors import UnreadableError
from locatable.model import Record, join
from locatable.repository import dvc_repo
from locatable.repository.reader import Reader
from locatable.repository.snapshot import Snapshot

Read = Callable[[Mapping[str, str]], Snapshot]

LOCK = """schema: '2.0'
stages:
  train:
    cmd: python train.py
    deps:
    - path: in.txt
      hash: md5
      md5: aa
      size: 1
    params:
      params.yaml:
        rate: 1e-05
      conf/more.toml:
        deep:
          x: 3
    outs:
    - path: out.txt
      hash: md5
      md5: bb
      size: 2
"""


@pytest.fixture
def read(tmp_path: Path) -> Iterator[Read]:
    """Commits files in the DVC repository `ml`, and returns the snapshot."""
    readers = []

    def call(files: Mapping[str, str]) -> Snapshot:
        commit(tmp_path, {"ml/.dvc/config": "", **{f"ml/{path}": text for path, text in files.items()}})
        readers.append(Reader(tmp_path / "ml"))
        return readers[-1].snapshot("HEAD")

    yield call
    for reader in readers:
        reader.objects.close()


def test_a_stage_has_its_command_dependencies_outputs_and_params(read: Read) -> None:
    assert read({"dvc.lock": LOCK}).records == {
        "train": Record(
            cmd="python train.py",
            deps={"in.txt": {"path": "in.txt", "hash": "md5", "md5": "aa", "size": 1}},
            outs={"out.txt": {"path": "out.txt", "hash": "md5", "md5": "bb", "size": 2}},
            params={"params.yaml": {"rate": 1e-05}, "conf/more.toml": {"deep": {"x": 3}}},
        )
    }


def test_a_stage_of_a_subfolder_has_the_address_that_dvc_gives_it(read: Read) -> None:
    assert read({"pipelines/a/dvc.lock": LOCK}).records.keys() == {"pipelines/a/dvc.yaml:train"}


def test_paths_of_a_subfolder_are_seen_from_the_root(read: Read) -> None:
    (stage,) = read({"sub/dvc.lock": LOCK}).records.values()
    assert (*stage.deps, *stage.outs, *stage.params) == (
        "sub/in.txt",
        "sub/out.txt",
        "sub/params.yaml",
        "sub/conf/more.toml",
    )


@pytest.mark.parametrize(
    ("folder", "stage", "definition", "output"),
    [
        ("sub/", "train", "stages:\n  train:\n    cmd: x\n    wdir: ../src\n", "src/out.txt"),
        (
            "",
            "visit@rome",
            "stages:\n  visit:\n    foreach: {rome: {dir: it}}\n"
            "    do: {cmd: x, wdir: 'towns/${item.dir}'}\n",
            "towns/it/out.txt",
        ),
    ],
)
def test_paths_of_a_stage_with_a_wdir_are_seen_from_the_root(
    read: Read, folder: str, stage: str, definition: str, output: str
) -> None:
    lock = LOCK.replace("  train:", f"  {stage}:")
    (record,) = read({f"{folder}dvc.lock": lock, f"{folder}dvc.yaml": definition}).records.values()
    assert list(record.outs) == [output]


def test_a_stage_without_fields_is_empty(read: Read) -> None:
    lock = "schema: '2.0'\nstages:\n  train:\n    params:\n      params.yaml:\n"
    assert read({"dvc.lock": lock}).records == {"train": Record("", {}, {}, {"params.yaml": {}})}


def test_sources_are_what_dvc_files_track_seen_from_the_root_with_where_they_come_from(read: Read) -> None:
    files = {
        "data/a.csv.dvc": "outs:\n- md5: aa\n  path: a.csv\n",
        "b.dvc": "deps:\n- path: s3://bucket/b\nouts:\n- path: b\n",
        "sub/c.dvc": "wdir: deep\nouts:\n- path: c\n",
    }
    assert read(files).sources == {
        "data/a.csv": {"md5": "aa", "path": "a.csv", "deps": []},
        "b": {"path": "b", "deps": [{"path": "s3://bucket/b"}]},
        "sub/deep/c": {"path": "c", "deps": []},
    }


def test_a_dvc_file_that_a_stage_writes_tracks_no_source(read: Read) -> None:
    pipeline = "stages:\n  a: {cmd: x, outs: [out]}\n"
    assert read({"dvc.yaml": pipeline, "out/b.dvc": "outs:\n- path: b\n"}).sources == {}


def test_params_are_those_of_the_files_before_the_first_run(read: Read) -> None:
    files = {
        "params.yaml": "a: 1\n",
        "sub/dvc.yaml": "params: [more.json, none.yaml]\n",
        "sub/more.json": '{"b": {"c": 2}}',
    }
    assert read(files).params == {"a": 1, "sub/more.json:b.c": 2}


def test_metrics_are_those_of_the_file_and_of_its_stages(read: Read) -> None:
    definition = """
metrics: [top.json, one.json]
stages:
  train:
    cmd: x
    wdir: deep
    metrics: [one.json, two.json: {cache: false}]
"""
    expected = ["sub/top.json", "sub/one.json", "sub/deep/one.json", "sub/deep/two.json"]
    assert read({"sub/dvc.yaml": definition}).metric_files == expected


def test_metrics_of_templates_have_their_real_names(read: Read) -> None:
    definition = "stages:\n  s:\n    matrix: {n: [a, b]}\n    cmd: x\n    metrics: ['${item.n}.json']\n"
    assert read({"dvc.yaml": definition}).metric_files == ["a.json", "b.json"]


def test_a_pipeline_is_resolved_once(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve, calls = dvc_repo.resolve_pipeline, []
    monkeypatch.setattr(dvc_repo, "resolve_pipeline", lambda *given: calls.append(given) or resolve(*given))
    definition = "stages:\n  s:\n    foreach: [a, b]\n    do: {cmd: x, wdir: 'd/${item}'}\n"
    lock = "schema: '2.0'\nstages:\n  s@a:\n    cmd: x\n  s@b:\n    cmd: x\n"
    snapshot = read({"dvc.yaml": definition, "dvc.lock": lock})
    assert (snapshot.records.keys(), snapshot.metric_files) == ({"s@a", "s@b"}, [])
    assert len(calls) == 1


def test_a_revision_without_a_pipeline_has_none(read: Read) -> None:
    assert read({}).pipelines == {}


def test_a_pipeline_is_resolved_once_for_all_revisions_with_the_same_values(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve, calls = dvc_repo.resolve_pipeline, []
    monkeypatch.setattr(dvc_repo, "resolve_pipeline", lambda *given: calls.append(given) or resolve(*given))
    reader = read({"dvc.yaml": "metrics: ['${x}.json']\n", "params.yaml": "x: a\n"}).reader
    read({"README.md": "two\n"})
    read({"params.yaml": "x: b\n"})
    found = [snapshot.metric_files for snapshot in reader.snapshots(["HEAD~2", "HEAD~1", "HEAD", "HEAD~2"])]
    assert found == [["a.json"], ["a.json"], ["b.json"], ["a.json"]]
    assert len(calls) == 2


def test_a_stage_that_only_the_lock_has_is_none(read: Read) -> None:
    assert read({"dvc.lock": LOCK, "dvc.yaml": "stages:\n  other:\n    cmd: x\n"}).records == {}


PARAMS = {"params.yaml": "rate: 1\nother: 2\n", "dvc.lock": LOCK}
STAGE = "stages:\n  train:\n    cmd: x\n"


@pytest.mark.parametrize(
    ("files", "values"),
    [
        ({}, {"rate": 1e-05, "conf/more.toml:deep.x": 3}),
        ({"dvc.yaml": f"params: [params.yaml]\n{STAGE}"}, {"other": 2}),
        ({"dvc.yaml": f"params: [p.json]\n{STAGE}", "p.json": '{"a": 1}'}, {"p.json:a": 1}),
        ({"dvc.yaml": f"params: [p]\n{STAGE}", "p/a.yaml": "a: 1", "p/b.yaml": "b: 2"}, {"p/b.yaml:b": 2}),
        ({"dvc.yaml": "stages:\n  train:\n    cmd: 'x ${other}'\n"}, {"other": 2}),
        ({"dvc.lock": LOCK.replace("in.txt", "params.yaml")}, {"other": 2}),
        ({"dvc.lock": LOCK.replace("params.yaml", "p.yaml")}, {"p.yaml:rate": 1e-05, "rate": 1}),
        ({"sub/dvc.yaml": "params: [params.yaml]\n", "sub/params.yaml": "b: 2"}, {"sub/params.yaml:b": 2}),
    ],
)
def test_params_are_those_of_stages_templates_and_params_files(
    read: Read, files: dict[str, str], values: dict[str, object]
) -> None:
    found = read(PARAMS | files).params
    assert {key: found.get(key) for key in values} == values


def test_a_value_of_params_yaml_that_no_stage_uses_is_none_of_its_params(read: Read) -> None:
    assert "other" not in read({**PARAMS, "dvc.yaml": STAGE}).params


def test_a_params_file_that_dvc_keeps_is_read_from_its_cache(read: Read, tmp_path: Path) -> None:
    snapshot = read(
        {"dvc.yaml": "params: [p.yaml]\n", "p.yaml.dvc": f"outs:\n- md5: {'a' * 32}\n  path: p.yaml\n"}
    )
    cached = tmp_path / "ml/.dvc/cache/files/md5/aa" / ("a" * 30)
    cached.parent.mkdir(parents=True)
    cached.write_text("a: 1\n")
    assert snapshot.params == {"p.yaml:a": 1}


@pytest.mark.parametrize(
    ("plots", "paths"),
    [
        ("[a.csv, b.json: {x: n}, c]", ["a.csv", "b.json", "c"]),
        ("[Loss: {y: {a.csv: [l, m], b.csv: l}, x: {c.csv: n}}]", ["a.csv", "b.csv", "c.csv"]),
        ("[a.csv: {x: n, y: [l]}]", ["a.csv"]),
        ("[a.csv: ]", ["a.csv"]),
    ],
)
def test_plots_are_the_files_that_dvc_draws(read: Read, plots: str, paths: list[str]) -> None:
    assert read({"dvc.yaml": f"plots: {plots}\n"}).plot_files == paths


def test_plots_of_templates_have_their_real_names(read: Read) -> None:
    files = {"params.yaml": "out: results\n", "dvc.yaml": "plots:\n- ${out}/loss.csv: {x: step, y: loss}\n"}
    assert read(files).plot_files == ["results/loss.csv"]


def test_the_time_is_that_of_the_commit(read: Read, tmp_path: Path) -> None:
    before = int(datetime.datetime.now().timestamp())
    assert 0 <= read({}).time - before < 100
    assert str(read({"a": ""}).time) == git(tmp_path, "log", "-1", "--format=%ct")


def test_files_of_git_are_told_from_others_and_read(read: Read) -> None:
    snapshot = read({"sub/a.txt": "one\n", "b.txt": ""})
    assert [snapshot.in_git(path) for path in ("sub", "sub/a.txt", "c.txt")] == [True, True, False]
    assert snapshot.root_files() == ["b.txt"]
    assert [snapshot.read(path) for path in ("sub/a.txt", "sub", "nowhere")] == [b"one\n", None, None]


BROKEN = {
    "params that are a list in a lock": (
        "dvc.lock",
        "schema: '2.0'\nstages: {a: {params: {p.yaml: [1]}}}\n",
        "records",
    ),
    "a source that comes from a word": ("a.dvc", "deps: [x]\nouts: [{path: a}]\n", "sources"),
    "a conflict": ("dvc.lock", f"{LOCK}<<<<<<< HEAD\n", "records"),
    "no mapping": ("dvc.lock", "5\n", "records"),
    "a stage that is a list": ("dvc.lock", "schema: '2.0'\nstages:\n  a: [1]\n", "records"),
    "a dependency without a path": (
        "dvc.lock",
        "schema: '2.0'\nstages: {a: {deps: [{md5: a}]}}\n",
        "records",
    ),
    "a source without a path": ("a.dvc", "outs:\n- md5: a\n", "sources"),
    "a source that is a number": ("a.dvc", "outs: 5\n", "sources"),
    "params that are no YAML": ("params.yaml", "a: [1\n", "params"),
    "params that are a list": ("params.yaml", "[1]\n", "params"),
    "a pipeline of other things": ("dvc.yaml", "stages: [1]\n", "metric_files"),
    "a template without its value": ("dvc.yaml", "stages: {a: {cmd: '${b}'}}\n", "metric_files"),
    "a template in other things": ("dvc.yaml", "stages: [$, '${b}']\n", "metric_files"),
}


@pytest.mark.parametrize(("path", "text", "attribute"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_named_with_its_revision(read: Read, path: str, text: str, attribute: str) -> None:
    snapshot = read({path: text})
    with pytest.raises(UnreadableError, match=f"^{snapshot.rev[:7]}:{path}: "):
        getattr(snapshot, attribute)


@pytest.mark.parametrize(
    ("parts", "path"),
    [
        (("", "a"), "a"),
        (("sub", "../a"), "a"),
        (("sub", "."), "sub"),
        (("sub", "/a"), "/a"),
        (("sub", "s3://bucket/../a"), "s3://bucket/../a"),
    ],
)
def test_paths_are_seen_from_the_root(parts: tuple[str, ...], path: str) -> None:
    assert join(*parts) == path
