"""The picture of a pipeline: boxes in layers, and which of them made a file."""

from itertools import combinations
from pathlib import Path

import pytest
from tiny_git import commit

from locatable.page.drawing import draw_pipeline
from locatable.page.graph import MOST_BOXES, Graph, Node, pipeline_graph
from locatable.page.layout import Box, Edge, Layout, arrange
from locatable.repository.reader import Reader

CHAIN = [(f"s{number}", f"s{number + 1}") for number in range(9)]
GRAPHS = {
    "example": [
        ("raw", "prepare"),
        ("environment", "prepare"),
        ("environment", "train"),
        ("environment", "evaluate"),
        ("prepare", "train"),
        ("prepare", "evaluate"),
        ("train", "evaluate"),
    ],
    "fan": [edge for number in range(9) for edge in (("a", f"b{number}"), (f"b{number}", "c"))],
    "chain": CHAIN,
    "ladder": [*CHAIN, ("s0", "s9"), ("s2", "s7"), ("s0", "side"), ("side", "s9")],
    "two": [("a", "b"), ("c", "d")],
    "crossed": [("a", "y"), ("b", "x")],
}


def laid_out(edges: list[Edge]) -> Layout:
    names = dict.fromkeys(name for edge in edges for name in edge)
    layout = arrange({name: Box(80 + 7.0 * len(name), 36) for name in names}, edges, most_across=6)
    assert layout
    return layout


def overlap(one: Box, other: Box) -> bool:
    x = abs(one.x - other.x) < (one.width + other.width) / 2
    return x and abs(one.y - other.y) < (one.height + other.height) / 2


@pytest.mark.parametrize("name", GRAPHS)
def test_no_boxes_overlap(name: str) -> None:
    boxes = laid_out(GRAPHS[name]).boxes
    assert [pair for pair in combinations(boxes, 2) if overlap(boxes[pair[0]], boxes[pair[1]])] == []


@pytest.mark.parametrize("name", GRAPHS)
def test_all_boxes_are_in_the_picture(name: str) -> None:
    layout = laid_out(GRAPHS[name])
    for box in layout.boxes.values():
        assert box.width / 2 <= box.x + 1e-6
        assert box.x + box.width / 2 <= layout.width + 1e-6
        assert box.height / 2 <= box.y + 1e-6
        assert box.y + box.height / 2 <= layout.height + 1e-6


@pytest.mark.parametrize("name", GRAPHS)
def test_arrows_lead_one_way(name: str) -> None:
    layout = laid_out(GRAPHS[name])
    along = 0 if layout.is_horizontal else 1
    for points in layout.arrows.values():
        assert [point[along] for point in points] == sorted(point[along] for point in points)


@pytest.mark.parametrize("name", GRAPHS)
def test_no_arrow_leads_through_a_box(name: str) -> None:
    layout = laid_out(GRAPHS[name])
    for edge, points in layout.arrows.items():
        others = [box for box_name, box in layout.boxes.items() if box_name not in edge]
        for x, y in points:
            inside = [
                box for box in others if abs(x - box.x) < box.width / 2 and abs(y - box.y) < box.height / 2
            ]
            assert inside == []


@pytest.mark.parametrize(("name", "is_horizontal"), [("example", True), ("chain", False)])
def test_a_long_pipeline_is_drawn_downwards(name: str, is_horizontal: bool) -> None:
    assert laid_out(GRAPHS[name]).is_horizontal is is_horizontal


def test_arrows_that_need_not_cross_do_not() -> None:
    boxes = laid_out(GRAPHS["crossed"]).boxes
    assert (boxes["a"].y < boxes["b"].y) == (boxes["y"].y < boxes["x"].y)


def test_what_a_late_stage_alone_reads_is_drawn_beside_it() -> None:
    boxes = laid_out([("a", "b"), ("b", "c"), ("table", "c")]).boxes
    assert boxes["table"].x == boxes["b"].x


def test_a_circle_has_no_layout() -> None:
    assert arrange({"a": Box(1, 1), "b": Box(1, 1)}, [("a", "b"), ("b", "a")], 6) is None


def test_a_single_box() -> None:
    layout = arrange({"a": Box(80, 36)}, [], 6)
    assert layout
    assert (layout.width, layout.height) == (80, 36)


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
SOURCE = f"outs:\n- md5: {'1' * 32}\n  path: {{}}\n"


def graph_of(folder: Path, pipeline: str, *makers: str) -> Graph:
    sources = {f"{name}.dvc": SOURCE.format(name) for name in ("raw.csv", "unused.csv")}
    commit(folder, {".dvc/config": "", "dvc.yaml": pipeline, **sources})
    with Reader(folder) as reader:
        return pipeline_graph(reader.snapshot("HEAD"), makers)


def test_edges_lead_from_what_writes_to_what_reads(tmp_path: Path) -> None:
    assert sorted(graph_of(tmp_path, PIPELINE).edges) == [
        ("clean", "describe"),
        ("clean", "test"),
        ("clean", "train"),
        ("raw.csv", "clean"),
        ("train", "test"),
    ]


def test_data_that_no_stage_reads_is_left_out(tmp_path: Path) -> None:
    assert "unused.csv" not in graph_of(tmp_path, PIPELINE).nodes


def test_what_made_a_file_is_lit_and_nothing_else(tmp_path: Path) -> None:
    nodes = graph_of(tmp_path, PIPELINE, "train").nodes.values()
    assert {node.name for node in nodes if node.made_target} == {"raw.csv", "clean", "train"}


def test_stages_of_a_large_loop_share_a_box(tmp_path: Path) -> None:
    number = MOST_BOXES + 1
    pipeline = LOOP.replace("NUMBERS", str(list(range(number))))
    graph = graph_of(tmp_path, pipeline, "train@3")
    assert set(graph.edges) == {("clean", f"train ×{number}"), ("raw.csv", "clean")}
    assert graph.nodes[f"train ×{number}"].made_target


def test_far_too_many_stages_are_not_drawn() -> None:
    assert draw_pipeline(Graph({str(n): Node(str(n)) for n in range(200)}, [])) is None


def test_the_name_of_a_stage_is_escaped_in_the_picture() -> None:
    picture = draw_pipeline(Graph({'<b>"x': Node('<b>"x')}, []))
    assert picture
    assert "<b>" not in picture
    assert "&lt;b&gt;&quot;x" in picture
