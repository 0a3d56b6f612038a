"""Where every result of a DVC repository comes from, and how to rebuild it.

What a project's own code may import:

    from locatable import read_coordinates
    read_coordinates(".", "HEAD").params.content

The command line is `locatable --help`.
"""

__version__ = "0.2.0"
