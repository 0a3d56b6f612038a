"""Reads documents: which figures are in one, where, and in which form.

Knows nothing of results. What reads a format is imported when a document of that format is read.
"""
