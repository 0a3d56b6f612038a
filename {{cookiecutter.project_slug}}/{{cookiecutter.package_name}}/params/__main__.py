"""Check all of params.yaml, before any stage replaces its outputs."""

import os
import pkgutil
import sys
from importlib import import_module

from . import PARAMS, __path__, load, read


def main() -> None:
    faults = []
    sections = {module.name for module in pkgutil.iter_modules(__path__)} - {"__main__"}
    for name in sorted(read().keys() - sections):
        faults.append(f"{PARAMS}: {name}: unknown section; allowed: {', '.join(sorted(sections))}")
    for name in sorted(sections):
        try:
            load(name, import_module(f"{__package__}.{name}").Params)
        except SystemExit as fault:
            faults.append(str(fault))
    if faults:
        # `dvc exp run -S` may have written this file in the second in which Git last looked at it.
        # Unless it looks a second newer, `git status` misses the change and `git checkout` keeps it.
        times = PARAMS.stat()
        os.utime(PARAMS, ns=(times.st_atime_ns, times.st_mtime_ns + 10**9))
        print(*faults, sep="\n", file=sys.stderr)
        sys.exit(78)  # EX_CONFIG of sysexits.h: whoever started this need not try again


if __name__ == "__main__":
    main()
