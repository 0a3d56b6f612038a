"""A project of one stage, which squares a param, for tests that clone it."""

import json
import sys
from shlex import quote

MAKE = """
import json
x = int(open("params.yaml").read().split()[1])
json.dump({"m": x * x}, open("m.json", "w"))
open("model.bin", "w").write(str(x))
"""


def stage(data: str) -> dict[str, object]:
    """The stage, as a dvc.yaml declares it.

    Args:
        data: path of what it depends on beside its code.
    """
    return {
        "cmd": f"{quote(sys.executable)} make.py",
        "deps": ["make.py", data],
        "params": ["x"],
        "outs": ["model.bin"],
        "metrics": [{"m.json": {"cache": False}}],
    }


def files(data: str) -> dict[str, str]:
    """Text by path of all files of the project; argument as of `stage`."""
    pipeline = json.dumps({"stages": {"make": stage(data)}})
    return {"make.py": MAKE, "params.yaml": "x: 3\n", data: "1\n", "dvc.yaml": pipeline}
