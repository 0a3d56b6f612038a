"""What Git and DVC recorded, read quickly for thousands of revisions."""
