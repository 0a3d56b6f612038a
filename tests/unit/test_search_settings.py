"""search.yaml: each fault is one line that says where it is and what is allowed."""

import json

import pytest

from locatable.clones.trial_clone import ProjectSetup
from locatable.errors import SettingsError
from locatable.search.settings import check, load

FLOAT = {"type": "float", "low": 0.0, "high": 1.0}
USUAL = {
    "study": "small",
    "metric": "metrics.json:valid.loss",
    "direction": "minimize",
    "space": {"train.x": FLOAT},
}
PROJECT = ProjectSetup(
    top="/project",
    subdir=".",
    identity={},
    config={},
    params_files={
        "params.yaml": {"train": {"x": 0.5, "kind": "plain", "empty": {}, "list": [1, {"deep": 2}]}},
        "more.toml": {"rate": 0.1},
    },
    composition=None,
    groups={},
    is_composed_anew=False,
    outputs={"metrics.json": False, "model.bin": True, "plots": False, "loss.tsv": False},
    frozen_outputs={},
    metric_files=[],
    modified=[],
    persistent={},
    missing=[],
)


def settings_of(tmp_path, changes):
    path = tmp_path / "search.yaml"
    path.write_text(json.dumps({**USUAL, **changes}))
    return load(path)


def space(**param):
    return {"space": {"train.x": {**FLOAT, **param}}}


FAULTS_ALONE = {
    "space.train.x: `low <= high`": space(low=2.0),
    "space.train.x.hihg: unknown key": space(hihg=1),
    "space.train.x.low: ": space(low="small"),
    "study: 'a b': only letters, digits, - and _": {"study": "a b"},
    "pruner: needs a `series` to watch": {"pruner": {"name": "MedianPruner"}},
    "metric: needs at least one": {"metric": []},
    "direction: needs as many entries as metric": {"metric": ["a.json:x", "a.json:y"]},
    "direction: ": {"direction": "down"},
    "trials: ": {"trials": 0},
    "resources: ": {"resources": {"cpu": 0}},
    "sampeler: unknown key": {"sampeler": {}},
    "goes in a circle": {
        "space": {"train.x": {**FLOAT, "when": {"train.y": 1}}, "train.y": {**FLOAT, "when": {"train.x": 1}}}
    },
    "Optuna cannot tell True": {"space": {"train.x": {"type": "categorical", "choices": [1, True]}}},
}


@pytest.mark.parametrize("expected", FAULTS_ALONE)
def test_a_fault_of_the_file_itself_is_one_line(tmp_path, expected):
    with pytest.raises(SettingsError) as raised:
        settings_of(tmp_path, FAULTS_ALONE[expected])
    (line,) = str(raised.value).splitlines()
    assert expected in line


def test_each_of_two_faults_has_a_line(tmp_path):
    with pytest.raises(SettingsError) as raised:
        settings_of(tmp_path, {"trials": 0, "direction": "down"})
    assert len(str(raised.value).splitlines()) == 2


FAULTS_OF_PROJECT = {
    "space: train.z: no such param; is it train.x?": {"space": {"train.z": FLOAT}},
    "space: train.kinds: no such param; is it train.kind?": space(when={"train.kinds": "plain"}),
    "loss.json: no stage writes this file": {"metric": "loss.json:valid"},
    "metric: model.bin: declare it with `cache: false`": {"metric": "model.bin:valid"},
    "series: model.bin: declare it with `cache: false`": {"series": "model.bin"},
    "metric: metrics.json: write it as file:dotted.key": {"metric": "metrics.json"},
    "metric: metrics.json:: write it as file:dotted.key": {"metric": "metrics.json:"},
}


@pytest.mark.parametrize("expected", FAULTS_OF_PROJECT)
def test_a_fault_against_the_project_is_one_line(tmp_path, expected):
    settings = settings_of(tmp_path, FAULTS_OF_PROJECT[expected])
    with pytest.raises(SettingsError) as raised:
        check(settings, PROJECT)
    (line,) = str(raised.value).splitlines()
    assert line.startswith("search.yaml: ")
    assert expected in line


@pytest.mark.parametrize(
    "key", ["train.x", "train.list", "train.list.0", "train.list.1.deep", "train.empty", "more.toml:rate"]
)
def test_values_sections_and_items_of_lists_can_be_searched(tmp_path, key):
    check(settings_of(tmp_path, {"space": {key: FLOAT}}), PROJECT)


def test_a_series_can_lie_in_a_folder_that_a_stage_writes(tmp_path):
    check(settings_of(tmp_path, {"series": "plots/loss.tsv"}), PROJECT)


def test_a_study_of_another_name_can_be_asked_for(tmp_path):
    (tmp_path / "search.yaml").write_text(json.dumps(USUAL))
    assert load(tmp_path / "search.yaml", "other").study == "other"


def test_a_number_in_exponential_notation_is_one(tmp_path):
    text = json.dumps(USUAL).replace('"low": 0.0', '"low": 1e-5')
    (tmp_path / "search.yaml").write_text(text)
    assert load(tmp_path / "search.yaml").space["train.x"].low == 1e-5


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"a: [", "not valid YAML"), (b"# \xff\n", "not UTF-8"), (b"- 1\n", "search.yaml: ")],
)
def test_a_file_that_is_no_settings_is_one_line(tmp_path, content, expected):
    (tmp_path / "search.yaml").write_bytes(content)
    with pytest.raises(SettingsError, match=expected) as raised:
        load(tmp_path / "search.yaml")
    assert "\n" not in str(raised.value)


def test_a_search_yaml_of_another_tool_is_told_key_by_key(tmp_path):
    (tmp_path / "search.yaml").write_text("elasticsearch: {host: localhost}\nindex: papers\n")
    with pytest.raises(SettingsError) as raised:
        load(tmp_path / "search.yaml")
    assert "search.yaml: elasticsearch: unknown key" in str(raised.value).splitlines()


def test_a_missing_file_says_where_it_should_be(tmp_path):
    with pytest.raises(SettingsError, match=r"^search\.yaml: not found in /"):
        load(tmp_path / "search.yaml")
