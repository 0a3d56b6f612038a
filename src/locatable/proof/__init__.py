"""Proves that a result can be rebuilt.

reproduce       the course of a whole proof, and its report
plan            which stages to rebuild; a clean clone, ready for them; what is recorded, against the revision
lock_files      the packages that stages run with, from a lock: one class a kind
environment     how an installer runs; what the record and an environment say of packages and variables
sandbox         a stage runs where nothing exists but what it declares (`inputs`)
attempts        one run of a stage, compared with what is recorded (`comparison`, value by value)
diagnosis       why a stage fails or differs
conditions      what no result may depend on, changed
"""
