"""Conditions that no result may depend on are changed together, and one by one where that matters."""

from pathlib import Path

import pytest

from locatable.proof import conditions
from locatable.proof.conditions import (
    USUAL,
    Conditions,
    Observation,
    available_conditions,
    combine,
    find_dependence,
)
from locatable.results.processor import Processor

HASH_SEED = Conditions(variables={"PYTHONHASHSEED": "0"})
TIME_ZONE = Conditions(variables={"TZ": "GMT-14"})
ORDINARY = {"hash seed": HASH_SEED, "time zone": TIME_ZONE, "CPU count": Conditions(cpus=1)}
PROCESSORS = {
    "time zone": TIME_ZONE,
    "OpenBLAS kernel": Conditions(variables={"KERNEL": "Prescott"}, processor="OpenBLAS's Prescott kernel"),
    "number of threads": Conditions(variables={"THREADS": "3"}, processor="another number of threads"),
}
HERE = Processor("made up", cpus=2, numpy_features=("X86_V3", "X86_V4"))


class MadeUpStage:
    """A stage whose output says under which conditions it ran, as far as it looks at them."""

    def __init__(self, looks_at, fails=False):
        self.looks_at = looks_at
        self.fails = fails
        self.runs = 0

    def __call__(self, given: Conditions) -> Observation:
        """Run under some conditions."""
        self.runs += 1
        what = self.looks_at(given)
        if self.fails and what != self.looks_at(USUAL):
            return Observation(failed=True, hashes={"rows.csv": None})
        return Observation(failed=False, hashes={"rows.csv": str(what)})

    def findings(self, available: dict[str, Conditions]) -> list[str]:
        """What is found where these can be changed."""
        return find_dependence("make", {"rows.csv": str(self.looks_at(USUAL))}, available, self)


def variables(*names: str):
    """What a stage looks at that reads these variables."""
    return lambda given: [given.variables.get(name) for name in names]


def cpus(given: Conditions):
    """What a stage looks at that counts processors."""
    return given.cpus


COUNTER = iter(range(100))
FINDINGS = {
    "a condition that changes an output is named": (
        MadeUpStage(variables("TZ")),
        ORDINARY,
        ["make: rows.csv changes with the time zone"],
    ),
    "two conditions that change an output are both named": (
        MadeUpStage(lambda given: (given.variables.get("TZ"), given.cpus)),
        ORDINARY,
        ["make: rows.csv changes with the time zone, CPU count"],
    ),
    "conditions that matter only together are named together": (
        MadeUpStage(lambda given: "TZ" in given.variables and given.cpus == 1),
        ORDINARY,
        ["make: rows.csv changes with the hash seed, time zone, CPU count together"],
    ),
    "a condition with which the stage fails is named": (
        MadeUpStage(cpus, fails=True),
        ORDINARY,
        ["make fails with another CPU count"],
    ),
    "an output that changes from run to run accuses no condition": (
        MadeUpStage(lambda given: next(COUNTER)),
        ORDINARY,
        ["make: rows.csv changes with the run, whatever the conditions"],
    ),
    "what a processor decides is named as its doing": (
        MadeUpStage(variables("KERNEL")),
        PROCESSORS,
        ["make depends on the processor: rows.csv differs with OpenBLAS's Prescott kernel"],
    ),
    "all that a processor decides is one line": (
        MadeUpStage(variables("KERNEL", "THREADS")),
        PROCESSORS,
        [
            "make depends on the processor: "
            "rows.csv differs with OpenBLAS's Prescott kernel, another number of threads"
        ],
    ),
    "the processor and another condition are two lines": (
        MadeUpStage(variables("KERNEL", "TZ")),
        PROCESSORS,
        [
            "make: rows.csv changes with the time zone",
            "make depends on the processor: rows.csv differs with OpenBLAS's Prescott kernel",
        ],
    ),
    "a processor with which the stage fails is named": (
        MadeUpStage(variables("KERNEL"), fails=True),
        PROCESSORS,
        ["make depends on the processor: it fails with OpenBLAS's Prescott kernel"],
    ),
}


@pytest.mark.parametrize(("stage", "available", "lines"), FINDINGS.values(), ids=FINDINGS)
def test_what_an_output_depends_on_is_named(stage, available, lines):
    assert stage.findings(available) == lines


def test_a_stage_that_depends_on_nothing_runs_once():
    stage = MadeUpStage(lambda given: "always the same")
    assert (stage.findings(ORDINARY), stage.runs) == ([], 1)


def test_combined_conditions_have_all_variables():
    both = combine([HASH_SEED, TIME_ZONE])
    assert both.variables == {"PYTHONHASHSEED": "0", "TZ": "GMT-14"}


def test_combined_conditions_keep_what_only_one_of_them_changes():
    combined = combine([Conditions(cpus=1), Conditions(umask=0o077), Conditions(last_file_first=True)])
    assert (combined.cpus, combined.umask, combined.last_file_first) == (1, 0o077, True)


def test_combined_conditions_run_in_the_last_folder_that_one_names():
    combined = combine([Conditions(parent=Path("/a")), Conditions(parent=Path("/b")), Conditions(cpus=1)])
    assert combined.parent == Path("/b")


def test_no_conditions_combine_to_the_usual_ones():
    assert combine([]) == USUAL


def test_some_conditions_can_be_changed_on_every_machine(tmp_path):
    assert {"hash seed", "time zone", "home and working folder", "umask"} <= set(
        available_conditions(tmp_path, tmp_path, HERE, {})
    )


def test_the_order_of_files_is_left_alone_where_memory_does_not_hold_the_clone(tmp_path, monkeypatch):
    monkeypatch.setattr(conditions, "_size", lambda folder: 10**18)
    assert "file order" not in available_conditions(tmp_path, tmp_path, HERE, {})


def test_the_order_of_files_is_left_alone_where_no_program_runs_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(conditions, "runs_programs", lambda folder: folder != conditions.MEMORY)
    assert "file order" not in available_conditions(tmp_path, tmp_path, HERE, {})


def test_one_processor_cannot_be_made_fewer(tmp_path):
    alone = Processor("made up", cpus=1)
    assert "CPU count" not in available_conditions(tmp_path, tmp_path, alone, {})


def test_features_are_disabled_that_numpy_has_code_for(tmp_path):
    found = available_conditions(tmp_path, tmp_path, HERE, {})["set of NumPy's processor features"]
    assert found.variables["NPY_DISABLE_CPU_FEATURES"] == "X86_V3 X86_V4"


def test_features_are_left_alone_where_numpy_is_not_installed(tmp_path):
    found = available_conditions(tmp_path, tmp_path, Processor("made up", cpus=2), {})
    assert "set of NumPy's processor features" not in found


@pytest.mark.parametrize(("machine", "kernel"), [("x86_64", "Prescott"), ("aarch64", "ARMV8")])
def test_the_oldest_kernel_is_tried_that_this_kind_of_processor_has(tmp_path, monkeypatch, machine, kernel):
    monkeypatch.setattr(conditions.platform, "machine", lambda: machine)
    found = available_conditions(tmp_path, tmp_path, HERE, {})["OpenBLAS kernel"]
    assert found.variables == {"OPENBLAS_CORETYPE": kernel}


def test_no_kernel_is_tried_where_none_is_known_that_all_processors_have(tmp_path, monkeypatch):
    monkeypatch.setattr(conditions.platform, "machine", lambda: "riscv64")
    assert "OpenBLAS kernel" not in available_conditions(tmp_path, tmp_path, HERE, {})


# As threadpoolctl writes them.
@pytest.mark.parametrize(("machine", "kernel"), [("x86_64", "Prescott"), ("arm64", "armv8")])
def test_a_processor_of_the_oldest_kernel_can_be_given_no_other(tmp_path, monkeypatch, machine, kernel):
    monkeypatch.setattr(conditions.platform, "machine", lambda: machine)
    old = Processor("made up", cpus=2, blas=f"openblas 0.3.33 {kernel}", threads=2)
    assert "OpenBLAS kernel" not in available_conditions(tmp_path, tmp_path, old, {})


def test_what_a_record_sets_is_not_changed(tmp_path):
    recorded = {"PYTHONHASHSEED": "7", "OPENBLAS_CORETYPE": "Zen", "NPY_ENABLE_CPU_FEATURES": "X86_V3"}
    found = available_conditions(tmp_path, tmp_path, HERE, recorded)
    names = {name for each in found.values() for name in each.variables}
    assert names.isdisjoint({*recorded, "NPY_DISABLE_CPU_FEATURES"})


def test_a_recorded_number_of_threads_leaves_the_others_to_be_changed(tmp_path):
    found = available_conditions(tmp_path, tmp_path, HERE, {"OPENBLAS_NUM_THREADS": "1"})
    assert set(found["number of threads"].variables) == {"OMP_NUM_THREADS", "MKL_NUM_THREADS"}


def test_libraries_that_follow_a_recorded_number_of_threads_are_left_alone(tmp_path):
    found = available_conditions(tmp_path, tmp_path, HERE, {"OMP_NUM_THREADS": "2"})
    assert "number of threads" not in found


def test_another_number_of_threads_is_not_that_of_the_processors(tmp_path):
    three = Processor("made up", cpus=3)
    found = available_conditions(tmp_path, tmp_path, three, {})
    assert found["number of threads"].variables["OMP_NUM_THREADS"] == "5"
