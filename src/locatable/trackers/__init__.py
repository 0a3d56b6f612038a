"""Runs in other trackers than MLflow: views as well, which can be deleted and made again from Git.

What a run holds is the same `RunContent` that MLflow gets. `run` fits it to what a tracker can hold, `mirror`
writes the runs that are not there yet. Each other module writes to one tracker, and alone imports it.
"""
