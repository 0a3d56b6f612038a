"""Check the whole params.yaml, before any stage replaces its outputs."""

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
        # `dvc exp run -S` may have changed this file in the same second in which Git last read it. Then
        # `git status` misses the change and `git checkout` does not undo it, so make the file look newer.
        times = PARAMS.stat()
        os.utime(PARAMS, ns=(times.st_atime_ns, times.st_mtime_ns + 10**9))
        print(*faults, sep="\n", file=sys.stderr)
        sys.exit(78)  # EX_CONFIG of sysexits.h: trying again does not help


if __name__ == "__main__":
    main()
