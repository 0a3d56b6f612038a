"""How `locatable search` runs trials, one module per part."""
