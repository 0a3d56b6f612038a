"""Explains why two results differ.

`changes` compares their coordinates and values, `compare` finds the first cause, and `render` shows the
comparison.
"""
