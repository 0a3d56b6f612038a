# /// script
# dependencies = ["ray[client,default]==2.60.0"]
# [tool.joint]
# question = "Optimisation"
# tool = "SLURM"
# joint = "examples/orchestrators/slurm_search.sbatch"
# ///
"""A search on a SLURM cluster of two nodes: a node dies, and no trial is lost or runs twice.

slurmctld and munged run here, and a slurmd on each node of a network.
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
def cluster() -> Iterator[Cluster]:
    """Two nodes, each with room for one trial."""
    # Not among temporary files, which nodes do not share.
    folder = Path(f"/var/lib/slurm-joint-{os.getpid()}")
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for name in ("munge", "state", "spool/n1", "spool/n2"):
            (folder / name).mkdir(parents=True)
        env = {
            **os.environ,
            **IDENTITY,
            "SLURM_CONF": str(folder / "slurm.conf"),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        configuration = CONFIGURATION.format(host=os.uname().nodename, folder=folder)
        (folder / "slurm.conf").write_text(configuration)
        make_network(folder, stack)
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
