"""Params are written into files of every kind, and nothing else in them changes."""

import tomllib

import pytest
import yaml
from dvc.utils.serialize import load_yaml

from locatable.clones.params_files import write
from locatable.errors import ProjectError

YAML = "# by hand\ntrain:\n  rate: 0.1  # of learning\n  layers: [1, 2]\n  name: plain\nother: 1\n"


@pytest.fixture
def root(tmp_path):
    """A folder with params files."""
    (tmp_path / "params.yaml").write_text(YAML)
    (tmp_path / "a.toml").write_text("# by hand\n[deep]\nrate = 1e-05\n")
    (tmp_path / "b.json").write_text('{"list": [1, {"x": 2}]}')
    (tmp_path / "c.py").write_text("DEPTH = 2\n\n\nclass Net:\n    rate = 0.5\n")
    return tmp_path


def test_a_value_in_yaml_is_changed_and_comments_stay(root):
    write(root, {"train.rate": 0.5})
    assert (root / "params.yaml").read_text() == YAML.replace("0.1", "0.5")


def test_an_item_of_a_list_is_changed_by_its_position(root):
    write(root, {"train.layers.1": 7})
    assert yaml.safe_load((root / "params.yaml").read_text())["train"]["layers"] == [1, 7]


def test_a_value_in_toml_is_changed(root):
    write(root, {"a.toml:deep.rate": 0.25})
    text = (root / "a.toml").read_text()
    assert tomllib.loads(text) == {"deep": {"rate": 0.25}}
    assert text.startswith("# by hand")


def test_a_value_in_json_is_changed(root):
    write(root, {"b.json:list.1.x": 5})
    assert yaml.safe_load((root / "b.json").read_text()) == {"list": [1, {"x": 5}]}


def test_a_value_in_python_is_changed(root):
    write(root, {"c.py:DEPTH": 9, "c.py:Net.rate": 0.25})
    assert (root / "c.py").read_text() == "DEPTH = 9\n\n\nclass Net:\n    rate = 0.25\n"


def test_a_file_that_no_key_names_is_left_alone(root):
    before = (root / "b.json").stat().st_mtime_ns
    write(root, {"train.rate": 0.5})
    assert (root / "b.json").stat().st_mtime_ns == before


AWKWARD = [
    1e-05, 1e22, 0.1, 7, True, None, "no", "on", "1e-5", "", " led", "null", "~", "010", "2024-01-01", "a: b",
    "#no", "line\nbreak", "Größe λ", 'say "hi"', "{x: 1}", [1, "no", None], {"deep": [1e-07, "yes"]},
]  # fmt: skip


@pytest.mark.parametrize("value", AWKWARD, ids=repr)
def test_a_value_reads_the_same_in_both_versions_of_yaml(root, value):
    write(root, {"train.name": value})
    old = yaml.safe_load((root / "params.yaml").read_text())["train"]["name"]
    new = load_yaml(str(root / "params.yaml"))["train"]["name"]
    assert repr(old) == repr(new) == repr(value)


def test_a_section_that_is_not_there_is_refused(root):
    with pytest.raises(ProjectError, match=r"train.missing.rate: there is no such value in params.yaml"):
        write(root, {"train.missing.rate": 1})
