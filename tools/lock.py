"""Resolve the locks of generated projects: `make lock`.

In templates/locks/, `core.lock` is what every project installs; `s3.lock` and the others hold only
what a remote of that kind adds to it. A generated project's `extras/` holds what each extra adds.
All come from one resolution, so that no two of them have a package at different versions.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).parents[1]
LOCKS = TEMPLATE / "templates" / "locks"
EXTRAS = TEMPLATE / "{{cookiecutter.project_slug}}" / "extras"
REMOTES = ["s3", "gs", "azure", "ssh", "webdavs"]
RESOLVE = "uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate".split()


def generate(remote: str, folder: str) -> Path:
    """A project for this DVC remote, without any lock."""
    project = Path(
        cookiecutter(
            str(TEMPLATE),
            no_input=True,
            default_config=True,
            output_dir=folder,
            extra_context={"project_name": f"lock {remote.split(':')[0]}", "dvc_remote": remote},
        )
    )
    shutil.rmtree(project / "extras")
    (project / "requirements.lock").unlink()
    return project


def resolve(project: Path, constraint: Path) -> list[str]:
    """Run a project's own `make lock`.

    Returns:
        One block of text a package: its pin, and its hashes on the lines below.
    """
    subprocess.run(
        ["make", "-C", project, "lock"], env={**os.environ, "UV_CONSTRAINT": constraint}, check=True
    )
    return (project / "requirements.lock").read_text().replace("\n    --hash", "\0--hash").splitlines()


def write(path: Path, blocks: list[str]) -> None:
    path.write_text("".join(block.replace("\0--hash", "\n    --hash") + "\n" for block in blocks))
    print(f"{path.relative_to(TEMPLATE)}: {len(blocks)} packages")


def main() -> None:
    LOCKS.mkdir(exist_ok=True)
    EXTRAS.mkdir(exist_ok=True)
    # A project cannot be rendered without the files that the last run left.
    for name in ["core", *REMOTES]:
        (LOCKS / f"{name}.lock").touch()
    with TemporaryDirectory() as folder:
        plain = generate("folder", folder)
        projects = {remote: generate(f"{remote}://bucket/path", folder) for remote in REMOTES}
        sources = [project / "pyproject.toml" for project in (plain, *projects.values())]
        together = Path(folder, "all.lock")
        subprocess.run([*RESOLVE, "--all-extras", *sources, "--output-file", together], check=True)
        core = resolve(plain, together)
        write(LOCKS / "core.lock", core)
        for extra in (plain / "extras").iterdir():
            shutil.copy(extra, EXTRAS)
            print(f"{(EXTRAS / extra.name).relative_to(TEMPLATE)}")
        for remote, project in projects.items():
            blocks = resolve(project, together)
            changed = set(core) - set(blocks)
            if changed:
                sys.exit(f"{remote}: the plug-in changes core packages: {', '.join(sorted(changed))}")
            write(LOCKS / f"{remote}.lock", [block for block in blocks if block not in core])


if __name__ == "__main__":
    main()
