"""Run joints with other tools, each in an environment of its own, and say what came of it: `make joints`.

    python -m tools.joints [NAME ...]

A joint is a module `tests/joints/test_NAME.py`. Its inline script metadata (PEP 723) says which tool it is
about and which packages that needs; uv adds these to what `.venv` has. docs/ecosystem.md has a row for it.
"""

import argparse
import re
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

TEMPLATE = Path(__file__).parents[1]
FOLDER = TEMPLATE / "tests" / "joints"
# As PEP 723 has it.
METADATA = re.compile(r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
# Seconds, for all of them and for one.
MOST_TIME = 45 * 60
MOST_TIME_FOR_ONE = 20 * 60


@dataclass(frozen=True)
class Joint:
    """A joint with another tool.

    Attributes:
        path: of the module that tests it.
        question: which the tool answers; a heading of the map of tools.
        tool: its name.
        joint: what joins it to us: a path in this repository.
        small: it needs nothing large, and `make test` runs it, too.
        dependencies: what is installed for it, pinned; the tool itself comes first.
    """

    path: Path
    question: str
    tool: str
    joint: str
    small: bool
    dependencies: tuple[str, ...]

    @property
    def name(self) -> str:
        """What `make joints` calls it."""
        return self.path.stem.removeprefix("test_")

    @property
    def version(self) -> str:
        """The tool and its version; empty where it is no Python package."""
        return self.dependencies[0].replace("==", " ") if self.dependencies else ""


def read_joint(path: Path) -> Joint:
    """A joint, from the metadata of its module.

    Raises:
        ValueError: it has none.
    """
    found = METADATA.search(path.read_text())
    if not found:
        raise ValueError(f"{path}: no inline script metadata")
    lines = [line.removeprefix("#").removeprefix(" ") for line in found["content"].splitlines()]
    metadata = tomllib.loads("\n".join(lines))
    table = metadata["tool"]["joint"]
    return Joint(
        path=path,
        question=table["question"],
        tool=table["tool"],
        joint=table["joint"],
        small=table.get("small", False),
        dependencies=tuple(metadata["dependencies"]),
    )


def read_joints(folder: Path = FOLDER) -> list[Joint]:
    """All joints, by name."""
    return [read_joint(path) for path in sorted(folder.glob("test_*.py"))]


def run(joint: Joint, limit: float) -> str:
    """Run a joint for at most `limit` seconds; returns what came of it."""
    environment = ["uv", "run", "--quiet", "--no-project", "--python", sys.executable]
    tests = ["python", "-m", "pytest", "-n", "0", "--quiet", str(joint.path)]
    command = [*environment, "--with-requirements", str(joint.path), *tests]
    try:
        done = subprocess.run(command, cwd=TEMPLATE, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return f"failed: not done after {limit:.0f} s"
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n", flush=True)
    return outcome(done.stdout, done.stderr)


def outcome(stdout: str, stderr: str) -> str:
    """What came of a joint: as pytest counts its tests, or why they did not begin."""
    counts = re.findall(r"^((?:\d+ \w+(?:, )?)+) in [\d.]+s", stdout, re.MULTILINE)
    if counts:
        return re.sub(r", \d+ warnings?", "", str(counts[-1]))
    lines = stderr.strip().splitlines() or ["no test ran"]
    return f"failed: {lines[0][:100]}"


def is_good(result: str) -> bool:
    """Whether tests ran and none failed."""
    return "passed" in result and "failed" not in result and "error" not in result


def main() -> int:
    """Run the joints that were asked for, or all; the exit code is 1 where one did not pass."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    joints = {joint.name: joint for joint in read_joints()}
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all by default: {', '.join(joints)}")
    names = parser.parse_args().names or list(joints)
    unknown = sorted(set(names) - set(joints))
    if unknown:
        parser.error(f"no joint {', '.join(unknown)}; there are {', '.join(joints)}")
    deadline = time.monotonic() + MOST_TIME
    passed = True
    for name in names:
        joint = joints[name]
        begin = time.monotonic()
        if begin > deadline:
            print(f"{joint.tool}: not run, no time was left", flush=True)
            passed = False
            continue
        result = run(joint, min(MOST_TIME_FOR_ONE, deadline - begin))
        passed = passed and is_good(result)
        said = ", ".join(text for text in (result, joint.version) if text)
        print(f"{joint.tool}: {said} ({time.monotonic() - begin:.0f} s)", flush=True)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
