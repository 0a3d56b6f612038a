"""Add thousands of experiments within seconds: copies of a real result with changed values.

python -m bench.synthetic PROJECT NUMBER [PREFIX]
"""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

SERIES = "reports/train/plots/metrics"


def add(
    project: Path, number: int, prefix: str = "synthetic", start: int = 0, trials: bool = False
) -> list[str]:
    """Add the experiments `<prefix>-<start>` and following to the baseline HEAD of a project with results.

    Each one differs from HEAD as a real experiment would: in `train.logistic.alpha`, metrics, series and the
    lock. The hashes of models are made up, and the cache holds none of their files.

    Args:
        project: a generated project whose HEAD has results.
        number: the number of experiments.
        prefix: the start of their names.
        start: the number of the first experiment.
        trials: true to commit them as trials of the study `prefix`.

    Returns:
        Their commit ids, in order.
    """
    head = git(project, "rev-parse", "HEAD").strip()
    now = int(git(project, "show", "--no-patch", "--format=%ct", head))
    lock = git(project, "show", f"{head}:dvc.lock")
    metrics = json.loads(git(project, "show", f"{head}:reports/train/metrics.json"))
    series = [
        path for path in git(project, "ls-files", "reports/train/plots").split() if path.endswith(".tsv")
    ]
    tables = {path: git(project, "show", f"{head}:{path}") for path in series}
    params = git(project, "show", f"{head}:params.yaml")
    kept = dict(re.findall(r"- path: (reports/\S+)\n      hash: md5\n      md5: (\S+)", lock))
    script = []
    for index in range(start, start + number):
        alpha = 10 ** -(1 + index % 400 / 100) + index * 1e-9
        changed = _remade(lock, f"{prefix}{index}")
        files = {
            "dvc.lock": re.sub(r"( alpha: ).*", rf"\g<1>{alpha!r}", changed),
            "params.yaml": re.sub(r"( alpha: )\S+", rf"\g<1>{alpha!r}", params),
            "reports/train/metrics.json": json.dumps(_nudged(metrics, index), indent=4),
        }
        for path, table in tables.items():
            files[path] = re.sub(
                r"\t([0-9.e-]+)$", lambda m, i=index: f"\t{float(m[1]) + i * 1e-6!r}", table, flags=re.M
            )
        kept["reports/train/metrics.json"] = _md5(files["reports/train/metrics.json"])
        kept[SERIES] = _md5_of_folder(SERIES, files)
        files["dvc.lock"] = _with_hashes(files["dvc.lock"], kept)
        script.append(_commit(head, f"{prefix}-{index}", now + index, files, trials))
    git(project, "fast-import", "--quiet", "--force", stdin="".join(script))
    refs = git(
        project,
        "for-each-ref",
        "--format=%(refname:lstrip=4) %(objectname)",
        f"refs/exps/{head[:2]}/{head[2:]}/",
    )
    found = dict(line.split() for line in refs.splitlines())
    return [found[f"{prefix}-{index}"] for index in range(start, start + number)]


def _remade(lock: str, salt: str) -> str:
    """Return the lock with new hashes for all outputs of `train` and `evaluate`."""
    made = re.findall(
        r"^      md5: ([0-9a-f]{32})", "".join(re.split(r"^  train:$", lock, flags=re.M)[1:]), re.M
    )
    kept = set(re.findall(r"^      md5: ([0-9a-f]{32})", re.split(r"^  train:$", lock, flags=re.M)[0], re.M))
    outs = "".join(re.findall(r"^    outs:\n(?:    - .*\n(?:      .*\n)*)+", lock, re.M))
    for md5 in dict.fromkeys(made):
        if md5 in outs and md5 not in kept:
            lock = lock.replace(md5, hashlib.md5((salt + md5).encode(), usedforsecurity=False).hexdigest())
    return lock


def _with_hashes(lock: str, hashes: dict[str, str]) -> str:
    """Return the lock with these hashes, given by path."""
    for path, md5 in hashes.items():
        lock = re.sub(rf"(- path: {re.escape(path)}\n      hash: md5\n      md5: )\S+", rf"\g<1>{md5}", lock)
    return lock


def _md5_of_folder(folder: str, files: dict[str, str]) -> str:
    """Return DVC's hash of a folder that contains the given files below it."""
    inside = sorted(path for path in files if path.startswith(f"{folder}/"))
    listing = [{"md5": _md5(files[path]), "relpath": path.removeprefix(f"{folder}/")} for path in inside]
    return _md5(json.dumps(listing)) + ".dir"


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _nudged(values: dict, index: int) -> dict:
    return {
        key: _nudged(value, index)
        if isinstance(value, dict)
        else value + index * 1e-6 * isinstance(value, float)
        for key, value in values.items()
    }


def _commit(head: str, name: str, time: int, files: dict[str, str], trial: bool) -> str:
    message = f"dvc: commit experiment {hashlib.sha256(name.encode()).hexdigest()}"
    if trial:
        message = f"search: {name}"
    lines = [f"commit refs/exps/{head[:2]}/{head[2:]}/{name}\n"]
    lines.append(
        f"committer Ada <ada@example.org> {time} +0000\ndata {len(message)}\n{message}\nfrom {head}\n"
    )
    for path, text in files.items():
        lines.append(f"M 100644 inline {path}\ndata {len(text.encode())}\n{text}\n")
    return "".join(lines)


def git(project: Path, *command: str, stdin: str | None = None) -> str:
    done = subprocess.run(
        ("git", *command), cwd=project, input=stdin, capture_output=True, text=True, check=True
    )
    return done.stdout


if __name__ == "__main__":
    add(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:4])
