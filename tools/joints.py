"""Run the joints with other tools, each in a separate environment, and print the results: `make joints`.

    python -m tools.joints [NAME ...]

A joint is a test module `tests/joints/test_NAME.py`. Its inline script metadata (PEP 723) names the tool and
the packages that it needs; uv adds them to those of `.venv`. docs/ecosystem.md has a row for each joint.
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
# The regular expression of PEP 723.
METADATA = re.compile(r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
# Time limits in seconds, for all joints and for a single one.
MOST_TIME = 45 * 60
MOST_TIME_FOR_ONE = 20 * 60


@dataclass(frozen=True)
class Joint:
    """A joint with another tool.

    Attributes:
        path: the test module.
        question: the question that the tool answers; a heading in docs/ecosystem.md.
        tool: the name of the tool.
        joint: the path in this repository of the code that connects the tool.
        small: true if it needs no large packages, so that `make test` runs it too.
        dependencies: the pinned packages to install for it, starting with the tool itself.
    """

    path: Path
    question: str
    tool: str
    joint: str
    small: bool
    dependencies: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the joint for `make joints`."""
        return self.path.stem.removeprefix("test_")

    @property
    def version(self) -> str:
        """The tool and its version, or an empty string if it is not a Python package."""
        return self.dependencies[0].replace("==", " ") if self.dependencies else ""


def read_joint(path: Path) -> Joint:
    """Read a joint from the metadata of its module.

    Raises:
        ValueError: the module has no metadata.
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
    """Return all joints, sorted by name."""
    return [read_joint(path) for path in sorted(folder.glob("test_*.py"))]


def run(joint: Joint, limit: float) -> str:
    """Run a joint for at most `limit` seconds, and return its result as text."""
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
    """Return pytest's counts of tests, or the reason why no test ran."""
    counts = re.findall(r"^((?:\d+ \w+(?:, )?)+) in [\d.]+s", stdout, re.MULTILINE)
    if counts:
        return re.sub(r", \d+ warnings?", "", str(counts[-1]))
    lines = stderr.strip().splitlines() or ["no test ran"]
    return f"failed: {lines[0][:100]}"


def is_good(result: str) -> bool:
    """Return whether tests ran and none of them failed."""
    return "passed" in result and "failed" not in result and "error" not in result


def main() -> int:
    """Run the given joints, or all; return 1 if one did not pass."""
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
        summary = ", ".join(text for text in (result, joint.version) if text)
        print(f"{joint.tool}: {summary} ({time.monotonic() - begin:.0f} s)", flush=True)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
