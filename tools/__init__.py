"""What maintainers of this repository run."""
