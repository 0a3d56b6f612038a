"""Compare what this package reads from a commit with what DVC itself reads, value by value."""
