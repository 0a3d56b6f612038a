"""Coordinates of repositories that DVC itself has written, compared with what DVC says about them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_dvc import commit, dvc, init
from tiny_git import git, md5, write

from locatable.repository.reader import Reader
from locatable.repository.snapshot import Snapshot
from locatable.results.coordinates import Coordinates, coordinates_of, read_coordinates
from locatable.results.values import read_metrics, read_outputs

NAMES = ("data", "code", "params", "environment", "execution")

# Most of what a dvc.yaml can hold.
MANY = {
    "params.yaml": "{sizes: [small, big], folder: jobs, rate: 1.0e-05, "
    "cities: {rome: {dir: it}, new york: {dir: us}}}",
    "dvc.yaml": """
vars: [conf/more.yaml, {mode: fast}]
stages:
  sweep:
    matrix: {size: '${sizes}', kind: [a, b]}
    cmd: 'echo "{\\"score\\": 1.5}" > ${folder}/${item.size}-${item.kind}.json; echo ${more.deep}'
    params: [rate, conf/all.toml: [deep.x], conf/all.json: [], conf/all.py: [LR, Net.width]]
    deps: [src]
    metrics: ['${folder}/${item.size}-${item.kind}.json': {cache: false}]
  visit:
    foreach: ${cities}
    do:
      wdir: towns/${item.dir}
      cmd: mkdir -p out && cp in.txt out/copy.txt && cp ../../src/main.py out/
      deps: [in.txt, ../../src/main.py]
      params: [../town.yaml: [n]]
      outs: [out]
  fetch:
    cmd: cat there.txt here/1.txt ../outside.csv > all.txt
    deps: [there.txt, here, ../outside.csv]
    outs: [all.txt]
""",
    "conf/more.yaml": "more: {deep: word}\n",
    "conf/all.toml": "[deep]\nx = 3\n",
    "conf/all.json": '{"list": [1, 2], "on": true}',
    "conf/all.py": "LR = 0.1\nclass Net:\n    width = 5\n",
    "towns/town.yaml": "n: 7\n",
    "towns/it/in.txt": "ciao\n",
    "towns/us/in.txt": "hi\n",
    "src/main.py": "print()\n",
    "jobs/.gitignore": "",
    "pipelines/b/dvc.yaml": "stages:\n  own:\n    cmd: echo '{\"n\":1}' > m.json\n    params: [deep.z]\n"
    "    outs: [m.json: {cache: false}]\nmetrics: [m.json]\n",
    "pipelines/b/params.yaml": "deep: {z: [1, 2]}\n",
    "nested/.dvc/config": "",
    "nested/dvc.lock": "schema: '2.0'\nstages:\n  foreign:\n    cmd: x\n",
    "here/1.txt": "one\n",
    "../outside.csv": "1\n",
    "../README.md": "not of DVC\n",
    "../../elsewhere/there.txt": "there\n",
}


def digests(found: Coordinates) -> dict[str, str]:
    return {name: getattr(found, name).digest for name in NAMES}


def differing(one: Coordinates, other: Coordinates) -> set[str]:
    ours, theirs = digests(one), digests(other)
    return {name for name in NAMES if ours[name] != theirs[name]}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DVC root inside of a Git repository, with all of that, rebuilt and committed; do not change it."""
    root = tmp_path_factory.mktemp("many") / "git" / "ml"
    root.mkdir(parents=True)
    git(root.parent, "init", "--quiet", "--template=")
    init(root, subdir=True)
    write(root, MANY)
    with dvc(root) as repo:
        repo.imp_url("../../elsewhere/there.txt")
    with dvc(root) as repo:
        repo.add("here")
    with dvc(root) as repo:
        repo.reproduce(all_pipelines=True)
    commit(root.parent)
    return root


@pytest.fixture(scope="module")
def snapshot(many: Path) -> Iterator[Snapshot]:
    """Its last revision."""
    with Reader(many) as reader:
        yield next(iter(reader.snapshots(["HEAD"])))


@pytest.fixture(scope="module")
def found(snapshot: Snapshot) -> Coordinates:
    """The coordinates of its last revision."""
    return coordinates_of(snapshot)


def test_stages_have_the_addresses_that_dvc_gives_them(many: Path, found: Coordinates) -> None:
    with dvc(many) as repo:
        addresses = {stage.addressing for stage in repo.index.stages if stage.cmd}
    assert found.execution.content["stages"].keys() == addresses


def test_stages_are_those_of_matrix_foreach_and_every_pipeline(found: Coordinates) -> None:
    sweeps = {f"sweep@{size}-{kind}" for size in ("small", "big") for kind in "ab"}
    others = {"visit@rome", "visit@new york", "fetch", "pipelines/b/dvc.yaml:own"}
    assert found.execution.content["stages"].keys() == sweeps | others


def test_an_output_of_a_stage_with_a_wdir_is_seen_from_the_root(found: Coordinates) -> None:
    assert found.execution.content["stages"]["visit@rome"]["outs"].keys() == {"towns/it/out"}


def test_an_output_of_another_pipeline_is_seen_from_the_root(many: Path, found: Coordinates) -> None:
    outs = found.execution.content["stages"]["pipelines/b/dvc.yaml:own"]["outs"]
    assert outs == {"pipelines/b/m.json": md5((many / "pipelines/b/m.json").read_bytes())}


def test_data_is_what_was_imported_or_added(many: Path, found: Coordinates) -> None:
    (here,) = yaml.safe_load((many / "here.dvc").read_text())["outs"]
    assert found.data.content == {
        "there.txt": md5((many / "there.txt").read_bytes()),
        "here": here["md5"],
    }


def test_code_is_what_stages_declare_from_wherever_they_run(many: Path, found: Coordinates) -> None:
    files = found.code.content["files"]
    assert files.keys() == {"src", "src/main.py", "towns/it/in.txt", "towns/us/in.txt", "../outside.csv"}
    assert files["towns/us/in.txt"] == md5((many / "towns/us/in.txt").read_bytes())


def test_params_are_those_of_every_format_and_folder(found: Coordinates) -> None:
    assert found.params.content == {
        "rate": 1e-05,
        # Named by templates only.
        "sizes": ["small", "big"],
        "folder": "jobs",
        "cities.rome.dir": "it",
        "cities.new york.dir": "us",
        "conf/more.yaml:more.deep": "word",
        "conf/all.toml:deep.x": 3,
        "conf/all.json:list": [1, 2],
        "conf/all.json:on": True,
        "conf/all.py:LR": 0.1,
        "conf/all.py:Net.width": 5,
        "towns/town.yaml:n": 7,
        "pipelines/b/params.yaml:deep.z": [1, 2],
    }


def test_metrics_are_those_that_dvc_shows(many: Path, snapshot: Snapshot) -> None:
    with dvc(many) as repo:
        shown = repo.metrics.show()[""]["data"]
    contents = read_outputs(snapshot).contents
    ours = {path: read_metrics(path, contents[path]) for path in contents if path in snapshot.metric_files}
    assert ours == {path: flat(values["data"]) for path, values in shown.items()}
    assert len(ours) == 5


def flat(values: dict[str, Any]) -> dict[str, Any]:
    """Values that are not nested."""
    assert not any(isinstance(value, dict) for value in values.values())
    return values


@dataclass(frozen=True)
class Imports:
    """Imports of a file, one after another: of its first rows, of others, of these from a later commit.

    Attributes:
        other: the repository that they come from.
        commits: of `other` that they come from.
        hashes: of the file after each.
        data: what is known of the data after each.
        digests: of these.
        named: where the data comes from, after each.
    """

    other: Path
    commits: list[str]
    hashes: list[str]
    data: list[dict[str, Any]]
    digests: list[str]
    named: list[Any]


@pytest.fixture(scope="module")
def importing(tmp_path_factory: pytest.TempPathFactory) -> Imports:
    top = tmp_path_factory.mktemp("importing")
    other, here = top / "other", top / "here"
    init(other)
    init(here)
    commits, hashes, revs = [], [], []
    for name, text in (("rows.csv", "1\n"), ("rows.csv", "2\n"), ("README.md", "The same rows.\n")):
        (other / name).write_text(text)
        with dvc(other) as repo:
            repo.add("rows.csv")
        commits.append(commit(other))
        with dvc(here) as repo:
            if revs:
                repo.update(["theirs.csv.dvc"])
            else:
                repo.imp(str(other), "rows.csv", "theirs.csv")
        hashes.append(md5((here / "theirs.csv").read_bytes()))
        revs.append(commit(here))
    with Reader(here) as reader:
        snapshots = list(reader.snapshots(revs))
        named = [snapshot.sources["theirs.csv"]["deps"] for snapshot in snapshots]
        data = [coordinates_of(snapshot).data for snapshot in snapshots]
    contents = [each.content for each in data]
    return Imports(other, commits, hashes, contents, [each.digest for each in data], named)


def test_imported_data_is_known_by_its_hash(importing: Imports) -> None:
    assert importing.data == [{"theirs.csv": seen} for seen in importing.hashes]


def test_imported_data_names_the_commit_that_it_came_from(importing: Imports) -> None:
    assert importing.named == [
        [{"path": "rows.csv", "repo": {"url": str(importing.other), "rev_lock": commit}}]
        for commit in importing.commits
    ]


def test_other_rows_are_other_data(importing: Imports) -> None:
    assert importing.hashes[0] != importing.hashes[1]
    assert importing.digests[0] != importing.digests[1]


def test_the_same_rows_of_a_later_commit_are_the_same_data(importing: Imports) -> None:
    assert importing.commits[1] != importing.commits[2]
    assert importing.digests[1] == importing.digests[2]


PIPELINE = """
stages:
  double:
    cmd: sh double.sh
    deps: [data/raw.csv, double.sh]
    outs: [doubled.csv]
  train:
    cmd: cat doubled.csv params.yaml > model.txt
    deps: [doubled.csv]
    params: [train]
    outs: [model.txt]
"""


@dataclass(frozen=True)
class Variants:
    """A repository with experiments on several baselines, and coordinates of its revisions.

    Attributes:
        root: its folder.
        base: of the first commit.
        notes: of a commit that changes no coordinate.
        rows: of a commit with fewer rows.
        first: of an experiment on `base`.
        second: of the same experiment on `notes`.
    """

    root: Path
    base: Snapshot
    notes: Snapshot
    rows: Snapshot
    first: Snapshot
    second: Snapshot


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Variants]:
    root = tmp_path_factory.mktemp("variants") / "project"
    init(root)
    write(root, {"dvc.yaml": PIPELINE, "params.yaml": "train: {alpha: 0.1}\n", "data/raw.csv": "1\n2\n3\n"})
    write(root, {"double.sh": "cat data/raw.csv data/raw.csv > doubled.csv\n"})
    with dvc(root) as repo:
        repo.add("data/raw.csv")
        repo.reproduce()
    commit(root, "Results")
    run_variant(root, "first")
    write(root, {"notes.md": "A commit that changes no coordinate.\n"})
    commit(root, "Notes")
    # DVC takes equal inputs for equal results: only a forced run is made again.
    run_variant(root, "second", force=True)
    (root / "data/raw.csv").write_text("1\n2\n")
    with dvc(root) as repo:
        repo.add("data/raw.csv")
        repo.reproduce("double")
    commit(root, "Fewer rows")
    with Reader(root) as reader:
        names = ["HEAD~2", "HEAD~1", "HEAD", *(experiment.rev for experiment in reader.experiments())]
        yield Variants(root, *reader.snapshots(names))


def run_variant(root: Path, name: str, **options: bool) -> None:
    """Run an experiment by DVC, and leave the workspace as it was."""
    with dvc(root) as repo:
        repo.experiments.run(name=name, params=["train.alpha=0.00001"], **options)
    git(root, "checkout", "--quiet", "--force", ".")


def test_experiments_are_known_with_their_baselines(variants: Variants) -> None:
    with Reader(variants.root) as reader:
        known = [(each.name, each.rev, each.baseline, each.study) for each in reader.experiments()]
    assert known == [
        ("first", variants.first.rev, variants.base.rev, None),
        ("second", variants.second.rev, variants.notes.rev, None),
    ]


def test_a_param_of_an_experiment_is_the_number_that_dvc_wrote(variants: Variants) -> None:
    assert coordinates_of(variants.first).params.content["train.alpha"] == 1e-5


def test_a_commit_of_notes_has_the_same_digests(variants: Variants) -> None:
    assert digests(coordinates_of(variants.base)) == digests(coordinates_of(variants.notes))


def test_the_same_experiment_on_another_baseline_has_the_same_digests(variants: Variants) -> None:
    assert variants.first.rev != variants.second.rev
    assert digests(coordinates_of(variants.first)) == digests(coordinates_of(variants.second))


def test_an_experiment_differs_by_its_params_and_its_results(variants: Variants) -> None:
    changed = differing(coordinates_of(variants.base), coordinates_of(variants.first))
    assert changed == {"params", "execution"}


def test_fewer_rows_differ_by_their_data_and_their_results(variants: Variants) -> None:
    changed = differing(coordinates_of(variants.notes), coordinates_of(variants.rows))
    assert changed == {"data", "execution"}


def test_data_that_was_added_again_is_known_by_its_new_hash(variants: Variants) -> None:
    assert coordinates_of(variants.rows).data.content == {
        "data/raw.csv": md5((variants.root / "data/raw.csv").read_bytes())
    }


@pytest.mark.parametrize(("rev", "name"), [("HEAD~2", "base"), ("HEAD", "rows")])
def test_a_clone_has_the_same_digests(variants: Variants, tmp_path: Path, rev: str, name: str) -> None:
    git(tmp_path, "clone", "--quiet", str(variants.root), "clone")
    here = coordinates_of(getattr(variants, name))
    assert digests(read_coordinates(tmp_path / "clone", rev)) == digests(here)
