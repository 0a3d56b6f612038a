"""How `locatable reproduce` proves things, one module per step.

fresh: the clone and its data; locked: its environment; hermetic: a stage in its own company;
record: what was recorded against what came out; rebuild: one stage, and why it differs;
missed: what it needs undeclared; vary: conditions that nothing may depend on.
"""
