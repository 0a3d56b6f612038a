"""Find the Python files that the commands of stages import, and declare them in dvc.yaml."""
