{%- set classes = cookiecutter.task == 'classification' -%}
{%- set linear = 'logistic' if classes else 'linear' -%}
"""The science on small made-up tables: what each stage computes, whatever the data of the project are."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from {{ cookiecutter.package_name }} import evaluate, figures, models, prepare
from {{ cookiecutter.package_name }}.params.prepare import Params as PrepareParams
from {{ cookiecutter.package_name }}.params.train import Params as TrainParams

SPLIT = {
    **{"target": "kind", "drop": ["day"], "stratify": False, "group": None, "time": None},
    **{"seed": 3, "valid_fraction": 0.2, "test_fraction": 0.2},
}
TRAIN = {
    "seed": 1,
{%- if classes %}
    "logistic": {"alpha": 0.001, "epochs": 5},
{%- else %}
    "linear": {"alpha": 0.001, "l1_ratio": 0.5, "epochs": 5},
{%- endif %}
    "forest": {"trees": 25, "max_depth": 3},
    "boosting": {"trees": 4, "learning_rate": 0.5, "max_depth": 2},
}


@pytest.fixture
def raw() -> pd.DataFrame:
    """Sixty rows of numbers, words and truth values, with gaps; {{ 'three kinds of different sizes' if classes else 'its target follows the size' }}."""
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
    """The rows of each part, and that every row is in one of them."""
    found = prepare.split(raw, PrepareParams(**SPLIT | params))
    parts = {name: raw.loc[rows] for name, rows in found.items()}
    assert sorted(pd.concat(parts.values()).index) == sorted(raw.index)
    return parts


def test_clean_gives_numbers_and_text_and_the_target_last(raw):
    table = prepare.clean(raw, PrepareParams(**SPLIT))
    assert list(table) == ["size", "colour", "striped", "place", "kind"]
    assert [table[name].dtype.kind for name in ("size", "striped", "place")] == ["f", "f", "f"]
    assert table["colour"].isna().sum() == 4


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("size", np.inf, "infinite in row 1, or nearly; leave it empty, or take the row out"),
        ("colour", [f"number {n}" for n in range(60)], "text that is another in nearly every row; add it to"),
        ("colour", "31/1/2026", "dates; add it to prepare.drop"),
{%- if classes %}
        ("kind", np.linspace(0, 1, 60), "60 numbers in 60 rows are no classes, but a quantity; generate"),
{%- else %}
        ("kind", "many", "not a number in row 1; mend it, or for classes generate"),
{%- endif %}
    ],
)
def test_clean_refuses_a_column_that_no_model_can_take(raw, column, values, said):
    with pytest.raises(SystemExit, match=f"^{prepare.RAW}: {column}: {said}"):
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


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("{{ linear }}", [1, 2, 3, 4, 5]), ("forest", [10, 20, 25]), ("boosting", [1, 2, 3, 4])],
)
def test_every_model_grows_step_by_step_and_learns(raw, name, sizes):
    table = prepare.clean(raw, PrepareParams(**SPLIT))
    features = models.make_encoder().fit_transform(table.drop(columns="kind"))
    assert features.shape == (60, 6)
    estimator, found = models.select_model(TrainParams.model_validate(TRAIN | {"model": name}))
    assert found == sizes
    for size in found:
        models.fit_step(estimator, size, features, table["kind"])
    assert estimator.score(features, table["kind"]) >= 0.8

{% if classes %}
def test_scores_of_known_predictions():
    labels, positive = np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.7, 0.9])
    scores = evaluate.score(labels, np.stack([1 - positive, positive], axis=1), threshold=0.5)
    assert scores["roc_auc"] == 1.0
    assert scores["accuracy"] == 0.75
    assert scores["precision"] == pytest.approx(2 / 3)
    assert scores["brier"] == pytest.approx((0.1**2 + 0.6**2 + 0.3**2 + 0.1**2) / 4)


def test_scores_of_three_classes():
    probability = np.array([[0.8, 0.1, 0.1], [0.2, 0.3, 0.5], [0.1, 0.2, 0.7]])
    scores = evaluate.score(np.array([0, 1, 2]), probability, threshold=0.5)
    assert scores["balanced_accuracy"] == pytest.approx(2 / 3)
    assert scores["macro_f1"] == pytest.approx((1 + 0 + 2 / 3) / 3)
    assert scores["log_loss"] == pytest.approx(-np.log([0.8, 0.3, 0.7]).mean())


def test_calibration_groups_rows_by_predicted_probability():
    curve = evaluate.calibration(np.array([0, 1, 0, 1]), np.array([0.8, 0.9, 0.1, 0.3]), bins=2)
    assert curve["predicted"].tolist() == pytest.approx([0.2, 0.85])
    assert curve["observed"].tolist() == pytest.approx([0.5, 0.5])
{% else %}
def test_scores_of_known_predictions():
    scores = evaluate.score(np.array([1.0, 2.0, 3.0, 6.0]), np.array([1.0, 2.0, 4.0, 4.0]), interval=0.5)
    assert scores["rmse"] == pytest.approx((5 / 4) ** 0.5)
    assert scores["mae"] == pytest.approx(3 / 4)
    assert scores["r2"] == pytest.approx(1 - 5 / 14)
    assert scores["half_width"] == 1.0
{% endif %}

def test_a_figure_is_the_same_file_twice_and_not_blank(tmp_path):
{%- if classes %}
    curve = {"yes": evaluate.roc(np.array([0, 1, 1]), np.array([0.2, 0.1, 0.9]))}
{%- else %}
    rows = pd.DataFrame({"observed": [1.0, 2.0], "predicted": [1.5, 1.5]})
{%- endif %}
    for name in ("one.png", "two.png"):
        figures.save({{ 'figures.roc, tmp_path / name, curve' if classes else 'figures.predicted, tmp_path / name, rows' }}, 0.9)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as image:
        assert image.size == (800, 800)
        assert len(image.getcolors()) > 10
