"""The command line `locatable`: the only place that prints errors and decides exit codes.

Each command is a module of `locatable.commands` and is imported only when it is asked for: MLflow, Optuna
and DVC take seconds to import, and `locatable --help` should not.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence

from . import __version__
from .errors import LocatableError

COMMANDS = {
    "locate": "say which experiment, commit, data and params a file, experiment, revision or run comes from",
    "mirror": "show all DVC experiments in MLflow, one run each",
    "search": "let Optuna propose params; every trial is a DVC experiment",
    "reproduce": "prove that a result can be rebuilt: every stage again, from a clean clone",
    "declare": "bring the dependencies in dvc.yaml up to what stages import",
    "ui": "open MLflow on the project's store",
    "flow": "rebuild a revision as a Prefect flow",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: what comes after `locatable`; by default, what this process was started with.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser(given[0] if given else "")
    parsed = parser.parse_args(given)
    try:
        return int(parsed.run(parsed))
    except LocatableError as error:
        lines = [str(error), error.hint]
        print("; ".join(line for line in lines if line), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def _parser(chosen: str) -> argparse.ArgumentParser:
    """All commands by name, and the arguments of the chosen one."""
    parser = argparse.ArgumentParser(
        prog="locatable", description="Find and rebuild results of a DVC repository."
    )
    parser.add_argument("--version", action="version", version=f"locatable {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        if name != chosen:
            commands.add_parser(name, help=summary, add_help=False)
            continue
        module = importlib.import_module(f".commands.{name}", __package__)
        command = commands.add_parser(
            name,
            help=summary,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser
