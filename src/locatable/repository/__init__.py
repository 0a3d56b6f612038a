"""Reads revisions and checkouts of a DVC repository; asks DVC itself where it must judge."""
