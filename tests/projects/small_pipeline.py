"""A pipeline of two stages, one of them no Python at all, for faults to be planted in."""

FILES = {
    ".gitignore": "__pycache__\n",
    "params.yaml": "make: {factor: 2}\ntotal: {offset: 1}  # not for make\n",
    "pkg/__init__.py": "",
    "pkg/helpers.py": "def times(value, factor):\n    return value * factor\n",
    "pkg/make.py": """
import csv
from ruamel.yaml import YAML

params = YAML(typ="safe").load(open("params.yaml"))
rows = [int(row[0]) for row in csv.reader(open("data/in.csv"))]
# INSERT
open("rows.csv", "w").write("".join(f"{row * params['make']['factor']}\\n" for row in rows))
""",
    "dvc.yaml": """
stages:
  make:
    cmd: python -m pkg.make
    deps: [data/in.csv, pkg/__init__.py, pkg/make.py]
    params: [make]
    outs: [rows.csv]
  total:
    cmd: awk '{s += $1} END {printf "{\\"total\\":%d}", s}' rows.csv > metrics.json
    deps: [rows.csv]
    outs:
      - metrics.json: {cache: false}
""",
}
