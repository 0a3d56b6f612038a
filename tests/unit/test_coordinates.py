"""The five coordinates of a revision: what belongs to which, and digests that never change.

Old results are found by their digests. A digest here may change only where it was wrong: as that of a folder
in a store that keeps versions was, which did not have the hash of the same folder elsewhere.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest
from tiny_git import commit, git

from locatable.errors import GitError, NotFoundError, UnreadableError
from locatable.repository.hashes import folder_hash
from locatable.repository.reader import Reader
from locatable.results.coordinates import Coordinates, coordinates_of, digest, experiments, read_coordinates

NAMES = ("data", "code", "params", "environment", "execution")
NOTHING = digest({})
A, B, C, D, E, F = (letter * 32 for letter in "abcdef")

LOCK = f"""schema: '2.0'
stages:
  environment:
    cmd: python -m scripts.environment
    deps:
    - path: requirements.lock
      hash: md5
      md5: {A}
      size: 12
    - path: science
      hash: md5
      md5: {B}.dir
      size: 30
      nfiles: 2
    outs:
    - path: environment.json
      hash: md5
      md5: {C}
      size: 20
  prepare:
    cmd:
    - echo one
    - 'echo two: three'
    deps:
    - path: data/raw.csv
      hash: md5
      md5: {D}
      size: 40
    - path: environment.json
      hash: md5
      md5: {C}
      size: 20
    - path: params.yaml
      hash: md5
      md5: {A}
      size: 20
    - path: science/prepare.py
      hash: md5
      md5: {E}
      size: 50
    - path: ../outside.csv
      hash: md5
      md5: {F}
      size: 2
    params:
      params.yaml:
        prepare.rate: 1e-05
        prepare.name: no
        prepare.sizes:
        - 1
        - 2
      conf/more.toml:
        deep:
          x: 3
    outs:
    - path: data/prepared
      hash: md5
      md5: {F}.dir
      size: 60
      nfiles: 3
  train:
    cmd: python -m science.train
    deps:
    - path: data/prepared
      hash: md5
      md5: {F}.dir
      size: 60
      nfiles: 3
    - path: reports
      hash: md5
      md5: {A}.dir
      size: 61
      nfiles: 3
    - path: science/prepare.py
      hash: md5
      md5: {D}
      size: 51
    outs:
    - path: models/model.joblib
      hash: md5
      md5: {B}
      size: 70
    - path: reports/train/metrics.json
      hash: md5
      md5: {E}
      size: 71
"""
PROJECT = {
    ".dvc/config": "",
    "dvc.lock": LOCK,
    "dvc.yaml": "stages:\n  environment: {cmd: x}\n  prepare: {cmd: x}\n  train: {cmd: x}\n",
    "environment.json": '{"python": "3.11.9", "lock": "x", "drift": {}}',
    "requirements.lock": "numpy==2.0.0\n",
    "requirements-dev.txt": "pytest\n",
    "params.yaml": "prepare: {rate: 1.0e-05}\n",
    "data/raw.csv.dvc": f"outs:\n- md5: {D}\n  size: 40\n  hash: md5\n  path: raw.csv\n",
    "science/__init__.py": "",
    "science/prepare.py": "print()\n",
    "reports/notes.md": "Mine.\n",
    "reports/train/metrics.json": "{}",
    "../README.md": "not of DVC\n",
}
IMPORTS = {
    ".dvc/config": "",
    "a.dvc": f"outs:\n- md5: {A}.dir\n  size: 4\n  nfiles: 1\n  hash: md5\n  path: a\n",
    "b.dvc": "deps:\n- etag: '\"12ab\"'\n  path: s3://bucket/b\nouts:\n- path: b\n  etag: '\"12ab\"'\n",
    "c.dvc": "outs:\n- path: c\n  checksum: 77\n",
    "d.dvc": "outs:\n- path: d\n  files:\n  - relpath: x\n    md5: 1\n    size: 3\n",
    "e.dvc": "deps:\n- path: rows.csv\n  repo:\n    url: ../other\n    rev_lock: 5a5a\nouts:\n- path: e\n",
    "f.dvc": "deps:\n- path: there.txt\n  md5: 99\nwdir: deep/er\nouts:\n- path: f\n",
    "g.dvc": "outs:\n- path: g\n",
}
FRESH = {
    ".dvc/config": "",
    ".dvcignore": "",
    "params.yaml": "rate: 1e-05\nwhen: 2026-01-01\nlayers: {one: [1, {two: 2}], none: {}}\n",
    "more.json": '{"list": [1, 2], "on": true, "nothing": null}',
    "dvc.yaml": "params: [more.json]\nstages:\n  main:\n    cmd: python main.py\n",
    "main.py": "print()\n",
    "sub/other.py": "print()\n",
    "poetry.lock": "",
    "rows.csv.dvc": f"outs:\n- md5: {D}\n  path: rows.csv\n",
}


def revision(top: Path, files: Mapping[str, str], subdir: str = "ml") -> Path:
    """A DVC root with these files, committed, in a subfolder of a Git repository."""
    commit(top, {f"{subdir}/{path}": text for path, text in files.items()})
    return top / subdir


def digests(coordinates: Coordinates) -> dict[str, str]:
    return {name: getattr(coordinates, name).digest for name in NAMES}


@pytest.fixture
def rebuilt(tmp_path: Path) -> Coordinates:
    """Coordinates of a project whose stages have run."""
    return read_coordinates(revision(tmp_path, PROJECT), "HEAD")


@pytest.fixture
def imports(tmp_path: Path) -> Coordinates:
    """Coordinates of a repository with data of every kind, and nothing else."""
    return read_coordinates(revision(tmp_path, IMPORTS), "HEAD")


@pytest.fixture
def fresh(tmp_path: Path) -> Coordinates:
    """Coordinates of a project whose stages have never run."""
    return read_coordinates(revision(tmp_path, FRESH), "HEAD")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            PROJECT,
            {
                "data": "4aa869a9d867746714dcb5a2bf160b3a",
                "code": "6f0644b70e3929520d5f45fd26217865",
                "params": "0bbe6cae16e42b6d1d7663900cec6103",
                "environment": "bceb5cbbe61e2db417b5b20277e53b4c",
                "execution": "3045bfa508c074c96464330a9eb162d4",
            },
        ),
        (IMPORTS, {**dict.fromkeys(NAMES, NOTHING), "data": "2dd066fe43ad6751c2a15c85bca1a685"}),
        (
            FRESH,
            {
                "data": "d0f3e61c54482d8230273d1f3425052b",
                "code": "47c54e89779b09d9ae6fd779315e7766",
                "params": "9e5cc16b59e3d27024fabaa899721a06",
                "environment": "b5bc9dc6f93195548456c15842b9d202",
                "execution": NOTHING,
            },
        ),
    ],
    ids=["rebuilt", "every kind of data", "before the first run"],
)
def test_digests_of_a_project_never_change(
    tmp_path: Path, files: Mapping[str, str], expected: dict[str, str]
) -> None:
    assert digests(read_coordinates(revision(tmp_path, files), "HEAD")) == expected


def test_a_digest_never_changes() -> None:
    assert digest({"b": [1, None, 1e-05], "a": "ü"}) == "c741dbfcae8e06375b3d82e890990929"


def test_a_digest_does_not_follow_the_order_of_keys_of_any_type() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest({"a": [{1: "x", "b": "y"}]}) == digest({"a": [{"b": "y", 1: "x"}]})


def test_data_is_what_dvc_tracks_and_what_lies_outside(rebuilt: Coordinates) -> None:
    assert rebuilt.data.content == {"data/raw.csv": D, "../outside.csv": F}


def test_code_is_what_stages_declare_in_all_versions_that_they_saw(rebuilt: Coordinates) -> None:
    # A folder of outputs is code, too, where it holds files of the user.
    files = {"science": f"{B}.dir", "science/prepare.py": f"{D}+{E}", "reports": f"{A}.dir"}
    assert rebuilt.code.content["files"] == files


def test_code_beside_a_project_in_a_subfolder_is_no_data(tmp_path: Path) -> None:
    deps = "".join(
        f"    - {{path: {path}, md5: {'1' * 32}}}\n" for path in ("../src/run.py", "../raw", "../../a")
    )
    lock = f"schema: '2.0'\nstages:\n  run:\n    cmd: python ../src/run.py\n    deps:\n{deps}"
    commit(tmp_path, {"ml/.dvc/config": "", "ml/dvc.lock": lock, "src/run.py": ""})
    found = read_coordinates(tmp_path / "ml", "HEAD")
    assert list(found.code.content["files"]) == ["../src/run.py"]
    assert list(found.data.content) == ["../raw", "../../a"]


def test_a_folder_of_nothing_but_outputs_is_no_code(tmp_path: Path) -> None:
    files = {path: text for path, text in PROJECT.items() if path != "reports/notes.md"}
    found = read_coordinates(revision(tmp_path, files), "HEAD")
    assert "reports" not in found.code.content["files"]


def test_code_is_everything_else_where_no_stage_declares_any(fresh: Coordinates) -> None:
    expected = {".dvcignore", "dvc.yaml", "main.py", "more.json", "sub/other.py"}
    assert fresh.code.content["files"].keys() == expected


def test_code_and_execution_name_the_commit(tmp_path: Path) -> None:
    root = revision(tmp_path, PROJECT)
    found = read_coordinates(root, "HEAD")
    commits = {found.code.content["commit"], found.execution.content["commit"]}
    assert commits == {git(root, "rev-parse", "HEAD")}


def test_params_are_the_values_that_stages_used(rebuilt: Coordinates) -> None:
    assert rebuilt.params.content == {
        "prepare.rate": 1e-05,
        "prepare.name": "no",
        "prepare.sizes": [1, 2],
        "conf/more.toml:deep.x": 3,
    }


def test_params_are_those_of_all_params_files_before_the_first_run(fresh: Coordinates) -> None:
    assert fresh.params.content == {
        "rate": 1e-05,
        "when": "2026-01-01",
        "layers.one": [1, {"two": 2}],
        "layers.none": {},
        "more.json:list": [1, 2],
        "more.json:on": True,
        "more.json:nothing": None,
    }


def test_environment_is_every_file_that_says_what_is_installed_and_what_it_records(
    rebuilt: Coordinates,
) -> None:
    expected = {"environment.json", "requirements-dev.txt", "requirements.lock"}
    assert rebuilt.environment.content["files"].keys() == expected
    assert rebuilt.environment.content["record"] == {"python": "3.11.9", "lock": "x", "drift": {}}


OTHER_TOOLS = [
    "not JSON",
    "[1]",
    '"a"',
    "{}",
    '{"name": "x"}',
    '{"python": {"major": 3}}',
    '{"python": "3", "drift": 1}',
]


@pytest.mark.parametrize("text", OTHER_TOOLS)
def test_an_environment_json_of_another_tool_counts_by_its_hash_alone(tmp_path: Path, text: str) -> None:
    found = read_coordinates(revision(tmp_path, {**FRESH, "environment.json": text}), "HEAD")
    assert found.environment.content["record"] == {}
    assert "environment.json" in found.environment.content["files"]


def test_a_folder_that_is_named_environment_json_records_nothing(tmp_path: Path) -> None:
    files = {".dvc/config": "", "dvc.yaml": "stages: {train: {cmd: x}}\n", "environment.json/a": "a"}
    found = read_coordinates(revision(tmp_path, files), "HEAD")
    assert found.environment.content == {"files": {}, "record": {}}


USUAL = """
environment.yml requirements.txt poetry.lock renv.lock Manifest.toml conda-linux-64.lock Dockerfile
gpu.Dockerfile setup.py pyproject.toml
""".split()
ELSEWHERE = ["src/requirements.txt", "docker/Dockerfile", "env/environment.yml"]


@pytest.mark.parametrize(
    ("files", "deps", "expected"),
    [
        *(([name], [], [name]) for name in USUAL),
        *(([path], [path, "train.py"], [path]) for path in ELSEWHERE),
        (["docs/requirements.txt"], [], []),
        # Beside what is installed, what an environment is built from does not count.
        (["requirements.txt", "setup.py"], [], ["requirements.txt"]),
        # As in a generated project: uv.lock has the tools, too.
        (["requirements.lock", "uv.lock"], [], ["requirements.lock"]),
        (["conda-lock.yml", "uv.lock"], [], ["conda-lock.yml"]),
    ],
)
def test_environment_files_count_in_the_root_and_where_a_stage_declares_them(
    tmp_path: Path, files: list[str], deps: list[str], expected: list[str]
) -> None:
    recorded = "".join(f"    - {{path: {path}, hash: md5, md5: {A}}}\n" for path in deps)
    project = {".dvc/config": "", "dvc.yaml": "stages: {train: {cmd: x}}\n", "train.py": ""}
    if deps:
        project["dvc.lock"] = f"schema: '2.0'\nstages:\n  train:\n    cmd: x\n    deps:\n{recorded}"
    root = revision(tmp_path, {**project, **dict.fromkeys(files, "a")})
    assert sorted(read_coordinates(root, "HEAD").environment.content["files"]) == expected


def test_the_lock_of_the_repository_counts_for_a_project_in_a_subfolder_without_one(tmp_path: Path) -> None:
    files = {"uv.lock": "a", "a/b/ml/.dvc/config": "", "a/b/ml/train.py": "", "a/b/requirements.txt": "b"}
    commit(tmp_path, files)
    content = read_coordinates(tmp_path / "a/b/ml", "HEAD").environment.content
    assert content["files"] == {
        "../requirements.txt": git(tmp_path, "rev-parse", "HEAD:a/b/requirements.txt")
    }
    git(tmp_path, "rm", "--quiet", "a/b/requirements.txt")
    commit(tmp_path, {})
    content = read_coordinates(tmp_path / "a/b/ml", "HEAD").environment.content
    assert list(content["files"]) == ["../../../uv.lock"]


def test_execution_is_commands_and_outputs(rebuilt: Coordinates) -> None:
    assert rebuilt.execution.content["stages"]["prepare"] == {
        "cmd": ["echo one", "echo two: three"],
        "outs": {"data/prepared": f"{F}.dir"},
    }


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("a", f"{A}.dir"),
        ("b", '"12ab"'),
        ("c", "77"),
        ("d", "117377ee812144934bfce669436ab027.dir"),
        ("e", "5a5a"),
        ("deep/er/f", "99"),
        ("g", ""),
    ],
    ids=["folder", "S3", "HDFS", "versions", "commit", "import that was not downloaded", "nothing"],
)
def test_data_is_known_by_whatever_dvc_records(imports: Coordinates, path: str, seen: str) -> None:
    assert imports.data.content[path] == seen


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("schema: '2.0'", "schema: '2.0'", set()),
        ("prepare.rate: 1e-05", "prepare.rate: 2e-05", {"params"}),
        (f"md5: {E}\n      size: 50", f"md5: {A}\n      size: 50", {"code"}),
        (f"md5: {F}\n      size: 2\n", f"md5: {A}\n      size: 2\n", {"data"}),
        (f"md5: {A}\n      size: 12", f"md5: {B}\n      size: 12", {"environment"}),
        (f"md5: {B}\n      size: 70", f"md5: {A}\n      size: 70", {"execution"}),
        ("cmd: python -m science.train", "cmd: python -m science.train --fast", {"execution"}),
    ],
    ids=["notes alone", "params", "code", "data", "environment", "output", "command"],
)
def test_only_what_differs_has_another_digest(tmp_path: Path, old: str, new: str, changed: set[str]) -> None:
    root = revision(tmp_path, PROJECT)
    assert LOCK.count(old) == 1
    revision(tmp_path, {"dvc.lock": LOCK.replace(old, new), "notes.md": "Nothing that a stage reads.\n"})
    with Reader(root) as reader:
        before, after = [digests(coordinates_of(one)) for one in reader.snapshots(["HEAD~1", "HEAD"])]
    assert {name for name in NAMES if before[name] != after[name]} == changed


def test_experiments_of_a_repository(tmp_path: Path) -> None:
    rev = commit(tmp_path, FRESH)
    git(tmp_path, "update-ref", f"refs/exps/{rev[:2]}/{rev[2:]}/first", rev)
    assert [experiment.name for experiment in experiments(tmp_path)] == ["first"]


def test_a_folder_outside_of_git_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="not a git repository"):
        read_coordinates(tmp_path, "HEAD")


def test_an_unknown_revision_is_refused(tmp_path: Path) -> None:
    commit(tmp_path, FRESH)
    with pytest.raises(NotFoundError, match=f"nowhere: no such revision in {tmp_path}"):
        read_coordinates(tmp_path, "nowhere")


def test_a_broken_lock_is_named_with_its_revision(tmp_path: Path) -> None:
    rev = commit(tmp_path, {"dvc.lock": f"{LOCK}<<<<<<< HEAD\n"})
    with pytest.raises(UnreadableError, match=f"^{rev[:7]}:dvc.lock: "):
        read_coordinates(tmp_path, "HEAD")


def test_the_same_data_has_the_same_digest_after_a_push_to_a_store_that_keeps_versions(
    tmp_path: Path,
) -> None:
    md5 = folder_hash({"1.txt": A, "2.txt": B})
    before = f"outs:\n- path: data\n  hash: md5\n  md5: {md5}\n  size: 2\n  nfiles: 2\n"
    after = "outs:\n- path: data\n  hash: md5\n  files:\n"
    for name, seen in (("1.txt", A), ("2.txt", B)):
        after += f"  - relpath: {name}\n    md5: {seen}\n    size: 1\n    cloud: {{r: {{version_id: v1}}}}\n"
    revision(tmp_path, {".dvc/config": "", "data.dvc": before})
    root = revision(tmp_path, {"data.dvc": after})
    assert read_coordinates(root, "HEAD~1").data == read_coordinates(root, "HEAD").data
