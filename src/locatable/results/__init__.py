"""What the result of a revision is: coordinates, values, whether it is of its commit, how to rebuild it.

Whatever reads a snapshot raises `UnreadableError` where one of DVC's files in it is broken.
"""
