"""A network of two machines that share folders, and a search to run on them.

Each has an address, a name, processes, temporary files and shared memory of its own. It needs root.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import tiny_dvc
from searching import experiments, kept
from small_search import PIPELINE, SEARCH
from tiny_git import git, write

SOURCES = Path(__file__).parents[2] / "src"
NODES = ("n1", "n2")
TRIALS = 12
# Notes when each trial begins and ends, and on which node.
TRAIN = """\
import json, os, platform, time
import yaml
train = yaml.safe_load(open("params.yaml"))["train"]
def note(event):
    with open(train["log"], "a") as file:
        file.write(json.dumps([event, platform.node(), train["x"]]) + "\\n")
note("begin")
time.sleep(train["seconds"])
json.dump({"valid": {"loss": train["x"]}}, open("metrics.json", "w"))
note("end")
"""
# Folders that are not temporary are shared.
NODE = """\
hostname n{number}
mount --bind {shared}/hosts /etc/hosts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /var/tmp
"""


def can_have_nodes(*programs: str) -> bool:
    """Return whether this machine lets us make a network, and has some programs."""
    return os.geteuid() == 0 and all(map(shutil.which, ("ip", *programs)))


def make_network(shared: Path, stack: ExitStack) -> None:
    """Join two networks, 10.77.0.1 and 10.77.0.2, by a bridge; name their nodes in a file."""
    (shared / "hosts").write_text("127.0.0.1 localhost\n10.77.0.1 n1\n10.77.0.2 n2\n")

    def ip(*arguments: str) -> None:
        subprocess.run(("ip", *arguments), check=True)

    ip("link", "add", "joint", "type", "bridge")
    stack.callback(ip, "link", "delete", "joint")
    ip("addr", "add", "10.77.0.254/24", "dev", "joint")
    ip("link", "set", "joint", "up")
    for number in (1, 2):
        network = f"joint{number}"
        ip("netns", "add", network)
        stack.callback(ip, "netns", "delete", network)
        ip("link", "add", network, "type", "veth", "peer", "name", "eth0", "netns", network)
        ip("link", "set", network, "master", "joint", "up")
        ip("-n", network, "addr", "add", f"10.77.0.{number}/24", "dev", "eth0")
        ip("-n", network, "link", "set", "eth0", "up")
        ip("-n", network, "link", "set", "lo", "up")
        ip("-n", network, "route", "add", "default", "via", "10.77.0.254")


def on_node(number: int, shared: Path, script: str) -> tuple[str, ...]:
    """Return the command that runs a script on a machine of its own: when it ends, the machine is gone."""
    # By `nsenter`: `ip netns exec` would hide the control groups, which slurmd looks at.
    own = ("nsenter", f"--net=/run/netns/joint{number}", "unshare", "--mount", "--uts", "--pid")
    script = NODE.format(number=number, shared=shared) + script
    return (*own, "--fork", "--kill-child", "--mount-proc", "sh", "-ec", script)


def start(
    log: Path, command: tuple[str, ...], env: dict[str, str], stack: ExitStack
) -> subprocess.Popen[bytes]:
    """Start a program, which is killed at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=env, stdout=output, stderr=output, start_new_session=True)
    stack.callback(process.wait)
    stack.callback(kill, process)
    return process


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a program at once; of a node, that ends all that runs on it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def make_project(shared: Path, name: str, seconds: float) -> Path:
    """Return a project on the shared folder, pushed to its remotes, whose trials take so many seconds."""
    root = shared / name
    tiny_dvc.init(root)
    # What workers on other machines sign commits with.
    git(root, "config", "user.name", "Ada")
    git(root, "config", "user.email", "ada@example.org")
    space = {"train.x": {"type": "int", "low": 1, "high": TRIALS}}
    sampler = {"name": "GridSampler", "search_space": {"train.x": list(range(1, TRIALS + 1))}}
    train = {"x": 0, "seconds": seconds, "log": str(shared / f"{name}.log")}
    files = {
        "params.yaml": json.dumps({"train": train}),
        "search.yaml": json.dumps({**SEARCH, "space": space, "sampler": sampler}),
        "dvc.yaml": PIPELINE,
        "train.py": TRAIN,
        ".gitignore": "/optuna.db*\n/.venv\n/slurm-*\n__pycache__\n",
    }
    write(root, files)
    with tiny_dvc.dvc(root) as repo:
        with repo.config.edit("repo") as settings:
            settings["core"]["remote"] = "shared"
            settings["remote"] = {"shared": {"url": str(shared / f"{name}-data")}}
        repo.reproduce()
    tiny_dvc.commit(root)
    git(root, "init", "--quiet", "--bare", str(shared / f"{name}.git"))
    git(root, "remote", "add", "origin", str(shared / f"{name}.git"))
    git(root, "push", "--quiet", "origin", "HEAD:main")
    git(root, "fetch", "--quiet", "origin")
    (shared / f"{name}.log").write_text("")
    activate(root)
    return root


def activate(root: Path) -> None:
    """Write the script that has the environment of this test in PATH, and `locatable` with it."""
    programs = root / ".venv/bin"
    programs.mkdir(parents=True)
    modules = {"locatable": "-m locatable", "ray": "-m ray.scripts.scripts", "dvc": "-m dvc", "python": ""}
    for name, module in modules.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} -P {module} "$@"\n')
        (programs / name).chmod(0o755)
    (programs / "activate").write_text(f"export PATH={programs}:$PATH PYTHONPATH={SOURCES}\n")


def noted(root: Path) -> list[tuple[str, str, int]]:
    """Return event, node and param of all that trials noted."""
    lines = root.with_suffix(".log").read_text().splitlines()
    return [(event, node, x) for event, node, x in map(json.loads, lines)]


def values(root: Path) -> list[int]:
    """Return the param of each experiment."""
    revs = experiments(root).values()
    return sorted(kept(root, rev, "params.yaml")["train"]["x"] for rev in revs)
