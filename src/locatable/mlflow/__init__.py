"""Runs in MLflow that show DVC experiments: a view, which can be deleted and rebuilt from Git.

`settings` reads where the runs are. `plan` compares the runs that should exist, according to Git, with the
`known` runs of the store. `revision` builds the `content` of a run, `describe` lets the project's own script
change it, and `limits` fits it to what MLflow can hold. `running` builds the runs of experiments that have no
commit yet. `mirror` makes a plan and applies it through the `store`, the only module that imports MLflow.
`tracked` builds the same runs for other trackers.

A project's own scripts/mirror.py may import `RunContent`.
"""

from .content import RunContent

__all__ = ["RunContent"]
