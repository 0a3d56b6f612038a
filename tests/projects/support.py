"""How tests run what a user runs: as subprocesses, in generated projects."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from pathlib import Path

import pytest
import warm
from cookiecutter.main import cookiecutter
from filelock import FileLock

TEMPLATE = Path(__file__).parents[2]
Search = Callable[..., subprocess.CompletedProcess[str]]
# Means something to shells, URLs, SQLite and patterns. DVC itself refuses braces in the name of its cache.
ODD = "a #1 100%25 'wörk'? [x]"
# What a developer has set for themselves must not reach a test.
PRIVATE = ("DVC", "GIT_", "MLFLOW", "OPTUNA", "PYTHON", "UV_", "VIRTUAL_ENV", "XDG_")

# A machine that runs tests may have no Git identity; tests that need there to be none say so.
for role in ("AUTHOR", "COMMITTER"):
    os.environ[f"GIT_{role}_NAME"], os.environ[f"GIT_{role}_EMAIL"] = "Ada", "ada@example.org"


def run(
    *command: str | Path, cwd: Path, env: Mapping[str, str], code: int | None = 0, timeout: float = 600
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, its output captured; `code` is the exit code it must have (None: any)."""
    parts = [str(part) for part in command]
    if warm.can_run(parts, env):
        done = warm.run(parts, cwd, env, timeout)
    else:
        done = subprocess.run(
            parts,
            cwd=cwd,
            env=dict(env),
            text=True,
            capture_output=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    if code is not None:
        said = f"{' '.join(map(str, command))}\nexit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == code, said
    return done


def check_printed(shown: Iterable[str], printed: str) -> None:
    """Assert that lines of a page were printed in their order; `…` is anything, and blanks count as one."""
    lines = iter(" ".join(line.split()) for line in printed.splitlines())
    for expected in shown:
        pattern = ".*".join(re.escape(" ".join(part.split())) for part in expected.split("…"))
        assert any(re.fullmatch(pattern, line) for line in lines), f"not printed: {expected}\n{printed}"


def generate(folder: Path, overwrite: bool = False, **answers: str) -> Path:
    """Generate a project with these answers, all others by default, and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return Path(
        cookiecutter(
            str(TEMPLATE),
            no_input=True,
            default_config=True,
            output_dir=str(folder),
            extra_context=answers,
            overwrite_if_exists=overwrite,
        )
    )


def checks_of_answers() -> dict[str, Callable[[str], str | None]]:
    """Return the template's check of each answer, which says what would be allowed."""
    hook = (TEMPLATE / "hooks/pre_gen_project.py").read_text().replace("{{ cookiecutter | tojson }}", "{}")
    known: dict[str, object] = {"__name__": "hook"}
    exec(compile(hook, "hook", "exec"), known)  # noqa: S102
    return known["CHECKS"]


def environment(bare_env: Mapping[str, str], *options: str, **answers: str) -> Path:
    """A generated project's environment, made by its own `make setup`, once for the same locks.

    Its `locatable` is the sources of this repository, not the wheel: what tests see is what was last written.
    That the wheel is what the sources give has a test of its own.

    Args:
        bare_env: the environment variables of the user who makes it.
        options: more arguments of make, such as EXTRAS.
        answers: to the questions of the template.
    """
    place = TEMPLATE / "build" / "environments"
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place / "making.lock"):
        project = generate(place / "project", project_name="Setup", overwrite=True, **answers)
        locks = b"".join(path.read_bytes() for path in sorted(project.rglob("*.lock")))
        key = sha256(locks + repr((options, str(TEMPLATE), bare_env["PATH"])).encode()).hexdigest()[:16]
        venv = place / key
        if not (venv / "done").exists():
            shutil.rmtree(venv, ignore_errors=True)
            run("make", "setup", f"VENV={venv}", *options, cwd=project, env=bare_env)
            (installed,) = venv.glob("lib/python*/site-packages/locatable")
            shutil.rmtree(installed)
            installed.symlink_to(TEMPLATE / "src/locatable")
            (venv / "done").touch()
    return venv


def activated(venv: Path, bare_env: Mapping[str, str]) -> dict[str, str]:
    """Environment variables after `source bin/activate`."""
    path = f"{venv / 'bin'}{os.pathsep}{bare_env['PATH']}"
    return {**bare_env, "VIRTUAL_ENV": str(venv), "PATH": path}


# No account has it.
ORDINARY_USER = 54321


def as_ordinary_user(folder: Path) -> tuple[str, ...]:
    """Return what goes before a command to run it as a user who owns a folder, and can write nowhere else.

    Root gives the folder away, and the command becomes another user's; it may still read everything, since
    root's own folders hold the tests' environments.
    """
    if os.geteuid() != 0:
        return ()
    capability = "-all,+dac_read_search"
    start = (
        *("setpriv", f"--reuid={ORDINARY_USER}", f"--regid={ORDINARY_USER}", "--clear-groups"),
        "--securebits=+no_setuid_fixup",  # access(2), which Git asks, would not know the capability
        *(f"--inh-caps={capability}", f"--ambient-caps={capability}", f"--bounding-set={capability}"),
        # DVC wants a name of the user.
        *("env", "LOGNAME=ada"),
    )
    if not shutil.which("setpriv") or subprocess.run((*start, "true"), check=False).returncode:
        pytest.skip("setpriv (util-linux) cannot make root another user here")
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, ORDINARY_USER, ORDINARY_USER, follow_symlinks=False)
    return start


def snapshot(project: Path) -> dict[str, str]:
    """The hash of every file that stages write, and of dvc.lock."""
    written = [
        *(
            path
            for folder in ("data/prepared", "models", "reports")
            for path in (project / folder).rglob("*")
        ),
        project / "environment.json",
        project / "dvc.lock",
    ]
    return {
        str(path.relative_to(project)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(written)
        if path.is_file()
    }
