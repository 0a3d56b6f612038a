"""Files that DVC reads and writes, understood as DVC does, and quick for thousands of revisions.

PyYAML follows YAML 1.1, where `1e-05` is a string and `no` is false; DVC follows 1.2.
"""

import json
import re
import tomllib
from functools import lru_cache
from typing import Any

import yaml

# One line of DVC's own YAML: margin, dash of a list's item, key, value.
LINE = re.compile(r"^( *)(- )?(?:([\w./@-]+):(?: |$))?(.*)$", re.MULTILINE)
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[-+]?[0-9]+)?")
HASH = re.compile(r"[0-9a-f]{32}(\.dir)?")
# A file or folder in a stage's `deps` or `outs`, as DVC writes nearly all of them.
ENTRY = re.compile(
    r"\n    - path: ([\w./@-]+)\n      hash: md5\n      md5: ([0-9a-f]{32}(?:\.dir)?)\n      size: (\d+)"
    r"(?:\n      nfiles: (\d+))?(?![^\n])"
)


class Loader(yaml.CSafeLoader):
    """YAML 1.2's plain scalars."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 (not shared: the parent's would be changed otherwise)


def _integer(loader: Loader, node: yaml.ScalarNode) -> int:
    text = node.value.replace("_", "")
    return int(text, 0) if re.match(r"[-+]?0[xob]", text) else int(text)


for tag, pattern, first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9][0-9_]*|0o[0-7]+|0x[0-9a-fA-F]+|0b[01]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), list(first))
Loader.add_constructor("tag:yaml.org,2002:int", _integer)


@lru_cache(2_000)
def load_yaml(text: str | bytes) -> Any:
    """Parse YAML 1.2; the answer is shared by all who ask, so do not change it.

    Raises:
        yaml.YAMLError: the text is not YAML.
    """
    return yaml.load(text, Loader)  # noqa: S506 (a safe loader)


def parse(path: str, content: bytes) -> Any:
    """Parse a metrics or params file by the ending of its name: JSON, TOML, Python, or YAML.

    Raises:
        ValueError or yaml.YAMLError: it is not what its name says.
    """
    if path.endswith(".json"):
        return json.loads(content)
    if path.endswith(".py"):
        # Imported here: a quarter of a second that few projects need.
        from dvc.utils.serialize import ParseError, parse_py

        try:
            return parse_py(content.decode(), path)
        except ParseError as error:
            raise ValueError(str(error)) from None
    return tomllib.loads(content.decode()) if path.endswith(".toml") else load_yaml(content)


def lock_stages(content: bytes) -> dict[str, dict[str, Any]]:
    """Stages of a `dvc.lock`: name to cmd, deps, params, outs; shared, so do not change them.

    Raises:
        yaml.YAMLError: the text is not YAML.
    """
    text = content.decode()
    schema, _, body = text.removesuffix("\n").partition("\nstages:")
    if schema == "schema: '2.0'":
        try:
            found = {}
            for block in re.split(r"\n(?=  \S)", body)[1:]:
                found |= _stage(block)
            return found
        except (ValueError, yaml.YAMLError):
            pass  # more of YAML than DVC usually writes, or broken: the whole text tells
    lock = yaml.load(text, Loader) or {}  # noqa: S506 (a safe loader)
    # Before DVC 2 a lock held nothing but stages.
    return lock.get("stages") or {} if "schema" in lock else lock


@lru_cache(2_000)
def _stage(text: str) -> dict[str, Any]:
    head, *fields = re.split(r"\n(?=    [a-z])", text)
    (name,) = load_yaml(head)
    return {name: {key: value for field in fields for key, value in _block(field).items()}}


# From revision to revision most blocks repeat; those that do not are not to fill the memory.
@lru_cache(5_000)
def _block(text: str) -> dict[str, Any]:
    name, _, entries = text.partition(":")
    if name in ("    deps", "    outs") and not ENTRY.sub("", entries):
        found = []
        for path, md5, size, files in ENTRY.findall(entries):
            found.append({"path": path, "hash": "md5", "md5": md5, "size": int(size)})
            if files:
                found[-1]["nfiles"] = int(files)
        return {name.strip(): found}
    return _lines(text)


def _lines(text: str) -> dict[str, Any]:
    """Keys, values and lists, one a line, as DVC writes them: ten times as quick as a YAML parser.

    Raises:
        ValueError or yaml.YAMLError: there is more in it.
    """
    found: dict[str, Any] = {}
    empty, levels = None, [(4, found)]
    for spaces, dash, key, value in LINE.findall(text):
        depth = len(spaces)
        if empty and (depth > empty[2] or (dash and depth == empty[2])):
            owner, name, _ = empty
            owner[name] = [] if dash else {}
            levels.append((depth, owner[name]))
        empty = None
        while len(levels) > 1 and (levels[-1][0] > depth or (not dash and isinstance(levels[-1][1], list))):
            levels.pop()
        level, inside = levels[-1]
        if level != depth or bool(dash) != isinstance(inside, list) or not (dash or key):
            raise ValueError(text)
        if dash and not key:
            inside.append(_scalar(value))
            continue
        if dash:
            depth += 2
            inside.append({})
            inside = inside[-1]
            levels.append((depth, inside))
        inside[key] = value if len(value) >= 32 and HASH.fullmatch(value) else _scalar(value)
        if not value:
            empty = inside, key, depth
    return found


@lru_cache(10_000)
def _scalar(text: str) -> Any:
    if NUMBER.fullmatch(text):
        return int(text) if text.lstrip("-").isdigit() else float(text)
    if text.startswith(tuple("|>&*!")) or (": " in text and text[0] not in "'\""):
        raise ValueError(text)
    return yaml.load(text, Loader)  # noqa: S506 (a safe loader)
