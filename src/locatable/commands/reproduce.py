"""Prove that a result can be rebuilt: every stage again, from a clean clone, in a fresh environment.

    locatable reproduce [REV | EXPERIMENT] [--stage NAME] [--env lock|current] [--vary] [--rtol R]
        [--json]

Each stage sees only what it declares, and the outputs of earlier stages as they were just
rebuilt, so that nothing but the source data is taken on trust. What it writes is compared
with `dvc.lock`. Exit 0: identical; 1: something differs, or a stage needs what it does not
declare; 2: could not be tried. Your checkout, cache and remote are only read.
"""

import argparse
import contextlib
import json
import logging
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import networkx as nx
from dvc.dependency import ParamsDependency
from dvc.exceptions import DvcException, NotDvcRepoError
from dvc.output import Output
from dvc.repo import Repo
from dvc.stage import Stage

from ..errors import CannotTryError
from ..git import top_folder
from ..proof import fresh, locked, record
from ..proof.hermetic import Room, walls
from ..proof.rebuild import Proof, rebuild, remove
from ..proof.vary import conditions


def reproduce(rev: str, only: str | None, env: str, vary: bool, rtol: float) -> dict[str, Any]:
    """Rebuild the stages of a revision and compare.

    Args:
        rev: a Git revision or the name of an experiment.
        only: rebuild this stage alone, from recorded inputs.
        env: "lock" for a fresh environment from the revision's lock, "current" for this one.
        vary: run every stage once more under other conditions.
        rtol: relative difference up to which numbers of a JSON, YAML or TOML output count as equal.

    Returns:
        revision, environment, isolation, varied (conditions), outputs (one row each), findings (one line
        each), seconds.

    Raises:
        CannotTryError: it cannot be done here.
    """
    try:
        root = Path(Repo.find_root()).resolve()
    except NotDvcRepoError:
        raise CannotTryError("not inside a DVC project: run it in the project's folder") from None
    commit, top = fresh.resolve(rev), top_folder(root)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="reproduce-", ignore_cleanup_errors=True))
        work, begun = Path(folder).resolve(), time.perf_counter()
        repo, cache = fresh.clone(root, commit, work / "clone", work / "dvc"), fresh.user_cache(root)
        # DVC names stages and files as seen from the current folder.
        stack.enter_context(contextlib.chdir(repo.root_dir))
        stack.callback(repo.close)
        stages = _stages(repo, only)
        findings = {stage: record.contradictions(stage) for stage in stages}
        doubtful = {stage for stage in stages if findings[stage]}
        kept = _empty(stages, cache, findings)
        given = _fill(stages, cache, findings)
        seconds: dict[str, Any] = {"preparation": time.perf_counter() - begun, "stages": {}}

        begun, programs = time.perf_counter(), Path(sys.prefix) / "bin"
        if env == "lock":
            _say("building the environment")
            programs = locked.environment(Path(repo.root_dir), work / "env")
        seconds["environment"] = time.perf_counter() - begun

        places = ("/tmp", "/var/tmp", "/home", "/media", "/mnt", "/srv")  # noqa: S108 (where users keep files)
        hidden = [top, cache, Path.home(), *map(Path, places)]
        hidden = [path.resolve() for path in hidden if path.resolve() != Path("/")]
        room = Room(work / "clone", work, programs, tuple(dict.fromkeys(hidden)))
        reason = walls(room)
        isolation = (
            f"folders only: {reason}" if reason else "bubblewrap: no checkout, home or network in sight"
        )
        proof = Proof(replace(room, walls=not reason), top, cache, given, kept, rtol, vary)
        rows: list[dict[str, Any]] = []
        for stage in stages:
            _say(f"rebuilding {stage.addressing}")
            new, more, seconds["stages"][stage.addressing] = _prove(stage, proof, rows, stage in doubtful)
            findings[stage] += more
            rows += new
        begun = time.perf_counter()
        remove(work / "env")
        seconds["environment"] += time.perf_counter() - begun
        return {
            "revision": commit,
            "environment": f"fresh, from {locked.LOCK}" if env == "lock" else "the current one",
            "isolation": isolation,
            "varied": list(conditions(work)) if vary else [],
            "outputs": [{key: value for key, value in row.items() if key != "path"} for row in rows],
            "findings": list(dict.fromkeys(line for stage in stages for line in findings[stage])),
            "seconds": seconds,
        }


def _stages(repo: Repo, only: str | None) -> list[Stage]:
    ordered = [stage for stage in nx.dfs_postorder_nodes(repo.index.graph) if not stage.is_data_source]
    chosen = [stage for stage in ordered if not only or only in (stage.name, stage.addressing)]
    if frozen := [stage for stage in chosen if stage.frozen and not only]:
        _say(f"frozen, so taken as recorded: {', '.join(stage.addressing for stage in frozen)}")
        chosen = [stage for stage in chosen if stage not in frozen]
    if not chosen:
        names = ", ".join(stage.addressing for stage in ordered) or "none"
        raise CannotTryError(f"no stage {only or 'to rebuild'} in this revision; it has: {names}")
    for stage in chosen:
        if stage.outs and not any(out.hash_info for out in stage.outs):
            raise CannotTryError(
                f"{stage.addressing}: no record in this revision's dvc.lock: `dvc repro`, commit"
            )
        if outside := [str(item) for item in (*stage.deps, *stage.outs) if not item.is_in_repo]:
            raise CannotTryError(f"{stage.addressing}: {outside[0]} is outside the project")
    return chosen


def _empty(
    stages: list[Stage], cache: Path, findings: dict[Stage, list[str]]
) -> dict[str, dict[str, Any] | None]:
    """Take recorded outputs out of the clone, and check the bytes that the cache holds of the others."""
    kept = {}
    for stage in stages:
        for out in stage.outs:
            if out.use_cache and out.hash_info:
                findings[stage] += fresh.damaged(out, cache)
                if Path(out.fs_path).suffix.lower() in record.VALUES:
                    with contextlib.suppress(CannotTryError):
                        fresh.fetch(out, cache)
            kept[out.fs_path] = record.values(out)
            remove(Path(out.fs_path))
    return kept


def _fill(stages: list[Stage], cache: Path, findings: dict[Stage, list[str]]) -> list[Output]:
    """Bring what the stages read and none of them makes into the clone; return all that none makes."""
    made = [Path(out.fs_path) for stage in stages for out in stage.outs]
    given = [
        out
        for out in stages[0].repo.index.outs
        if Path(out.fs_path) not in made and out.use_cache and out.hash_info
    ]
    for stage in stages:
        for dep in stage.deps:
            fresh.inside(dep)
            for out in given:
                if record.overlaps(Path(dep.fs_path), [Path(out.fs_path)]) and not out.exists:
                    findings[stage] += fresh.fetch(out, cache)
            made_here = record.overlaps(Path(dep.fs_path), made)
            if not isinstance(dep, ParamsDependency) and not dep.exists and not made_here:
                raise CannotTryError(f"{stage.addressing} depends on {dep}, which neither Git nor DVC holds")
    return given


def _prove(
    stage: Stage, proof: Proof, before: list[dict], doubtful: bool
) -> tuple[list[dict], list[str], float]:
    """Rebuild a stage if its inputs could be rebuilt; a difference they explain is not looked into."""
    inputs = [Path(dep.fs_path) for dep in stage.deps if not isinstance(dep, ParamsDependency)]
    differing = [Path(row["path"]) for row in before if row["verdict"] not in record.FINE]
    lost = any(record.overlaps(path, inputs) and not path.exists() for path in differing)
    foreign = record.foreign_paths(stage, proof.top)
    if lost or foreign:
        return record.verdicts(stage, {}, proof.kept, proof.rtol), foreign, 0.0
    wrong = record.wrong_inputs(stage, differing)
    trusted = not (doubtful or wrong or any(record.overlaps(path, inputs) for path in differing))
    rows, findings, seconds = rebuild(stage, proof, trusted)
    return rows, wrong + findings, seconds


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _show(report: dict[str, Any]) -> None:
    titles = ("stage", "output", "recorded", "rebuilt", "verdict")
    table = [titles] + [
        tuple((str(row[title] or "-")[:8] if title.startswith("re") else row[title]) for title in titles)
        for row in report["outputs"]
    ]
    widths = [max(len(row[column]) for row in table) for column in range(len(titles))]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(
        f"\nrevision {report['revision'][:12]}; environment: {report['environment']}; {report['isolation']}"
    )
    if report["varied"]:
        print(f"each stage also with another {', '.join(report['varied'])}")
    for line in report["findings"]:
        print(line)
    fine = sum(row["verdict"] in record.FINE for row in report["outputs"])
    print(
        f"{fine} of {len(report['outputs'])} outputs rebuilt as recorded, {len(report['findings'])} findings"
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `locatable reproduce`."""
    parser.add_argument(
        "rev", nargs="?", default="HEAD", help="a Git revision or an experiment's name (default: HEAD)"
    )
    parser.add_argument("--stage", help="this stage alone, from recorded inputs")
    parser.add_argument(
        "--env", choices=["lock", "current"], default="lock", help="fresh from the lock, or this one"
    )
    parser.add_argument("--vary", action="store_true", help="each stage once more, under other conditions")
    parser.add_argument("--rtol", type=float, default=0.0, help="relative tolerance for numbers in metrics")
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the report; the exit code is 1 where something differs."""
    # An ended job, too, leaves no stage running and no folder behind.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    logging.getLogger("dvc").setLevel(logging.CRITICAL)
    try:
        report = reproduce(arguments.rev, arguments.stage, arguments.env, arguments.vary, arguments.rtol)
    except DvcException as error:
        raise CannotTryError(f"DVC: {str(error).splitlines()[0]}") from None
    if arguments.json:
        print(json.dumps(report, indent=2))
    else:
        _show(report)
    return (
        1 if report["findings"] or any(row["verdict"] not in record.FINE for row in report["outputs"]) else 0
    )
