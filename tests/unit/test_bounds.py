"""What is too large to be read, and what is not."""

import contextlib
import hashlib
import os
import signal
import socket
import time

import pytest
import yaml

from locatable import documents
from locatable.documents import Bound, bounded_reading, vector
from locatable.errors import UnreadableError
from locatable.repository import require_regular
from locatable.repository.parsing import (
    MOST_DEPTH,
    TooLargeError,
    parse,
    require_bounded_depth,
    require_bounded_yaml,
)

BOMB = "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
TOO_MUCH = {
    "billions of values by aliases": BOMB,
    "an anchor that holds itself": "a: &a\n  b: *a\n",
    "an anchor that holds itself in a list": "&a [*a]\n",
    "nested deeply": "[" * 5_000 + "]" * 5_000,
}


@pytest.mark.parametrize("what", TOO_MUCH)
def test_yaml_that_takes_all_memory_is_refused(what):
    with pytest.raises(TooLargeError):
        require_bounded_yaml(TOO_MUCH[what])


@pytest.mark.parametrize("what", TOO_MUCH)
def test_params_that_take_all_memory_are_refused(what):
    with pytest.raises(TooLargeError):
        parse("params.yaml", TOO_MUCH[what].encode())


@pytest.mark.parametrize(("path", "pair"), [("m.json", "[]"), ("p.py", "()"), ("p.toml", "[]")])
def test_other_files_of_params_that_are_nested_deeply_are_refused(path, pair):
    nested = pair[0] * 100_000 + pair[1] * 100_000
    with pytest.raises(ValueError, match=r"nested|corrupted"):
        parse(path, (nested if path == "m.json" else f"a = {nested}").encode())


@pytest.mark.parametrize(
    ("depth", "is_refused"), [(1, False), (MOST_DEPTH - 1, False), (MOST_DEPTH + 1, True)]
)
def test_values_that_are_nested_too_deeply_are_refused(depth, is_refused):
    value = 1
    for _ in range(depth):
        value = [value]
    refused = pytest.raises(TooLargeError) if is_refused else contextlib.nullcontext()
    with refused:
        require_bounded_depth({"a": value} if depth == 1 else value)


def test_a_large_file_of_params_is_refused(monkeypatch):
    monkeypatch.setattr("locatable.repository.parsing.MOST_TEXT", 10)
    with pytest.raises(TooLargeError, match="larger than"):
        parse("params.json", b'{"a": "more than ten"}')


def test_anchors_and_aliases_of_usual_params_are_read():
    text = "base: &base {lr: 0.1, layers: [1, 2]}\nlarge:\n  <<: *base\n  lr: 0.2\n"
    require_bounded_yaml(text)
    assert parse("params.yaml", text.encode())["large"] == {"lr": 0.2, "layers": [1, 2]}


def test_an_anchor_that_is_set_again_stands_for_the_last_value():
    require_bounded_yaml("a: &x [1]\nb: *x\nc: &x [2]\nd: *x\n")


def test_yaml_that_is_none_is_said_to_be_none():
    with pytest.raises(yaml.YAMLError):
        require_bounded_yaml("a: [")


def test_a_pipe_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnreadableError, match="pipe"):
        require_regular(tmp_path / "pipe")


def test_a_socket_is_not_read(tmp_path):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        with pytest.raises(UnreadableError):
            require_regular(tmp_path / "socket")


@pytest.mark.parametrize("name", ["file", "folder", "not there"])
def test_files_and_folders_are_left_to_those_who_read_them(tmp_path, name):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    require_regular(tmp_path / name)


def read_forever() -> None:
    """Read as a decoder does that takes every error for a broken picture."""
    while True:
        with contextlib.suppress(Exception):
            time.process_time()


def test_reading_ends_after_some_processor_time(monkeypatch):
    monkeypatch.setattr(documents, "MOST_SECONDS", 0.2)
    with pytest.raises(UnreadableError, match="paper: takes more than 0"), bounded_reading("paper"):
        read_forever()


def test_the_time_of_the_renderer_is_that_of_the_document(monkeypatch):
    monkeypatch.setattr(documents, "MOST_SECONDS", 1)

    def render() -> None:
        for _ in range(10):
            vector._in_other_process(vector.FIGURE, hashlib.pbkdf2_hmac, "sha256", b"", b"", 1_000_000)

    with pytest.raises(UnreadableError, match="paper: takes more than 1"), bounded_reading("paper"):
        render()


def test_what_one_step_took_is_not_left_for_the_next(monkeypatch):
    monkeypatch.setattr(documents, "MOST_SECONDS", 10)
    bound = Bound()
    with bounded_reading("paper", bound):
        documents.charge_time(4)
    with bounded_reading("paper", bound), documents.unbounded_time():
        documents.charge_time(4)
    assert 5 < bound.seconds < 6.1


def test_reading_takes_no_more_memory_than_is_allowed():
    with (
        pytest.raises(UnreadableError, match="paper: takes more than 900 MB"),
        bounded_reading("paper"),
    ):
        bytearray(2_000_000_000)


def test_nothing_is_bounded_afterwards():
    handler = signal.getsignal(signal.SIGPROF)
    with bounded_reading("paper"):
        pass
    assert signal.getsignal(signal.SIGPROF) == handler
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
    assert len(bytearray(2_000_000_000)) == 2_000_000_000
