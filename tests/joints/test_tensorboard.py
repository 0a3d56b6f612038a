# /// script
# dependencies = ["tensorboard==2.21.0"]
#
# [tool.joint]
# question = "Tracking"
# tool = "TensorBoard"
# joint = "examples/trackers/tensorboard_logs.py"
# small = true
# ///
"""TensorBoard: what the example writes, as its own readers read it."""

from pathlib import Path
from typing import Any

import pytest
import tracked
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

EXAMPLE = "tensorboard_logs"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tensorboard") / "repo"


@pytest.fixture(scope="module")
def rev(root: Path) -> str:
    """The commit of a repository, mirrored."""
    commit = tracked.repository(root)
    assert tracked.mirror(root, EXAMPLE, "runs") == [f"wrote baseline {commit[:7]}"]
    return commit


@pytest.fixture(scope="module")
def events(root: Path, rev: str) -> EventAccumulator:
    accumulator = EventAccumulator(str(root / "runs" / f"baseline {rev[:7]}"))
    return accumulator.Reload()


def scalars(events: EventAccumulator, key: str) -> list[tuple[int, str]]:
    """Steps and values; the latter as text, so that NaN is equal to NaN."""
    return [(event.step, str(event.tensor_proto.float_val[0])) for event in events.Tensors(key)]


def text(events: EventAccumulator, key: str) -> str:
    (event,) = events.Tensors(key)
    return event.tensor_proto.string_val[0].decode()


@pytest.fixture(scope="module")
def row(root: Path, rev: str) -> Any:
    """The only row of the HPARAMS page."""
    folder = str(root / "runs")
    multiplexer = EventMultiplexer().AddRunsFromDirectory(folder)
    multiplexer.Reload()
    page = TBContext(data_provider=MultiplexerDataProvider(multiplexer, folder), logdir=folder)
    request = api_pb2.ListSessionGroupsRequest(slice_size=9, allowed_statuses=api_pb2.Status.values())
    context = backend_context.Context(page)
    answer = list_session_groups.Handler(RequestContext(), context, "", request).run()
    (found,) = answer.session_groups
    return found


def test_metrics_have_each_of_their_values(events: EventAccumulator) -> None:
    assert scalars(events, "train/loss") == [(0, "0.5"), (1, "0.25"), (2, "nan")]
    assert scalars(events, "acc") == [(0, "0.75")]


def test_the_hparams_page_has_params_of_their_type_and_metrics_beside_them(row: Any) -> None:
    assert row.hparams["rate"].number_value == 0.1
    assert row.hparams["on"].bool_value is True
    assert row.hparams["layers"].string_value == "[3, 4]"
    # A whole number that a float cannot hold is text.
    assert row.hparams["exact"].string_value == "123456789012345678901"
    assert {metric.name.tag: metric.value for metric in row.metric_values}["acc"] == 0.75


def test_a_run_says_where_it_came_from(row: Any, events: EventAccumulator, rev: str, root: Path) -> None:
    assert (row.name, text(events, "tags/dvc.rev")) == (rev, rev)
    assert text(events, "tags/dataset raw.csv") == tracked.data_hash(root)


def test_a_name_that_is_too_long_is_told_with_its_own(events: EventAccumulator) -> None:
    assert "x" * 300 in text(events, "mirror/kept.json")


@pytest.mark.usefixtures("rev")
def test_mirroring_again_changes_nothing(root: Path) -> None:
    before = tracked.files(root / "runs")
    assert tracked.mirror(root, EXAMPLE, "runs") == []
    assert tracked.files(root / "runs") == before


@pytest.mark.usefixtures("rev")
def test_an_interrupted_mirror_leaves_nothing_that_counts(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example, run = tracked.load(EXAMPLE), tracked.only_run(root)
    monkeypatch.setattr(example, "scalar_pb", tracked.interrupt)
    with pytest.raises(KeyboardInterrupt):
        example.write(run, tmp_path)
    assert example.known(tmp_path) == set()
    assert list(tmp_path.rglob("*tfevents*")) == []
