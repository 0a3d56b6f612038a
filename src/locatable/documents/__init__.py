"""Reads documents: which figures are in one, where, and in which form.

Knows nothing of results. What reads a format is imported when a document of that format is read.
"""

from .figure import Drawing, Encoded, Figure, Form, Pixels
from .formats import instead_of, is_document, is_picture, read_figures

__all__ = [
    "Drawing",
    "Encoded",
    "Figure",
    "Form",
    "Pixels",
    "instead_of",
    "is_document",
    "is_picture",
    "read_figures",
]
