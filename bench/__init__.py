"""Benchmarks. They print ratios of times measured in one run on one machine; no test depends on a time."""
