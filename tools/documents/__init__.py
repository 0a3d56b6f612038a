"""A corpus of documents made by other tools, on which `locatable locate` is scored: `make documents`."""
