"""The pipeline on the page: stages in the order in which they run, and which of them made a file."""

import re
from pathlib import Path

from tiny_git import commit

from locatable.page.facts import MOST_STEPS, Step, lineage
from locatable.repository.reader import Reader

PIPELINE = """\
stages:
  clean:
    cmd: x
    deps: [raw.csv]
    outs: [clean]
  train:
    cmd: x
    deps: [clean/part.csv]
    outs: [model]
  test:
    cmd: x
    deps: [model, clean]
    metrics: [metrics.json]
  describe:
    cmd: x
    deps: [clean]
    outs: [table.csv]
"""
LOOP = """\
stages:
  clean: {cmd: x, deps: [raw.csv], outs: [clean]}
  train:
    matrix: {n: NUMBERS}
    cmd: x ${item.n}
    deps: [clean]
    outs: ["model_${item.n}"]
"""
# One stage of them.
STAGE = r"  \w+:\n(?:    .*\n)+"
SOURCE = f"outs:\n- md5: {'1' * 32}\n  path: {{}}\n"


def steps_of(folder: Path, pipeline: str, *makers: str) -> list[Step]:
    sources = {f"{name}.dvc": SOURCE.format(name) for name in ("raw.csv", "unused.csv")}
    commit(folder, {".dvc/config": "", "dvc.yaml": pipeline, **sources})
    with Reader(folder) as reader:
        return lineage(reader.snapshot("HEAD"), makers)


def test_stages_say_what_they_read(tmp_path: Path) -> None:
    steps = {step.name: step for step in steps_of(tmp_path, PIPELINE)}
    assert {name: step.after for name, step in steps.items()} == {
        "clean": (),
        "train": ("clean",),
        "test": ("train", "clean"),
        "describe": ("clean",),
    }
    assert [name for name, step in steps.items() if step.data] == ["clean"]
    assert steps["clean"].data == ("raw.csv",)  # and not what no stage reads


def test_stages_are_in_the_order_in_which_they_run(tmp_path: Path) -> None:
    head, clean, *others = PIPELINE.partition("  clean:")[0], *re.findall(STAGE, PIPELINE)
    backwards = head + "".join(reversed([clean, *others]))
    names = [step.name for step in steps_of(tmp_path, backwards)]
    assert names == ["clean", "describe", "train", "test"]


def test_a_stage_is_as_deep_as_the_stages_before_it(tmp_path: Path) -> None:
    depths = {step.name: step.depth for step in steps_of(tmp_path, PIPELINE)}
    assert depths == {"clean": 0, "train": 1, "test": 2, "describe": 1}


def test_what_made_a_file_is_marked_and_nothing_else(tmp_path: Path) -> None:
    steps = steps_of(tmp_path, PIPELINE, "train")
    assert [step.name for step in steps if step.made_target] == ["clean", "train"]


def test_a_maker_that_dvc_yaml_does_not_have_marks_nothing(tmp_path: Path) -> None:
    assert not any(step.made_target for step in steps_of(tmp_path, PIPELINE, "old.dvc"))


def test_stages_of_a_large_loop_are_one_step(tmp_path: Path) -> None:
    number = MOST_STEPS + 1
    pipeline = LOOP.replace("NUMBERS", str(list(range(number))))
    clean, train = steps_of(tmp_path, pipeline, "train@3")
    assert (train.name, train.after, train.made_target) == (f"train ×{number}", ("clean",), True)
    assert clean.made_target


def test_a_large_loop_reads_what_any_stage_of_it_reads(tmp_path: Path) -> None:
    numbers = list(range(MOST_STEPS + 1))
    pipeline = LOOP.replace("NUMBERS", str(numbers)).replace(
        "deps: [clean]", "deps: [clean, '${item.n}.csv']"
    )
    sources = {f"{n}.csv.dvc": SOURCE.format(f"{n}.csv") for n in numbers[:2]}
    commit(tmp_path, {".dvc/config": "", "dvc.yaml": pipeline, **sources})
    with Reader(tmp_path) as reader:
        _, train = lineage(reader.snapshot("HEAD"), [])
    assert train.data == ("0.csv", "1.csv")


def test_stages_of_a_small_loop_are_a_step_each(tmp_path: Path) -> None:
    steps = steps_of(tmp_path, LOOP.replace("NUMBERS", "[1, 2]"), "train@1")
    assert [step.name for step in steps if step.made_target] == ["clean", "train@1"]
    assert len(steps) == 3


def test_loops_that_read_from_one_another_by_turns_are_a_step_each(tmp_path: Path) -> None:
    number = MOST_STEPS
    stages = "stages:\n"
    for n in range(number):
        stages += f"  a@{n}: {{cmd: x, deps: [b{n}], outs: [a{n}]}}\n"
        stages += f"  b@{n}: {{cmd: x, deps: [a{n}], outs: [b{n + 1}]}}\n"
    first, second = steps_of(tmp_path, stages)
    assert (first.name, first.after) == (f"a ×{number}", (f"b ×{number}",))
    assert (second.name, second.after) == (f"b ×{number}", (f"a ×{number}",))


def test_a_circle_which_dvc_would_not_run_is_in_the_order_of_dvc_yaml(tmp_path: Path) -> None:
    circle = "stages:\n  b: {cmd: x, deps: [one], outs: [two]}\n  a: {cmd: x, deps: [two], outs: [one]}\n"
    assert [(step.name, step.after) for step in steps_of(tmp_path, circle)] == [("b", ("a",)), ("a", ("b",))]
