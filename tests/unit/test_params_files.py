"""10,000 made values are set in params files: each reader reads what was asked, and no other byte moves."""

import datetime
import json
import math
import random
import re
import struct
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.serialize import PARSERS
from ruamel.yaml import YAML

from locatable.clones.params_files import cut_to, write
from locatable.errors import ProjectError

# Keys of one file; as many values are set in it at once.
KEYS = 20
# What a reader of YAML 1.1 or 1.2 can take for something else than text.
TRAPS = """no on y n yes NO off
true null ~ 1e-5 1e5 1.0e-5 12:30 190:20:30 1:2 0o17 017 0b1 0x1F 1_000 .5
5. +1 .inf .nan 2024-05-01 2001-12-14t21:59:43.10-05:00 = << - -- ? ! & * % @ ` ' " \\ { } [ ] , | > # :
... ---
a:b x: ${x} None é 😀""".split()
TRAPS += [
    "",
    " led",
    "trailed ",
    "a: b",
    "a #b",
    "- x",
    "line\nbreak",
    "\r\n",
    "\t",
    "\x7f",
    "\x85",
    "\u2028",
    "\ufeff",
]
DATES = [datetime.date(2024, 5, 1), datetime.datetime(2024, 5, 1, 12, 30)]


def made_float(source: random.Random) -> float:
    """A float of any size; half of them of the sizes that lose digits."""
    if source.random() < 0.5:
        return source.choice([1, -1]) * 10 ** source.choice([source.uniform(-9, -4), source.uniform(15, 20)])
    number: float = struct.unpack("d", source.randbytes(8))[0]
    return number if math.isfinite(number) else source.choice([0.0, -0.0, 1e22, 5e-324, 1e-5])


def made_value(source: random.Random) -> Any:
    """A value of any type that a params file can have."""
    kinds: list[Callable[[], Any]] = [
        lambda: made_float(source),
        lambda: source.choice(TRAPS),
        lambda: "".join(source.choices("".join(TRAPS), k=source.randint(1, 120))),
        lambda: source.randint(-(10**20), 10**20),
        lambda: source.choice([True, False]),
        lambda: [made_float(source), source.choice(TRAPS), [True]],
        lambda: {source.choice(TRAPS) or "key": made_float(source), "deep": {"at": source.choice(TRAPS)}},
    ]
    return source.choices(kinds, weights=[6, 4, 1, 1, 1, 1, 1])[0]()


@dataclass(frozen=True)
class Kind:
    """Files of one kind.

    Attributes:
        file: its name.
        olds: texts of values to be replaced.
        line: of a value, with the key and a comment around it.
        around: what is before and after the lines.
        readers: what users read such files with.
    """

    file: str
    olds: list[str]
    line: str
    around: tuple[str, str]
    readers: list[Callable[[str], Any]]
    more_values: tuple[Any, ...] = ()


def read_python(text: str) -> dict[str, Any]:
    """The names of a module."""
    names: dict[str, Any] = {}
    exec(text, names)  # noqa: S102
    return names


KINDS = [
    Kind(
        "params.yaml",
        [
            "1", "1.0e-05", "1e-5", "'no'", '"12:30"', "12:30", "2024-05-01", "", "~", "[1, 2.0, three]",
            "{x: 1, y: [2]}", "!!str 5", "017", "1_000", "several words", "yes", ".nan", "*anchor", "&own 5",
        ],
        "{key}: {old}  # {key}",
        (
            "# by hand\nanchor: &anchor 1.085592917212183e-08  # e\nday: 2024-05-01\ncountry: 'no'\n",
            "after: |\n  x\n\n  y\n\n# end\n",
        ),
        [yaml.safe_load, YAML(typ="safe", pure=True).load],
        (None, *DATES),
    ),
    Kind(
        "params.toml",
        ["1", "1e-05", '"no"', "'lit'", "[1, 2]", "{a = 1, b.c = 2}", "true", "2024-05-01", '"""x"""'],
        "{key}  =  {old}  # {key}",
        ("# by hand\nrate = 1.10e-05\n", '[after]\n"a b" = 0x1F # hex\n'),
        [tomllib.loads],
        tuple(DATES),
    ),
    Kind(
        "params.json",
        ["1", "1e-5", '"no"', "[1, 2]", '{"a": 1 , "b": {}}', "null", '"\\u00e9 \\ud83d\\ude00"'],
        '\t"{key}" :  {old} ,',
        ('{\n  "rate": 1.10e-05,\n', '  "after": [ ]\n}\n'),
        [json.loads],
        (None,),
    ),
    Kind(
        "params.py",
        ["1", "-1e-5", "'no'", '"no" "x"', "[1, 2]", '{"a": {"b": 1}}', "None", "True", "(0.5)", "(10, 'é')"],
        "é = 1; {key}: object  =  {old}  # {key}",
        ("# by hand\nimport math\nRATE = 1.10e-05\n", "\n\nclass After:\n    rate = 2 * math.pi\n"),
        [read_python],
        (None, [1, 2]),
    ),
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.file)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["unix", "windows"])
def test_made_values_are_set_and_nothing_else_moves(tmp_path: Path, kind: Kind, line_end: str) -> None:
    source = random.Random(kind.file + line_end)  # noqa: S311
    path = tmp_path / kind.file
    before, after = [part.replace("\n", line_end) for part in kind.around]
    for _ in range(20):
        lines = [made_line(kind, f"k{at}", source) for at in range(KEYS)]
        path.write_bytes((before + "".join(line + line_end for line in lines) + after).encode())
        wanted = {f"k{at}": made_value(source) for at in range(KEYS)}
        wanted["k0"] = source.choice(kind.more_values)
        write(tmp_path, {f"{kind.file}:{key}": value for key, value in wanted.items()})
        text = path.read_bytes().decode()
        assert text.startswith(before)
        assert text.endswith(line_end + after)
        left = text.removeprefix(before).removesuffix(after).split(line_end)
        assert [around_value(line) for line in left] == [around_value(line) for line in [*lines, ""]]
        for read in [*kind.readers, lambda text: PARSERS[path.suffix](text, kind.file)]:
            found = read(text)
            assert plain({key: found[key] for key in wanted}) == plain(wanted)


def made_line(kind: Kind, key: str, source: random.Random) -> str:
    """A line with a value; an anchor of its own is another one in each line."""
    old = source.choice(kind.olds).replace("&own", f"&{key}")
    return kind.line.format(key=key, old=old)


def around_value(line: str) -> tuple[str, ...]:
    """A line up to its key, and from its comment on."""
    return re.match(r"(.*?\bk\d+)?.*?(  # k\d+| ,)?$", line).groups()


def plain(value: Any) -> str:
    """A value with its types as text; a tuple is what DVC calls a list."""
    if isinstance(value, dict):
        return str({key: plain(item) for key, item in sorted(value.items())})
    if isinstance(value, list | tuple):
        return str([plain(item) for item in value])
    return repr(value)


SET = {
    "the text of an anchor moves to its first alias": (
        "a: &x 1 # a\nb: *x\nc: *x\n",
        "a: 2 # a\nb: &x 1\nc: *x\n",
    ),
    "an alias is replaced": ("z: &x 1\na: *x # a\n", "z: &x 1\na: 2 # a\n"),
    "a byte order mark stays": ("\ufeffa: 1\n", "\ufeffa: 2\n"),
    "a comment of a block of text stays": (
        "a: | # why\n  x\n\n  y\n\n# b\nb: 1\n",
        "a: 2 # why\n\n# b\nb: 1\n",
    ),
    "a block of items is replaced": ("a: # why\n- 1\n- x: 1\n  y: 2\nb: 1\n", "a: 2 # why\nb: 1\n"),
    "nothing is replaced in a flow": ("{a, b: 1}", "{a: 2, b: 1}"),
    "a name that YAML 1.1 takes for a boolean is found": ("on: 1\na: 1\n", "on: 1\na: 2\n"),
}


@pytest.mark.parametrize(("before", "after"), SET.values(), ids=SET)
def test_in_yaml(tmp_path: Path, before: str, after: str) -> None:
    assert set_in(tmp_path, "params.yaml", before, {"a": 2}) == after


MERGED = {
    "a: &x {l: 1, m: 2}\nb: *x\n": "a: &x {l: 1, m: 2}\nb: {<<: *x, l: 2}\n",
    "a: &x {l: 1, m: 2}\nb:\n  <<: *x\n  n: 3\n": "a: &x {l: 1, m: 2}\nb:\n  l: 2\n  <<: *x\n  n: 3\n",
    "a: &x {l: 1, m: 2}\nb: {<<: *x}\n": "a: &x {l: 1, m: 2}\nb: {l: 2, <<: *x}\n",
}


@pytest.mark.parametrize(("before", "after"), MERGED.items())
def test_a_value_that_a_section_shares_is_set_in_this_section_alone(
    tmp_path: Path, before: str, after: str
) -> None:
    assert set_in(tmp_path, "params.yaml", before, {"b.l": 2}) == after


def test_a_list_of_the_same_length_keeps_its_layout(tmp_path: Path) -> None:
    before = "a:\n- 1 # one\n\n- 2\n"
    assert set_in(tmp_path, "params.yaml", before, {"a": [3, 4]}) == "a:\n- 3 # one\n\n- 4\n"


def test_a_number_that_pyyaml_takes_for_text_is_made_one_for_all(tmp_path: Path) -> None:
    assert set_in(tmp_path, "params.yaml", "a: 1e-05\n", {"a": 1e-5}) == "a: 1.0e-05\n"


REFUSED = {
    "there is no such value": ("params.yaml", "b: 1\n", 2, "a: there is no such value in params.yaml"),
    "a section that others share": (
        "params.yaml",
        "a: &x\n  l: 1\nb: *x\n",
        2,
        r"a: cannot be set .* \*x refers to it, too",
    ),
    "TOML has no null": ("p.toml", "a = 1\n", None, "p.toml:a: cannot be set to None in p.toml: TOML has no"),
    "JSON has no date": ("p.json", '{"a": 1}', DATES[0], "p.json:a: cannot be set to .* not JSON"),
    "Python has no literal": (
        "p.py",
        "a = 1\n",
        math.nan,
        "p.py:a: cannot be set to nan in p.py: no literal",
    ),
    "Python computes it": ("p.py", "a = 1 + x\n", 2, "p.py:a: there is no such value in p.py"),
    "the file is broken": ("params.yaml", "a: [1\n", 2, "unable to read: .*params.yaml', .*; line 2: "),
}


@pytest.mark.parametrize(("file", "text", "value", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_set_is_one_line(
    tmp_path: Path, file: str, text: str, value: Any, reason: str
) -> None:
    with pytest.raises(ProjectError, match=reason) as refused:
        set_in(tmp_path, file, text, {f"{file}:a": value})
    assert "\n" not in refused.value.message
    assert (tmp_path / file).read_text() == text


def set_in(folder: Path, file: str, text: str, values: dict[str, Any]) -> str:
    """A text after values in it were set."""
    (folder / file).write_bytes(text.encode())
    write(folder, values)
    return (folder / file).read_bytes().decode()


CUT = {
    "p.yaml": (
        "# all\nt:\n  l: 'no'  # l\n  m: |\n    x\n  # n\n  n: 1.0\nu: {a: 1,\n b: 2}\nv: 3\n",
        "# all\nt:\n  l: 'no'  # l\n  # n\nu: {a: 1}\n",
    ),
    "p.json": (
        '{"t": {"l": 1e-5, "m": 2},\n "u": {"b": 1, "a": 2 }, "v": 3}',
        '{"t": {"l": 1e-5},\n "u": {"a": 2 }}',
    ),
    "p.toml": (
        'v = 3\n# t\n[t]\nl = 1.0e-5 # l\nm = """\nx"""\n[u]\nb = 1\na = 2\n[w]\nx = 1\n',
        "# t\n[t]\nl = 1.0e-5 # l\n[u]\na = 2\n",
    ),
}


@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["unix", "windows"])
@pytest.mark.parametrize("file", CUT)
def test_a_file_is_cut_to_the_declared_keys_in_their_own_text(file: str, line_end: str) -> None:
    before, after = [text.replace("\n", line_end) for text in CUT[file]]
    assert cut_to(before, file, [["t", "l"], ["u", "a"]]) == after


def test_a_key_with_a_wildcard_keeps_what_dvc_finds_by_it() -> None:
    assert cut_to("moons1: 1\nmoons2: 2\nx: 3\n", "p.yaml", [["moons*"]]) == "moons1: 1\nmoons2: 2\n"


WHOLE = {
    "p.yaml": "a: &x 1\nt: {l: *x}\n",
    "q.yaml": "? a\n: 1\nt: {l: 1}\n",
    "p.py": "a = 1\nt = {'l': 2}\n",
}


@pytest.mark.parametrize("file", WHOLE)
def test_a_file_that_cannot_be_cut_stays_whole(file: str) -> None:
    assert cut_to(WHOLE[file], file, [["t", "l"]]) is None
