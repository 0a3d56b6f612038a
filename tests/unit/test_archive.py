"""What an archive of a small DVC project holds, and what is refused."""

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import tiny_dvc
import yaml
from archived import RAW, Silent, clone, make, no_bar
from tiny_git import commit, git, write
from tiny_proof import proof

from locatable.archive.create import ArchiveOptions, create_archive
from locatable.archive.format import unpacked
from locatable.archive.plan import (
    LARGEST_TEXT,
    ArchivePlan,
    find_concerns,
    history_objects,
    parse_size,
    show_size,
)
from locatable.cli import main
from locatable.commands.archive import OnTerminal
from locatable.errors import LocatableError, ProjectError, UsageError
from locatable.proof.reproduce import Report
from locatable.repository.reader import Reader

# In an environment of its own: it brings sixty packages, and only one test wants them.
VALIDATOR = ("uv", "run", "--quiet", "--no-project", "--python", sys.executable)
VALIDATOR += ("--with", "roc-validator==0.13.0")


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """A project whose results are committed; copy it."""
    return make(tmp_path_factory.mktemp("original") / "project")


@pytest.fixture
def project(original, tmp_path) -> Path:
    """A project of the test's own."""
    return Path(shutil.copytree(original, tmp_path / "project", symlinks=True))


@pytest.fixture(scope="module")
def archive(original, tmp_path_factory) -> Path:
    """An archive of the original; do not change it."""
    return archive_of(original, tmp_path_factory.mktemp("archive") / "result.zip")


def archive_of(project: Path, target: Path, dialogue: Silent | None = None, **options) -> Path:
    """Archive a revision of a project, and return the file."""
    with contextlib.chdir(project):
        create_archive(ArchiveOptions(target, **options), dialogue or Silent())
    return target


def committed(project: Path, files: dict[str, str]) -> None:
    """Commit files of a project."""
    write(project, files)
    tiny_dvc.commit(project)


def refused(project: Path, tmp_path: Path, **options) -> str:
    """Why an archive is refused, and that there is none."""
    before = sorted(tmp_path.iterdir())
    with pytest.raises(LocatableError) as caught:
        archive_of(project, tmp_path / "result.zip", **options)
    assert sorted(tmp_path.iterdir()) == before
    assert "\n" not in str(caught.value)
    return f"{caught.value}; {caught.value.hint}"


def contents(archive: Path) -> dict[str, bytes]:
    """Content by name of the members."""
    with zipfile.ZipFile(archive) as file:
        return {name: file.read(name) for name in file.namelist()}


def entities(archive: Path) -> dict[str, dict]:
    """What the RO-Crate describes, by its id."""
    graph = json.loads(contents(archive)["ro-crate-metadata.json"])["@graph"]
    return {entity["@id"]: entity for entity in graph}


def test_two_clones_give_the_same_bytes(original, archive, tmp_path):
    theirs = clone(original, tmp_path / "elsewhere")
    assert archive_of(theirs, tmp_path / "other.zip").read_bytes() == archive.read_bytes()


def test_a_partial_clone_gives_the_same_bytes(project, tmp_path):
    committed(project, {"notes.md": "first\n"})
    committed(project, {"notes.md": "second\n"})
    git(project, "config", "uploadpack.allowFilter", "true")
    git(project, "config", "uploadpack.allowAnySHA1InWant", "true")
    git(tmp_path, "clone", "--quiet", "--filter=blob:none", f"file://{project}", "partial")
    shutil.copytree(project / ".dvc/cache", tmp_path / "partial/.dvc/cache")
    theirs = archive_of(tmp_path / "partial", tmp_path / "theirs.zip")
    assert theirs.read_bytes() == archive_of(project, tmp_path / "ours.zip").read_bytes()


def test_settings_and_other_branches_of_a_user_do_not_change_the_bytes(
    project, archive, tmp_path, monkeypatch
):
    (tmp_path / "gitconfig").write_text("[core]\ncompression = 1\n[pack]\nwindow = 0\nthreads = 4\n")
    git(project, "checkout", "--quiet", "-b", "private")
    committed(project, {"secret.txt": "secret"})
    git(project, "checkout", "--quiet", "-")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("TZ", "Pacific/Chatham")
    assert archive_of(project, tmp_path / "other.zip").read_bytes() == archive.read_bytes()


def test_the_objects_are_those_that_dvc_names_by_their_hashes(original, archive):
    members = contents(archive)
    (out,) = yaml.safe_load((original / "data/raw.txt.dvc").read_text())["outs"]
    assert members[f"dvc/files/md5/{out['md5'][:2]}/{out['md5'][2:]}"] == RAW.encode()
    objects = {name: content for name, content in members.items() if name.startswith("dvc/")}
    for name, content in objects.items():
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        assert name.removesuffix(".dir") == f"dvc/files/md5/{md5[:2]}/{md5[2:]}"
    assert len(objects) == 4  # a file, which is also a copy; a folder and the two files in it


def test_git_clones_the_bundle_with_all_of_the_history(original, archive, tmp_path):
    (tmp_path / "repository.bundle").write_bytes(contents(archive)["repository.bundle"])
    git(tmp_path, "clone", "--quiet", "repository.bundle", "cloned")
    assert git(tmp_path / "cloned", "log", "--format=%H") == git(original, "log", "--format=%H")
    assert git(tmp_path / "cloned", "fsck") == ""


def proof_of(archive: Path) -> Report:
    """The proof of what an archive unpacks to."""
    with unpacked(archive, no_bar) as found:
        return proof(found.project, found.manifest.revision)


def test_what_is_unpacked_rebuilds_identically(archive):
    report = proof_of(archive)
    assert report.proven
    assert {verdict.output for verdict in report.outputs} == {"copy.txt", "parts", "count.txt"}


def test_without_outputs_there_is_what_stages_read_and_it_rebuilds_identically_too(original, tmp_path):
    small = archive_of(original, tmp_path / "small.zip", outputs=False)
    members = contents(small)
    assert [name for name in members if name.endswith(".dir") or name == "files/count.txt"] == []
    assert RAW.encode() in members.values()
    assert proof_of(small).proven


def test_the_commands_write_and_prove_it_where_there_is_no_project(project, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    monkeypatch.chdir(project)
    assert main(["archive", "--output", str(tmp_path / "result.zip")]) == 0
    commit_id = git(project, "rev-parse", "HEAD")
    assert capsys.readouterr().out.startswith(f"{tmp_path}/result.zip: commit {commit_id[:12]}, ")
    shutil.rmtree(project / ".dvc/cache")
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "result.zip", "--env", "current"]) == 0
    assert capsys.readouterr().out.endswith("3 of 3 outputs rebuilt as recorded, 0 findings\n")


def test_an_experiment_keeps_its_name_and_its_baseline(project, tmp_path):
    baseline = git(project, "rev-parse", "HEAD")
    with tiny_dvc.dvc(project) as repo:
        repo.experiments.run(params=["copy.by=2"], name="second", tmp_dir=True)
    archive = archive_of(project, tmp_path / "second.zip", rev="second")
    with unpacked(archive, no_bar) as found:
        assert (found.manifest.experiment, found.manifest.baseline) == ("second", baseline)
        listed = git(found.project, "for-each-ref", "--format=%(refname)", "refs/exps")
        assert listed == f"refs/exps/{baseline[:2]}/{baseline[2:]}/second"


def test_a_commit_gives_the_same_bytes_where_nobody_knows_that_it_is_an_experiment(project, tmp_path):
    with tiny_dvc.dvc(project) as repo:
        repo.experiments.run(params=["copy.by=2"], name="second", tmp_dir=True)
    (ref,) = git(project, "for-each-ref", "--format=%(refname)", "refs/exps/*/*/second").split()
    commit_id = git(project, "rev-parse", ref)
    ours = archive_of(project, tmp_path / "ours.zip", rev=commit_id)
    git(project, "update-ref", "-d", ref)
    assert archive_of(project, tmp_path / "theirs.zip", rev=commit_id).read_bytes() == ours.read_bytes()


def test_a_project_in_a_subfolder(tmp_path):
    top = tmp_path / "top"
    commit(top, {"README": "of the repository"})
    root = top / "science/project"
    tiny_dvc.init(root, subdir=True)
    stages = "stages: {a: {cmd: cp raw.txt b, deps: [raw.txt], outs: [b]}}\n"
    write(root, {"raw.txt": "1\n", "dvc.yaml": stages})
    with tiny_dvc.dvc(root) as repo:
        repo.reproduce()
    tiny_dvc.commit(top)
    archive = archive_of(root, tmp_path / "result.zip")
    assert b"cd result/project/science/project\n" in contents(archive)["README.md"]
    assert proof_of(archive).proven


def test_the_crate_has_an_action_for_each_stage_with_its_inputs_outputs_and_params(original, archive):
    known = entities(archive)
    lock = yaml.safe_load((original / "dvc.lock").read_text())["stages"]["copy"]
    run = known["#stage/copy/run"]
    named = {known[one["@id"]]["name"]: known[one["@id"]] for one in run["object"]}
    assert named["data/raw.txt"]["identifier"] == f"md5:{lock['deps'][0]['md5']}"
    assert named["copy.by"]["value"] == lock["params"]["params.yaml"]["copy.by"]
    assert known[run["result"]["@id"]]["identifier"] == f"md5:{lock['outs'][0]['md5']}"
    assert known[run["instrument"]["@id"]]["description"] == lock["cmd"]


def test_the_crate_names_agent_and_licence_and_the_time_of_the_commit(original, archive):
    known = entities(archive)
    assert known["./"]["datePublished"] == git(original, "log", "-1", "--format=%cI").replace("Z", "+00:00")
    assert known[known["#run"]["agent"]["@id"]]["name"] == "Ada"
    assert known["./"]["license"] == {"@id": "https://spdx.org/licenses/MIT"}


def test_every_file_that_the_crate_describes_is_there(archive):
    members = contents(archive)
    files = [one for one in entities(archive).values() if "File" in one["@type"]]
    assert {one["@id"]: int(one["contentSize"]) for one in files} == {
        one["@id"]: len(members[one["@id"]]) for one in files
    }


def test_the_crate_s_workflow_is_the_bundle_where_no_copy_of_a_pipeline_can_have_its_name(tmp_path):
    tiny_dvc.with_results(tmp_path / "p", {"a:b/dvc.yaml": "stages: {a: {cmd: echo 1 > o, outs: [o]}}\n"})
    known = entities(archive_of(tmp_path / "p", tmp_path / "result.zip"))
    workflow = known[known["./"]["mainEntity"]["@id"]]
    assert workflow["@id"] == "repository.bundle"
    assert "ComputationalWorkflow" in workflow["@type"]
    assert known[workflow["hasPart"]["@id"]]["name"] == "a:b/dvc.yaml:a"


@pytest.fixture(scope="module")
def validate() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a script with roc-validator."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def call(*command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (*VALIDATOR, *command), text=True, capture_output=True, env=variables, check=False
        )

    if call("python", "--version").returncode:
        pytest.skip("roc-validator cannot be installed here")
    return call


def test_the_crate_is_valid_for_its_profile(archive, validate, tmp_path):
    import rocrate

    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path / "crate")
    context = Path(rocrate.__file__).with_name("data") / "ro-crate.jsonld"
    driver = Path(__file__).with_name("validate_crate.py")
    done = validate("python", driver, tmp_path / "crate", "provenance-run-crate", "required", context)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


def test_imported_data_is_refused_until_it_is_named(project, tmp_path):
    write(tmp_path / "theirs", {"given.txt": "given\n"})
    write(project, {"dvc.yaml": "stages: {a: {cmd: cp given.txt b, deps: [given.txt], outs: [b]}}\n"})
    with tiny_dvc.dvc(project) as repo:
        repo.imp_url(str(tmp_path / "theirs/given.txt"), "given.txt")
        repo.reproduce()
    tiny_dvc.commit(project)
    assert "given.txt (dvc import-url of " in refused(project, tmp_path)
    archive = archive_of(project, tmp_path / "result.zip", include=("given.txt",))
    assert b"given\n" in contents(archive).values()


def test_imported_data_that_no_stage_reads_stays_at_home(project, archive, tmp_path):
    write(tmp_path / "theirs", {"given.txt": "given\n"})
    with tiny_dvc.dvc(project) as repo:
        repo.imp_url(str(tmp_path / "theirs/given.txt"), "given.txt")
    tiny_dvc.commit(project)
    members = contents(archive_of(project, tmp_path / "result.zip"))
    assert b"given\n" not in members.values()


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        (".dvc/config", "['remote \"s\"']\nurl = s3://b\nsecret_access_key = abc\n", "secret_access_key"),
        (".dvc/config", "['remote \"s\"']\n    url = /srv/dvc\n", "an absolute path: /srv/dvc"),
        ("notes.md", "see https://ada:hunter2@example.org/data\n", "the login in https://example.org/data"),
        ("key.pem", "-----BEGIN RSA PRIVATE KEY-----\n", "a private key"),
        ("run.sh", "cd {project} && make\n", "an absolute path: {project}"),
    ],
)
def test_what_may_be_private_is_named_and_refused(project, tmp_path, file, text, reason):
    committed(project, {file: text.format(project=project)})
    said = refused(project, tmp_path)
    assert f"{file} (" in said
    assert reason.format(project=project) in said
    assert "hunter2" not in said
    assert said.endswith(f"--include {file}")
    archive_of(project, tmp_path / "result.zip", include=(file,))


def test_a_password_in_an_earlier_commit_is_refused(project, tmp_path):
    committed(project, {"notes.md": "https://ada:hunter2@example.org/\n"})
    committed(project, {"notes.md": "nothing\n"})
    assert "notes.md (the login in https://example.org/, in an earlier commit)" in refused(project, tmp_path)


def concerns_of(root: Path) -> list[str]:
    """What of a commit and its history may have to stay here."""
    with Reader(root) as reader:
        snapshot = reader.snapshot("HEAD")
        found = find_concerns(snapshot, ArchivePlan((), (), ()), history_objects(root, snapshot.rev))
    return [concern.name for concern in found]


def test_a_path_of_this_machine_counts_where_it_is_one_and_in_the_commit_itself(tmp_path):
    root = tmp_path / "p"
    commit(root, {".dvc/config": "", "old.sh": f"cd {root}\n"})
    texts = {"other.sh": f"cd /mnt{root}\ncd {root}-2\n", "data": f"\0{root}", "yes.sh": f"cd {root}/data\n"}
    commit(root, {"old.sh": "", "large.txt": f"{root}\n" + "x" * LARGEST_TEXT, **texts})
    assert concerns_of(root) == ["yes.sh"]


def test_a_line_of_a_million_letters_takes_no_time(tmp_path):
    line = "x" * (LARGEST_TEXT - 50)
    commit(tmp_path, {".dvc/config": "", "a.txt": line, "b.txt": f"{line}://ada:hunter2@example.org"})
    started = time.monotonic()
    assert concerns_of(tmp_path) == ["b.txt"]
    assert time.monotonic() - started < 10


def test_a_home_in_the_root_of_the_machine_says_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/")
    commit(tmp_path, {".dvc/config": "", "run.sh": "cd / && ls\n"})
    assert concerns_of(tmp_path) == []


@pytest.mark.parametrize("url", ["https://$USER:$PASSWORD@example.org", "https://<you>:<token>@example.org"])
def test_a_place_for_a_password_is_none(project, tmp_path, url):
    committed(project, {"notes.md": f"{url}/\n"})
    assert archive_of(project, tmp_path / "result.zip").exists()


def test_what_was_included_for_nothing_is_said(project, tmp_path):
    dialogue = Silent()
    archive_of(project, tmp_path / "result.zip", dialogue, include=("data/other.txt",))
    assert "--include data/other.txt: nothing of that name was held back" in dialogue.said


def test_an_archive_larger_than_the_limit_is_refused_with_its_size(project, tmp_path):
    said = refused(project, tmp_path, limit=100)
    assert "and the limit is 100B" in said
    assert "`--max-size " in said


def test_a_user_who_agrees_gets_a_large_archive(project, tmp_path):
    dialogue = Silent(answer=True)
    archive = archive_of(project, tmp_path / "result.zip", dialogue, limit=100)
    assert archive.exists()
    assert len(dialogue.asked) >= 1


class Terminal(io.StringIO):
    """What a person sees and types."""

    def isatty(self) -> bool:
        """It is one."""
        return True


@pytest.mark.parametrize(("typed", "agrees"), [("y\n", True), ("Yes\n", True), ("\n", False), ("", False)])
def test_a_person_at_a_terminal_is_asked(monkeypatch, typed, agrees):
    shown = Terminal()
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    monkeypatch.setattr("sys.stderr", shown)
    assert OnTerminal().agrees_to(3_200_000_000) is agrees
    assert shown.getvalue() == "The archive takes 3.2GB. Write it? [y/N] "


def test_without_a_terminal_nobody_is_asked(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert not OnTerminal().agrees_to(3_200_000_000)


def test_the_size_is_asked_for_before_any_data_is_read(project, tmp_path):
    shutil.rmtree(project / ".dvc/cache")
    assert "the limit is 10B" in refused(project, tmp_path, limit=10)


@pytest.mark.parametrize(
    ("files", "options", "reason"),
    [
        ({".gitattributes": "*.bin filter=lfs\n"}, {}, "an archive cannot hold files of Git LFS yet"),
        ({".gitmodules": "[submodule]\n"}, {}, "an archive cannot hold submodules yet"),
        ({"requirements.lock": "numpy==2.0\n"}, {"wheels": True}, "no requirements.lock with hashes"),
        ({"uv.lock": ""}, {"wheels": True}, "no requirements.lock with hashes, and is built from uv.lock"),
        ({"params.yaml": "copy: {by: 3}\n"}, {}, "are not of its files"),
    ],
)
def test_what_an_archive_cannot_hold_is_refused(project, tmp_path, files, options, reason):
    committed(project, files)
    assert reason in refused(project, tmp_path, **options)


def test_the_readme_of_a_project_without_locks_rebuilds_by_dvc(archive):
    readme = contents(archive)["README.md"].decode()
    assert "dvc pull --remote archive data/raw.txt && dvc repro\n```" in readme


def test_the_commands_of_the_readme_want_no_data_that_no_stage_reads(project, tmp_path):
    """DVC pulls what it is told to by name, and with all pipelines it asks for all data."""
    write(project, {"unread.txt": "unread", **{f"data/{n}.txt": str(n) for n in range(12)}})
    dependencies = [f"../data/{n}.txt" for n in range(12)]
    stage = {"cmd": "cat ../data/*.txt > all.txt", "deps": dependencies, "outs": ["all.txt"]}
    write(project, {"sub/dvc.yaml": yaml.safe_dump({"stages": {"join": stage}})})
    with tiny_dvc.dvc(project) as repo:
        repo.add(["unread.txt", *(f"data/{n}.txt" for n in range(12))])
        repo.reproduce(all_pipelines=True)
    tiny_dvc.commit(project)
    archive = archive_of(project, tmp_path / "result.zip")
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path / "result")
    git(tmp_path, "clone", "--quiet", "result/repository.bundle", "result/project")
    (line,) = (line for line in contents(archive)["README.md"].decode().splitlines() if "dvc pull" in line)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path / "result/project", env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert git(tmp_path / "result/project", "status", "--short") == ""


@pytest.mark.parametrize(
    ("pipeline", "reason"),
    [
        ("stages:\n  say:\n    cmd: echo hi\n", "records no results to archive; `dvc repro`, then commit"),
        ("", "records no results to archive; it has no stages"),
    ],
)
def test_a_commit_without_results_is_refused(project, tmp_path, pipeline, reason):
    (project / "dvc.lock").unlink()
    committed(project, {"dvc.yaml": pipeline})
    assert reason in refused(project, tmp_path)


@pytest.mark.parametrize("tools", ["locatable==0.2.0 \\\n    --hash=sha256:11\n", "# no tools\n"])
def test_the_readme_of_a_project_with_locks_proves_where_they_have_the_tools(project, tmp_path, tools):
    lock = "numpy==2.0 \\\n    --hash=sha256:00\n"
    record = '{"python": "3.12.1"}\n'
    committed(project, {"requirements.lock": lock, "tools.lock": tools, "environment.json": record})
    readme = contents(archive_of(project, tmp_path / "result.zip"))["README.md"].decode()
    install = "pip install --require-hashes -r requirements.lock -r tools.lock"
    assert f"\npython3.12 -m venv .venv && . .venv/bin/activate && {install}\n" in readme
    assert ("\nlocatable reproduce ../../result.zip\n" in readme) == tools.startswith("locatable")


@pytest.mark.parametrize(
    ("lock", "tool", "command"),
    [
        (
            "conda-lock.yml",
            "micromamba",
            "micromamba create --yes --quiet --prefix .venv --file conda-lock.yml",
        ),
        ("uv.lock", "uv", "uv sync --frozen --project ."),
        ("pylock.toml", "uv", "uv pip sync pylock.toml"),
        ("pixi.lock", "pixi", "(cd . && pixi install --frozen)"),
    ],
)
def test_the_readme_of_a_project_installs_its_lock_with_the_tool_of_the_lock(
    project, tmp_path, lock, tool, command
):
    committed(project, {lock: "version: 1\n"})
    members = contents(archive_of(project, tmp_path / "result.zip"))
    readme = members["README.md"].decode()
    assert f"\nYou need Git, Python, DVC and {tool}." in readme
    assert f"\n{command}\n" in readme
    assert "locks no packages" not in readme
    assert members[f"files/{lock}"] == b"version: 1\n"


def test_data_that_is_nowhere_is_named(project, tmp_path):
    shutil.rmtree(project / ".dvc/cache")
    assert "data/raw.txt (md5 " in refused(project, tmp_path)


def test_a_shallow_clone_is_refused_with_what_to_do(project, tmp_path):
    committed(project, {"notes.md": "one commit more\n"})
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{project}", "shallow")
    assert "this clone is shallow: `git fetch --unshallow`" in refused(tmp_path / "shallow", tmp_path)


def test_hooks_that_a_user_has_everywhere_do_not_stop_it(project, tmp_path, monkeypatch):
    hook = tmp_path / "hooks/reference-transaction"
    write(tmp_path, {"hooks/reference-transaction": "#!/bin/sh\nexit 1\n"})
    hook.chmod(0o755)
    write(tmp_path, {"gitconfig": f"[core]\nhooksPath = {hook.parent}\n"})
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    assert archive_of(project, tmp_path / "result.zip").is_file()


def test_a_full_disk_leaves_what_was_there(project, tmp_path, monkeypatch):
    target = tmp_path / "result.zip"
    target.write_text("of yesterday")

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ProjectError, match="No space left on device"):
        archive_of(project, target)
    assert target.read_text() == "of yesterday"
    assert list(tmp_path.glob("*.part")) + list(tmp_path.glob(".*.part")) == []


def test_ctrl_c_leaves_nothing_half_written(project, tmp_path):
    class Interrupted(Silent):
        """A user who presses Ctrl-C while the archive is written."""

        @contextlib.contextmanager
        def progress(self, size):
            def stop(number: int) -> None:
                raise KeyboardInterrupt

            yield stop

    before = sorted(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        archive_of(project, tmp_path / "result.zip", Interrupted())
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_is_not_there_is_a_wrong_target(project, tmp_path):
    with pytest.raises(UsageError, match="is a file in a folder that exists"):
        archive_of(project, tmp_path / "no/result.zip")


@pytest.mark.parametrize(("text", "size"), [("500MB", 500_000_000), ("1.5 gb", 1_500_000_000), ("10", 10)])
def test_sizes_as_people_write_them(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1GB", "1XB"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UsageError, match="a size is a number with KB, MB, GB or TB"):
        parse_size(text)


@pytest.mark.parametrize("size", [3, 4_200, 1_300_000, 2_500_000_000])
def test_a_size_that_is_shown_can_be_typed(size):
    assert parse_size(show_size(size)) == size


CITATION = """
cff-version: 1.2.0
message: Cite it.
title: Counting lines
authors:
  - {family-names: Holst, name-particle: von, given-names: Ada, affiliation: A. University,
     orcid: "https://orcid.org/0000-0002-1825-0097"}
  - name: The Counters
license: Apache-2.0
keywords: [lines]
preferred-citation:
  {type: article, title: On lines, doi: 10.1234/lines.5, authors: [{family-names: Holst}],
   date-published: "2026-01-31"}
references:
  - {type: software, title: wc, url: "https://example.org/wc", authors: [{name: People}]}
"""


def test_metadata_for_zenodo_and_the_citation_are_those_of_the_project_s_citation_cff(project, tmp_path):
    committed(project, {"CITATION.cff": CITATION})
    members = contents(archive_of(project, tmp_path / "result.zip"))
    rev = git(project, "rev-parse", "HEAD")
    date = git(project, "log", "-1", "--format=%cd", "--date=format-local:%Y-%m-%d")
    zenodo = json.loads(members[".zenodo.json"])
    assert zenodo.pop("description").startswith("<p>Counts.</p><p>Commit ")
    assert zenodo == {
        "upload_type": "dataset",
        "title": f"Counting lines: commit {rev[:7]}",
        "creators": [
            {"name": "von Holst, Ada", "affiliation": "A. University", "orcid": "0000-0002-1825-0097"},
            {"name": "The Counters"},
        ],
        "publication_date": date,
        "version": rev,
        "access_right": "open",
        "license": "apache-2.0",
        "keywords": ["lines"],
        "related_identifiers": [
            {"identifier": "10.1234/lines.5", "relation": "isSupplementTo"},
            {"identifier": "https://example.org/wc", "relation": "references"},
        ],
    }
    cited = yaml.safe_load(members["CITATION.cff"])
    source = yaml.safe_load(CITATION)
    assert cited == {
        "cff-version": "1.2.0",
        "message": "If you use this result, please cite it as below.",
        "type": "dataset",
        "title": zenodo["title"],
        "authors": source["authors"],
        "version": rev,
        "date-released": date,
        "license": "Apache-2.0",
        "keywords": ["lines"],
        "references": [source["preferred-citation"], *source["references"]],
    }


@pytest.mark.parametrize(
    ("pyproject", "author", "licence"),
    [
        ('[project]\nname = "p"\nauthors = [{name = "Ada"}]\nlicense = "MIT"\n', "Ada", ("open", "mit")),
        ('[project]\nname = "p"\n', "Ada of Git", ("closed", None)),  # Zenodo would choose a licence
    ],
)
def test_without_a_citation_cff_the_metadata_are_those_of_pyproject_or_of_the_commit(
    project, tmp_path, monkeypatch, pyproject, author, licence
):
    write(project, {"pyproject.toml": pyproject})
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "-m", "Next", "--author=Ada of Git <ada@example.org>")
    zenodo = json.loads(contents(archive_of(project, tmp_path / "result.zip"))[".zenodo.json"])
    assert [creator["name"] for creator in zenodo["creators"]] == [author]
    assert (zenodo["access_right"], zenodo.get("license")) == licence


class Zenodo(BaseHTTPRequestHandler):
    """Answers as Zenodo's API does, and remembers what it was sent."""

    sent: ClassVar[list[tuple[str, str, bytes]]] = []

    def answer(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.sent.append((f"{self.command} {self.path}", self.headers["Authorization"], content))
        host, port = self.server.server_address[:2]
        bucket = f"http://{host}:{port}/api/files/b"
        body = json.dumps({"id": 1, "links": {"self": "x", "bucket": bucket, "publish": "y"}}).encode()
        self.send_response(201)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = answer  # noqa: N815 (names of the library)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def test_the_page_s_commands_make_a_draft_of_the_archive(archive, tmp_path):
    page = (Path(__file__).parents[2] / "docs/how-to/archive.md").read_text()
    commands = re.search(r"```console\n(printf .*?)^```$", page, re.MULTILINE | re.DOTALL)[1]
    shutil.copy(archive, tmp_path / "result.zip")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Zenodo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        variables = {"ZENODO_TOKEN": "secret", "zenodo": f"http://127.0.0.1:{server.server_port}"}
        environment = {**os.environ, **variables, "no_proxy": "127.0.0.1"}
        subprocess.run(["bash", "-ec", commands], cwd=tmp_path, env=environment, check=True)
    finally:
        server.shutdown()
        server.server_close()
    (draft, token, metadata), (upload, _, uploaded) = Zenodo.sent
    assert (draft, token) == ("POST /api/deposit/depositions", "Bearer secret")
    assert json.loads(metadata) == {"metadata": json.loads(contents(archive)[".zenodo.json"])}
    assert (upload, uploaded) == ("PUT /api/files/b/result.zip", archive.read_bytes())
