"""Runs searches: Optuna proposes params, and every trial becomes an experiment of DVC.

settings        search.yaml, by itself and against the project
git_trials      experiments in Git that are trials
study           Optuna's study, brought to what Git knows
messages        to and from workers
worker          runs trials in a clone of its own
local_backend   starts workers on this machine
ray_backend     starts workers on a Ray cluster, each by an actor of `ray_node`
run             the plan of a search, and the pool that runs it
summary         the result: table, CSV, figures
"""
