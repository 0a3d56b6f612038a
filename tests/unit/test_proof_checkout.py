"""The clean clone that a proof starts from, in a small DVC repository."""

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import tiny_dvc
from dvc.repo import Repo
from dvc.scm import resolve_rev
from tiny_git import experiment, md5, write

from locatable.clones.checkout import Checkout
from locatable.clones.recorded_data import damaged_objects, fetch
from locatable.errors import CannotTryError, GitError
from locatable.git import git
from locatable.model import Output
from locatable.proof.attempts import RecordedOutputs, StageRunner
from locatable.proof.plan import contradictions, foreign_paths, plan_proof, prepare, wrong_inputs
from locatable.proof.sandbox import Sandbox
from locatable.repository.reader import resolve

PIPELINE = """
stages:
  copy:
    cmd: cp data/raw.txt copy.txt
    deps: [data/raw.txt]
    params: [copy.by]
    outs: [copy.txt]
  count:
    cmd: wc -l < copy.txt > count.txt
    deps: [copy.txt]
    outs:
      - count.txt: {cache: false}
"""


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory) -> Path:
    """A DVC project whose results are committed; copy it."""
    root = tmp_path_factory.mktemp("rebuilt") / "project"
    files = {"data/raw.txt": "one\ntwo\n", "dvc.yaml": PIPELINE, "params.yaml": "copy: {by: 1}\n"}
    tiny_dvc.with_results(root, files, "data/raw.txt")
    return root


@pytest.fixture
def project(rebuilt, tmp_path, monkeypatch) -> Path:
    """A project of the test's own, as the current folder."""
    root = tmp_path / "project"
    shutil.copytree(rebuilt, root, symlinks=True)
    monkeypatch.chdir(root)
    return root


def clone_of(project: Path) -> Checkout:
    """A clean clone of a project's last commit, beside it."""
    return Checkout(project, resolve("HEAD"), project.parent / "clone", project.parent / "dvc")


def edited(project: Path, files: dict[str, str]) -> Checkout:
    """A clone of a project after a commit that edits files of it."""
    write(project, files)
    tiny_dvc.commit(project)
    return clone_of(project)


@pytest.fixture
def checkout(project):
    """A clean clone of the project's last commit."""
    with clone_of(project) as clone:
        yield clone


@pytest.fixture
def raw(checkout) -> Output:
    """The data that DVC tracks."""
    (raw,) = [output for output in checkout.outputs if output.path == "data/raw.txt"]
    return raw


def test_stages_come_after_those_that_they_depend_on(checkout):
    assert [stage.address for stage in checkout.stages] == ["copy", "count"]


def test_a_stage_has_its_recorded_hashes(checkout):
    copy, count = checkout.stages
    assert copy.outs["copy.txt"].recorded == count.record.deps["copy.txt"]["md5"]


def test_params_have_declared_names_and_recorded_values(checkout):
    stage = checkout.stages[0]
    assert stage.params == {"params.yaml": ["copy.by"]}
    assert stage.record.params == {"params.yaml": {"copy.by": 1}}


def test_what_git_holds_is_in_the_clone(checkout):
    assert (checkout.root / "count.txt").read_text().strip() == "2"


def test_what_dvc_holds_is_not_in_the_clone(checkout):
    assert not (checkout.root / "data/raw.txt").exists()


def test_data_is_fetched_from_the_cache_of_the_user(checkout, raw):
    fetch(checkout, raw)
    assert checkout.path_of(raw.path).read_text() == "one\ntwo\n"


def test_data_that_is_nowhere_cannot_be_fetched(checkout, raw):
    (checkout.user_cache / "files/md5" / raw.recorded[:2] / raw.recorded[2:]).unlink()
    with pytest.raises(
        CannotTryError, match=r"data/raw\.txt .* is in neither the DVC cache nor a remote .*add"
    ):
        fetch(checkout, raw)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (False, "that remote is the folder {}, which this machine does not have"),
        (True, "run `dvc push` where it is"),
    ],
)
def test_a_remote_that_is_a_folder_is_named_where_it_does_not_exist(project, made, said):
    folder = project.parent / "remote"
    config = "[core]\n    remote = mine\n['remote \"mine\"']\n    url = ../../remote\n"
    shutil.rmtree(project / ".dvc/cache")
    if made:
        folder.mkdir()
    with edited(project, {".dvc/config": config}) as clone:
        (raw,) = [output for output in clone.outputs if output.path == "data/raw.txt"]
        with pytest.raises(CannotTryError) as refusal:
            fetch(clone, raw)
    assert str(refusal.value).endswith(f"nor remote 'mine'; {said.format(folder)}")


def test_a_damaged_object_of_the_cache_is_named(checkout, raw):
    place = checkout.user_cache / "files/md5" / raw.recorded[:2] / raw.recorded[2:]
    place.chmod(0o644)
    place.write_text("other\n")
    (line,) = damaged_objects(checkout, raw)
    assert line.startswith(f"data/raw.txt: the DVC cache holds other bytes than its hash {raw.recorded} says")


def test_a_missing_object_is_not_explained_by_another_that_is_damaged(project):
    write(project, {"pair/a.txt": "a\n", "pair/b.txt": "b\n"})
    with tiny_dvc.dvc(project) as repo:
        repo.add("pair")
    missing, damaged = sorted(map(md5, ("a\n", "b\n")))
    cache = project / ".dvc/cache/files/md5"
    (cache / missing[:2] / missing[2:]).unlink()
    place = cache / damaged[:2] / damaged[2:]
    place.chmod(0o644)
    place.write_text("other\n")
    with edited(project, {}) as clone:
        (pair,) = [output for output in clone.outputs if output.path == "pair"]
        with pytest.raises(CannotTryError, match=rf"md5 {missing}\) is in neither .*; add one \(`dvc remote"):
            fetch(clone, pair)


def test_an_experiment_of_a_shallow_clone_is_cloned(project, tmp_path, monkeypatch):
    rev = experiment(project, {"params.yaml": "copy: {by: 2}\n"}, "mine")
    tiny_dvc.commit(project)
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{project}", str(shallow))
    git(shallow, "fetch", "--quiet", "--depth=1", "origin", "refs/exps/*:refs/exps/*")
    monkeypatch.chdir(shallow)
    with Checkout(shallow, resolve("mine"), tmp_path / "clone", tmp_path / "dvc") as clone:
        assert git(clone.root, "rev-parse", "HEAD") == rev
        assert (clone.root / "params.yaml").read_text() == "copy: {by: 2}\n"


def test_an_experiment_that_a_clone_names_and_lacks_is_one_line(project):
    rev = experiment(project, {"params.yaml": "copy: {by: 2}\n"}, "mine")
    (project / ".git/objects" / rev[:2] / rev[2:]).unlink()
    with pytest.raises(
        CannotTryError, match=f"^cannot try: mine: Git's object {rev} is missing from this clone$"
    ):
        resolve("mine")


def test_other_line_ends_are_named(project):
    pipeline = PIPELINE.replace("deps: [copy.txt]", "deps: [copy.txt, code.py]")
    write(project, {"code.py": "1\n2\n", "dvc.yaml": pipeline})
    with tiny_dvc.dvc(project) as repo:
        repo.reproduce()
    tiny_dvc.commit(project)
    git(project, "config", "core.autocrlf", "true")
    with clone_of(project) as clone:
        lines = wrong_inputs(clone.stages[1], clone, ["copy.txt"])
    assert lines == [
        "count: dvc.lock records code.py with other line ends than Git checks out here: "
        "settle them in .gitattributes (core.autocrlf is each user's own)"
    ]


def test_an_honest_record_contradicts_nothing(checkout):
    assert contradictions(checkout.stages, checkout) == {}


@pytest.mark.parametrize(
    ("declared", "files"),
    [
        ("bad", {"params.yaml": "bad: .nan\n"}),
        ("net", {"params.yaml": "net: {low: [.nan, 1], high: .inf}\n"}),
        ("conf.py: [SIZES]", {"conf.py": "SIZES = (1, (2, 3))\n"}),
        ("conf.py: ", {"conf.py": "class Net:\n    SIZES = (1, 2)\n"}),
        ("./my.yaml: [x]", {"my.yaml": "x: 3\ny: 4\n"}),
        ("sub/../my.yaml: ", {"my.yaml": "x: 3\ny: 4\n", "sub/keep": ""}),
    ],
)
def test_params_as_they_were_recorded_are_no_contradiction(project, declared, files):
    write(project, files)
    write(project, {"dvc.yaml": f"stages:\n  one: {{cmd: touch o, params: [{declared}], outs: [o]}}\n"})
    with tiny_dvc.dvc(project) as repo:
        repo.reproduce()
    tiny_dvc.commit(project)
    with clone_of(project) as clone:
        assert contradictions(clone.stages, clone) == {}


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("params.yaml", "copy: {by: 2}\n", "copy: dvc.lock records copy.by = 1, params.yaml has 2"),
        ("params.yaml", "copy: {by: .nan}\n", "copy: dvc.lock records copy.by = 1, params.yaml has nan"),
        ("params.yaml", "copy: {}\n", "copy: dvc.lock is not of this revision: copy.by was 1, is gone"),
        (
            "dvc.yaml",
            PIPELINE.replace("wc -l", "wc -c"),
            "count: dvc.lock records another command than dvc.yaml has",
        ),
        ("count.txt", "3\n", "count: count.txt in Git is not the one that dvc.lock records"),
    ],
)
def test_an_edit_without_a_rebuild_is_a_contradiction(project, file, text, said):
    with edited(project, {file: text}) as clone:
        assert contradictions(clone.stages, clone)[said.partition(":")[0]] == [said]


@pytest.mark.parametrize(
    ("content", "named"),
    [(b"2\n", []), (b"3\n", ["count: count.txt in Git is not the one that dvc.lock records"])],
)
def test_an_output_in_git_lfs_is_compared_by_its_content(project, content, named):
    oid = hashlib.sha256(content).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"
    write(project, {f".git/lfs/objects/{oid[:2]}/{oid[2:4]}/{oid}": content})
    with edited(project, {".gitattributes": "count.txt filter=lfs -text\n", "count.txt": pointer}) as clone:
        assert contradictions(clone.stages, clone).get("count", []) == named


def test_nothing_is_asked_of_stages_that_are_not_of_the_proof(checkout, monkeypatch):
    asked = []
    monkeypatch.setattr(Checkout, "exists", lambda self, path: asked.append(path))
    contradictions(checkout.stages[:1], checkout)
    assert asked == []


def test_a_command_that_names_the_checkout_is_found(project):
    with edited(project, {"dvc.yaml": PIPELINE.replace("cp data", f"cp {project}/data")}) as clone:
        assert foreign_paths(clone.stages[0], clone) == [
            f"copy: its command names {project}, a folder that only this machine has"
        ]


def test_preparing_takes_recorded_outputs_out_and_brings_sources_in(checkout, tmp_path):
    plan = plan_proof(checkout.stages, checkout.outputs, None)
    prepare(plan, checkout, RecordedOutputs(checkout, tmp_path / "recorded", rtol=0.0))
    names = {path.name for path in checkout.root.rglob("*.txt")}
    assert names == {"raw.txt"}


def test_params_that_git_does_not_hold_are_named(project, tmp_path):
    git(project, "rm", "--quiet", "--cached", "params.yaml")
    with edited(project, {".gitignore": "params.yaml\n"}) as clone:
        plan = plan_proof(clone.stages, clone.outputs, None)
        said = (
            r"copy depends on params\.yaml, which neither Git nor DVC holds: your .* `git add params\.yaml`"
        )
        with pytest.raises(CannotTryError, match=said):
            prepare(plan, clone, RecordedOutputs(clone, tmp_path / "recorded", rtol=0.0))


@pytest.fixture
def runner(checkout, tmp_path) -> StageRunner:
    """Runs the stage `copy`, everything that it needs being in place."""
    plan = plan_proof(checkout.stages, checkout.outputs, None)
    recorded = RecordedOutputs(checkout, tmp_path / "recorded", rtol=0.0)
    prepare(plan, checkout, recorded)
    return StageRunner(
        stage=checkout.stages[0],
        checkout=checkout,
        sandbox=Sandbox(tmp_path / "work", Path("/usr/bin"), checkout.user_top),
        recorded=recorded,
        taken_as_recorded=plan.taken_as_recorded,
    )


def test_servers_are_not_asked_what_a_stage_could_be_given(runner, monkeypatch):
    asked = []
    outside = tuple(Output(path, entry={"md5": "a"}) for path in ("s3://bucket/file", "../file"))
    monkeypatch.setattr(Checkout, "exists", lambda self, path: asked.append(path) or True)
    replace(runner, taken_as_recorded=outside).undeclared_inputs("file")
    assert asked == []


def test_a_stage_is_rebuilt_as_recorded(runner):
    attempt = runner.attempt()
    assert (attempt.exit_code, attempt.wrong) == (0, [])


def test_a_run_leaves_nothing_but_outputs(runner, tmp_path):
    runner.attempt()
    assert os.listdir(tmp_path / "work") == []


def name_experiment(project: Path, rev: str) -> None:
    """Make a commit an experiment `brave-otter`."""
    git(project, "update-ref", f"refs/exps/{rev[:2]}/{rev[2:]}/brave-otter", rev)


def test_an_experiment_is_found_by_its_name(project):
    head = resolve("HEAD")
    name_experiment(project, head)
    assert resolve("brave-otter") == head


@pytest.mark.usefixtures("project")
def test_an_unknown_name_is_refused():
    with pytest.raises(CannotTryError, match="nonsense: neither a Git revision nor an experiment here"):
        resolve("nonsense")


def test_a_name_of_two_experiments_is_refused(project):
    first = resolve("HEAD")
    tiny_dvc.commit(project)
    for each in (first, resolve("HEAD")):
        name_experiment(project, each)
    with pytest.raises(CannotTryError, match="2 experiments have this name"):
        resolve("brave-otter")


def test_a_name_of_both_is_what_dvc_takes_it_for(project):
    first = resolve("HEAD")
    tiny_dvc.commit(project)
    git(project, "tag", "brave-otter", "HEAD")
    name_experiment(project, first)
    with Repo(str(project)) as repo:
        assert resolve("brave-otter") == resolve_rev(repo.scm, "brave-otter")


@pytest.mark.usefixtures("project")
def test_a_pattern_is_no_name():
    with pytest.raises(CannotTryError, match="neither a Git revision nor an experiment here"):
        resolve("*")


def test_a_folder_outside_of_git_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GitError):
        resolve("HEAD")


def test_a_pattern_of_params_stands_for_the_keys_that_dvc_finds(tmp_path):
    root = tmp_path / "project"
    tiny_dvc.init(root)
    stage = "stages:\n  run:\n    cmd: 'true'\n    params: [models.rf*, seed, gone]\n"
    write(root, {"dvc.yaml": stage, "params.yaml": "models: {rf_size: 3, svm: 1}\nseed: 2\n"})
    rev = tiny_dvc.commit(root)
    with Checkout(root, rev, tmp_path / "clone", tmp_path / "dvc") as clone:
        (params,) = [stage.params for stage in clone.stages]
    assert params == {"params.yaml": ["models.rf_size", "seed", "gone"]}


def test_what_is_beside_a_project_in_a_subfolder_is_named_as_seen_from_it(tmp_path):
    """The clone is in a temporary folder, whose name helps nobody."""
    top = tmp_path / "project"
    write(top, {"src/run.py": "", "ml/.keep": ""})
    git(top, "init", "--quiet")
    tiny_dvc.init(top / "ml", subdir=True)
    write(
        top / "ml",
        {"dvc.yaml": "stages:\n  run:\n    cmd: python ../src/run.py\n    deps: [../src/run.py]\n"},
    )
    tiny_dvc.commit(top)
    with Checkout(
        top / "ml", git(top, "rev-parse", "HEAD").strip(), tmp_path / "clone", tmp_path / "dvc"
    ) as clone:
        ((dependency,),) = [stage.deps for stage in clone.stages]
    assert dependency == "../src/run.py"


def test_a_clone_that_cannot_be_read_leaves_no_process(project):
    before = psutil.Process().children()
    with pytest.raises(Exception, match=r"raw\.dvc"):
        edited(project, {"raw.dvc": "outs: 1\n"})
    assert psutil.Process().children() == before


RAW = f"outs:\n- {{md5: '{'a' * 32}', size: 3, hash: md5, path: raw}}\n"
OWN = "['remote \"own\"']\nurl = /data\n"
# A remote of which a repository says how to log in.
CHOSEN = "['remote \"there\"']\nurl = s3://bucket\nendpointurl = http://127.0.0.1:1\n"


def import_from(path: str, settings: str, project: Path, tmp_path: Path) -> None:
    """Check what is imported from a path of another repository: that of a DVC project with these settings."""
    source = tmp_path / "source"
    tiny_dvc.init(source)
    place = source / Path(path).parent
    if place != source:
        tiny_dvc.init(place, subdir=True)
    write(place, {"raw.dvc": RAW, ".dvc/config": settings})
    rev = tiny_dvc.commit(source)
    where = f"{{path: {path}, repo: {{url: {source}, rev_lock: '{rev}'}}}}"
    write(project, {"raw.dvc": f"frozen: true\ndeps:\n- {where}\n{RAW}"})
    tiny_dvc.commit(project)
    with clone_of(project) as clone:
        (stage,) = [one for one in clone.repo.index.stages if one.path_in_repo == "raw.dvc"]
        clone.check_imports(stage)


@pytest.mark.parametrize("path", ["raw", "sub/raw"])
def test_no_remote_of_an_imported_project_may_say_how_to_log_in(project, tmp_path, path):
    with pytest.raises(CannotTryError, match="dvc remote modify --global there endpointurl"):
        import_from(path, OWN + CHOSEN, project, tmp_path)


def test_data_may_be_imported_from_a_remote_that_says_no_such_thing(project, tmp_path):
    import_from("raw", OWN, project, tmp_path)


@pytest.mark.parametrize(
    ("path", "settings", "reason"),
    [
        ("remote://there/raw", None, "dvc remote modify --local there endpointurl"),
        (
            "s3://bucket/raw",
            {"endpointurl": "http://127.0.0.1:1"},
            r"\(endpointurl\): .*`dvc fetch raw\.dvc`",
        ),
    ],
)
def test_no_address_that_data_is_imported_from_may_say_how_to_log_in(project, path, settings, reason):
    dependency = SimpleNamespace(def_path=path, def_fs_config=settings)
    stage = SimpleNamespace(deps=[dependency], path_in_repo="raw.dvc")
    with edited(project, {".dvc/config": CHOSEN}) as clone, pytest.raises(CannotTryError, match=reason):
        clone.check_imports(stage)
