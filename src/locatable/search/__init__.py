"""How `locatable search` runs trials: settings, space, study, pool and worker, each a module.

Where workers run is a backend: `local_backend`, or `ray_backend` with `ray_node`.
"""
