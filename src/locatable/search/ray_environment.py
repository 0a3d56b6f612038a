"""What the nodes of a Ray cluster get of this machine: the package `locatable`, and the project's locks.

Everything else comes to them by the Git remote and the DVC remote.
"""

import shutil
from pathlib import Path
from typing import Any

# What stages may import, and all that is installed; of 0.2.0, only what the tools add to the first.
LOCKS = ("requirements.lock", "tools.lock")
# Wheels that a lock names by `--find-links vendor`.
WHEELS = "vendor/*.whl"
# Ray's name for its copy of the working folder, where it prepares an environment.
ON_NODE = "${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}"
PACKAGE = Path(__file__).parents[1]


def project_locks(root: Path) -> list[str]:
    """Names of the locks that a project has; a DVC repository that no template made may have none."""
    return [name for name in LOCKS if (root / name).exists()]


def lock_text(root: Path) -> str:
    """All that the locks of a project pin."""
    return "\n".join((root / name).read_text(encoding="utf-8") for name in project_locks(root))


def fill_working_folder(folder: Path, root: Path) -> None:
    """Copy what nodes need into a folder, which is theirs to work in.

    Args:
        folder: where nothing is yet.
        root: the project.
    """
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in project_locks(root):
        shutil.copy(root / name, folder)
    for wheel in root.glob(WHEELS):
        (folder / "vendor").mkdir(exist_ok=True)
        shutil.copy(wheel, folder / "vendor")


def prepared_environment(root: Path) -> dict[str, Any]:
    """Ray's description of an environment with exactly what the locks of a project pin."""
    packages = [f"-r {ON_NODE}/{name}" for name in project_locks(root)]
    return {"uv": {"packages": packages, "uv_pip_install_options": ["--require-hashes"]}}
