"""The science on tiny data: what each stage computes, not how long it takes."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from {{ cookiecutter.package_name }} import evaluate, figures, models, prepare
from {{ cookiecutter.package_name }}.params import PARAMS, load
from {{ cookiecutter.package_name }}.params.prepare import Params as PrepareParams
from {{ cookiecutter.package_name }}.params.train import Params as TrainParams

TRAIN = {
    "seed": 1,
    "model": "logistic",
    "logistic": {"alpha": 0.001, "epochs": 5},
    "forest": {"trees": 25, "max_depth": 3},
    "boosting": {"trees": 4, "learning_rate": 0.1, "max_depth": 2},
}


@pytest.fixture
def raw() -> pd.DataFrame:
    """Forty tumours, a quarter of them malignant and larger."""
    random = np.random.default_rng(0)
    malignant = np.arange(40) % 4 == 0
    return pd.DataFrame(
        {
            "radius": random.normal(10, 1, 40) + 5 * malignant,
            "texture": random.normal(20, 3, 40),
            "diagnosis": np.where(malignant, "malignant", "benign"),
        }
    )


def test_clean_turns_the_diagnosis_into_a_label(raw):
    table = prepare.clean(raw)
    assert list(table) == ["radius", "texture", "malignant"]
    assert table["malignant"].tolist() == (raw["diagnosis"] == "malignant").astype(int).tolist()


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("diagnosis", "healthy", "data/raw.csv: diagnosis: 'healthy' is neither 'benign' nor 'malignant'"),
        ("radius", None, "data/raw.csv: radius: empty in row 4"),
        ("texture", "rough", "data/raw.csv: texture: not a number in every row"),
    ],
)
def test_clean_refuses_a_table_it_does_not_understand(raw, column, value, said):
    raw[column] = raw[column].astype(object if isinstance(value, str) else raw[column].dtype)
    raw.loc[3, column] = value
    with pytest.raises(SystemExit, match=f"^{said}$"):
        prepare.clean(raw)


def test_split_shares_out_every_row_once_and_keeps_the_proportions(raw):
    table = prepare.clean(raw)
    parts = prepare.split(table, PrepareParams(seed=3, valid_fraction=0.2, test_fraction=0.2))
    assert {name: len(part) for name, part in parts.items()} == {"train": 24, "valid": 8, "test": 8}
    assert sorted(pd.concat(parts.values()).index) == list(table.index)
    assert {part["malignant"].mean() for part in parts.values()} == {0.25}


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("logistic", [1, 2, 3, 4, 5]), ("forest", [10, 20, 25]), ("boosting", [1, 2, 3, 4])],
)
def test_every_model_grows_step_by_step_and_learns(raw, name, sizes):
    table = prepare.clean(raw)
    features = (table[["radius", "texture"]] - table[["radius", "texture"]].mean()).to_numpy()
    estimator, found = models.select_model(TrainParams.model_validate(TRAIN | {"model": name}))
    assert found == sizes
    for size in found:
        models.fit_step(estimator, size, features, table["malignant"])
    assert estimator.score(features, table["malignant"]) >= 0.95


def test_scores_of_known_predictions():
    labels, probability = np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.7, 0.9])
    scores = evaluate.score(labels, probability, threshold=0.5)
    assert scores["roc_auc"] == 1.0
    assert scores["accuracy"] == 0.75
    assert scores["precision"] == pytest.approx(2 / 3)
    assert scores["brier"] == pytest.approx((0.1**2 + 0.6**2 + 0.3**2 + 0.1**2) / 4)
    assert evaluate.score(labels, probability, threshold=0.65)["accuracy"] == 1.0


def test_calibration_groups_rows_by_predicted_probability():
    curve = evaluate.calibration(np.array([0, 1, 0, 1]), np.array([0.8, 0.9, 0.1, 0.3]), bins=2)
    assert curve["predicted"].tolist() == pytest.approx([0.2, 0.85])
    assert curve["observed"].tolist() == pytest.approx([0.5, 0.5])


def test_a_figure_is_the_same_file_twice_and_not_blank(tmp_path):
    curve = pd.DataFrame({"false_positive_rate": [0, 0, 1], "true_positive_rate": [0, 0.9, 1]})
    for name in ("one.png", "two.png"):
        figures.save(figures.roc, tmp_path / name, curve, 0.9)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as image:
        assert image.size == (800, 800)
        assert len(image.getcolors()) > 10


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "tree"}, "model: 'tree' is not allowed; it should be 'logistic', 'forest' or 'boosting'"),
        ({"sed": 1}, "sed: unknown key; allowed here: seed, model, logistic, forest, boosting"),
        ({"seed": 1.5}, "seed: 1.5 is not allowed; it should be a valid integer"),
        ({"seed": True}, "seed: True is not allowed; it should be a valid integer"),
        ({"logistic": {"alpha": 0.1}}, "logistic.epochs: missing; add this key"),
        ({"logistic": TRAIN["logistic"] | {"a": 1}}, "logistic.a: unknown key; allowed here: alpha, epochs"),
        ({"seed": -1}, "seed: -1 is not allowed; it should be greater than or equal to 0"),
    ],
)
def test_a_bad_param_stops_with_one_line_that_names_it(tmp_path, monkeypatch, change, said):
    monkeypatch.chdir(tmp_path)
    PARAMS.write_text(json.dumps({"train": TRAIN | change}))  # JSON is YAML
    with pytest.raises(SystemExit) as stop:
        load("train", TrainParams)
    assert str(stop.value) == f"params.yaml: train.{said}"


def test_numbers_are_read_as_dvc_writes_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    PARAMS.write_text("prepare: {seed: 1, valid_fraction: 1e-05, test_fraction: 0.2}\n")
    assert load("prepare", PrepareParams).valid_fraction == 1e-5
