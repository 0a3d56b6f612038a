"""A step of a flow: what is logged, how a failure is reported, and that nothing is left running."""

import signal
from pathlib import Path

import psutil
import pytest

from locatable import flow


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that `python -m said` runs; write it."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "said.py"


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended can wait for its parent to see that."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def ignore(line: str) -> None:
    pass


def test_lines_are_logged_and_returned_of_a_module_with_arguments_in_a_folder(
    module: Path, tmp_path: Path
) -> None:
    module.write_text("import os, sys; print('one  '); print(); print(*sys.argv[1:]); print(os.getcwd())")
    logged: list[str] = []
    assert flow.run_step(tmp_path, "said", "--study=a b", log=logged.append) == logged
    assert logged == ["one", "--study=a b", str(tmp_path)]


def test_programs_beside_this_python_are_found(module: Path, tmp_path: Path) -> None:
    module.write_text("import os, pathlib, sys; print(os.environ['PATH'].split(os.pathsep)[0])")
    assert flow.run_step(tmp_path, "said", log=ignore) == [str(Path(flow.sys.executable).parent)]


def test_a_failure_is_the_last_line(module: Path, tmp_path: Path) -> None:
    module.write_text("import sys; print('so far'); sys.exit('no more')")
    with pytest.raises(flow.StepError, match=r"^no more$"):
        flow.run_step(tmp_path, "said", log=ignore)


def test_two_commands_in_a_clone_are_told_apart_below_the_folder_of_the_flow(
    module: Path, tmp_path: Path
) -> None:
    module.write_text(f"import os; print(os.environ[{flow.CLONE_VARIABLE!r}])")
    marks = [flow.run_step(tmp_path, "said", log=ignore, clone=tmp_path / "clone")[0] for _ in "12"]
    assert {Path(mark).parent for mark in marks} == {tmp_path}
    assert len(set(marks)) == 2


def test_what_a_command_started_for_a_clone_is_killed_with_it(module: Path, tmp_path: Path) -> None:
    module.write_text(
        "import subprocess, sys\n"
        "quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "print(subprocess.Popen(['sleep', '600'], start_new_session=True, **quiet).pid)\n"
    )
    (pid,) = flow.run_step(tmp_path, "said", log=ignore, clone=tmp_path / "clone")
    assert not is_running(int(pid))


def test_a_command_ends_when_its_step_is_interrupted(module: Path, tmp_path: Path) -> None:
    module.write_text("import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    pids: list[int] = []

    def interrupt(line: str) -> None:
        pids.append(int(line))
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        flow.run_step(tmp_path, "said", log=interrupt)
    assert not is_running(pids[0])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "exit code 1"),
        (["one", "two"], "two"),
        (["ERROR: it is broken", "see the documentation"], "ERROR: it is broken"),
    ],
)
def test_the_message_of_a_failure(lines: list[str], message: str) -> None:
    assert str(flow.failure(lines, 1)) == message


@pytest.mark.parametrize(
    ("ending", "permanent"),
    [("exited with 78", True), ("exited with 1", False), ("exited with 78 or so", False)],
)
def test_only_a_stage_that_exits_with_78_is_not_tried_again(ending: str, permanent: bool) -> None:
    lines = [f"ERROR: failed to reproduce 'train': failed to run: python train.py, {ending}"]
    assert isinstance(flow.failure(lines, 255), flow.PermanentError) is permanent
