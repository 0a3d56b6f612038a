# /// script
# dependencies = ["ray[client,default]==2.60.0"]
# [tool.joint]
# question = "Optimisation"
# tool = "SLURM"
# joint = "examples/orchestrators/slurm_search.sbatch"
# ///
"""A search on a SLURM cluster of two nodes: a node dies, and no trial is lost or runs twice.

slurmctld and munged run here, and a slurmd on each node of a network. Without SLURM, Ray is started by SSH.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from nodes import (
    NODES,
    TRIALS,
    can_have_nodes,
    kill,
    make_network,
    make_project,
    noted,
    on_node,
    start,
    values,
)
from searching import trials
from servers import wait_for
from tiny_git import IDENTITY

SCRIPT = Path(__file__).parents[2] / "examples/orchestrators/slurm_search.sbatch"
CONFIGURATION = """\
ClusterName=lab
SlurmctldHost={host}(10.77.0.254)
SlurmUser=root
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SlurmdParameters=config_overrides
SlurmdTimeout=10
ReturnToService=2
MpiDefault=none
MinJobAge=3600
NodeName=n1 NodeAddr=10.77.0.1 CPUs=1
NodeName=n2 NodeAddr=10.77.0.2 CPUs=1
PartitionName=lab Nodes=n1,n2 Default=YES State=UP
"""
pytestmark = pytest.mark.skipif(
    not can_have_nodes("slurmctld", "slurmd", "munged"),
    reason="needs root, slurm-wlm, munge and iproute2",
)


@dataclass
class Cluster:
    """A cluster: the folder that its nodes share, its variables, and the process of each node."""

    folder: Path
    env: dict[str, str]
    nodes: dict[str, subprocess.Popen[bytes]]

    def ask(self, *command: str) -> str:
        """Return what a command of SLURM's prints."""
        return subprocess.run(
            command, cwd=self.folder, env=self.env, check=True, capture_output=True, text=True
        ).stdout


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    """A folder that the two nodes of a network share."""
    # Not among temporary files, which nodes do not share.
    folder = Path(f"/var/lib/slurm-joint-{os.getpid()}")
    folder.mkdir()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        make_network(folder, stack)
        yield folder


@pytest.fixture(scope="module")
def cluster(shared: Path) -> Iterator[Cluster]:
    """Two nodes of SLURM, each with room for one trial."""
    folder = shared
    with ExitStack() as stack:
        for name in ("munge", "state", "spool/n1", "spool/n2"):
            (folder / name).mkdir(parents=True)
        env = {**os.environ, **IDENTITY, "SLURM_CONF": str(folder / "slurm.conf")}
        configuration = CONFIGURATION.format(host=os.uname().nodename, folder=folder)
        (folder / "slurm.conf").write_text(configuration)
        start_munge(folder, stack)
        start(folder / "slurmctld.log", ("slurmctld", "-D"), env, stack)
        nodes = {}
        for number, name in enumerate(NODES, start=1):
            command = on_node(number, folder, f"exec slurmd -D -N {name}")
            nodes[name] = start(folder / f"{name}.log", command, env, stack)
        found = Cluster(folder, env, nodes)
        wait_for(lambda: found.ask("sinfo", "--noheader", "--format=%D %T").strip() == "2 idle", 60)
        yield found


def start_munge(folder: Path, stack: ExitStack) -> None:
    """Start the service by which SLURM's programs trust each other."""
    place = folder / "munge"
    (place / "key").write_bytes(os.urandom(1024))
    (place / "key").chmod(0o400)
    place.chmod(0o711)
    files = [
        f"--{name}={place / name}" for name in ("key-file", "socket", "log-file", "pid-file", "seed-file")
    ]
    files[0] = f"--key-file={place / 'key'}"
    start(place / "log", ("munged", "--foreground", "--force", *files), dict(os.environ), stack)
    wait_for(lambda: (place / "socket").exists())


def submit(cluster: Cluster, root: Path, *options: str) -> str:
    """Queue the example, and return the number of its job."""
    command = ("sbatch", "--parsable", f"--chdir={root}", *options, str(SCRIPT), "--trials", str(TRIALS))
    return cluster.ask(*command).strip()


def state(cluster: Cluster, job: str) -> str:
    """Return the state of a job, in SLURM's words."""
    found = re.search(r"JobState=(\w+)", cluster.ask("scontrol", "show", "job", job))
    return found[1] if found else ""


def wait_for_end(cluster: Cluster, root: Path, job: str) -> str:
    """Return the state in which a job ended."""
    ended = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
    wait_for(lambda: state(cluster, job) in ended, 400)
    return state(cluster, job) + ("" if state(cluster, job) == "COMPLETED" else said(root))


def said(root: Path) -> str:
    """Return what jobs of a project printed."""
    return "\n".join(path.read_text(errors="replace")[-3000:] for path in sorted(root.glob("slurm-*")))


@pytest.fixture(scope="module")
def interrupted(cluster: Cluster) -> Path:
    """A search whose allocation ended before it, queued again by itself, and done in the end."""
    root = make_project(cluster.folder, "interrupted", 2)
    job = submit(cluster, root)
    wait_for(lambda: len([one for one in noted(root) if one[0] == "end"]) >= 3, 300)
    cluster.ask("scancel", "--batch", "--signal=USR1", job)
    assert wait_for_end(cluster, root, job) == "COMPLETED"
    return root


def test_both_nodes_run_trials(interrupted: Path) -> None:
    assert {node for _, node, _ in noted(interrupted)} == set(NODES)


def test_a_search_whose_time_is_over_goes_on_in_its_next_allocation(interrupted: Path) -> None:
    assert values(interrupted) == list(range(1, TRIALS + 1))


def test_trials_that_run_when_time_is_over_are_finished(interrupted: Path) -> None:
    begun = [x for event, _, x in noted(interrupted) if event == "begin"]
    assert sorted(begun) == list(range(1, TRIALS + 1))


@pytest.fixture(scope="module")
def maimed(cluster: Cluster, interrupted: Path) -> tuple[Path, list[tuple[str, str, int]]]:
    """A search that lost a node in the middle, and what had been noted until then."""
    root = make_project(cluster.folder, "maimed", 4)
    job = submit(cluster, root)

    def is_in_the_middle() -> bool:
        done = [node for event, node, _ in noted(root) if event == "end"]
        running = [node for event, node, _ in noted(root) if event == "begin"]
        return len(done) >= 3 and running.count("n2") > done.count("n2")

    wait_for(is_in_the_middle, 300)
    kill(cluster.nodes["n2"])
    before = noted(root)
    assert wait_for_end(cluster, root, job) == "COMPLETED"
    return root, before


def test_no_trial_is_lost_with_a_node(maimed: tuple[Path, list[tuple[str, str, int]]]) -> None:
    assert values(maimed[0]) == list(range(1, TRIALS + 1))


def test_no_trial_is_kept_twice(maimed: tuple[Path, list[tuple[str, str, int]]]) -> None:
    complete = [trial for trial in trials(maimed[0]) if trial.state.name == "COMPLETE"]
    assert sorted(trial.params["train.x"] for trial in complete) == list(range(1, TRIALS + 1))


def test_only_the_trial_of_the_lost_node_runs_again(maimed: tuple[Path, list[tuple[str, str, int]]]) -> None:
    root, before = maimed
    begun = [x for event, _, x in noted(root) if event == "begin"]
    again = {x for x in begun if begun.count(x) > 1}
    on_lost_node = {x for event, node, x in before if (event, node) == ("begin", "n2")}
    finished = {x for event, _, x in before if event == "end"}
    assert again == on_lost_node - finished


# What docs/how-to/cluster.md says, on the first machine.
BY_SSH = """
export HOME={home} RAY_AUTH_MODE=token
cd {root}
. .venv/bin/activate
ray get-auth-token --generate >/dev/null
ray start --head --node-ip-address=10.77.0.1 --port=6379 --num-cpus=1 --include-dashboard=false
ssh='ssh -i {key} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null root@n2'
$ssh 'mkdir -p {other}/.ray && cat >{other}/.ray/auth_token' <~/.ray/auth_token
$ssh 'export HOME={other} RAY_AUTH_MODE=token; . {root}/.venv/bin/activate;
    ray start --address=10.77.0.1:6379 --num-cpus=1'
locatable search --ray auto --trials {trials}
"""
SSHD = """
AuthorizedKeysFile {key}.pub
HostKey {host_key}
PermitRootLogin yes
StrictModes no
PidFile none
UsePAM no
"""


@pytest.mark.skipif(not can_have_nodes("sshd"), reason="needs root, openssh-server and iproute2")
def test_a_cluster_that_was_started_by_ssh_runs_trials_on_both_machines(shared: Path) -> None:
    root = make_project(shared, "by-ssh", 2)
    key, host_key = shared / "key", shared / "host_key"
    for file in (key, host_key):
        subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file), check=True)
    (shared / "sshd_config").write_text(SSHD.format(key=key, host_key=host_key))
    homes = {"home": shared / "home1", "other": shared / "home2"}
    for home in homes.values():
        home.mkdir()
    server = f"mkdir -p /run/sshd; exec $(command -v sshd) -D -e -f {shared}/sshd_config"
    commands = BY_SSH.format(root=root, key=key, trials=TRIALS, **homes)
    env = {**os.environ, **IDENTITY}
    with ExitStack() as stack:
        start(shared / "sshd.log", on_node(2, shared, server), env, stack)
        search = start(shared / "by-ssh.out", on_node(1, shared, commands), env, stack)
        assert search.wait(400) == 0, (shared / "by-ssh.out").read_text()
    assert values(root) == list(range(1, TRIALS + 1))
    assert {node for _, node, _ in noted(root)} == set(NODES)
