"""Runs in MLflow: what they hold, and how they are written."""
