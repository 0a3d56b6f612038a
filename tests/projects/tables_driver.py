"""Runs the stages of a generated project on tables, in one process and in the project's folder.

    python tables_driver.py PACKAGE < cases.json > results.json

A case has the text of a table (or the name of one of scikit-learn's), params, and the models to train.
"""

import contextlib
import hashlib
import io
import json
import shutil
import sys
from importlib import import_module
from pathlib import Path

PACKAGE = sys.argv[1]
sys.path.insert(0, ".")
prepare, train, evaluate = (import_module(f"{PACKAGE}.{stage}") for stage in ("prepare", "train", "evaluate"))

# After the package, whose settings these obey.
import pandas as pd  # noqa: E402
from ruamel.yaml import YAML  # noqa: E402
from sklearn import datasets  # noqa: E402

DEFAULTS = YAML(typ="safe").load(Path("params.yaml").read_text())
WRITTEN = ("data/prepared", "models", "reports")


def run(case: dict) -> dict:
    """What each model reached, with a digest of all that was written; or what a stage refused."""
    for path in (Path("data/raw.csv"), Path("data/raw.parquet")):
        path.unlink(missing_ok=True)
    prepare.RAW = Path("data/raw.csv")
    if "sklearn" in case:
        table = getattr(datasets, f"load_{case['sklearn']}")(as_frame=True).frame
        table.to_csv(prepare.RAW, index=False)
    else:
        prepare.RAW.write_text(case["csv"], encoding=case.get("encoding", "utf-8"))
    if case.get("parquet"):
        table = pd.read_csv(prepare.RAW)
        prepare.RAW = Path("data/raw.parquet")
        table.astype(case["parquet"]).to_parquet(prepare.RAW)
    found = {}
    for model in case.get("models", [None]):
        params = {**DEFAULTS, "prepare": {**DEFAULTS["prepare"], **case["prepare"]}}
        params["train"] = {**DEFAULTS["train"], **case.get("train", {}), "model": model or "forest"}
        Path("params.yaml").write_text(json.dumps(params))
        for folder in WRITTEN:
            shutil.rmtree(folder, ignore_errors=True)
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said):
                prepare.main()
                for stage in (train, evaluate) if model else ():
                    stage.main()
        except SystemExit as refusal:
            return {"refused": str(refusal)}
        if not model:
            return {"said": said.getvalue()}
        found[model] = {"digest": digest(), "said": said.getvalue(), **reports()}
    return found


def digest() -> str:
    files = sorted(path for folder in WRITTEN for path in Path(folder).rglob("*") if path.is_file())
    whole = hashlib.sha256()
    for path in files:
        whole.update(f"{path} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def reports() -> dict:
    metrics = json.loads(Path("reports/evaluate/metrics.json").read_text())
    names = sorted(path.name for path in Path("reports/evaluate/figures").iterdir())
    rows = {
        name: len(pd.read_parquet(f"data/prepared/{name}.parquet")) for name in ("train", "valid", "test")
    }
    plots = {
        path.stem: pd.read_csv(path).to_dict("list") for path in Path("reports/evaluate/plots").iterdir()
    }
    return {**metrics, "figures": names, "rows": rows, "plots": plots}


if __name__ == "__main__":
    results = {name: run(case) for name, case in json.load(sys.stdin).items()}
    sys.stdout.write(json.dumps(results))
