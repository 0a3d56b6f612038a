"""A search on this machine takes GPUs for itself, and gives each worker its own."""

import os
from pathlib import Path

import pytest
from filelock import FileLock

from locatable.errors import ProjectError
from locatable.search.local_backend import DEVICE_VARIABLES, Devices, find_devices
from locatable.search.settings import Resources


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two GPUs."""
    for variable in DEVICE_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-7a")


def devices(locks: Path, workers: int, **resources: float) -> Devices:
    return Devices(Resources(**resources), workers, locks)  # type: ignore[arg-type]


def given(found: Devices, workers: int) -> list[str]:
    """The GPUs of each of some workers, started one after the other."""
    used: list[str] = []
    for _ in range(workers):
        used.append(found.for_next_worker(used))
    return used


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0,1", ["0", "1"]), ("GPU-7a, MIG-3", ["GPU-7a", "MIG-3"]), ("", []), ("-1", []), ("0,-1,1", ["0"])],
)
def test_a_variable_names_gpus_as_cuda_reads_it(value: str, expected: list[str]) -> None:
    assert find_devices({"CUDA_VISIBLE_DEVICES": value}) == ("CUDA_VISIBLE_DEVICES", expected)


@pytest.mark.parametrize("variable", DEVICE_VARIABLES)
def test_the_variable_that_is_set_is_the_one_that_a_worker_gets(variable: str) -> None:
    assert find_devices({variable: "1"}) == (variable, ["1"])


def test_without_a_variable_the_driver_of_nvidia_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text('#!/bin/sh\ntest "$1" = --query-gpu=index && printf "0\\n1\\n2\\n"\n')
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert find_devices({}) == ("CUDA_VISIBLE_DEVICES", ["0", "1", "2"])


def test_two_workers_share_no_gpu(tmp_path: Path) -> None:
    assert given(devices(tmp_path, 2, gpu=1), 2) == ["4", "GPU-7a"]


def test_a_worker_gets_as_many_as_a_trial_takes(tmp_path: Path) -> None:
    assert given(devices(tmp_path, 1, gpu=2), 1) == ["4,GPU-7a"]


def test_parts_of_a_gpu_are_of_one_gpu(tmp_path: Path) -> None:
    assert given(devices(tmp_path, 4, gpu=0.4), 4) == ["4", "4", "GPU-7a", "GPU-7a"]


def test_what_a_worker_leaves_the_next_one_gets(tmp_path: Path) -> None:
    assert devices(tmp_path, 2, gpu=1).for_next_worker(["GPU-7a"]) == "4"


def test_more_workers_than_gpus_are_refused_with_the_number_there_is_room_for(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"3 workers take 3 GPUs, .* shows 2 .*: --workers 2, or"):
        devices(tmp_path, 3, gpu=1)


def test_more_workers_than_gpus_wait_where_they_are_asked_to(tmp_path: Path) -> None:
    assert devices(tmp_path, 3, gpu=1, wait=True).reserve() == 2


def test_a_machine_without_gpus_is_refused_even_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ProjectError, match=r"a trial takes 1 GPU .* shows 0"):
        devices(tmp_path, 1, gpu=1, wait=True)


def test_two_searches_share_no_gpu(tmp_path: Path) -> None:
    first = devices(tmp_path, 1, gpu=1)
    second = devices(tmp_path, 1, gpu=1)
    assert (given(first, 1), given(second, 1)) == (["4"], ["GPU-7a"])


def test_gpus_of_another_search_are_refused(tmp_path: Path) -> None:
    with FileLock(tmp_path / "gpu-4.lock"), pytest.raises(ProjectError, match="1 of 2 are left"):
        devices(tmp_path, 2, gpu=1)


def test_gpus_of_another_search_are_waited_for_where_trials_are_asked_to(tmp_path: Path) -> None:
    with FileLock(tmp_path / "gpu-4.lock"), FileLock(tmp_path / "gpu-GPU-7a.lock"):
        waiting = devices(tmp_path, 2, gpu=1, wait=True)
        before = waiting.reserve()
    assert (before, waiting.reserve()) == (0, 2)
