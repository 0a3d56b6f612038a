"""Proves that a result can be rebuilt.

reproduce       runs a whole proof, and writes its report
plan            chooses the stages to rebuild, prepares a clean clone, checks the records against the revision
lock_files      builds the environment of the stages from a lock, with one class for each kind of lock
environment     runs installers; reads the recorded environment and what an environment has installed
sandbox         runs a stage where nothing exists but its declared inputs (`inputs`)
attempts        runs a stage once and compares its outputs with the recorded ones (`comparison`)
diagnosis       finds out why a stage fails or differs
conditions      runs a stage under conditions that must not change its result
"""
