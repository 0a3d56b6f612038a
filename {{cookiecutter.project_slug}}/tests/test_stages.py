{%- set classes = cookiecutter.task == 'classification' -%}
"""Test what each stage computes, on small made-up tables, independently of the project's data."""

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from {{ cookiecutter.package_name }} import evaluate, prepare, train
from {{ cookiecutter.package_name }}.params.prepare import Params as PrepareParams
from {{ cookiecutter.package_name }}.params.train import Params as TrainParams

PARAMS = YAML(typ="safe").load(Path(__file__).parents[1] / "params.yaml")
SPLIT = {"target": "kind", "drop": ["day"], "stratify": False, "group": None, "time": None, "gap": None}
SPLIT = {**PARAMS["prepare"], **SPLIT, "seed": 3, "valid_fraction": 0.2, "test_fraction": 0.2}
WRONG = {{ 'np.linspace(0, 1, 60)' if classes else '"many"' }}  # {{ 'no classes' if classes else 'no quantity' }}


@pytest.fixture
def raw() -> pd.DataFrame:
    """Return sixty rows of numbers, words and booleans, with gaps; {{ 'the three kinds differ in size' if classes else 'the target follows the size' }}."""
    random, row = np.random.default_rng(0), np.arange(60)
    return pd.DataFrame(
        {
            "size": np.where(row % 20 == 7, np.nan, random.normal(10, 1, 60) + 5 * (row % 3)),
            "colour": np.where(row % 15 == 4, None, np.where(row % 3 == 0, "red", "blue")),
            "striped": row % 2 == 0,
            "day": pd.date_range("2026-01-01", periods=60).astype(str),
            "place": row // 6,
            "kind": {{ 'np.array(["a", "b", "c"])[row % 3]' if classes else '100.0 + 50 * (row % 3)' }},
        }
    )


def split(raw: pd.DataFrame, **params: object) -> dict[str, pd.DataFrame]:
    found = prepare.split(raw, PrepareParams(**SPLIT | params))
    return {name: raw.loc[rows] for name, rows in found.items()}


def test_clean_gives_numbers_and_text_and_the_target_last(raw):
    table = prepare.clean(raw, PrepareParams(**SPLIT))
    assert list(table) == ["size", "colour", "striped", "place", "kind"]
    assert [table[name].dtype.kind for name in ("size", "striped", "place")] == ["f", "f", "f"]
    assert table["colour"].isna().sum() == 4


@pytest.mark.parametrize(("column", "values"), [("size", np.inf), ("colour", "1/1/2026"), ("kind", WRONG)])
def test_clean_refuses_a_column_that_no_model_can_take(raw, column, values):
    with pytest.raises(SystemExit, match=f"^{prepare.RAW}: {column}: "):
        prepare.clean(raw.assign(**{column: values}), PrepareParams(**SPLIT))


def test_split_keeps_the_proportions(raw):
    parts = split(raw, stratify={{ 'True' if classes else '"striped"' }})
    assert {name: len(part) for name, part in parts.items()} == {"train": 36, "valid": 12, "test": 12}
{%- if classes %}
    assert {tuple(part["kind"].value_counts(normalize=True)) for part in parts.values()} == {(1 / 3,) * 3}
{%- else %}
    assert {part["striped"].mean() for part in parts.values()} == {0.5}
{%- endif %}


def test_split_keeps_a_group_together(raw):
    parts = split(raw, group="place")
    assert sum(part["place"].nunique() for part in parts.values()) == 10


def test_split_takes_the_newest_rows_as_test(raw):
    parts = split(raw.sample(frac=1, random_state=1), time="day")
    assert parts["train"]["day"].max() < parts["valid"]["day"].min()
    assert parts["valid"]["day"].max() < parts["test"]["day"].min() == "2026-02-18"


@pytest.mark.filterwarnings("default")  # Packages for models emit warnings that are not ours to fix.
@pytest.mark.parametrize("name", get_args(TrainParams.model_fields["model"].annotation))
def test_every_model_goes_through_all_stages(raw, name, tmp_path, monkeypatch):
    """With any valid params, a model is at least as good as a guess."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(prepare, "RAW", Path("raw.csv"))
    raw.to_csv("raw.csv", index=False)
    sections = {"prepare": SPLIT{{ ' | {"stratify": True}' if classes }}, "train": {**PARAMS["train"], "model": name}}
    Path("params.yaml").write_text(json.dumps(PARAMS | sections))
    for stage in (prepare, train, evaluate):
        stage.main()
    scores = json.loads(Path("reports/train/metrics.json").read_text())["train"]
    assert {{ 'scores["accuracy"] >= 1 / 3' if classes else 'scores["rmse"] <= raw["kind"].std()' }}

{% if classes %}
def test_scores_of_known_predictions():
    labels, positive = np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.7, 0.9])
    scores = evaluate.score(labels, np.stack([1 - positive, positive], axis=1), threshold=0.5)
    assert scores["roc_auc"] == 1.0
    assert scores["accuracy"] == 0.75
    assert scores["precision"] == pytest.approx(2 / 3)
    assert scores["brier"] == pytest.approx((0.1**2 + 0.6**2 + 0.3**2 + 0.1**2) / 4)
{%- else %}
def test_scores_of_known_predictions():
    scores = evaluate.score(np.array([1.0, 2.0, 3.0, 6.0]), np.array([1.0, 2.0, 4.0, 4.0]), interval=0.5)
    assert scores["rmse"] == pytest.approx((5 / 4) ** 0.5)
    assert scores["mae"] == pytest.approx(3 / 4)
    assert scores["r2"] == pytest.approx(1 - 5 / 14)
    assert scores["half_width"] == 1.0
{%- endif %}
