"""How `python -m scripts.search` runs trials, one module per part."""
