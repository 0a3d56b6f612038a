"""Runs in MLflow that show DVC experiments: a view, which can be deleted and rebuilt from Git.

`settings` says where the runs are. `plan` compares the runs that there should be by Git with those that are
`known`. `revision` says what a run shows, as a `content`; `describe` what a project adds to it; `limits` how
MLflow can hold that. `mirror` has a plan made and applies it, through the `store`, which uses MLflow.

A project's own scripts/mirror.py may import `RunContent`.
"""

from .content import RunContent

__all__ = ["RunContent"]
