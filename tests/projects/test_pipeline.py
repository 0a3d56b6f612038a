"""A generated project end to end, with DVC and Git as a user drives them."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from support import run, snapshot

STAGES = ["environment", "prepare", "train", "evaluate"]
PACKAGE = "tumour_classifier"


def ran(output: str) -> list[str]:
    """The stages that DVC says it ran, in order."""
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def experiments(sh: Callable) -> dict[str, str]:
    """Every experiment's name and commit, from Git."""
    refs = sh("git", "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps").stdout.splitlines()
    pairs = [line.split() for line in refs if len(line.split()[0].split("/")) == 5]
    return {ref.split("/")[-1]: commit for ref, commit in pairs}


def test_the_first_repro_runs_every_stage_and_writes_what_they_declare(rebuilt):
    lock = yaml.safe_load((rebuilt / "dvc.lock").read_text())["stages"]
    assert list(lock) == STAGES
    assert all((rebuilt / out["path"]).exists() for stage in lock.values() for out in stage["outs"])


def test_there_is_a_figure_for_each_kind_of_curve(rebuilt):
    figures = sorted(path.name for path in (rebuilt / "reports/evaluate/figures").iterdir())
    assert figures == ["calibration.png", "confusion.png", "precision_recall.png", "roc.png"]


def test_the_example_classifies_well(rebuilt):
    test = json.loads((rebuilt / "reports/evaluate/metrics.json").read_text())["test"]
    assert test["roc_auc"] > 0.98
    assert 0 < test["log_loss"] < 0.15


def test_a_series_has_a_line_for_each_epoch_and_falls(rebuilt):
    series = (rebuilt / "reports/train/plots/metrics/valid/log_loss.tsv").read_text().splitlines()
    assert series[0] == "step\tlog_loss"
    assert len(series) == 31
    assert float(series[-1].split("\t")[1]) < float(series[1].split("\t")[1])


def test_the_environment_is_recorded_as_locked(rebuilt):
    record = json.loads((rebuilt / "environment.json").read_text())
    lock = (rebuilt / "requirements.lock").read_bytes()
    assert record == {
        "python": "3.11",
        "lock": hashlib.md5(lock, usedforsecurity=False).hexdigest(),
        "drift": {},
        "variables": {},
    } or (record["python"] in ("3.12", "3.13") and record["drift"] == {})


def test_a_second_repro_runs_nothing_but_environment(project, sh):
    before = snapshot(project)
    assert ran(sh("dvc", "repro").stdout) == ["environment"]
    assert snapshot(project) == before
    assert sh("git", "status", "--porcelain").stdout == ""


def test_elsewhere_and_without_the_templates_tools_a_forced_rebuild_gives_the_same_bytes(
    project, sh, tmp_path, env
):
    before = snapshot(project)
    sh("dvc", "remote", "modify", "--local", "storage", "url", tmp_path / "store")
    sh("dvc", "push", "--quiet")
    sh("git", "clone", "--quiet", project, tmp_path / "elsewhere")
    clone = tmp_path / "elsewhere"
    run("dvc", "remote", "modify", "--local", "storage", "url", tmp_path / "store", cwd=clone, env=env)
    run("dvc", "pull", "--quiet", "data/raw.csv", cwd=clone, env=env)
    # What only reads results: without it, this is a plain DVC repository.
    for name in ("mirror.py", "setup.py"):
        (clone / "scripts" / name).unlink()
    other = env | {"TZ": "Asia/Tokyo", "LC_ALL": "C"}
    assert ran(run("dvc", "repro", "--force", "--no-run-cache", cwd=clone, env=other).stdout) == STAGES
    assert snapshot(clone) == before


def edit(path: str, old: str, new: str) -> Callable[[Path], None]:
    """A change of one line in one file."""

    def change(project: Path) -> None:
        text = (project / path).read_text()
        assert old in text
        (project / path).write_text(text.replace(old, new, 1))

    return change


def comment(path: str) -> Callable[[Path], None]:
    """A change that only a hash sees."""
    return lambda project: (project / path).write_text((project / path).read_text() + "\n# touched\n")


def drop_last_row(project: Path) -> None:
    """New data."""
    table = project / "data/raw.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))


# What changes, and the stages that read it.
CHANGES = {
    "prepare.py": (comment(f"{PACKAGE}/prepare.py"), {"prepare"}),
    "train.py": (comment(f"{PACKAGE}/train.py"), {"train"}),
    "models.py": (comment(f"{PACKAGE}/models.py"), {"train"}),
    "evaluate.py": (comment(f"{PACKAGE}/evaluate.py"), {"evaluate"}),
    "figures.py": (comment(f"{PACKAGE}/figures.py"), {"evaluate"}),
    "dataset.py": (comment(f"{PACKAGE}/dataset.py"), {"train", "evaluate"}),
    "params/evaluate.py": (comment(f"{PACKAGE}/params/evaluate.py"), {"environment", "evaluate"}),
    "a param of train": (edit("params.yaml", "epochs: 30", "epochs: 5"), {"environment", "train"}),
    "a param of evaluate": (
        edit("params.yaml", "threshold: 0.5", "threshold: 0.4"),
        {"environment", "evaluate"},
    ),
    "the data": (drop_last_row, {"data/raw.csv.dvc", "prepare"}),
    "the lock": (comment("requirements.lock"), {"environment"}),
    "README.md and a comment in params.yaml": (
        lambda project: [comment(path)(project) for path in ("README.md", "params.yaml")],
        set(),
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_makes_out_of_date_exactly_what_reads_it(project, sh, what):
    change, expected = CHANGES[what]
    change(project)
    found = json.loads(sh("dvc", "status", "--json").stdout)
    assert {stage for stage, why in found.items() if why != ["always changed"]} == expected


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("train.py", ["environment", "train"]),
        pytest.param("the lock", STAGES, marks=pytest.mark.weekly),
    ],
)
def test_a_change_runs_again_what_reads_it_and_what_reads_other_bytes(project, sh, what, expected):
    CHANGES[what][0](project)
    assert ran(sh("dvc", "repro").stdout) == expected


def test_plots_and_metrics_are_what_dvc_shows(project, sh, tmp_path):
    shown = json.loads(sh("dvc", "plots", "show", "--json", "-o", tmp_path / "plots").stdout)["data"]
    for curve in ("roc", "precision_recall", "calibration", "confusion"):
        (drawn,) = shown[f"reports/evaluate/plots/{curve}.csv"]
        assert (
            len(json.loads(drawn["content"]) if isinstance(drawn["content"], str) else drawn["content"]) > 0
        )
        assert f"reports/evaluate/figures/{curve}.png" in json.dumps(shown)
    assert "loss" in shown
    assert "accuracy" in shown
    values = json.loads(sh("dvc", "metrics", "show", "--json").stdout)[""]["data"]
    assert set(values) == {"reports/train/metrics.json", "reports/evaluate/metrics.json"}


# A line of params.yaml, what stands in its place, and the line that refuses it.
BAD = {
    "a model that is none": (
        "model: logistic",
        "model: tree",
        "train.model: 'tree' is not allowed; it should be 'logistic', 'forest' or 'boosting'",
    ),
    "a share above one": (
        "test_fraction: 0.2",
        "test_fraction: 2",
        "prepare.test_fraction: 2 is not allowed; it should be less than 1",
    ),
    "shares of all rows": (
        "test_fraction: 0.2",
        "test_fraction: 0.8",
        "prepare: valid_fraction + test_fraction must be below 1, or no row is left to train on",
    ),
    "groups that are stratified": (
        "group: null",
        "group: mean_radius",
        "prepare: rows that are split by group or time cannot be stratified; set stratify: false",
    ),
    "no number": ("seed: 1", "seed: abc", "prepare.seed: 'abc' is not allowed; it should be a valid integer"),
    "a key that is missing": ("trees: 100", "# none", "train.forest.trees: missing; add this key"),
    "a key too many": (
        "alpha: 0.001",
        "alpha: 0.001\n    momentum: 0.9",
        "train.logistic.momentum: unknown key; allowed here: alpha, epochs",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_param_is_refused_in_one_line_with_the_code_that_says_not_to_try_again(project, sh, fault):
    old, new, said = BAD[fault]
    edit("params.yaml", old, new)(project)
    assert sh("python", "-m", f"{PACKAGE}.params", code=78).stderr == f"params.yaml: {said}\n"


def test_a_bad_param_stops_an_experiment_and_changes_nothing(project, sh):
    before, head = snapshot(project), sh("git", "rev-parse", "HEAD").stdout
    done = sh("dvc", "exp", "run", "--temp", "-S", "train.model=tree", code=None)
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if line.startswith("params.yaml: ")]
    assert said == [f"params.yaml: {BAD['a model that is none'][2]}"]
    assert "Traceback" not in done.stderr
    assert snapshot(project) == before
    assert sh("git", "status", "--porcelain").stdout == ""
    assert (experiments(sh), sh("git", "rev-parse", "HEAD").stdout) == ({}, head)
    assert sh("git", "stash", "list").stdout == ""


def test_a_bad_param_in_the_workspace_replaces_no_result(project, sh):
    before = snapshot(project)
    assert sh("dvc", "exp", "run", "-S", "train.model=tree", code=None).returncode != 0
    assert snapshot(project) == before
    # DVC writes the file for `-S`; Git has to see that, or the next line would not undo it.
    assert sh("git", "status", "--porcelain").stdout == " M params.yaml\n"
    sh("git", "checkout", "--quiet", "params.yaml")
    assert ran(sh("dvc", "repro").stdout) == ["environment"]


def test_a_mistyped_key_is_refused_by_name(project, sh):
    before = snapshot(project)
    done = sh("dvc", "exp", "run", "-S", "train.modl=forest", code=None)
    assert done.returncode != 0
    assert "Could not override 'train.modl'" in done.stderr
    edit("params.yaml", "threshold:", "treshold:")(project)
    done = sh("dvc", "repro", code=None)
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("params.yaml")]
    assert lines == [
        "params.yaml: evaluate.threshold: missing; add this key",
        "params.yaml: evaluate.treshold: unknown key; allowed here: threshold, calibration_bins",
    ]
    assert snapshot(project) == before


def test_missing_data_and_a_missing_lock_are_named(project, sh):
    shutil.rmtree(project / ".dvc/cache")
    (project / "data/raw.csv").unlink()
    done = sh("dvc", "repro", "--force", "prepare", code=None)
    assert done.returncode != 0
    assert "missing data 'source': data/raw.csv" in done.stderr
    (project / "requirements.lock").unlink()
    done = sh("dvc", "repro", code=None)
    assert done.returncode != 0
    assert "requirements.lock" in done.stderr


# What agents run has them, too: test_docs.py.
@pytest.mark.weekly
def test_the_projects_own_tests_pass(project, sh):
    done = sh("make", "test", "VENV=" + str(Path(sh("which", "dvc").stdout).parents[1]))
    assert " passed" in done.stdout
    assert sh("git", "status", "--porcelain").stdout == ""


def test_stages_import_only_what_they_need(project, sh):
    """Start-up is paid by every experiment; mlflow and optuna are for tools."""
    for stage in ("prepare", "train", "evaluate"):
        script = f"import sys, {PACKAGE}.{stage}; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
        modules = sh("python", "-c", script).stdout.split()
        assert not {"mlflow", "optuna", "locatable"} & set(modules)
        assert ("matplotlib" in modules) == (stage == "evaluate")
        assert ("dvclive" in modules) == (stage == "train")
