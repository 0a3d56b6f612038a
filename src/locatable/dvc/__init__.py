"""All that touches DVC's internals (`dvc`, `dvc_data`, `dvc_objects`, `scmrepo`).

Everything else calls functions of this package, which take and return types of ours.
"""
