"""Proves that a result can be rebuilt, one module per step.

plan            which stages to rebuild, and what they need from DVC
preparation     recorded outputs are taken out of a clean clone, and source data comes in
record          what dvc.lock says, against what the revision holds
environment     the packages that stages run with, from a lock alone: `hashed_lock` by uv or pip, `conda_lock`
installed       how those differ from what is installed here (`conda_prefix`: what conda installed)
sandbox         a stage runs where nothing exists but what it declares (`stage_folder` fills the place)
recorded        recorded outputs, to compare with
comparison      what it writes, against what is recorded (`contents`, `differences` value by value)
diagnosis       why a stage fails or differs (`inputs`, `minimal`)
conditions      what no result may depend on; `variation` runs stages under others
tolerance       which outputs without numbers a tolerance accepts
reproduce       the course of a whole proof, with a `report` at its end
"""
