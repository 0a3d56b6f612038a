"""Benchmarks: each prints ratios taken in one run on one machine, never a time that a test would judge."""
