"""The command line: one clear line for each mistake, and exit codes that shells understand."""

import ast
import errno
import getpass
import os
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import locatable
from locatable import cli
from locatable.errors import ProjectError

SOURCES = Path(locatable.__file__).parent
# What is read before the interpreter's version is checked.
BEFORE_CHECK = [
    *("__init__.py", "__main__.py", "cli.py", "errors.py", "output.py"),
    *("git/__init__.py", "repository/__init__.py"),
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like a DVC project; the current one."""
    (tmp_path / ".git").mkdir()
    (tmp_path / ".dvc").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Namespace], int]], None]:
    """Puts a function in place of `locatable locate`."""

    def replace(run: Callable[[Namespace], int]) -> None:
        module = ModuleType("locatable.commands.locate", "Does what a test asks for.")

        def add_arguments(parser: ArgumentParser) -> None:
            parser.add_argument("--flag", action="store_true")

        module.add_arguments = add_arguments  # type: ignore[attr-defined]
        module.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)

    return replace


def run_in(folder: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own."""
    return subprocess.run(
        (sys.executable, "-c", code, *arguments),
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(SOURCES.parent)},
        text=True,
        capture_output=True,
        check=False,
    )


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"locatable {locatable.__version__}\n"


def test_help_has_a_line_for_each_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ") and "-" not in line.split()[0]] == [
        *cli.COMMANDS
    ]
    assert max(map(len, lines)) <= 80


def test_no_command_shows_the_help_as_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("usage: locatable COMMAND")


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("mirorr", "locatable: no command 'mirorr'; did you mean mirror? (locatable --help)\n"),
        ("bogus", "locatable: no command 'bogus' (locatable --help)\n"),
    ],
)
def test_unknown_command(word: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([word, "--option"]) == 2
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_of_a_command_fits_a_terminal(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert ended.value.code == 0
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_of_a_command_imports_nothing_heavy(name: str, tmp_path: Path) -> None:
    code = (
        "import atexit, sys; from locatable.cli import main; "
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr)); main()"
    )
    done = run_in(tmp_path, code, name, "--help")
    assert done.returncode == 0
    modules = done.stderr.split()
    assert {"dvc", "mlflow", "optuna", "pandas", "prefect", "ray"}.isdisjoint(modules)


def test_a_paragraph_of_help_is_wrapped_and_an_example_is_not(
    project: Path, command: Callable, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command(lambda arguments: 0)
    example = "    one two three four five six seven"
    sys.modules["locatable.commands.locate"].__doc__ = f"First\nline.\n\n{example}\n"
    monkeypatch.setenv("COLUMNS", "30")
    with pytest.raises(SystemExit):
        cli.main(["locate", "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert "First line." in lines
    assert example in lines


def test_the_exit_code_is_the_command_s(project: Path, command: Callable) -> None:
    command(lambda arguments: 3 if arguments.flag else 0)
    assert cli.main(["locate", "--flag"]) == 3


def test_ctrl_c(project: Path, command: Callable, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(arguments: Namespace) -> int:
        raise KeyboardInterrupt

    command(interrupted)
    assert cli.main(["locate"]) == 130
    assert capsys.readouterr().err == "stopped\n"


def test_a_reader_that_leaves_early_is_no_error(project: Path) -> None:
    code = """
import os, sys, types
from locatable import cli
command = types.ModuleType("locatable.commands.locate", "")
command.add_arguments = lambda parser: None
command.run = lambda arguments: print("a line\\n" * 100_000) or 0
sys.modules[command.__name__] = command
read, write = os.pipe()
os.dup2(write, 1)
os.close(read)
sys.exit(cli.main(["locate"]))
"""
    done = run_in(project, code)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("name", sorted(cli.COMMANDS.keys() - {"index"}))
def test_outside_of_a_project_nothing_is_made(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [name, "target"] if name in ("diff", "locate") else [name]
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err == f"not inside a DVC project: {tmp_path}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_deleted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert cli.main(["ui"]) == 2
    assert capsys.readouterr().err == "the current folder does not exist any more\n"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ProjectError("it is broken", hint="mend it"), "it is broken; mend it"),
        (
            ModuleNotFoundError(name="mlflow.entities"),
            "locatable locate needs MLflow: pip install 'locatable[mlflow]'",
        ),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "a disk is full, and `df` shows which"),
    ],
    ids=["an error with its hint", "a missing extra", "a full disk"],
)
def test_what_a_user_can_mend_is_one_line(
    project: Path, command: Callable, capsys: pytest.CaptureFixture[str], error: Exception, line: str
) -> None:
    def fail(arguments: Namespace) -> int:
        raise error

    command(fail)
    assert cli.main(["locate"]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(line)


@pytest.mark.parametrize("fault", [BrokenPipeError(), ModuleNotFoundError(name="nobody")])
def test_a_fault_of_ours_is_no_line_for_users(project: Path, command: Callable, fault: Exception) -> None:
    def fail(arguments: Namespace) -> int:
        raise fault

    command(fail)
    with pytest.raises(type(fault)):
        cli.main(["locate"])


def test_python_3_10_is_refused_in_one_line(tmp_path: Path) -> None:
    code = (
        "import runpy, sys; sys.version_info = (3, 10, 4, 'final', 0); "
        "runpy.run_module('locatable', run_name='__main__')"
    )
    done = run_in(tmp_path, code, "locate", "HEAD")
    assert done.returncode == 2
    assert done.stderr == f"locatable needs Python 3.11 or newer, and {sys.executable} is 3.10\n"


@pytest.mark.parametrize("path", BEFORE_CHECK)
def test_python_3_10_can_read_what_refuses_it(path: str) -> None:
    ast.parse((SOURCES / path).read_text(), feature_version=(3, 10))


def test_nothing_else_is_read_before_the_version_is_checked(tmp_path: Path) -> None:
    done = run_in(tmp_path, "import sys, locatable.cli; print(*sys.modules)")
    read = {name for name in done.stdout.split() if name.partition(".")[0] == "locatable"}
    modules = {path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in BEFORE_CHECK}
    assert read == {"locatable", *(f"locatable.{name}" for name in modules - {"__init__", "__main__"})}


@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_a_machine_without_a_locale_will_do(locale: str) -> None:
    done = run_with({"LC_ALL": locale})
    assert done.stdout == f"locatable {locatable.__version__}\n"


@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_an_encoding_that_dvc_does_not_work_with_is_refused(locale: str) -> None:
    done = run_with({"LC_ALL": locale, "PYTHONUTF8": "0"})
    assert done.returncode == 2
    expected = "Python reads names as ascii here, and DVC's files are UTF-8: export PYTHONUTF8=1\n"
    assert done.stderr == expected


def run_with(variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "locatable", "--version")
    return subprocess.run(
        command, env={**os.environ, **variables}, text=True, capture_output=True, check=False
    )


def test_a_user_whom_the_system_does_not_know_has_a_name_for_dvc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert getpass.getuser() == "54321"
    assert os.environ["HOME"] == "/"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ("errors.ProjectError('last')", "last"),
        ("KeyboardInterrupt", "stopped"),
        ("PermissionError(13, 'denied', 'x')", "x: denied; try it in a clone of your own"),
    ],
)
def test_why_a_command_ends_comes_after_all_that_it_printed(error: str, line: str) -> None:
    program = f"""if True:
        from locatable import cli, errors

        def run(words):
            print("first")
            raise {error}

        cli._run = run
        raise SystemExit(cli.main([]))
    """
    command = (sys.executable, "-c", program)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.stdout.splitlines() == ["first", line]
