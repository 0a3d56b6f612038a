"""The result of a revision: its coordinates, its values, whether it belongs to its commit, how to rebuild it.

Every function that reads a snapshot raises `UnreadableError` if a DVC file in it is broken.
"""
