"""Messages between the pool and its workers survive the way through JSON."""

import json

import pytest

from locatable.clones.trial_clone import CloneSetup
from locatable.results.processor import Processor
from locatable.search.messages import (
    Began,
    Complete,
    Failed,
    Job,
    Progress,
    Pruned,
    Ready,
    Stop,
    Unusable,
    Written,
    from_json,
    to_json,
)

SETUP = CloneSetup(
    baseline="b" * 40,
    url="file:///home.git",
    subdir="sub",
    identity={"user.name": "Ada"},
    config={"cache": {"dir": "/cache"}},
    shared=True,
)
MESSAGES = [
    SETUP,
    Job("small-7", {"train.x": 0.1, "train.kind": None}, ["m.json:loss"], "loss.tsv", "a" * 40),
    Stop(),
    Ready(),
    Unusable("git clone: fatal: no such host"),
    Progress(3, 0.25),
    Began({"name": "small-7", "pid": 5}, {"params.yaml": "lr: 2\n"}),
    Written("live/metrics.json", 7, "\udcff}", 1_700_000_000_000_000_001),
    Complete("c" * 40, [0.1, 2.0], Processor("Xeon", 4, "openblas SkylakeX", 4, ("X86_V3",))),
    Pruned(),
    Failed("stage train", "line\nλ", "not in Git: key.txt"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_arrives_as_it_was_sent(message):
    assert from_json(to_json(message)) == message


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_is_one_line(message):
    assert "\n" not in to_json(message)


def test_whole_and_real_numbers_stay_apart():
    job = from_json(to_json(Job("small-0", {"a": 1, "b": 1.0, "c": True}, [])))
    assert [type(value) for value in job.params.values()] == [int, float, bool]


@pytest.mark.parametrize("line", ['{"type": "Nope"}', "{}", "[]", '{"type": "Progress", "step": 1}'])
def test_anything_else_is_refused(line):
    with pytest.raises(ValueError, match="no message of a search"):
        from_json(line)


def test_a_message_names_its_type():
    assert json.loads(to_json(Stop())) == {"type": "Stop"}
