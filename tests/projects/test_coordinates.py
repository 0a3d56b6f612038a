"""Coordinates of a revision: compared with what DVC and Git themselves say, on many kinds of repository."""

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import run

Shell = Callable[..., subprocess.CompletedProcess[str]]
Ask = Callable[..., list[dict]]
NAMES = ("data", "code", "params", "environment", "execution")

# What a tool of the project does: everything of some revisions, or of all experiments.
ASK = """
import dataclasses, json, sys
from locatable import coordinates
from locatable.mlflow import outputs as made
with coordinates.Reader(sys.argv[1]) as reader:
    experiments = reader.experiments()
    for snapshot in reader.snapshots(sys.argv[2:] or [e.rev for e in experiments]):
        found = dataclasses.asdict(coordinates.coordinates_of(snapshot))
        outputs, _ = made.contents(snapshot, [])
        files = [path for path in outputs if path in snapshot.metric_files]
        metrics = {path: made.values(path, outputs[path]) for path in files}
        more = {"metrics": metrics, "sources": snapshot.sources}
        print(json.dumps({**found, "rev": snapshot.rev, **more}))
    print(json.dumps([dataclasses.asdict(e) for e in experiments]))
"""

# Locks as DVC's own writer makes them, of values that YAML finds hard.
LOCKS = """
import random
from dvc.utils.serialize import dumps_yaml
from ruamel.yaml import YAML
from locatable.history.dvc_lock import lock_stages

hard = [
    "1e-05", 1e-05, 1e22, -0.5, 7, "7", "017", "no", "true", True, None, "null", "~", "", " ",
    "a: b", "=", "<<", "x:", "*a", "&a", "!t", "|", ">", "%", "@", "`", "'", '"', "{a}", "[b]",
    "über", "\\t", "a\\nb", "a #b", "- x", "a\\n\\n b\\n", "w " * 90, "x" * 200, ".inf", float("inf"),
    "2026-01-01", "0x1f", "1_000", [], {}, [[1]], [1, "a b", {"k": 2}], {"a": {"b.c": [1e-5]}},
    {"5": 1, "x y": 2, "true": 3}, "12345678901234567890" * 2,
]
pick = random.Random(5)

def entries():
    paths = ["a", "a b/c", "data/x@1", "-x", "1", "ü"]
    some = range(pick.randrange(4))
    entry = lambda: {"path": pick.choice(paths), "hash": "md5", "md5": f"{pick.getrandbits(128):032x}"}
    return [entry() | pick.choice([{"size": 7}, {"size": 8, "nfiles": 3}]) for _ in some]

def stage():
    values = {pick.choice(["a", "b.c", "d e", "-f", "1"]): pick.choice(hard) for _ in range(5)}
    cmd = pick.choice(["a", ["a", "b c: d"], "x \\\\\\n  y\\nz", "w " * 90])
    return {"cmd": cmd, "deps": entries(), "params": {"params.yaml": values}, "outs": entries()}

for _ in range(400):
    stages = {pick.choice(["train", "a@1", "b@x-0.1", "ü", "7"]): stage() for _ in range(3)}
    text = dumps_yaml({"schema": "2.0", "stages": stages})
    assert repr(lock_stages(text.encode())) == repr(YAML(typ="safe").load(text)["stages"]), text
shared = {"a": [1, 2]}
stages = {name: {"cmd": "x", "params": {"p.yaml": shared}} for name in "ab"}
text = dumps_yaml({"schema": "2.0", "stages": stages})
assert "&id" in text and lock_stages(text.encode())["b"]["params"] == {"p.yaml": shared}
print("equal")
"""


@pytest.fixture
def ask(env: dict[str, str]) -> Ask:
    """Everything about revisions of a repository as the scripts read it; the experiments come last."""

    def call(repo: Path, *revs: str) -> list[dict]:
        said = run("python", "-c", ASK, repo, *revs, cwd=repo, env=env).stdout
        return [json.loads(line) for line in said.splitlines()]

    return call


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def digests(found: dict) -> dict[str, str]:
    return {name: found[name]["digest"] for name in NAMES}


def differing(one: dict, other: dict) -> set[str]:
    return {name for name in NAMES if one[name]["digest"] != other[name]["digest"]}


def test_example(project: Path, sh: Shell, ask: Ask) -> None:
    found, experiments = ask(project, "HEAD")
    assert experiments == []
    assert found["rev"] == sh("git", "rev-parse", "HEAD").stdout.strip()
    assert found["data"]["content"] == {"data/raw.csv": md5(project / "data/raw.csv")}

    files = found["code"]["content"]["files"]
    assert files.pop("tumour_classifier/params").endswith(".dir")
    assert {"tumour_classifier/models.py", "scripts/environment.py"} < files.keys()
    assert all(path.endswith(".py") and md5(project / path) == recorded for path, recorded in files.items())
    assert found["code"]["content"]["commit"] == found["rev"]

    shown = json.loads(
        sh("python", "-c", "import dvc.api, json; print(json.dumps(dvc.api.params_show()))").stdout
    )
    flat = {
        f"{section}.{key}" + (f".{inner}" if inner else ""): leaf
        for section, values in shown.items()
        for key, value in values.items()
        for inner, leaf in (value.items() if isinstance(value, dict) else [("", value)])
    }
    assert found["params"]["content"] == flat

    installed = {name: md5(project / name) for name in ("environment.json", "requirements.lock")}
    record = json.loads((project / "environment.json").read_text())
    assert found["environment"]["content"] == {"files": installed, "record": record}

    stages = found["execution"]["content"]["stages"]
    assert stages.keys() == {"environment", "prepare", "train", "evaluate"}
    assert stages["train"]["cmd"] == "python -m tumour_classifier.train"
    assert stages["train"]["outs"]["models/model.joblib"] == md5(project / "models/model.joblib")

    test = json.loads((project / "reports/evaluate/metrics.json").read_text())["test"]
    assert found["metrics"]["reports/evaluate/metrics.json"] == {
        f"test.{key}": value for key, value in test.items()
    }


def test_only_what_differs_has_another_digest(project: Path, sh: Shell, ask: Ask, tmp_path: Path) -> None:
    variant = ("-S", "train.logistic.alpha=0.00001", "-S", "train.logistic.epochs=3")
    sh("dvc", "exp", "run", "--quiet", "--name", "first", *variant)
    sh("git", "restore", ".")
    (project / "notes.md").write_text("A commit that changes no coordinate.\n")
    sh("git", "add", "notes.md")
    sh("git", "commit", "--quiet", "-m", "Notes")
    # DVC takes equal inputs for equal results: only a forced run is made again.
    sh("dvc", "exp", "run", "--quiet", "--force", "--name", "second", *variant)
    sh("git", "restore", ".")
    (project / "data/raw.csv").write_text(
        "".join((project / "data/raw.csv").read_text().splitlines(True)[:-5])
    )
    sh("dvc", "add", "--quiet", "data/raw.csv")
    sh("dvc", "repro", "--quiet", "prepare")
    sh("git", "commit", "--quiet", "--all", "-m", "Fewer rows")

    first, second, experiments = ask(project)
    base, notes, rows, _ = ask(project, "HEAD~2", "HEAD~1", "HEAD")
    assert [(e["name"], e["rev"], e["baseline"], e["study"]) for e in experiments] == [
        ("first", first["rev"], base["rev"], None),
        ("second", second["rev"], notes["rev"], None),
    ]
    assert first["params"]["content"]["train.logistic.alpha"] == 1e-5
    assert digests(base) == digests(notes)
    assert digests(first) == digests(second)
    assert first["rev"] != second["rev"]
    assert differing(base, first) == {"params", "execution"}
    assert differing(notes, rows) == {"data", "execution"}
    assert rows["data"]["content"] == {"data/raw.csv": md5(project / "data/raw.csv")}

    # Another folder, another machine.
    clone = tmp_path / "clone"
    sh("git", "clone", "--quiet", project, clone)
    assert [digests(found) for found in ask(clone, "HEAD~2", "HEAD")[:2]] == [digests(base), digests(rows)]


def test_experiments(project: Path, sh: Shell, ask: Ask) -> None:
    base = sh("git", "rev-parse", "HEAD").stdout.strip()
    subjects = {
        "wide-search-0": "search: wide-search-0",
        "renamed": "search: wide-search-12",
        "wide-search-1": "dvc: commit experiment 0",
        "12": "search: 12",
        "näme@1": "search: no trial at all",
    }
    revs = {}
    for name, subject in subjects.items():
        commit = sh("git", "commit-tree", f"{base}^{{tree}}", "-p", base, "-m", subject)
        revs[name] = commit.stdout.strip()
        sh("git", "update-ref", f"refs/exps/{base[:2]}/{base[2:]}/{name}", revs[name])
    for own in (
        "exec/EXEC_HEAD",
        "stash",
        "apply/ORIG_HEAD",
        "celery/stash",
        f"temp/{base[:2]}/{base[2:]}/x",
    ):
        sh("git", "update-ref", f"refs/exps/{own}", base)
    # The baseline is on no branch any more.
    sh("git", "commit", "--quiet", "--amend", "-m", "Results, said better")

    found = ask(project, "HEAD")[-1]
    trials = {"wide-search-0": "wide-search", "renamed": "wide-search"}
    assert {e["name"]: e["study"] for e in found} == dict.fromkeys(subjects) | trials
    assert {e["name"]: e["rev"] for e in found} == revs
    assert {e["baseline"] for e in found} == {base}
    times = {sh("git", "show", "--no-patch", "--format=%ct", rev).stdout.strip() for rev in revs.values()}
    assert {str(e["committed"]) for e in found} == times


def test_locks_as_dvc_writes_them(tmp_path: Path, env: dict[str, str]) -> None:
    assert run("python", "-c", LOCKS, cwd=tmp_path, env=env).stdout == "equal\n"


@pytest.fixture
def many(tmp_path: Path, env: dict[str, str]) -> Path:
    """A DVC root inside of a Git repository, with most of what a dvc.yaml can hold, rebuilt and committed."""
    root = tmp_path / "git" / "ml"
    files = {
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
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    run("git", "init", "--quiet", "..", cwd=root, env=env)
    run("dvc", "init", "--quiet", "--subdir", cwd=root, env=env)
    run("dvc", "config", "core.site_cache_dir", tmp_path / "site", cwd=root, env=env)
    run("dvc", "config", "core.analytics", "false", cwd=root, env=env)
    run("dvc", "import-url", "--quiet", "../../elsewhere/there.txt", cwd=root, env=env)
    run("dvc", "add", "--quiet", "here", cwd=root, env=env)
    run("dvc", "repro", "--quiet", "--all-pipelines", cwd=root, env=env)
    run("git", "add", "--all", "..", cwd=root, env=env)
    run("git", "commit", "--quiet", "-m", "All", cwd=root, env=env)
    return root


def test_every_kind_of_pipeline(many: Path, ask: Ask, env: dict[str, str]) -> None:
    found, _ = ask(many, "HEAD")
    stages = found["execution"]["content"]["stages"]
    sweeps = {f"sweep@{size}-{kind}" for size in ("small", "big") for kind in "ab"}
    assert stages.keys() == sweeps | {"visit@rome", "visit@new york", "fetch", "pipelines/b/dvc.yaml:own"}
    assert stages["visit@rome"]["outs"].keys() == {"towns/it/out"}
    assert stages["pipelines/b/dvc.yaml:own"]["outs"] == {
        "pipelines/b/m.json": md5(many / "pipelines/b/m.json")
    }
    assert found["data"]["content"] == {
        "there.txt": md5(many / "there.txt"),
        "here": next(
            line.split()[-1] for line in (many / "here.dvc").read_text().splitlines() if "md5: " in line
        ),
        # Read by a stage, but outside of what the DVC repository holds.
        "../outside.csv": md5(many / "../outside.csv"),
    }
    files = found["code"]["content"]["files"]
    assert files.keys() == {"src", "src/main.py", "towns/it/in.txt", "towns/us/in.txt"}
    assert files["towns/us/in.txt"] == md5(many / "towns/us/in.txt")
    assert found["params"]["content"] == {
        "rate": 1e-05,
        "conf/all.toml:deep.x": 3,
        "conf/all.json:list": [1, 2],
        "conf/all.json:on": True,
        "conf/all.py:LR": 0.1,
        "conf/all.py:Net.width": 5,
        "towns/town.yaml:n": 7,
        "pipelines/b/params.yaml:deep.z": [1, 2],
    }
    shown = json.loads(run("dvc", "metrics", "show", "--json", cwd=many, env=env).stdout)[""]["data"]
    assert found["metrics"] == {path: values["data"] for path, values in shown.items()}
    assert len(found["metrics"]) == 5


def test_data_imported_from_another_repository(tmp_path: Path, env: dict[str, str], ask: Ask) -> None:
    """Its hash is the coordinate; where it came from, to the commit, is known beside it."""
    other, here = tmp_path / "other", tmp_path / "here"
    for folder in (other, here):
        folder.mkdir()
        run("git", "init", "--quiet", cwd=folder, env=env)
        run("dvc", "init", "--quiet", cwd=folder, env=env)
        run("dvc", "config", "core.site_cache_dir", tmp_path / "site", cwd=folder, env=env)

    def commit(folder: Path) -> str:
        run("git", "add", "--all", cwd=folder, env=env)
        run("git", "commit", "--quiet", "-m", "Next", cwd=folder, env=env)
        return run("git", "rev-parse", "HEAD", cwd=folder, env=env).stdout.strip()

    (other / "rows.csv").write_text("1\n")
    run("dvc", "add", "--quiet", "rows.csv", cwd=other, env=env)
    origins = [commit(other)]
    run("dvc", "import", "--quiet", other, "rows.csv", "-o", "theirs.csv", cwd=here, env=env)
    revs = [commit(here)]
    hashes = [md5(here / "theirs.csv")]
    for name, text in (("rows.csv", "2\n"), ("README.md", "The same rows.\n")):
        (other / name).write_text(text)
        run("dvc", "commit", "--quiet", "--force", cwd=other, env=env)
        origins.append(commit(other))
        run("dvc", "update", "--quiet", "theirs.csv.dvc", cwd=here, env=env)
        revs.append(commit(here))
        hashes.append(md5(here / "theirs.csv"))

    assert hashes[0] != hashes[1] == hashes[2]
    *found, _ = ask(here, *revs)
    assert [one["data"]["content"] for one in found] == [{"theirs.csv": seen} for seen in hashes]
    for one, origin in zip(found, origins, strict=True):
        assert one["sources"]["theirs.csv"]["deps"] == [
            {"path": "rows.csv", "repo": {"url": str(other), "rev_lock": origin}}
        ]
    # New rows are other data; the same rows of a later commit are not.
    assert found[0]["data"]["digest"] != found[1]["data"]["digest"] == found[2]["data"]["digest"]


def test_before_the_first_run(tmp_path: Path, env: dict[str, str], ask: Ask) -> None:
    (tmp_path / "params.yaml").write_text("rate: 1e-05\n")
    (tmp_path / "main.py").write_text("print()\n")
    run("git", "init", "--quiet", cwd=tmp_path, env=env)
    run("dvc", "init", "--quiet", cwd=tmp_path, env=env)
    run("git", "add", "--all", cwd=tmp_path, env=env)
    run("git", "commit", "--quiet", "-m", "First", cwd=tmp_path, env=env)
    found, experiments = ask(tmp_path, "HEAD")
    assert experiments == []
    assert found["params"]["content"] == {"rate": 1e-05}
    # No stage says which files are code: all are that nothing else claims.
    assert "main.py" in found["code"]["content"]["files"]
    assert "params.yaml" not in found["code"]["content"]["files"]
    assert found["data"]["content"] == found["execution"]["content"]["stages"] == {}


def test_one_line_for_what_is_not_there(
    tmp_path: Path, project: Path, sh: Shell, env: dict[str, str]
) -> None:
    def said(repo: Path, rev: str) -> str:
        call = f"from locatable import read_coordinates; read_coordinates({str(repo)!r}, {rev!r})"
        return run("python", "-c", call, cwd=repo, env=env, code=1).stderr.splitlines()[-1]

    assert said(tmp_path, "HEAD").endswith(
        "GitError: git rev-parse: fatal: not a git repository (or any of the parent directories): .git"
    )
    assert said(project, "nowhere").endswith(f"NotFoundError: nowhere: no such revision in {project}")
    with (project / "dvc.lock").open("a") as lock:
        lock.write("<<<<<<< HEAD\n")
    sh("git", "commit", "--quiet", "--all", "-m", "Broken")
    rev = sh("git", "rev-parse", "HEAD").stdout[:7]
    assert f"UnreadableError: {rev}:dvc.lock: " in said(project, "HEAD")
