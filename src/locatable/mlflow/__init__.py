"""Runs in MLflow that show DVC experiments: a view, which can be deleted and rebuilt from Git.

`settings` says where the runs are. `wanted` reads from Git which runs should be there, `known` which are;
`plan` compares the two. `revision` is what a run shows, as a `content`; `describe` is what a project adds
to it. `mirror` has a plan made and applied: by `apply`, through `store` and `runs`, which use MLflow.

A project's own scripts/mirror.py may import `RunContent`.
"""

from .content import RunContent

__all__ = ["RunContent"]
