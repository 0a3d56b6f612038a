"""Measure the reading of many versions of a large dvc.lock: `python -m bench.locks [NUMBER]`.

It creates a repository with NUMBER commits (default: 1,000), each with a dvc.lock of 1 MB in which one stage
of ten has changed. The stages have everything that DVC writes: multi-line commands, long paths, executables,
folders, cloud versions, and params of all types.
"""

import hashlib
import json
import re
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

from dvc.utils.serialize import dumps_yaml

from bench.scale import measured, row
from bench.synthetic import git

STAGES = 120
FILES = 52  # dependencies of each stage, which makes a lock of 1 MB
CLOUD = {"remote": {"etag": "1e5", "version_id": "0123"}}
SPECIAL: list[dict[str, Any]] = [
    {"size": 1},
    {"size": 1, "isexec": True},
    {"size": 1, "cloud": CLOUD},
    {"size": 1, "remote": "store"},
]
READ = """
import subprocess
from locatable import Reader
revs = subprocess.check_output(('git', 'rev-list', 'HEAD'), text=True).split()
with Reader('.') as reader:
    print(sum(len(snapshot.records) for snapshot in reader.snapshots(revs)))
"""


def main() -> None:
    """Measure, and print the CPU seconds and the memory in MB."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    stages = [stage_text(index) for index in range(STAGES)]
    with tempfile.TemporaryDirectory() as name:
        project = Path(name)
        git(project, "init", "--quiet", "--initial-branch=main")
        script = "commit refs/heads/main\ncommitter Ada <ada@example.org> {time} +0000\ndata 1\nx\n"
        script += "M 100644 inline .dvc/config\ndata 0\nM 100644 inline dvc.lock\ndata {size}\n{lock}\n"
        for version in range(number):
            for index in range(version % 10, STAGES, 10):
                stages[index] = with_new_hashes(stages[index])
            lock = "schema: '2.0'\nstages:\n" + "".join(stages)
            commit = script.format(time=1_700_000_000 + version, size=len(lock), lock=lock)
            if version:
                commit = commit.replace("\nx\n", "\nx\nfrom refs/heads/main^0\n", 1)
            git(project, "fast-import", "--quiet", stdin=commit)
        seconds, peak = measured(READ.strip(), project)
        row(f"{number} versions of a lock of {len(lock) / 1e6:.1f} MB", seconds)
        row("  memory: MB", peak)


def stage_text(index: int) -> str:
    """Return a stage of a lock as DVC writes it."""
    deps = []
    for number in range(FILES):
        path = f"data/{index}/{'deep/' * (number % 3) * 6}{number}.csv"
        md5 = hashlib.md5(path.encode(), usedforsecurity=False).hexdigest()
        deps.append(
            {"path": path, "hash": "md5", "md5": md5, **SPECIAL[number % 20 if number % 20 < 4 else 0]}
        )
    files = [{"relpath": f"{name}.csv", "md5": "a" * 32, "size": 1, "cloud": CLOUD} for name in "abc"]
    stage = {
        "cmd": f"python -m package.stage_{index} --first={index} \\\n  --second "
        + "--option " * (index % 20),
        "deps": deps,
        "params": {"params.yaml": {"rate": 1e-05, "sizes": [1, 2], "at": "12:30", f"s{index}": {"no": "no"}}},
        "outs": [
            {"path": f"out/{index}", "hash": "md5", "md5": "b" * 32 + ".dir", "size": 5, "nfiles": 2},
            {"path": f"cloud/{index}", "hash": "md5", "files": files},
        ],
    }
    # A copy without shared objects, for which YAML would write aliases.
    plain = json.loads(json.dumps(stage))
    return textwrap.indent(dumps_yaml({f"stage@{index}": plain}), "  ")


def with_new_hashes(text: str) -> str:
    """Return the text of the same stage after a new run."""
    salt = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    return re.sub(r"md5: \w{32}", lambda match: f"md5: {_hash(salt + match[0])}", text)


def _hash(text: str) -> str:
    return f"a{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[1:]}"


if __name__ == "__main__":
    main()
