"""Resolve the locks of generated projects: `make lock`.

`requirements.lock` is what stages may import, and is the same in every project. In templates/locks/,
`tools.lock` and `extras.lock` are those of a project whose DVC remote is a folder. `s3.lock` and the others
hold what a remote of that kind adds to both, and templates/macros.j2 merges them. All come from one
resolution, so that no plug-in of DVC changes another package.
"""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).parents[1]
PROJECT = TEMPLATE / "{{cookiecutter.project_slug}}"
LOCKS = TEMPLATE / "templates" / "locks"
REMOTES = ["s3", "gs", "azure", "ssh", "webdavs"]
HEADER = "--find-links vendor\n\n"
RESOLVE = "uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate".split()


def generate(remote: str, folder: str) -> Path:
    """A project for this DVC remote, with the locks as they are."""
    return Path(
        cookiecutter(
            str(TEMPLATE),
            no_input=True,
            default_config=True,
            output_dir=folder,
            extra_context={"project_name": f"lock {remote.split(':')[0].strip('./')}", "dvc_remote": remote},
        )
    )


def resolve_together(projects: list[Path], folder: Path) -> Path:
    """Resolve all projects at once, and return the file that holds the versions."""
    together = folder / "all.lock"
    # What is locked already stays, unless a project wants another version.
    together.write_text("".join(path.read_text() for path in LOCKS.glob("*.lock")))
    command = [*RESOLVE, "--find-links", PROJECT / "vendor", "--output-file", together]
    for project in projects:
        # The name of a group is that of one file: each project is resolved with its own.
        command += [project / "pyproject.toml"]
    for project in projects:
        for group in ("tools", "dev"):
            command += ["--group", f"{project / 'pyproject.toml'}:{group}"]
    subprocess.run([*command, "--all-extras"], check=True)
    return together


def resolve(project: Path, constraint: Path) -> None:
    """Run a project's own `make lock`."""
    subprocess.run(
        ["make", "-C", project, "lock"], env={**os.environ, "UV_CONSTRAINT": str(constraint)}, check=True
    )


def packages(lock: str) -> list[str]:
    """Return one text for each package of a lock: its pin, and its hashes on the lines below."""
    lines = lock.removeprefix(HEADER).replace("\n    --hash", "\0--hash").splitlines()
    return [line.replace("\0--hash", "\n    --hash") + "\n" for line in lines]


def main() -> None:
    LOCKS.mkdir(exist_ok=True)
    # A project cannot be rendered without the files that the last run left.
    for name in ["tools", "extras", *REMOTES]:
        (LOCKS / f"{name}.lock").touch()
    with TemporaryDirectory() as name:
        plain = generate("../folder", name)
        projects = {remote: generate(f"{remote}://bucket/path", name) for remote in REMOTES}
        together = resolve_together([plain, *projects.values()], Path(name))
        resolve(plain, together)
        for lock, path in [
            ("requirements", PROJECT / "requirements.lock"),
            ("tools", LOCKS / "tools.lock"),
            ("extras", LOCKS / "extras.lock"),
        ]:
            path.write_text((plain / f"{lock}.lock").read_text().removeprefix(HEADER))
        core = packages((plain / "tools.lock").read_text())
        for remote, project in projects.items():
            resolve(project, together)
            locked = packages((project / "tools.lock").read_text())
            (LOCKS / f"{remote}.lock").write_text("".join(block for block in locked if block not in core))
            rendered = generate(f"{remote}://bucket/path", f"{name}/rendered")
            for lock in ("requirements.lock", "tools.lock", "extras.lock"):
                if (rendered / lock).read_text() != (project / lock).read_text():
                    sys.exit(f"{remote}: the plug-in changes other packages in {lock}")


if __name__ == "__main__":
    main()
