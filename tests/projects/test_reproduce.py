"""`reproduce` on honest projects: the example at several revisions, and DVC's less simple pipelines.

What it finds in dishonest ones is in test_reproduce_faults.py.
"""

import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from searching import SERIES, commit
from support import generate, run

Shell = Callable[..., subprocess.CompletedProcess[str]]


def verdicts(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Verdict by output, of a run with --json that found nothing."""
    report = json.loads(done.stdout)
    assert report["findings"] == []
    return {row["output"]: row["verdict"] for row in report["outputs"]}


@pytest.mark.long
def test_head_in_a_fresh_environment(sh: Shell) -> None:
    done = sh("locatable", "reproduce")
    rows = re.findall(r"^(\w+) +(\S+) +(\w{8}) +(\w{8}) +identical$", done.stdout, re.MULTILINE)
    assert len(rows) == 10
    assert all(recorded == rebuilt for _, _, recorded, rebuilt in rows)
    assert {stage for stage, *_ in rows} == {"environment", "prepare", "train", "evaluate"}
    assert "environment: fresh, from requirements.lock" in done.stdout
    assert "10 of 10 outputs rebuilt as recorded, 0 findings" in done.stdout
    assert sh("git", "status", "--porcelain").stdout == ""


def test_an_experiment_of_a_search_and_an_older_commit_with_other_data(
    small: Callable[..., Path], env: dict[str, str]
) -> None:
    folder = small({})

    def call(*command: str) -> subprocess.CompletedProcess[str]:
        return run(*command, cwd=folder, env=env)

    (folder / "prepare.py").write_text("open('prepared.txt', 'w').write(open('raw.txt').read())\n")
    pipeline = (folder / "dvc.yaml").read_text()
    (folder / "dvc.yaml").write_text(pipeline.replace("- prepare.py", "- prepare.py\n    - raw.txt"))
    (folder / "raw.txt").write_text("1\n2\n")
    call("dvc", "add", "--quiet", "raw.txt")
    call("dvc", "repro")
    commit(folder, env)
    older = call("git", "rev-parse", "HEAD").stdout.strip()
    call("locatable", "search", "--trials", "1")
    (folder / "raw.txt").write_text("1\n")
    call("dvc", "add", "--quiet", "raw.txt")
    commit(folder, env)
    head = call("git", "rev-parse", "HEAD").stdout
    for rev in ("small-0", older):
        found = verdicts(call("locatable", "reproduce", rev, "--env", "current", "--json"))
        assert found == dict.fromkeys(("prepared.txt", "model.bin", "metrics.json", SERIES), "identical")
    # Both differ from what lies in the checkout, which nobody touched.
    assert call("git", "rev-parse", "HEAD").stdout == head
    assert (folder / "raw.txt").read_text() == "1\n"
    assert call("git", "status", "--porcelain").stdout == ""


def test_no_condition_changes_a_stage_of_the_example(sh: Shell) -> None:
    done = sh("locatable", "reproduce", "--vary", "--env", "current", "--json")
    assert set(verdicts(done).values()) == {"identical"}
    # Other processors among them, so that a commit can be proven on any.
    assert {"OpenBLAS kernel", "number of threads"} <= set(json.loads(done.stdout)["varied"])


PIPELINES = """
vars: [params.yaml]
stages:
  each:
    matrix: {name: [one, two], power: "${powers}"}
    wdir: ..
    cmd: python analysis/power.py ${item.name} ${item.power} > analysis/out/${item.name}-${item.power}.txt
    deps: [analysis/power.py, data, shared/numbers.txt]
    params: [analysis/params.yaml: [scale.by]]
    outs: ["analysis/out/${item.name}-${item.power}.txt"]
  folder:
    cmd:
      - mkdir parts
      - for file in out/*.txt; do sort -r $file > parts/$(basename $file); done
    deps: [out]
    outs: [parts]
"""

# It prints its one param as the file has it: 1.0e-05 and 1e-05 are not the same to every parser.
POWER = """
import re
import sys

for number in open("shared/numbers.txt"):
    print(int(number) ** int(sys.argv[2]))
print(open(f"data/{sys.argv[1]}.txt").read())
print(re.findall("by: ([0-9e.-]+)", open("analysis/params.yaml").read()))
"""


@pytest.fixture
def several(tmp_path: Path, env: dict[str, str]) -> Path:
    """A project in a subfolder of a Git repository, its pipeline in a subfolder of the project."""
    top = tmp_path / "repository"
    project = top / "science"
    for name, text in {
        "science/analysis/dvc.yaml": PIPELINES,
        "science/analysis/params.yaml": "powers: [2, 3]\nscale: {by: 1.0e-05, other: 3}\n",
        "science/analysis/power.py": POWER,
        "science/analysis/out/.gitkeep": "",
        "science/shared/numbers.txt": "1\n2\n3\n",
        "science/data/one.txt": "1\n",
        "science/data/two.txt": "2\n",
    }.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text.lstrip())
    run("git", "init", "--quiet", cwd=top, env=env)
    for command in (
        "dvc init --quiet --subdir",
        f"dvc config --local core.site_cache_dir {tmp_path / 'site'}",
        "dvc config core.autostage true",
        f"dvc config cache.dir {tmp_path / 'a shared cache'}",
        "dvc add --quiet data",
        "dvc repro --quiet --all-pipelines",
        "git add --all .",
        "git commit --quiet -m Results",
    ):
        parts = command.split(maxsplit=3) if "cache.dir" in command else command.split()
        run(*parts, cwd=project, env=env)
    return project


def test_pipelines_in_subfolders_with_a_matrix_and_working_folders(
    several: Path, env: dict[str, str]
) -> None:
    done = run("locatable", "reproduce", "--env", "current", "--vary", "--json", cwd=several, env=env)
    found = verdicts(done)
    assert set(found.values()) == {"identical"}
    assert set(found) == {
        "analysis/parts",
        *(f"analysis/out/{name}-{power}.txt" for name in ("one", "two") for power in (2, 3)),
    }
    assert "['1.0e-05']" in (several / "analysis/out/one-2.txt").read_text()
    alone = run(
        *("locatable", "reproduce", "--env", "current", "--json"),
        *("--stage", "analysis/dvc.yaml:folder"),
        cwd=several,
        env=env,
    )
    assert verdicts(alone) == {"analysis/parts": "identical"}


@pytest.mark.parametrize(
    "ending", [signal.SIGINT, signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.weekly)]
)
def test_a_stopped_proof_leaves_nothing_behind(
    sh: Shell, project: Path, env: dict[str, str], tmp_path: Path, ending: signal.Signals
) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    process = subprocess.Popen(
        ["locatable", "reproduce", "--env", "current"],
        cwd=project,
        env={**env, "TMPDIR": str(place)},
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background would hand down that Ctrl-C is to be ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for line in process.stderr:
        if line.startswith("rebuilding prepare ("):
            break
    time.sleep(0.5)
    process.send_signal(ending)
    assert process.wait(timeout=30) == 130
    assert process.stderr.read() == "stopped\n"
    assert list(place.iterdir()) == []
    assert sh("git", "status", "--porcelain").stdout == ""


def test_a_new_import_has_to_be_declared(sh: Shell, project: Path) -> None:
    assert " passed" in sh("pytest", "-q", "tests/test_declared.py").stdout
    (project / "tumour_classifier/helpers.py").write_text("from . import constants\n")
    (project / "tumour_classifier/constants.py").write_text("")
    figures = project / "tumour_classifier/figures.py"
    figures.write_text(figures.read_text() + "\n\ndef late():\n    from tumour_classifier import helpers\n")
    done = sh("pytest", "-q", "tests/test_declared.py", code=1)
    start = "evaluate: dvc.yaml does not declare tumour_classifier/"
    assert f"{start}constants.py, which tumour_classifier/helpers.py imports\n" in done.stdout
    assert f"{start}helpers.py, which tumour_classifier/figures.py imports\n" in done.stdout


def test_a_new_import_is_declared_by_a_command(sh: Shell, project: Path) -> None:
    train = project / "tumour_classifier/train.py"
    train.write_text(train.read_text() + "\n\ndef late():\n    from . import figures\n")
    sh("locatable", "declare")
    line = "      - tumour_classifier/figures.py\n"
    assert sh("git", "diff", "-U0", "dvc.yaml").stdout.endswith(f"\n+{line}")
    assert " passed" in sh("pytest", "-q", "tests/test_declared.py").stdout


def test_a_command_without_python_is_left_out_of_it(sh: Shell, project: Path) -> None:
    pipeline = project / "dvc.yaml"
    text = pipeline.read_text().replace("python -m tumour_classifier.evaluate", "bash evaluate.sh")
    pipeline.write_text(text)
    done = sh("pytest", "-q", "-rs", "tests/test_declared.py")
    assert "evaluate: no Python file to be seen in `bash evaluate.sh`" in done.stdout


def test_the_workflow_asks_for_little_and_does_what_it_says(sh: Shell, project: Path, tmp_path: Path) -> None:
    path = project / ".github/workflows/ci.yml"
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    job, comment = workflow["jobs"].values()
    used = [step["uses"] for step in job["steps"] if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action) for action in used)
    # What may write runs no file of the pull request.
    assert "permissions" not in job
    assert comment["permissions"] == {"pull-requests": "write"}
    assert not [step for step in comment["steps"] if "uses" in step]
    assert job["steps"][0]["with"] == {"fetch-depth": 0, "persist-credentials": False}
    assert "{%" not in path.read_text()
    assert "${{ secrets.DVC_REMOTE_CONFIG }}" in path.read_text()

    # The proof, on a machine that has neither cache nor remote.
    command = script(project, "Reproduce")
    shutil.rmtree(project / ".dvc/cache")
    before = f"export XDG_CONFIG_HOME={tmp_path / 'config'}; set -e; DVC_REMOTE_CONFIG="
    passed = sh("bash", "-c", f"{before} ; {command}")
    assert (
        "::warning::not reproduced: set the secret DVC_REMOTE_CONFIG, unless the remote is" in passed.stdout
    )
    assert "data/raw.csv" in passed.stdout
    # All of a config.local, as `make setup` and `dvc remote modify --local` write it.
    config = f"{before}$'[core]\\nsite_cache_dir = {tmp_path}\\n[\\'remote \"storage\"\\']\\nverify = true'"
    sh("bash", "-c", f"{config} ; {command}", code=1)
    assert sh("bash", "-c", f"{before}; dvc config remote.storage.verify").stdout == "true\n"
    # Without the secret, only the lack of data is let pass.
    sh("git", "rm", "--quiet", "--cached", "requirements.lock")
    sh("git", "commit", "--quiet", "-m", "Without a lock")
    assert "::" not in sh("bash", "-c", f"{before} ; {command}", code=1).stdout


def script(project: Path, step: str) -> str:
    """The shell script of a step of the project's workflow, or of the one step of its other job."""
    jobs = yaml.safe_load((project / ".github/workflows/ci.yml").read_text())["jobs"]
    (comment,) = jobs["comment"]["steps"]
    steps = {one.get("name"): one for one in [*jobs["prove"]["steps"], {**comment, "name": "Comment"}]}
    return str(steps[step]["run"])


@pytest.mark.weekly
def test_the_workflow_passes_before_the_first_results(tmp_path: Path, env: dict[str, str]) -> None:
    project = generate(tmp_path)
    job = yaml.safe_load((project / ".github/workflows/ci.yml").read_text())["jobs"]["prove"]
    variables = {"DVC_REMOTE_CONFIG": "", **on_github(project, tmp_path)}
    printed = ""
    for step in job["steps"]:
        if "run" in step and "if" not in step and step.get("name") != "Set up":
            printed += run("bash", "-e", "-c", step["run"], cwd=project, env={**env, **variables}).stdout
    assert "::notice::nothing to prove yet: dvc repro, commit" in printed


def on_github(project: Path, folder: Path, base: str = "") -> dict[str, str]:
    """Variables of a run of the workflow; the files that GitHub reads afterwards are in a folder."""
    head = run("git", "rev-parse", "HEAD", cwd=project, env=os.environ).stdout.strip()
    return {
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "ada/tumours",
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
        "GITHUB_OUTPUT": str(folder / "output"),
        "BASE": base,
        "HEAD": head,
    }


def summed_up(sh: Shell, project: Path, env: dict[str, str], folder: Path, base: str = "") -> str:
    """The summary of a run of the workflow."""
    variables = {**env, **on_github(project, folder, base)}
    sh("bash", "-eo", "pipefail", "-c", script(project, "Report"), env=variables)
    return (folder / "summary.md").read_text()


def test_the_summary_of_a_pull_request_shows_what_it_changes(
    sh: Shell, project: Path, env: dict[str, str], tmp_path: Path
) -> None:
    sh("git", "update-ref", "refs/remotes/origin/main", "HEAD")
    sh("dvc", "exp", "run", "-S", "train.logistic.alpha=0.01")
    sh("git", "commit", "--quiet", "--all", "-m", "Another alpha")
    (project / "proof").write_text("10 of 10 outputs rebuilt as recorded, 0 findings\n")
    summary = summed_up(sh, project, env, tmp_path, base="main")
    shown = html.unescape(re.sub("</?code>", "", summary))
    rows = [re.split(r" *\| *", line)[1:-1] for line in shown.splitlines() if line.startswith("|")]
    assert ["params", "differs", "train.logistic.alpha: 0.001 → 0.01"] in rows
    recorded = []
    for rev in ("HEAD~1", "HEAD"):
        metrics = sh("git", "show", f"{rev}:reports/evaluate/metrics.json").stdout
        recorded.append(json.loads(metrics)["test"]["log_loss"])
    (row,) = (row for row in rows if row[0] == "reports/evaluate/metrics.json:test.log_loss")
    assert [float(value) for value in row[1:3]] == pytest.approx(recorded, abs=1e-4)
    head = sh("git", "rev-parse", "HEAD").stdout.strip()
    figure = f"https://github.com/ada/tumours/raw/{head}/reports/evaluate/figures/roc.png"
    assert f"\n[![reports/evaluate/figures/roc.png](<{figure}>)](<{figure}>)\n" in summary
    assert "NOT OF THIS COMMIT" not in summary
    assert summary.endswith("10 of 10 outputs rebuilt as recorded, 0 findings\n```\n")
    # The other job gets the same text.
    assert (tmp_path / "output").read_text() == f"report<<{head}\n{summary}\n{head}\n"


def test_the_summary_names_stale_results_and_a_proof_that_was_not_begun(
    sh: Shell, project: Path, env: dict[str, str], tmp_path: Path
) -> None:
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("alpha: 0.001", "alpha: 0.002"))
    sh("git", "commit", "--quiet", "--all", "-m", "Forgot dvc repro")
    summary = summed_up(sh, project, env, tmp_path)
    assert "  NOT OF THIS COMMIT: train.logistic.alpha was 0.001, is 0.002\n" in summary
    assert summary.endswith("not reproduced, since a step before it failed\n```\n")


@pytest.mark.parametrize("code", [0, 1])
def test_the_workflow_ends_as_the_proof_does_and_keeps_what_it_says(
    rebuilt: Path, tmp_path: Path, code: int
) -> None:
    # What the table is, and when it ends with which code, other tests say.
    stand_in = tmp_path / "locatable"
    stand_in.write_text(f"#!/bin/sh\necho train model.joblib close; exit {code}\n")
    stand_in.chmod(0o755)
    variables = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "XDG_CONFIG_HOME": str(tmp_path),
        "DVC_REMOTE_CONFIG": "",
    }
    done = run("bash", "-e", "-c", script(rebuilt, "Reproduce"), cwd=tmp_path, env=variables, code=code)
    assert done.stdout == (tmp_path / "proof").read_text() == "train model.joblib close\n"


# GitHub's own program: it lists comments, writes one, or refuses; what it is asked to write is kept.
GH = """#!{python}
import json, subprocess, sys
given = sys.argv[1:]
if {refuses} and "--raw-field" in given:
    sys.exit("gh: Resource not accessible by integration (HTTP 403)")
if "--jq" in given:
    assert given[:3] == ["api", "--paginate", "repos/ada/tumours/issues/7/comments"]
    sys.exit(subprocess.run(["jq", given[4]], input={comments!r}, text=True).returncode)
assert given[0] == "api"
with open("given.json", "w") as file:
    json.dump(given[1:], file)
"""
REPORT = "<!-- locatable -->\n`alpha` $HOME 0.01"
BOT = {"login": "github-actions[bot]"}


def commented(
    rebuilt: Path, folder: Path, comments: list[dict[str, object]], refuses: bool = False
) -> tuple[str, list[str] | None]:
    """What the workflow's other job prints, and what it has `gh` write where these comments are there."""
    if not shutil.which("jq"):
        pytest.skip("GitHub's program has jq in it, and there is none here")
    gh = folder / "gh"
    gh.write_text(GH.format(python=sys.executable, refuses=refuses, comments=json.dumps(comments)))
    gh.chmod(0o755)
    variables = {"GITHUB_REPOSITORY": "ada/tumours", "NUMBER": "7", "REPORT": REPORT}
    path = f"{folder}:{os.environ['PATH']}"
    done = run(*("bash", "-e", "-c", script(rebuilt, "Comment")), cwd=folder, env={"PATH": path, **variables})
    given = folder / "given.json"
    return done.stdout, json.loads(given.read_text()) if given.exists() else None


@pytest.mark.parametrize(
    ("comments", "to"),
    [
        ([], ["repos/ada/tumours/issues/7/comments"]),
        # Somebody else's is left alone, whatever it begins with.
        ([{"id": 3, "user": {"login": "eve"}, "body": REPORT}], ["repos/ada/tumours/issues/7/comments"]),
        ([{"id": 4, "user": BOT, "body": "coverage"}], ["repos/ada/tumours/issues/7/comments"]),
        (
            [
                {"id": 5, "user": BOT, "body": "coverage"},
                {"id": 6, "user": BOT, "body": "<!-- locatable -->\nold"},
            ],
            ["--method", "PATCH", "repos/ada/tumours/issues/comments/6"],
        ),
    ],
)
def test_a_pull_request_has_one_comment_of_its_results(
    rebuilt: Path, tmp_path: Path, comments: list[dict[str, object]], to: list[str]
) -> None:
    assert commented(rebuilt, tmp_path, comments) == ("", [*to, "--raw-field", f"body={REPORT}"])


def test_a_pull_request_of_a_fork_has_its_results_in_the_summary(rebuilt: Path, tmp_path: Path) -> None:
    said = "::notice::no comment: the report is in the summary\n"
    assert commented(rebuilt, tmp_path, [], refuses=True) == (said, None)
