"""The example's outputs are the same bytes on every processor and with any number of cores.

OpenBLAS and NumPy choose code by the processor. Their own variables make them choose as on another one.
"""

import json
import platform
from collections.abc import Callable
from pathlib import Path

import pytest
from support import generate, run, snapshot

pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="these kernels are for x86-64 processors"
)


def condition(kernel: str, without: str, threads: int) -> dict[str, str]:
    """Environment variables for a kernel of OpenBLAS, NumPy without some features, and some threads."""
    return {
        "OPENBLAS_CORETYPE": kernel,
        "NPY_DISABLE_CPU_FEATURES": without,
        "OPENBLAS_NUM_THREADS": str(threads),
        "OMP_NUM_THREADS": str(threads),
    }


def conditions() -> dict[str, dict[str, str]]:
    """One for each kernel that this processor can run, given that it has AVX2."""
    found = {
        "Prescott": condition("Prescott", without="X86_V3 X86_V4", threads=1),
        "Haswell": condition("Haswell", without="X86_V4", threads=2),
        "Zen": condition("Zen", without="", threads=7),
    }
    flags = Path("/proc/cpuinfo")
    if flags.exists() and "avx512vl" in flags.read_text():
        found["SkylakeX"] = condition("SkylakeX", without="AVX512_ICL", threads=7)
    return found


CONDITIONS = conditions()


# `locatable reproduce --vary`, which test_reproduce.py runs, has one of these.
@pytest.mark.weekly
@pytest.mark.parametrize("kernel", CONDITIONS)
def test_the_whole_pipeline_writes_the_recorded_bytes(
    project: Path, env: dict[str, str], kernel: str
) -> None:
    recorded = snapshot(project)
    run("dvc", "repro", "--force", "--no-run-cache", cwd=project, env=env | CONDITIONS[kernel])
    assert snapshot(project) == recorded


# As Linux, macOS and Windows name processors.
@pytest.mark.parametrize(
    ("machine", "settings"),
    [
        ("x86_64", "Haswell X86_V3"),
        ("AMD64", "Haswell X86_V3"),
        ("aarch64", "ARMV8 ASIMD"),
        ("arm64", "ARMV8 ASIMD"),
    ],
)
def test_the_packages_settings_are_those_of_the_processor(
    tmp_path: Path, env: dict[str, str], machine: str, settings: str
) -> None:
    script = f"""
import os, platform
platform.machine = lambda: "{machine}"
import tumour_classifier
print(os.environ["OPENBLAS_CORETYPE"], os.environ["NPY_ENABLE_CPU_FEATURES"])
"""
    assert run("python", "-c", script, cwd=generate(tmp_path), env=env).stdout.strip() == settings


@pytest.mark.weekly
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_what_is_reported_is_the_same_bytes_without_the_packages_settings(
    tmp_path: Path, env: dict[str, str], task: str
) -> None:
    """The kernels of two kinds of processors differ like these two, and no setting makes them alike."""
    written = []
    for kernel in ("Prescott", "Haswell"):
        project = generate(tmp_path / kernel, task=task)
        (package,) = project.glob("*_*/__init__.py")
        package.write_text("")
        for stage in ("prepare", "train", "evaluate"):
            module = f"{package.parent.name}.{stage}"
            run("python", "-m", module, cwd=project, env=env | CONDITIONS[kernel])
        written.append(snapshot(project))
    assert written[0] == written[1]


@pytest.mark.weekly
@pytest.mark.parametrize("model", ["forest", "boosting"])
def test_the_other_models_are_the_same_bytes_too(
    project: Path, sh: Callable, env: dict[str, str], model: str
) -> None:
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("model: logistic", f"model: {model}"))
    sh("dvc", "repro")
    usual = snapshot(project)
    sh("dvc", "repro", "--force", "--no-run-cache", env=env | CONDITIONS["Prescott"])
    assert snapshot(project) == usual


@pytest.mark.weekly
def test_without_the_packages_settings_and_rounding_the_kernel_shows_within_the_tolerance_of_the_project(
    project: Path, sh: Callable, env: dict[str, str]
) -> None:
    """If it did not show, the tests above would prove nothing."""
    recorded = snapshot(project)
    (project / "tumour_classifier/__init__.py").write_text("")
    dataset = project / "tumour_classifier/dataset.py"
    dataset.write_text(dataset.read_text().replace(".10g", ".17g"))
    # Otherwise the kernel that this machine is given would be recorded, and set again by the proof.
    record = project / "scripts/environment.py"
    record.write_text(record.read_text().replace('"OPENBLAS_CORETYPE", ', ""))
    settings = project / "pyproject.toml"
    settings.write_text(settings.read_text().replace("# rtol = 1e-9", "rtol = 1e-9"))
    sh("dvc", "repro", env=env | CONDITIONS["Prescott"] | {"NPY_DISABLE_CPU_FEATURES": ""})
    changed = {name for name, hashed in snapshot(project).items() if recorded[name] != hashed}
    assert changed > {f"reports/train/plots/metrics/{rows}/log_loss.tsv" for rows in ("train", "valid")}
    sh("git", "commit", "--quiet", "--all", "-m", "Made on another processor")
    report = json.loads(sh("locatable", "reproduce", "--env", "current", "--stage", "train", "--json").stdout)
    (rounded,) = (row for row in report["outputs"] if row["verdict"] != "identical")
    assert (rounded["output"], rounded["verdict"]) == ("reports/train/plots/metrics", "within rtol")
    assert 0 < rounded["largest_relative_difference"] < 1e-12
