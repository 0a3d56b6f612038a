"""What Git knows of a DVC repository's past: experiments and revisions, read from its objects alone."""
