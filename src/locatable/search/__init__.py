"""Runs searches: Optuna proposes params, and every trial becomes a DVC experiment.

settings        reads search.yaml and checks it against the project
git_trials      finds the experiments in Git that are trials
study           reconciles Optuna's study with Git
messages        messages between the pool and its workers
worker          a process that runs trials in its own clone
local_backend   starts workers on this machine
ray_backend     starts workers on a Ray cluster, each by an actor of `ray_node`
run             the plan of a search, and the pool that runs it
summary         the result as a table, CSV and figures
"""
