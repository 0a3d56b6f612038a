"""Reads documents: which figures are in one, where, and in which form.

`figure` says which files are documents and what a figure is. The other modules read one kind of document
each, or compare pictures and drawings. Nothing here knows of results.
"""
