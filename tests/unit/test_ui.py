"""`locatable ui` before it starts MLflow."""

import socket
from argparse import Namespace
from pathlib import Path

import pytest
import tiny_git

from locatable.commands import ui
from locatable.errors import UsageError


@pytest.fixture(autouse=True)
def _in_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_git.commit(tmp_path, {".dvc/config": "", "mlflow.db": ""})
    monkeypatch.chdir(tmp_path)


def test_a_port_that_something_else_uses_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=f"--port: {port} cannot be used: Address already in use"):
            ui.run(Namespace(port=port))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_there_is_not_is_named(port: int) -> None:
    with pytest.raises(UsageError, match=f"--port: {port} cannot be used"):
        ui.run(Namespace(port=port))


def test_only_the_address_of_a_server_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ada:secret@host/x")
    assert ui.run(Namespace(port=5000)) == 0
    assert capsys.readouterr().out == "The runs are on https://host/x\n"
