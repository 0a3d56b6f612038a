"""A corpus of documents made by other tools, scored beside the truth: `make documents`."""
