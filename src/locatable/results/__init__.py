"""What the result of a revision is: coordinates, values, whether it is of its commit, how to rebuild it."""
