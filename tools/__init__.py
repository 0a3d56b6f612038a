"""Tools for the maintainers of this repository."""
