"""Why two results differ.

`changes` compares coordinates and values, `compare` finds what came first, and `render` shows both.
"""
