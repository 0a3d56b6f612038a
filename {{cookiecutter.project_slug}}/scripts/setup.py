"""Check what `make setup` needs, and create the environment. Any Python 3 can run this, without packages."""

import hashlib
import subprocess
import sys
from pathlib import Path

python, version, venv, lock = sys.executable, sys.version_info, Path(sys.argv[1]), Path("tools.lock")
if not (3, 11) <= version[:2] <= (3, 13):
    problem = f"This project needs Python 3.11, 3.12 or 3.13, and {python} is {version[0]}.{version[1]}"
    sys.exit(f"{problem}; name another one: make setup PYTHON=python3.11")
if not lock.exists():
    sys.exit(f"{lock} is missing: get it back with 'git checkout {lock}', or make it with 'make lock'")
# locatable is on no package index: its wheel is part of the project, and the lock has the hash of the wheel.
pinned, wheels = lock.read_text(), Path("vendor").glob("*.whl")
known = [wheel for wheel in wheels if hashlib.sha256(wheel.read_bytes()).hexdigest() in pinned]
if "--find-links vendor\n" in pinned and not known:
    sys.exit(f"vendor/ lacks the wheel that {lock} names: get both back with 'git checkout vendor {lock}'")
# Installed programs contain the paths of their folder and their Python. If one of these changes, start anew.
made = f"{venv.absolute()} {Path(python).resolve()} {version}\n"
if not (venv / "made").exists() or (venv / "made").read_text() != made:
    print(f"Creating {venv} with {python} ...", flush=True)
    subprocess.run([python, "-m", "venv", "--clear", venv], check=True)
    (venv / "made").write_text(made)
