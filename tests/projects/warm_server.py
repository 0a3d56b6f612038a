"""A Python that has imported what commands need, and forks for each command; see warm.py.

It is run by the Python of an environment. On its standard input comes one request a line, as JSON: the
command, its folder, its variables, and files for its output. It answers with the id of the process, and then
with its exit code.
"""

import atexit
import importlib
import json
import os
import signal
import sys
from importlib.metadata import entry_points
from typing import Any

MLFLOW = "mlflow mlflow.tracking mlflow.store.tracking.sqlalchemy_store"
DVC = "dvc.repo dvc.repo.experiments dvc.repo.reproduce dvc.dependency"
# What a command imports, by words of it.
MODULES = {
    "dvc": f"dvc.cli {DVC}",
    "locatable": "locatable.cli locatable.repository.reader locatable.results.coordinates",
    "declare": DVC,
    "flow": DVC,
    "mirror": MLFLOW,
    "reproduce": DVC,
    "search": f"{DVC} optuna pydantic sqlalchemy matplotlib.pyplot sklearn.ensemble",
}


def load(command: list[str]) -> None:
    """Import what a command is going to import."""
    words = [MLFLOW] if command[0] == "python" else [MODULES.get(word, "") for word in command[:2]]
    for name in " ".join(words).split():
        importlib.import_module(name)


def begin(request: dict[str, Any]) -> None:
    """Have the folder, variables and files of a command."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    for number, path in enumerate([os.devnull, *request["output"]]):
        os.dup2(os.open(path, os.O_WRONLY if number else os.O_RDONLY), number)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def run(program: str, *arguments: str) -> object:
    """Do what a command does; returns what it hands to `sys.exit`."""
    if program == "python":
        sys.argv = ["-c", *arguments[2:]]
        sys.path.insert(0, "")
        exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102
        return None
    sys.argv = [os.path.join(sys.prefix, "bin", program), *arguments]
    (entry,) = entry_points(group="console_scripts", name=program)
    return entry.load()()


def finish(request: dict[str, Any]) -> int:
    """Be the process of a command, up to its exit code."""
    code: object = 1
    try:
        begin(request)
        code = run(*request["command"])
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code or 0


if __name__ == "__main__":
    # A command looks for modules where its program does, which is not here.
    del sys.path[0]
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        load(request["command"])
        child = os.fork()
        if not child:
            replies.detach()
            os._exit(finish(request))
        print(child, file=replies, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=replies, flush=True)
