"""Compares what the package reads of a commit with what DVC itself says of it, value by value."""
