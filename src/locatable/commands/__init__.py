"""One module for each command: `add_arguments(parser)`, and `run(arguments)`, which returns the exit code.

Their docstrings are what `locatable COMMAND --help` shows.
"""

import signal


def end_as_by_ctrl_c() -> None:
    """Have a command that another process ends, or that loses its terminal, clean up as after Ctrl-C."""
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
