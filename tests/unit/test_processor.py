"""What is said of a machine's processor."""

import platform
import sys
from shlex import quote

import pytest

from locatable.results import processor
from locatable.results.processor import Processor, describe_processor

HERE = [sys.executable]


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="this kernel is for x86-64 processors"
)
def test_the_kernel_of_openblas_is_the_one_that_a_variable_asks_for():
    assert describe_processor(HERE, {"OPENBLAS_CORETYPE": "Haswell"}).blas.endswith(" Haswell")


def test_the_number_of_threads_is_the_one_that_a_variable_asks_for():
    assert describe_processor(HERE, {"OPENBLAS_NUM_THREADS": "1"}).threads == 1


def test_features_that_are_disabled_are_not_there():
    found = describe_processor(HERE, {}).numpy_features
    assert describe_processor(HERE, {"NPY_DISABLE_CPU_FEATURES": " ".join(found)}).numpy_features == ()


def test_libraries_are_unknown_where_there_is_no_such_python(tmp_path):
    found = describe_processor([str(tmp_path / "python")], {})
    assert (found.blas, found.threads, found.numpy_features) == ("", None, ())


def test_libraries_are_unknown_where_python_has_no_numpy(tmp_path):
    (tmp_path / "python").write_text(f'#!/bin/sh\nexec {quote(sys.executable)} -S "$@"\n')
    (tmp_path / "python").chmod(0o755)
    assert describe_processor([str(tmp_path / "python")], {}).blas == ""


def test_the_processor_has_a_name_where_the_machine_says_none(tmp_path, monkeypatch):
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "missing")
    assert describe_processor(HERE, {}).name


def test_a_processor_of_arm_is_named_by_its_numbers(tmp_path, monkeypatch):
    """As Linux lists an Arm Neoverse N1."""
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n")
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "cpuinfo")
    assert describe_processor(HERE, {}).name.endswith(" CPU implementer 0x41 CPU part 0xd0c")


def test_a_processor_is_said_in_one_line():
    assert str(Processor("Xeon", 4, "openblas 0.3.31 SkylakeX", 4)) == (
        "Xeon, 4 CPUs, openblas 0.3.31 SkylakeX, 4 BLAS threads"
    )


def test_what_is_not_known_of_a_processor_is_left_out():
    assert str(Processor("Xeon", 4)) == "Xeon, 4 CPUs"
