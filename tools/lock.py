"""Resolve the locks of generated projects: `make lock`.

`requirements.lock` holds the packages that stages may import, and is the same in every project. In
templates/locks/, `tools.lock` and `extras.lock` are those of a project whose DVC remote is a folder.
`s3.lock` and the others hold the packages that a remote of that kind adds to both; templates/macros.j2 merges
them. All locks come from one resolution, so that no plug-in of DVC changes other packages. The uv.lock of a
project is rendered from them.
"""

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
    """Generate a project for this DVC remote with the current locks, and return its folder."""
    return Path(
        cookiecutter(
            str(TEMPLATE),
            no_input=True,
            default_config=True,
            output_dir=folder,
            extra_context={"project_name": f"lock {remote.split(':')[0].strip('./')}", "dvc_remote": remote},
        )
    )


def resolve_together(projects: list[Path], folder: Path) -> None:
    """Resolve all projects at once. The uv.lock of each new project then prefers these versions."""
    together = folder / "all.lock"
    # Start from the current locks, so that a version only changes if a project needs that.
    together.write_text("".join(path.read_text() for path in LOCKS.glob("*.lock")))
    command = [*RESOLVE, "--find-links", PROJECT / "vendor", "--output-file", together]
    for project in projects:
        # A group belongs to one pyproject.toml, so name the groups of each project below.
        command += [project / "pyproject.toml"]
    for project in projects:
        for group in ("tools", "dev"):
            command += ["--group", f"{project / 'pyproject.toml'}:{group}"]
    subprocess.run([*command, "--all-extras"], check=True)
    (LOCKS / "extras.lock").write_text(together.read_text())


def resolve(remote: str, folder: str) -> Path:
    """Generate a project for this DVC remote, run its `make lock`, and return its folder."""
    project = generate(remote, folder)
    subprocess.run(["make", "-C", project, "lock"], check=True)
    return project


def packages(lock: str) -> list[str]:
    """Return the text of each package in a lock: the line with its version, and the lines with its hashes."""
    lines = lock.removeprefix(HEADER).replace("\n    --hash", "\0--hash").splitlines()
    return [line.replace("\0--hash", "\n    --hash") + "\n" for line in lines]


def main() -> None:
    LOCKS.mkdir(exist_ok=True)
    # Projects cannot be rendered if one of the files is missing.
    for name in ["tools", "extras", *REMOTES]:
        (LOCKS / f"{name}.lock").touch()
    with TemporaryDirectory() as name:
        addresses = {remote: f"{remote}://bucket/path" for remote in REMOTES}
        unresolved = [generate(address, name) for address in ("../folder", *addresses.values())]
        resolve_together(unresolved, Path(name))
        plain = resolve("../folder", f"{name}/resolved")
        projects = {remote: resolve(address, f"{name}/resolved") for remote, address in addresses.items()}
        for lock, path in [
            ("requirements", PROJECT / "requirements.lock"),
            ("tools", LOCKS / "tools.lock"),
            ("extras", LOCKS / "extras.lock"),
        ]:
            path.write_text((plain / f"{lock}.lock").read_text().removeprefix(HEADER))
        core = packages((plain / "tools.lock").read_text())
        for remote, project in projects.items():
            locked = packages((project / "tools.lock").read_text())
            (LOCKS / f"{remote}.lock").write_text("".join(block for block in locked if block not in core))
            rendered = generate(addresses[remote], f"{name}/rendered")
            for lock in ("requirements.lock", "tools.lock", "extras.lock"):
                if (rendered / lock).read_text() != (project / lock).read_text():
                    sys.exit(f"{remote}: the plug-in changes other packages in {lock}")


if __name__ == "__main__":
    main()
