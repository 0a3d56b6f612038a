"""A search on a real Ray cluster: nodes that share nothing but Git, S3 and PostgreSQL with the rest.

Each node is a raylet with a home and a temporary folder of its own; with bubblewrap, it sees no other, nor
any test's files. The Git remote is a Git daemon, the DVC remote a server that speaks S3, the study is in
PostgreSQL.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from searching import (
    SERIES,
    SPACE,
    STAGES,
    check_agreement,
    check_left_alone,
    checkout,
    commit,
    experiments,
    kept,
    make,
    start,
    strays,
    write,
)
from servers import (
    alive,
    answers,
    free_port,
    git_daemon,
    kill,
    needs_postgres,
    postgres,
    running,
    s3,
    wait_for,
)
from support import TEMPLATE, generate, run

pytestmark = pytest.mark.long

SEARCH = ("locatable", "search")
RANDOM = {"sampler": {"name": "RandomSampler", "seed": 1}}


@dataclass
class Cluster:
    """A cluster's addresses for searches and for more nodes, and each node's process id and folder."""

    address: str
    joined_at: str
    nodes: list[tuple[int, Path]]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder with a short name: those of sockets may have 107 characters."""
    folder = Path(tempfile.mkdtemp(prefix="ray"))
    yield folder
    shutil.rmtree(folder)


def alone(folder: Path, environment: str) -> tuple[str, ...]:
    """What to put before a command that sees, of temporary files, just this folder and its environment."""
    hide = ("bwrap", "--bind", "/", "/", "--dev-bind", "/dev", "/dev", "--proc", "/proc", "--die-with-parent")
    for shared in {"/dev/shm", "/tmp", tempfile.gettempdir()}:  # noqa: S108 (hidden, not written)
        hide += ("--tmpfs", shared)
    # `locatable` in the environment is a link to the sources.
    for read in (environment, str(TEMPLATE / "src")):
        hide += ("--ro-bind", read, read)
    hide += ("--bind", str(folder), str(folder))
    usable = shutil.which("bwrap") and not subprocess.run((*hide, "true"), check=False).returncode
    return hide if usable else ()


@contextmanager
def node(folder: Path, env: dict[str, str], *options: str) -> Iterator[tuple[int, Path]]:
    """A node with room for one trial; yields its process id and its folder."""
    (folder / "tmp").mkdir(parents=True)
    own = {**env, "HOME": str(folder), "TMPDIR": str(folder / "tmp")}
    common = ("--block", "--num-cpus=1", "--object-store-memory=80000000", "--disable-usage-stats")
    common += ("--node-ip-address=127.0.0.1", "--min-worker-port=0", "--max-worker-port=0")
    command = ("ray", "start", f"--temp-dir={folder}", *common, *options)
    command = (*alone(folder, env["VIRTUAL_ENV"]), *command)
    with running(*command, folder=folder, env=own) as process:
        wait_for(lambda: b"Ray runtime started" in (folder / "log").read_bytes(), 240)
        yield process.pid, folder


@pytest.fixture(scope="module")
def head(place: Path, extras_env: dict[str, str]) -> Iterator[Cluster]:
    """A cluster of one node, which more can join."""
    port, client = free_port(), free_port()
    options = ("--head", f"--port={port}", f"--ray-client-server-port={client}", "--include-dashboard=false")
    with node(place / "node0", extras_env, *options) as begun:
        wait_for(lambda: answers(client))
        yield Cluster(f"ray://127.0.0.1:{client}", f"127.0.0.1:{port}", [begun])


@pytest.fixture(scope="module")
def cluster(head: Cluster, place: Path, extras_env: dict[str, str]) -> Iterator[Cluster]:
    """Three nodes."""
    with ExitStack() as stack:
        for number in (1, 2):
            joined = node(place / f"node{number}", extras_env, f"--address={head.joined_at}")
            head.nodes.append(stack.enter_context(joined))
        yield head


@pytest.fixture(scope="module")
def store(place: Path, bare_env: dict[str, str]) -> Iterator[str]:
    """The address of a server that speaks S3."""
    (place / "s3").mkdir()
    with s3(place / "s3", bare_env) as address:
        yield address


@pytest.fixture(scope="module")
def origin(place: Path, bare_env: dict[str, str]) -> Iterator[tuple[Path, str]]:
    """A folder of bare repositories, and the address of the Git daemon that serves them."""
    (place / "git").mkdir()
    with git_daemon(place / "git", bare_env) as address:
        yield place / "git", address


@pytest.fixture
def user(extras_env: dict[str, str]) -> dict[str, str]:
    """The environment of a user with Ray; nothing that stages need comes from it."""
    return extras_env


@pytest.fixture(scope="module")
def project(shared: Path) -> Path:
    """A project with the locks of the environment; do not change it."""
    return generate(shared / "with-s3", dvc_remote="s3://bucket/path")


def share(folder: Path, env: Mapping[str, str], home: Path, url: str) -> None:
    """Push a repository, and its data, to its remotes; `home` is made, and has this address."""
    run("git", "init", "--quiet", "--bare", "--initial-branch=main", home, cwd=folder, env=env)
    run("git", "remote", "add", "origin", url, cwd=folder, env=env)
    run("git", "push", "--quiet", "--set-upstream", "origin", "main", cwd=folder, env=env)
    run("dvc", "push", "--quiet", cwd=folder, env=env)


def keys(folder: Path, env: Mapping[str, str]) -> None:
    """Give DVC the keys of the S3 server, where Git does not see them."""
    run("dvc", "config", "--local", "core.site_cache_dir", folder.parent / "site", cwd=folder, env=env)
    for key in ("access_key_id", "secret_access_key"):
        run("dvc", "remote", "modify", "--local", "store", key, "testing", cwd=folder, env=env)


@pytest.fixture
def remote(
    tmp_path: Path, project: Path, user: dict[str, str], store: str, origin: tuple[Path, str]
) -> Callable[..., tuple[Path, str]]:
    """Make a small repository with a Git and an S3 remote; returns it and the Git address."""

    def build(search: Mapping[str, Any], **train: Any) -> tuple[Path, str]:
        name = f"{tmp_path.name}.git"
        folder = make(tmp_path / "small" / "repo", project, user, search, **train)
        for lock in ("requirements.lock", "tools.lock"):
            shutil.copy(project / lock, folder)
        shutil.copytree(project / "vendor", folder / "vendor")
        run("dvc", "remote", "add", "--default", "store", f"s3://bucket/{name}", cwd=folder, env=user)
        run("dvc", "remote", "modify", "store", "endpointurl", store, cwd=folder, env=user)
        keys(folder, user)
        commit(folder, user)
        share(folder, user, origin[0] / name, f"{origin[1]}/{name}")
        return folder, f"{origin[1]}/{name}"

    return build


# For every experiment in a single process: its start takes longer than to locate, or rebuild, one of them.
EACH = """
import sys
from locatable.cli import main
command, *names, option = sys.argv[1:]
for name in names:
    assert main([command, name, *option.split()]) == 0, name
"""


def clones(node: Path) -> list[str]:
    """Command lines of all processes of trials on a node."""
    return strays(node / "tmp")


def known(user: Mapping[str, str], study: str, storage: str) -> list[dict[str, Any]]:
    """All trials of a study, read in the environment that has the driver."""
    code = (
        "import json, optuna, sys; study = optuna.load_study(study_name=sys.argv[1], storage=sys.argv[2]); "
        "print(json.dumps([[t.state.name, t.params, len(t.system_attrs.get('retry_history', []))] "
        "for t in study.trials]))"
    )
    return json.loads(run("python", "-c", code, study, storage, cwd=Path.cwd(), env=user).stdout)


@pytest.mark.weekly
def test_a_node_sees_neither_the_project_nor_another_node(
    head: Cluster, shared: Path, project: Path, extras_env: dict[str, str]
) -> None:
    [(pid, folder)] = head.nodes
    if not alone(folder, extras_env["VIRTUAL_ENV"]):
        pytest.skip("bubblewrap is not installed, or not allowed")
    # The first process is bubblewrap itself, outside of what it made.
    (inside,) = psutil.Process(pid).children()
    seen = Path(f"/proc/{inside.pid}/root")
    assert (seen / folder.relative_to("/") / "log").exists()
    (folder.parent / "another").mkdir()
    hidden = [shared / "home", project, folder.parent / "another"]
    assert all(path.exists() for path in hidden)
    assert not any((seen / path.relative_to("/")).exists() for path in hidden)


def trial_runs(client: MlflowClient) -> list[Run]:
    """The runs of trials in a store."""
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    return [one for one in client.search_runs(ids) if re.fullmatch(r"(long|small)-\d+", one.info.run_name)]


@contextmanager
def watched(folder: Path, env: Mapping[str, str], client: MlflowClient) -> Iterator[list[Run]]:
    """What a mirror that watches has shown as running, read again and again."""
    seen: list[Run] = []
    done = threading.Event()

    def read() -> None:
        while not done.wait(0.5):
            seen.extend(one for one in trial_runs(client) if one.info.status == "RUNNING")

    run("locatable", "mirror", "--tracking-uri", client.tracking_uri, cwd=folder, env=env)
    watch = ("locatable", "mirror", "--watch", "--tracking-uri", client.tracking_uri)
    with subprocess.Popen(watch, cwd=folder, env=dict(env)) as watcher, ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        try:
            yield seen
        finally:
            done.set()
            watcher.kill()
    reading.result()


@needs_postgres
@pytest.mark.weekly
def test_a_node_is_lost_and_no_trial(
    cluster: Cluster, remote: Any, user: dict[str, str], tmp_path: Path
) -> None:
    folder, url = remote(RANDOM, seconds=0.5)
    before = checkout(folder)
    pid, victim = cluster.nodes[2]
    client = MlflowClient(f"sqlite:///{tmp_path}/runs.db")
    with postgres() as storage, watched(folder, user, client) as seen:
        options = ("--ray", cluster.address, "--trials", "30", "--storage", storage)
        search = start(folder, user, *options)
        wait_for(lambda: len(experiments(folder)) >= 8 or search.poll() is not None, 180)
        assert search.poll() is None, search.communicate()[0]
        wait_for(lambda: any("train.py" in line for line in clones(victim)), 60)
        kill(pid)
        said, _ = search.communicate(timeout=300)
        assert search.returncode == 0, said
        trials = known(user, "small", storage)
        wait_for(lambda: "RUNNING" not in {one.info.status for one in trial_runs(client)})
    check_left_alone(folder, before, user)
    assert seen
    committed = experiments(folder)
    for one in trial_runs(client):
        assert one.info.status == ("FINISHED" if one.info.run_name in committed else "KILLED")
    states = [state for state, *_ in trials]
    assert states.count("COMPLETE") == len(experiments(folder)) == 30
    # What ran on the node ran once more elsewhere, with the same params.
    again = [params for state, params, times in trials if state == "COMPLETE" and times]
    assert again
    assert again == [params for state, params, _ in trials if state == "FAIL"]
    # The other nodes keep nothing.
    for _, node in cluster.nodes[:2]:
        wait_for(lambda at=node: not clones(at))
        assert list((node / "tmp").glob("search-*")) == []

    # With the two remotes alone, each is located and rebuilt.
    clone = tmp_path / "clone"
    run("git", "clone", "--quiet", url, clone, cwd=tmp_path, env=user)
    keys(clone, user)
    run("dvc", "exp", "pull", "--quiet", "--all-commits", "origin", cwd=clone, env=user)
    found = experiments(clone)
    assert found == experiments(folder)
    located = run("python", "-c", EACH, "locate", *found, "--json", cwd=clone, env=user).stdout
    for name, rev in found.items():
        assert f'"{rev}"' in located, name
        for out in kept(clone, rev, "dvc.lock")["stages"]["train"]["outs"]:
            if out["path"] == "model.bin":
                content = (clone / ".dvc/cache/files/md5" / out["md5"][:2] / out["md5"][2:]).read_bytes()
                assert hashlib.md5(content, usedforsecurity=False).hexdigest() == out["md5"]
    name = max(found)
    run("dvc", "exp", "apply", name, cwd=clone, env=user)
    run("dvc", "pull", "--quiet", cwd=clone, env=user)
    assert "up to date" in run("dvc", "repro", cwd=clone, env=user).stdout
    run("git", "checkout", "--quiet", "--force", "HEAD", cwd=clone, env=user)
    said = run("python", "-c", EACH, "reproduce", *found, "--env current", cwd=clone, env=user).stdout
    assert said.count("4 of 4 outputs rebuilt as recorded, 0 findings") == 30


@pytest.mark.weekly
def test_a_search_is_lost_and_a_colleague_goes_on(
    cluster: Cluster, remote: Any, user: dict[str, str], tmp_path: Path
) -> None:
    folder, url = remote(RANDOM, seconds=0.5)
    options = ("--ray", cluster.address)
    search = start(folder, user, *options, "--trials", "30")
    wait_for(lambda: len(experiments(folder)) >= 2 or search.poll() is not None, 180)
    kill(search.pid)
    said, _ = search.communicate()
    assert search.returncode == -signal.SIGKILL, said
    # Its workers end by themselves.
    for _, node in cluster.nodes:
        wait_for(lambda at=node: not clones(at))

    colleague = tmp_path / "colleague"
    run("git", "clone", "--quiet", url, colleague, cwd=tmp_path, env=user)
    keys(colleague, user)
    found = experiments(folder)
    wanted = len(found) + 4
    more = ("--trials", str(wanted), "--workers", "1")
    done = run(*SEARCH, *options, *more, cwd=colleague, env=user)
    arrived = re.search(r"(\d+) experiments of the study read from Git", done.stdout)
    assert arrived
    # What the three workers were pushing may have arrived after the search was lost.
    assert int(arrived[1]) >= len(found)
    check_agreement(colleague)
    assert found.items() <= experiments(colleague).items()
    assert len(experiments(colleague)) == wanted


@pytest.mark.weekly
def test_a_stage_that_would_take_ten_minutes_does_not_outlive_its_search(
    cluster: Cluster, remote: Any, user: dict[str, str], tmp_path: Path
) -> None:
    folder, _ = remote(RANDOM, seconds=0.5)
    space = {"train.seconds": {"type": "categorical", "choices": [600.0]}}
    write(folder, {"study": "long", "space": space}, {"seconds": 0.5})
    commit(folder, user)
    run("git", "push", "--quiet", cwd=folder, env=user)
    client = MlflowClient(f"sqlite:///{tmp_path}/runs.db")
    with watched(folder, user, client):
        search = start(folder, user, "--ray", cluster.address, "--trials", "3")
        wait_for(lambda: sum("train.seconds" in one.data.params for one in trial_runs(client)) >= 2, 180)
        kill(search.pid)
        search.communicate()
        wait_for(lambda: {one.info.status for one in trial_runs(client)} == {"KILLED"}, 120)
    for _, node in cluster.nodes:
        wait_for(lambda at=node: not clones(at), 120)
        wait_for(lambda at=node: not list((at / "tmp").glob("search-*")))


@pytest.mark.weekly
def test_pruned_and_failed_trials(head: Cluster, remote: Any, user: dict[str, str], tmp_path: Path) -> None:
    grid = {"train.x": [0.3, 0.95], "train.trouble": ["above", "none"]}
    search = {
        "pruner": {"name": "ThresholdPruner", "upper": 1.2},
        "series": SERIES,
        "sampler": {"name": "GridSampler", "search_space": grid},
        "space": {**SPACE, "train.trouble": {"type": "categorical", "choices": ["above", "none"]}},
    }
    folder, _ = remote(search, steps=8, seconds=1.0, y=0.0)
    before = checkout(folder)
    client = MlflowClient(f"sqlite:///{tmp_path}/runs.db")
    with watched(folder, user, client) as seen:
        done = run(*SEARCH, "--ray", head.address, "--trials", "4", "--workers", "1", cwd=folder, env=user)
        wait_for(lambda: "RUNNING" not in {run.info.status for run in trial_runs(client)})
    found = experiments(folder)
    ended = {one.info.run_name: one for one in trial_runs(client)}
    for name, last in ended.items():
        assert last.data.tags.get("dvc.rev") == found.get(name)
        assert last.info.status == ("FINISHED" if name in found else "KILLED")
    for name in found:
        # Of a node, which shares nothing with this machine: its params, and its series point by point.
        growing = [one.data for one in seen if one.info.run_id == ended[name].info.run_id]
        assert growing[-1].params["train.x"] == "0.3"
        assert len({data.metrics.get("loss") for data in growing}) > 1
    states = {
        (params["train.x"], params["train.trouble"]): state
        for state, params, _ in known(user, "small", f"sqlite:///{folder / 'optuna.db'}")
    }
    assert states == {
        (0.3, "above"): "COMPLETE",
        (0.3, "none"): "COMPLETE",
        (0.95, "none"): "PRUNED",
        (0.95, "above"): "FAIL",
    }
    assert "failed: x = 0.95 does not work" in done.stderr
    assert len(experiments(folder)) == 2
    check_left_alone(folder, before, user)


@pytest.mark.weekly
def test_a_node_that_cannot_begin_is_done_without(
    cluster: Cluster, remote: Any, user: dict[str, str]
) -> None:
    folder, _ = remote(RANDOM, seconds=1.0)
    broken = cluster.nodes[1][1] / ".gitconfig"
    broken.write_text("[broken\n")
    try:
        done = run(*SEARCH, "--ray", cluster.address, "--trials", "4", cwd=folder, env=user)
    finally:
        broken.unlink()
    assert "a worker cannot start and is left out: git clone: fatal: bad config line 1" in done.stderr
    check_agreement(folder)
    assert len(experiments(folder)) == 4


@pytest.mark.weekly
def test_a_server_for_this_client_that_crashes_is_asked_for_again(
    cluster: Cluster, remote: Any, user: dict[str, str]
) -> None:
    folder, _ = remote(RANDOM)
    search = start(folder, user, "--ray", cluster.address, "--trials", "1")

    def begun() -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            found = psutil.Process(cluster.nodes[0][0]).children(recursive=True)
            return [process for process in found if "--mode=specific-server" in " ".join(process.cmdline())]
        return []

    wait_for(begun, 120)[0].kill()
    said, _ = search.communicate(timeout=300)
    assert search.returncode == 0, said
    check_agreement(folder)
    assert len(experiments(folder)) == 1


@pytest.mark.weekly
def test_the_head_is_lost_and_one_machine_goes_on(
    cluster: Cluster, remote: Any, user: dict[str, str]
) -> None:
    """The last test of this cluster."""
    folder, _ = remote(RANDOM, seconds=1.0)
    before = checkout(folder)
    search = start(folder, user, "--ray", cluster.address, "--trials", "30")
    wait_for(lambda: len(experiments(folder)) >= 2 or search.poll() is not None, 180)
    kill(cluster.nodes[0][0])
    said, _ = search.communicate(timeout=180)
    assert search.returncode == 1, said
    assert said.splitlines()[-1] == "--ray: cluster lost; run the same command with another one to continue"
    assert "Traceback" not in said
    assert f"small: {len(experiments(folder))} complete" in said
    for _, node in cluster.nodes:
        wait_for(lambda at=node: not clones(at), 180)
    found = len(experiments(folder))
    run(*SEARCH, "--trials", str(found + 1), cwd=folder, env=user)
    assert len(experiments(folder)) == found + 1
    check_agreement(folder)
    check_left_alone(folder, before, user)


@pytest.fixture
def local(tmp_path: Path, project: Path, user: dict[str, str]) -> Callable[..., Path]:
    """Make a small repository whose remotes are folders."""

    def build(stages: Mapping[str, Any], **train: Any) -> Path:
        folder = make(tmp_path / "small" / "repo", project, user, RANDOM, **train)
        (folder / "requirements.lock").write_text("")
        if stages:
            (folder / "dvc.yaml").write_text(json.dumps({"stages": {**STAGES["stages"], **stages}}))
        run("dvc", "remote", "add", "--default", "store", tmp_path / "store", cwd=folder, env=user)
        commit(folder, user)
        share(folder, user, tmp_path / "home", "../../home")
        return folder

    return build


def raylets(temporary: Path) -> list[psutil.Process]:
    """Processes of Ray whose temporary folder is this one."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("RAY_TMPDIR") == str(temporary):
                found += [process] if alive(process) else []
        except psutil.Error:
            continue
    return found


def test_a_cluster_for_one_search(local: Any, user: dict[str, str], place: Path) -> None:
    folder = local({}, seconds=1.5)
    before = checkout(folder)
    temporary = place / "local"
    temporary.mkdir()
    own = {**user, "RAY_TMPDIR": str(temporary), "TMPDIR": str(temporary)}
    search = start(folder, own, "--ray", "local", "--trials", "50", "--workers", "1")
    wait_for(lambda: any("train.py" in line for line in strays(temporary)) or search.poll() is not None, 120)
    # As a terminal does it: to the whole process group.
    os.killpg(search.pid, signal.SIGINT)
    said, _ = search.communicate(timeout=120)
    assert search.returncode == 130, said
    assert "run the same command to continue" in said
    assert len(experiments(folder)) == 1
    check_agreement(folder)
    check_left_alone(folder, before, user)
    wait_for(lambda: not raylets(temporary))
    assert list(temporary.glob("search-*")) == []


def lock_of_a_wheel(folder: Path) -> str:
    """Put a wheel with nothing in it into a project's vendor/, and return the lock that pins it."""
    name = "nothing-1.0.dist-info"
    wheel = folder / "vendor/nothing-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}/METADATA", "Metadata-Version: 2.1\nName: nothing\nVersion: 1.0\n")
        archive.writestr(f"{name}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{name}/RECORD", f"{name}/METADATA,,\n{name}/WHEEL,,\n{name}/RECORD,,\n")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f"--find-links vendor\nnothing==1.0 --hash=sha256:{digest}\n"


@pytest.mark.weekly
def test_an_environment_that_is_not_the_locks_is_prepared(
    local: Any, project: Path, user: dict[str, str], tmp_path: Path, place: Path
) -> None:
    stage = {
        "environment": {
            "cmd": "python -m scripts.environment",
            "deps": ["requirements.lock"],
            "outs": [{"environment.json": {"cache": False}}],
            "always_changed": True,
        }
    }
    folder = local(stage)
    for name in ("scripts", "tumour_classifier"):
        shutil.copytree(project / name, folder / name)
    (tmp_path / "in").write_text("iniconfig==2.0.0\n")
    pinned = ("pip", "compile", "--quiet", "--generate-hashes", "--no-header", "--no-emit-index-url")
    lock = run(sys.executable, "-m", "uv", *pinned, tmp_path / "in", cwd=folder, env=user).stdout
    (folder / "requirements.lock").write_text(lock)
    (folder / "tools.lock").write_text(lock_of_a_wheel(folder))
    run("dvc", "repro", "--quiet", cwd=folder, env=user)
    commit(folder, user)
    run("git", "push", "--quiet", cwd=folder, env=user)
    assert json.loads((folder / "environment.json").read_text())["drift"]
    temporary = place / "prepared"
    temporary.mkdir()
    own = {**user, "RAY_TMPDIR": str(temporary), "TMPDIR": str(temporary)}
    run(*SEARCH, "--ray", "local", "--trials", "2", "--workers", "1", cwd=folder, env=own)
    assert len(experiments(folder)) == 2
    for rev in experiments(folder).values():
        assert kept(folder, rev, "environment.json")["drift"] == {}
    assert not raylets(temporary)


def one_line(folder: Path, env: Mapping[str, str], *options: str) -> str:
    """What a search says that cannot begin."""
    failed = run(*SEARCH, *options, cwd=folder, env=env, code=1, timeout=120)
    assert failed.stdout == ""
    assert failed.stderr.count("\n") == 1, failed.stderr
    assert not (folder / "optuna.db").exists()
    return failed.stderr


def test_what_stands_in_the_way_is_one_line(local: Any, user: dict[str, str], env: dict[str, str]) -> None:
    folder = local({})
    address = f"ray://127.0.0.1:{free_port()}"
    assert one_line(folder, user, "--ray", address) == f"--ray {address}: Connection refused\n"
    missing = one_line(folder, env, "--ray", "local")
    assert missing == "locatable search needs Ray: pip install 'locatable[ray]'\n"
    (folder / "more.txt").write_text("more")
    run("dvc", "add", "--quiet", "more.txt", cwd=folder, env=user)
    commit(folder, user)
    assert one_line(folder, user, "--ray", "local") == "HEAD is not on origin: git push\n"
    run("git", "push", "--quiet", cwd=folder, env=user)
    assert one_line(folder, user, "--ray", "local") == "not on the DVC remote: more.txt: dvc push\n"
    run("dvc", "push", "--quiet", cwd=folder, env=user)
    run("git", "remote", "remove", "origin", cwd=folder, env=user)
    assert "no Git remote origin" in one_line(folder, user, "--ray", "local")
    run("git", "remote", "add", "origin", "/nowhere", cwd=folder, env=user)
    assert "HEAD is not on origin" in one_line(folder, user, "--ray", "local")
