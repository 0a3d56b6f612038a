"""The sampler and the pruner of search.yaml are built, and tried before a search begins."""

import sys
from types import SimpleNamespace

import optuna
import pytest

from locatable.errors import SettingsError
from locatable.search.git_trials import FoundExperiments
from locatable.search.settings import SearchSettings, build
from locatable.search.study import SearchStudy, dry_run

FLOAT = {"type": "float", "low": 0.0, "high": 1.0}
PARAMS_FILES = {"params.yaml": {"x": 0.5, "y": 0.5, "mode": "on"}}


def settings_with(**changes):
    usual = {"study": "small", "metric": "m.json:loss", "direction": "minimize", "space": {"x": FLOAT}}
    return SearchSettings.model_validate({**usual, **changes})


def study_of(settings):
    """A new study without experiments."""

    def find_nothing(known):
        return FoundExperiments(frozenset())

    study = SearchStudy(optuna.create_study(), settings, PARAMS_FILES, find_nothing, "me")
    study.configure()
    return study


FAULTS = {
    "sampler: no 'Nope' in optuna.samplers": {"sampler": {"name": "Nope"}},
    "sampler: nowhere.Nope: No module named 'nowhere'": {"sampler": {"name": "nowhere.Nope"}},
    "sampler: no 'Nope' in optuna.terminator": {"sampler": {"name": "optuna.terminator.Nope"}},
    "sampler: TPESampler: ": {"sampler": {"name": "TPESampler", "sed": 1}},
    "sampler: GridSampler: ": {"sampler": {"name": "GridSampler", "search_space": {"y": [0.5]}}},
    "pruner: PatientPruner: 'str' object has no attribute": {
        "pruner": {"name": "PatientPruner", "wrapped_pruner": "MedianPruner", "patience": 1},
        "series": "loss.tsv",
    },
    # It needs PyTorch, which is not installed.
    "sampler: GPSampler: ": {"sampler": {"name": "GPSampler"}},
}


@pytest.mark.parametrize("expected", FAULTS)
def test_a_sampler_or_pruner_that_does_not_work_is_one_line(expected):
    with pytest.raises(SettingsError) as raised:
        dry_run(settings_with(**FAULTS[expected]), PARAMS_FILES)
    assert str(raised.value).startswith(f"search.yaml: {expected}")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sampler": {"name": "GridSampler", "search_space": {"x": [0.0, 1.0]}}},
        {"sampler": {"name": "optuna.samplers.RandomSampler", "seed": 1}},
        {"pruner": {"name": "MedianPruner"}, "series": "loss.tsv"},
        {"metric": ["m.json:a", "m.json:b"], "direction": ["minimize", "maximize"]},
    ],
)
def test_a_dry_run_of_what_works_is_silent(changes, capsys):
    dry_run(settings_with(**changes), PARAMS_FILES)
    said = capsys.readouterr()
    assert said.out == said.err == ""


def test_a_dry_run_leaves_the_verbosity_of_optuna_as_it_was():
    before = optuna.logging.get_verbosity()
    dry_run(settings_with(), PARAMS_FILES)
    assert optuna.logging.get_verbosity() == before


def test_an_argument_can_be_a_pruner_itself():
    spec = {"name": "PatientPruner", "wrapped_pruner": {"name": "MedianPruner"}, "patience": 1}
    pruner = build("pruner", spec, optuna.pruners)
    assert isinstance(pruner._wrapped_pruner, optuna.pruners.MedianPruner)


def first_value(seed_offset, sampler="RandomSampler"):
    study = optuna.create_study()
    study.sampler = build("sampler", {"name": sampler, "seed": 1}, optuna.samplers, seed_offset)
    return study.ask({"x": optuna.distributions.FloatDistribution(0, 1)}).params["x"]


def test_a_seed_does_not_draw_the_same_values_again():
    assert first_value(0) != first_value(1)


def test_a_sampler_that_counts_keeps_its_seed():
    assert first_value(0, "QMCSampler") == first_value(1, "QMCSampler")


def test_a_study_without_a_pruner_in_search_yaml_prunes_nothing():
    study = study_of(settings_with())
    assert isinstance(study.optuna.pruner, optuna.pruners.NopPruner)


def test_only_params_with_an_effect_are_proposed():
    space = {"x": FLOAT, "y": {**FLOAT, "when": {"mode": "off"}}}
    assert list(study_of(settings_with(space=space)).ask().job.params) == ["x"]


def hub(monkeypatch, load_module):
    """Have this in place of the package `optunahub`; tests/joints/test_optunahub.py has it itself."""
    monkeypatch.setitem(sys.modules, "optunahub", load_module and SimpleNamespace(load_module=load_module))


def refusal(name):
    with pytest.raises(SettingsError) as raised:
        build("sampler", {"name": name}, optuna.samplers)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_class_of_optunahub_gets_its_arguments(monkeypatch):
    hub(monkeypatch, {"samplers/random": optuna.samplers}.get)
    spec = {"name": "optunahub:samplers/random/QMCSampler", "qmc_type": "halton"}
    assert build("sampler", spec, optuna.samplers)._qmc_type == "halton"


def test_a_missing_optunahub_is_one_line_with_what_to_do(monkeypatch):
    hub(monkeypatch, None)
    assert refusal("optunahub:samplers/random/Random").endswith("is missing: pip install optunahub")


def test_a_package_that_optunahub_cannot_load_is_one_line_with_its_reason(monkeypatch):
    hub(monkeypatch, {}.__getitem__)
    assert refusal("optunahub:samplers/nope/Nope") == (
        "search.yaml: sampler: optunahub:samplers/nope: 'samplers/nope'"
    )


def test_a_class_that_a_package_of_optunahub_lacks_is_one_line(monkeypatch):
    hub(monkeypatch, {"samplers/random": optuna.samplers}.get)
    assert refusal("optunahub:samplers/random/Nope") == (
        "search.yaml: sampler: no 'Nope' in optunahub:samplers/random"
    )


def test_a_class_of_optunahub_needs_its_package():
    assert refusal("optunahub:Nope").endswith("write it as optunahub:PACKAGE/Class")
