"""One module for each command: `add_arguments(parser)`, and `run(arguments)`, which returns the exit code.

Their docstrings are what `locatable COMMAND --help` shows.
"""
