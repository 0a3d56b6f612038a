"""Places where stages run: clones of a repository, and DVC's internals to work in them."""
