"""Which Python files the commands of stages import, and the change of dvc.yaml that declares them."""
