"""Runs searches: Optuna proposes params, and every trial becomes an experiment of DVC.

settings        search.yaml
sampling        the sampler and the pruner that it names
git_trials      experiments in Git that are trials
study           Optuna's study, brought to what Git knows
messages        between the pool and its workers
pool            asks the study for trials, and sends them to workers
local_backend   starts workers on this machine
ray_backend     starts workers on a Ray cluster, each by an actor of `ray_node`
worker          runs trials in a clone of its own
run             the course of one call
summary         the result: table, CSV, figures
"""
