"""Resolve the locks of generated projects: `make lock`.

`requirements.lock` is what stages may import, and is the same in every project. In templates/locks/,
`tools.lock` is what the tools add to it; `s3.lock` and the others hold only what a DVC remote of that kind
adds. A generated project's `extras/` holds what each extra adds. All come from one resolution, so that no
two of them have a package at different versions.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).parents[1]
PROJECT = TEMPLATE / "{{cookiecutter.project_slug}}"
LOCKS = TEMPLATE / "templates" / "locks"
REMOTES = ["s3", "gs", "azure", "ssh", "webdavs"]
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
    known = [PROJECT / "requirements.lock", *LOCKS.glob("*.lock"), *(PROJECT / "extras").glob("*.lock")]
    text = "".join(path.read_text() for path in known if path.exists())
    together.write_text(text.replace("--find-links vendor\n", ""))
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


def blocks(lock: Path) -> list[str]:
    """One text for each package of a lock: its pin, and its hashes on the lines below."""
    return lock.read_text().replace("\n    --hash", "\0--hash").splitlines()


def write(path: Path, packages: list[str]) -> None:
    """Write a lock of these blocks."""
    path.write_text("".join(block.replace("\0--hash", "\n    --hash") + "\n" for block in packages))
    print(f"{path.relative_to(TEMPLATE)}: {len(packages)} packages")


def main() -> None:
    LOCKS.mkdir(exist_ok=True)
    # A project cannot be rendered without the files that the last run left.
    for name in ["tools", *REMOTES]:
        (LOCKS / f"{name}.lock").touch()
    with TemporaryDirectory() as name:
        folder = Path(name)
        plain = generate("../folder", name)
        projects = {remote: generate(f"{remote}://bucket/path", name) for remote in REMOTES}
        together = resolve_together([plain, *projects.values()], folder)
        resolve(plain, together)
        science, tools = blocks(plain / "requirements.lock"), blocks(plain / "tools.lock")
        write(PROJECT / "requirements.lock", science)
        write(LOCKS / "tools.lock", tools)
        shutil.rmtree(PROJECT / "extras", ignore_errors=True)
        shutil.copytree(plain / "extras", PROJECT / "extras")
        for remote, project in projects.items():
            resolve(project, together)
            changed = set(science + tools) - set(blocks(project / "requirements.lock"))
            changed -= set(blocks(project / "tools.lock"))
            if changed:
                sys.exit(f"{remote}: the plug-in changes other packages: {', '.join(sorted(changed))}")
            added = [block for block in blocks(project / "tools.lock") if block not in tools]
            write(LOCKS / f"{remote}.lock", added)


if __name__ == "__main__":
    main()
