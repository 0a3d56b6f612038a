"""Repositories of many kinds: each with some of the features that DVC has, built by DVC itself."""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from tiny_dvc import commit, dvc, init
from tiny_git import git, write

# From the Git root to the DVC root.
PLACES = ("", "ml", ".hidden/project", "a b/ü")
TABLE = "step\tloss\n0\t0.5\n1\t0.25\n"
PICTURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Feature:
    """Something that a DVC repository can have; its files lie in a folder of its name.

    Attributes:
        name: of it.
        files: content by path, in the first commit.
        data: the same, of what Git does not keep.
        stages: of the dvc.yaml at the root.
        top: other sections of that dvc.yaml.
        params: of params.yaml.
        track: adds or imports data.
        edit: changes what is recorded, as other versions of DVC or remotes would have it.
        changes: files of the last commit, in which nothing was run again.
        in_subfolder: whether the DVC root must not be the Git root.
    """

    name: str
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    stages: Mapping[str, Any] = field(default_factory=dict)
    top: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    track: Callable[[Path], None] | None = None
    edit: Callable[[Path], None] | None = None
    changes: Mapping[str, str] = field(default_factory=dict)
    in_subfolder: bool = False


def _add(*paths: str, **options: Any) -> Callable[[Path], None]:
    def add(root: Path) -> None:
        for path in paths:
            with dvc(root) as repo:
                repo.add(path, **options)

    return add


def _add_empty_folder(root: Path) -> None:
    (root / "empty/folder").mkdir(parents=True)
    _add("empty/folder")(root)


def _import_url(root: Path) -> None:
    write(root.parent, {"elsewhere.txt": "from elsewhere\n"})
    with dvc(root) as repo:
        repo.imp_url("../elsewhere.txt", "imported.txt")
    with dvc(root) as repo:
        repo.imp_url("../elsewhere.txt", "reference.txt", no_download=True)


def _import_from_git(root: Path) -> None:
    other = root.parent / ".other"
    init(other)
    write(other, {"rows.csv": "1\n2\n", "plain.txt": "of Git\n"})
    _add("rows.csv")(other)
    commit(other)
    with dvc(root) as repo:
        repo.imp(str(other), "rows.csv", "theirs.csv")
    with dvc(root) as repo:
        repo.imp(str(other), "plain.txt", "plain.txt", no_download=True)


def _as_dvc_2(*paths: str) -> Callable[[Path], None]:
    """Records of these files without the kind of hash, as before DVC 3."""

    def edit(root: Path) -> None:
        for path in paths:
            text = (root / path).read_text()
            (root / path).write_text(text.replace("  hash: md5\n", ""))

    return edit


def _as_versioned(path: str, folder: str) -> Callable[[Path], None]:
    """The record of a folder as after a push to a remote that keeps versions."""

    def edit(root: Path) -> None:
        record = yaml.safe_load((root / path).read_text())
        entries = record["outs"] if "outs" in record else record["stages"]["versioned"]["outs"]
        (entry,) = [entry for entry in entries if entry["path"] == folder]
        md5 = entry.pop("md5")
        listing = next(root.rglob(f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}"))
        names = re.findall(r'"md5": "(\w+)", "relpath": "(.*?)"', listing.read_text())
        entry["files"] = [
            {
                "relpath": name,
                "md5": hash_of_file,
                "size": 2,
                "cloud": {"store": {"etag": "abcd", "version_id": name}},
            }
            for hash_of_file, name in names
        ]
        (root / path).write_text(yaml.safe_dump(record, sort_keys=False))

    return edit


def _freeze(root: Path) -> None:
    with dvc(root) as repo:
        repo.freeze("frozen")


def _write(files: Mapping[str, str]) -> Callable[[Path], None]:
    return lambda root: write(root, files)


FEATURES = (
    Feature(
        "list-items",
        files={
            "list-items/code.py": "print(1)\n",
            "list-items/p.yaml": "names: [a, b]\nlayers: [{units: 2}]\n",
        },
        stages={
            "list-items": {
                "cmd": "echo a > list-items/out.csv",
                "deps": ["list-items/code.py"],
                "params": ["listed.names.0", {"list-items/p.yaml": ["names.1", "layers.0.units"]}],
                "outs": ["list-items/out.csv"],
            },
        },
        params={"listed": {"names": ["x", "y"]}},
        changes={"list-items/p.yaml": "names: [a, c]\nlayers: [{units: 3}]\n"},
    ),
    Feature(
        "pipeline-in-output",
        files={
            "pipeline-in-output/write.sh": """mkdir -p "$1/below"
echo 'metrics: [m.json]' > "$1/dvc.yaml"
echo '{"inner": 1}' > "$1/m.json"
echo 'stages: {inner: {cmd: echo, params: [{p.yaml: [inner]}]}}' > "$1/below/dvc.yaml"
echo 'inner: 1' > "$1/below/p.yaml"
""",
        },
        stages={
            "pipeline-in-output": {
                "cmd": "sh pipeline-in-output/write.sh pipeline-in-output/written",
                "deps": ["pipeline-in-output/write.sh"],
                "outs": [{"pipeline-in-output/written": {"cache": False}}],
            },
        },
    ),
    Feature(
        "plain",
        files={"plain/code.py": "print(1)\n", "plain/in.csv": "1,2\n"},
        stages={
            "plain": {
                "cmd": "cat plain/in.csv > plain/out.csv",
                "deps": ["plain/code.py", "plain/in.csv"],
                "params": ["plain.rate", "plain.deep"],
                "outs": ["plain/out.csv"],
            },
            "plain-next": {
                "cmd": ["cat plain/out.csv > plain/next.csv", "echo done"],
                "deps": ["plain/out.csv"],
                "outs": ["plain/next.csv"],
                "desc": "the next one",
                "meta": {"who": "Ada"},
            },
        },
        params={
            "plain": {"rate": 1e-5, "deep": {"x": None, "on": True, "list": [1, {"y": 2}], "empty": {}}},
            "plain_unused": "no",
        },
        changes={"plain/code.py": "print(2)\n"},
    ),
    Feature(
        "pipelines",
        files={
            "pipelines/b/dvc.yaml": """
stages:
  own:
    cmd: 'echo "{\\"n\\": 1, \\"deep\\": {\\"x\\": 0.5}}" > m.json && cp ../shared.csv p.csv'
    params: [z, ../c/params.yaml: [rate]]
    deps: [../shared.csv]
    plots: [p.csv: {x: a}]
    outs: [m.json: {cache: false}]
metrics: [m.json, ../loose.json]
params: [more.yaml]
artifacts:
  model: {path: m.json, type: model}
""",
            "pipelines/b/params.yaml": "z: {a: [1, 2]}\nunused: 1\n",
            "pipelines/b/more.yaml": "more: 5\n",
            "pipelines/c/params.yaml": "rate: 2\nother: 3\n",
            "pipelines/shared.csv": "a,b\n1,2\n",
            "pipelines/loose.json": '{"loose": 7}',
            ".pipelines/dvc.yaml": "stages:\n  hidden: {cmd: echo 1 > out, outs: [out]}\n",
        },
        changes={"pipelines/c/params.yaml": "rate: 4\nother: 3\n"},
    ),
    Feature(
        "wdir",
        files={"wdir/deep/in.txt": "in\n", "wdir/side.txt": "side\n", "wdir/p.yaml": "k: {l: 1}\n"},
        stages={
            "wdir": {
                "wdir": "wdir/deep",
                "cmd": "cat in.txt ../side.txt > out.txt && mkdir -p d && echo 1 > d/x"
                " && echo 0.5 > score.json",
                "deps": ["in.txt", "../side.txt"],
                "params": [{"../p.yaml": ["k.l"]}],
                "outs": ["out.txt", "d/"],
                "metrics": [{"./score.json": {"cache": False}}],
            }
        },
        changes={"wdir/side.txt": "changed\n"},
    ),
    Feature(
        "templates",
        files={
            "templates/vars.yaml": "used: {by: vars}\nnot_used: 1\n",
            "templates/own.json": '{"own": "o"}',
            "templates/fixed.txt": "x\n",
        },
        stages={
            "templates": {
                "vars": ["own.json", {"inline": "i"}],
                "wdir": "${templates.wdir}",
                "cmd": "echo ${used.by} ${own} ${inline} ${templates.list[1]} > ${templates.out}.txt"
                " && echo '{\"v\": 1}' > m.json && echo 'a,b' > p.csv",
                "deps": ["${templates.dep}"],
                "params": [{"${templates.file}": ["not_used"]}],
                "outs": ["${templates.out}.txt"],
            }
        },
        top={
            "vars": ["templates/vars.yaml", {"local": {"name": "m.json"}}],
            "metrics": ["templates/${local.name}"],
            "plots": [
                "templates/${templates.plot}",
                {"named ${templates.out}": {"y": {"templates/p.csv": "a"}}},
            ],
            "artifacts": {"templated": {"path": "templates/${templates.out}.txt", "type": "model"}},
        },
        params={
            "templates": {
                "wdir": "templates",
                "out": "result",
                "list": ["a", "b"],
                "dep": "fixed.txt",
                "file": "vars.yaml",
                "plot": "p.csv",
            }
        },
        changes={"templates/own.json": '{"own": "changed"}'},
    ),
    Feature(
        "foreach",
        files={"foreach/in.txt": "1\n"},
        stages={
            "each": {
                "foreach": ["x", "y"],
                "do": {"cmd": "echo ${item} > foreach/${item}.txt", "outs": ["foreach/${item}.txt"]},
            },
            "cities": {
                "foreach": "${cities}",
                "do": {
                    "cmd": "echo ${item.dir} ${key} > foreach/${item.dir}.txt",
                    "deps": ["foreach/in.txt"],
                    "outs": ["foreach/${item.dir}.txt"],
                },
            },
        },
        params={"cities": {"rome": {"dir": "it"}, "new york": {"dir": "us"}}},
    ),
    Feature(
        "matrix",
        stages={
            "grid": {
                "matrix": {"n": [1, 2], "m": "${matrix.models}"},
                "cmd": "echo '{\"n\": ${item.n}}' > matrix_${item.n}_${item.m}.json",
                "metrics": [{"matrix_${item.n}_${item.m}.json": {"cache": False}}],
            }
        },
        params={"matrix": {"models": ["a", "b"]}},
    ),
    Feature(
        "formats",
        files={
            "formats/p.toml": "[deep]\nx = 3\nunused = 4\n[deep.day]\nat = 1.5\n",
            "formats/p.json": '{"list": [1, 2], "on": true, "none": null, "text": "1e-5"}',
            "formats/p.py": "LR = 0.1\nT = (1, 2)\nS = {3}\nclass Net:\n    width = 5\n"
            "    def __init__(self):\n        self.depth = 2\n",
            "formats/p.yaml": "a: no\nb: 1_000\nc: 0o17\ne: .inf\nf: 1e3\ng: '5'\n"
            "h: {}\ni: []\nj: &x {k: 1}\nl: *x\n'1': one\n",
        },
        stages={
            "formats": {
                "cmd": "echo 1 > formats/out",
                "params": [
                    {"formats/p.toml": ["deep.x", "deep.day"]},
                    {"formats/p.json": []},
                    {"formats/p.py": ["LR", "Net.width", "Net.depth"]},
                    {"formats/p.yaml": None},
                ],
                "outs": ["formats/out"],
            }
        },
        changes={"formats/p.py": "LR = 0.2\nT = (1, 2)\nclass Net:\n    width = 5\n    depth = 2\n"},
    ),
    Feature(
        "params_in_deps",
        files={"params_in_deps/p.yaml": "a: 1\n"},
        stages={
            "params_in_deps": {
                "cmd": "cat params.yaml > params_in_deps/out",
                "deps": ["params.yaml", "params_in_deps/p.yaml"],
                "outs": ["params_in_deps/out"],
            }
        },
        params={"in_deps": {"only": 1}},
    ),
    Feature(
        "top_level",
        files={
            "top_level/p.yaml": "rate: 0.5\nname: n\n",
            "top_level/pf/more.yaml": "x: 1\n",
            "top_level/m.yaml": "acc: .nan\ndeep: {a.b: 1, no: null, text: hello, big: 1e30}\nlist: [1]\n",
            "top_level/m.toml": "x = 1\n",
            "top_level/m/a.json": '{"same": 1}',
            "top_level/m/b.json": '{"same": 2, "on": true}',
            "top_level/p.csv": "a,b\n1,2\n",
            "top_level/x.csv": "c\n1\n",
            "top_level/pictures/one.png": PICTURE,
            "top_level/curve.json": '[{"a": 1}]',
            "top_level/y.tsv": TABLE,
        },
        top={
            "params": ["top_level/p.yaml", "top_level/pf"],
            "metrics": ["top_level/m.yaml", "top_level/m.toml", "top_level/m"],
            "plots": [
                "top_level/curve.json",
                "top_level/pictures",
                {"top_level/y.tsv": {"x": "step", "y": ["loss"], "template": "linear"}},
                {"joined": {"x": {"top_level/x.csv": "c"}, "y": {"top_level/p.csv": ["a", "b"]}}},
            ],
        },
        changes={"top_level/p.yaml": "rate: 0.75\n"},
    ),
    Feature(
        "more_templates",
        files={
            "more/dvc.yaml": """
vars: ['v.yaml:a,b', ../more/w.toml, {inline: {list: [1, 2]}}]
stages:
  in_folder:
    wdir: sub
    vars: [params.yaml]
    cmd: echo ${x} ${a} ${b.c} ${w} \\${not} ${inline.list[0]} > o.txt
    params: [x]
    outs: [o.txt]
  spread:
    cmd: echo ${opts} > spread.txt
    params: [{params.yaml: }]
    outs: [spread.txt]
  floats:
    foreach: [0.1, 2, true, a b]
    do: {cmd: 'echo ${item}', deps: [v.yaml]}
  own_vars:
    foreach: {one: {f: v.yaml}, two: {f: w.toml}}
    do:
      vars: [{suffix: txt}]
      cmd: cat ${item.f} > ${key}.${suffix}
      deps: ['${item.f}']
      outs: ['${key}.${suffix}']
  cube:
    matrix:
      m: [{n: 1, d: [x]}, {n: 2, d: [y]}]
      lr: [0.1, 1e-3]
      on: [true]
    cmd: echo ${item.m.n} ${item.m.d[0]} ${item.lr} ${item.on} ${key}
""",
            "more/v.yaml": "a: 1\nb: {c: 2, d: 3}\n",
            "more/w.toml": "w = 'w'\n",
            "more/params.yaml": "opts: {lr: 0.1, on: true, names: [a, b]}\n",
            "more/sub/params.yaml": "x: 1\n",
        },
        edit=_write({"more/sub/params.yaml": "x: 2\n"}),
    ),
    Feature(
        "odd_params",
        files={
            "odd_params/p.yaml": "dotted.key: 1\r\nlist: [{a: 1}, {a: 2}]\r\nempty:\r\n",
            "odd_params/P.TOML": "x = 1\n",
            "odd_params/P.JSON": '{"x": NaN, "y": -Infinity}',
            "odd_params/no_ending": "x: 5\n",
            "odd_params/absent.txt": "",
        },
        stages={
            "odd_params": {
                "cmd": "echo 'a rather long command that DVC folds when it writes the lock, with:   spaces, "
                '#no comment, "quotes" and a last word\' > odd_params/o.txt',
                "params": [
                    {"odd_params/p.yaml": ["list", "empty"]},
                    {"odd_params/P.TOML": ["x"]},
                    {"odd_params/no_ending": ["x"]},
                    {"odd_params/no_ending": None},
                    "odd",
                    "odd.deep",
                    "odd",
                ],
                "outs": ["odd_params/o.txt"],
            }
        },
        top={"params": ["odd_params/P.JSON", "./odd_params/../odd_params/p.yaml"]},
        params={"odd": {"deep": {"x": "1e-05", "y": "no", "z": "2020-01-01"}}},
    ),
    Feature(
        "odd_results",
        files={
            "odd_results/score": "0.5",
            "odd_results/one.txt": '{"x": 1e-05}',
            "odd_results/M.JSON": '{"nan": NaN, "inf": Infinity, "dotted.key": {"0.5": 1}, "neg": -0.0}',
            "odd_results/m.yaml": "a: 1e-05\nb: .5\nc: '7'\nd: [1]\ne: {}\nf: yes\n",
            "odd_results/m.py": "X = 1.5\n",
            "odd_results/crlf.yaml": "loss: 1\r\nacc: 0.5\r\n",
            "odd_results/list.json": "[1, 2]",
            "odd_results/p.csv": "a,b\n1,2\n",
            "odd_results/x.csv": "c\n1\n",
            "odd_results/d/a.csv": "a\n1\n",
            "odd_results/d/b/c.csv": "a\n1\n",
        },
        top={
            "metrics": [
                "odd_results/score",
                "odd_results/one.txt",
                "odd_results/M.JSON",
                "odd_results/m.yaml",
                "odd_results/m.py",
                "odd_results/crlf.yaml",
                "odd_results/list.json",
                "./odd_results/m.yaml",
            ],
            "plots": [
                {"odd_results/p.csv": {"x": {"odd_results/x.csv": "c"}, "y": "b"}},
                {"odd_results/d/": {"x": "a"}},
                {"odd_results/d/b": None},
                {"title": {"y": {"odd_results/p.csv": "a", "odd_results/x.csv": "c"}, "x": "a"}},
            ],
        },
    ),
    Feature(
        "yaml_features",
        files={
            "yaml/dvc.yaml": """
stages:
  base: &base
    cmd: >-
      echo 1
      > base.txt
    deps: &deps [in.txt, ../yaml_up/up.txt]
    outs: [base.txt]
  derived:
    <<: *base
    cmd: |
      echo 2 > derived.txt
      echo '{"x": 1}' > m.json
    outs: [derived.txt]
    metrics:
      - m.json:
          cache: false
          type: metrics
  up:
    wdir: ../yaml_up
    cmd: cat up.txt > copy.txt
    deps:
      - ./up.txt
    params:
      - ../yaml/params.yaml:
          - rate
    outs:
      - copy.txt:
          desc: A copy.
          labels: [a, b]
          meta: {x: 1}
plots:
  - m.json
  - 'a title: with # signs':
      x: step
      y:
        series.csv: [a, b]
        ../yaml_up/other.csv: c
datasets:
  - name: ds
    type: dvc
    url: ../elsewhere
    path: data
""",
            "yaml/params.yaml": "rate: !!float 1\nnames: [first, second]\n",
            "yaml/in.txt": "in\n",
            "yaml/series.csv": "step,a,b\n0,1,2\n",
            "yaml_up/up.txt": "up\n",
            "yaml_up/other.csv": "step,c\n0,1\n",
        },
        changes={"yaml_up/up.txt": "changed\n", "yaml/params.yaml": "rate: 2.5\nnames: [other, second]\n"},
    ),
    Feature(
        "outside",
        files={"../outside/code.py": "1\n", "../outside/p.yaml": "a: 1\nb: 2\n"},
        stages={
            "outside": {
                "cmd": "cat ../outside/code.py > outside.txt",
                "deps": ["../outside/code.py"],
                "params": [{"../outside/p.yaml": ["a"]}],
                "outs": ["outside.txt"],
            }
        },
        changes={"../outside/code.py": "2\n", "../outside/p.yaml": "a: 3\nb: 2\n"},
        in_subfolder=True,
    ),
    Feature(
        "remote_inputs",
        stages={"remote_inputs": {"cmd": "echo 1 > remote.txt", "outs": ["remote.txt"]}},
        edit=_write(
            {
                "remote/dvc.yaml": "stages:\n  get:\n    cmd: x\n"
                "    deps: ['http://127.0.0.1:1/a.csv', /etc/hosts]\n",
                "remote/dvc.lock": """
schema: '2.0'
stages:
  get:
    cmd: x
    deps:
    - path: http://127.0.0.1:1/a.csv
      hash: checksum
      checksum: abcdef
      size: 3
    - path: /etc/hosts
      hash: md5
      md5: 0123456789abcdef0123456789abcdef
      size: 3
""",
            }
        ),
    ),
    Feature(
        "results",
        stages={
            "results": {
                "cmd": 'mkdir -p results/plots && echo \'{"a": 1, "b": "NaN"}\' > results/cached.json'
                ' && echo 0.5 > results/score.json && echo \'{"c": [1], "t": true}\' > results/kept.json'
                " && echo 'x,y' > results/plots/a.csv && echo 'x,y' > results/p.csv",
                "metrics": [
                    "results/cached.json",
                    "results/score.json",
                    {"results/kept.json": {"cache": False, "desc": "kept"}},
                ],
                "plots": [{"results/p.csv": {"x": "x", "title": "T", "cache": False}}, "results/plots"],
            }
        },
    ),
    Feature(
        "dvclive",
        files={
            "dvclive/metrics.json": '{"train": {"loss": 0.25}, "step": 1}',
            "dvclive/params.yaml": "lr: 0.1\nnet: {width: 3}\n",
            "dvclive/plots/metrics/train/loss.tsv": TABLE,
            "dvclive/plots/images/one.png": PICTURE,
        },
        top={
            "params": ["dvclive/params.yaml"],
            "metrics": ["dvclive/metrics.json"],
            "plots": [{"dvclive/plots/metrics": {"x": "step"}}, "dvclive/plots/images"],
        },
    ),
    Feature(
        "dvclive_in_folder",
        files={
            "live/metrics.json": '{"acc": 0.5}',
            "live/params.yaml": "lr: 0.2\n",
            "live/plots/metrics/acc.tsv": "step\tacc\n0\t0.5\n",
            "live/dvc.yaml": "params: [params.yaml]\nmetrics: [metrics.json]\n"
            "plots:\n- plots/metrics: {x: step}\n",
        },
    ),
    Feature(
        "dvclive_output",
        stages={
            "dvclive_output": {
                "cmd": "mkdir -p live_out/plots/metrics && echo '{\"acc\": 0.5}' > live_out/metrics.json"
                " && printf 'step\\tacc\\n0\\t0.5\\n' > live_out/plots/metrics/acc.tsv"
                " && echo 'metrics: [metrics.json]' > live_out/dvc.yaml",
                "outs": [{"live_out": {"cache": False}}],
            }
        },
        top={"metrics": ["live_out/metrics.json"], "plots": [{"live_out/plots/metrics": {"x": "step"}}]},
    ),
    Feature(
        "artifacts",
        files={"artifacts/in_git.txt": "of Git\n"},
        data={"artifacts/table.csv": "1\n"},
        stages={
            "artifacts": {
                "cmd": "mkdir -p artifacts/folder && echo 1 > artifacts/folder/model.bin"
                " && echo 2 > artifacts/b.bin",
                "outs": ["artifacts/folder", "artifacts/b.bin"],
            }
        },
        top={
            "artifacts": {
                "model": {"path": "artifacts/folder", "type": "model", "desc": "The model."},
                "in-folder_2": {"path": "artifacts/folder/model.bin", "type": "model", "labels": ["a"]},
                "B": {"path": "artifacts/b.bin", "meta": {"framework": "x"}},
                "a/b": {"path": "./artifacts/b.bin", "type": "model"},
                "größe (mm)": {"path": "artifacts/in_git.txt", "type": "model"},
                "7": {"path": "artifacts/absent.bin", "type": "dataset"},
                "table": {"path": "artifacts/table.csv", "type": "dataset"},
            }
        },
        track=_add("artifacts/table.csv"),
    ),
    Feature(
        "settings",
        files={"settings/in.txt": "1\n", "settings/grown.txt": "0\n"},
        stages={
            "kept": {
                "cmd": "echo 1 > settings/kept.txt && echo 2 >> settings/warm.txt"
                " && echo 3 > settings/unpushed.txt",
                "deps": ["settings/in.txt"],
                "outs": [
                    {"settings/kept.txt": {"cache": False}},
                    {"settings/warm.txt": {"persist": True}},
                    {"settings/unpushed.txt": {"push": False, "remote": "nowhere"}},
                ],
            },
            "frozen": {
                "cmd": "cat settings/in.txt > settings/frozen.txt",
                "deps": ["settings/in.txt"],
                "params": ["settings"],
                "outs": ["settings/frozen.txt"],
            },
            "always": {"always_changed": True, "cmd": "echo 1 > settings/a.txt", "outs": ["settings/a.txt"]},
            "nothing": {"cmd": "true"},
        },
        params={"settings": 1},
        edit=_freeze,
        changes={"settings/in.txt": "changed\n"},
    ),
    Feature("import_url", track=_import_url),
    Feature("import_git", track=_import_from_git),
    Feature(
        "data",
        data={
            "data/raw.csv": "1\n2\n",
            "data/folder/a.txt": "a\n",
            "data/folder/b/c.txt": "c\n",
            "data/a b & ü.txt": "odd\n",
        },
        stages={
            "read_data": {
                "cmd": "cat data/folder/b/c.txt data/raw.csv > data_out.txt",
                "deps": ["data/folder/b", "data/raw.csv", "data/folder"],
                "outs": ["data_out.txt"],
            }
        },
        track=_add("data/raw.csv", "data/folder", "data/a b & ü.txt"),
    ),
    Feature("empty_folder", track=_add_empty_folder),
    Feature(
        "records",
        edit=_write(
            {
                "records/data.dvc": f"""
wdir: ../moved
outs:
- md5: {"a" * 32}
  size: 1
  path: x.csv
""",
                "records/import.dvc": f"""
md5: {"c" * 32}
frozen: true
meta: {{a: 1}}
deps:
- path: from.csv
  md5: {"e" * 32}
outs:
- md5: {"d" * 32}
  size: 1
  path: one
  desc: d
  cache: false
""",
                "records/url.dvc": """
frozen: true
deps:
- path: https://example.org/data.csv
  etag: '"aa-bb"'
  size: 5
outs:
- hash: md5
  path: data.csv
""",
            }
        ),
    ),
    Feature(
        "older_hashes",
        data={"older/crlf.txt": "a\nb\n", "older/folder/x.txt": "x\n"},
        track=_add("older/crlf.txt", "older/folder"),
        edit=_as_dvc_2("older/crlf.txt.dvc", "older/folder.dvc"),
    ),
    Feature(
        "versioned",
        data={"versioned/data/a": "a\n", "versioned/data/b/c": "c\n"},
        track=_add("versioned/data"),
        edit=_as_versioned("versioned/data.dvc", "data"),
    ),
    Feature(
        "ignored",
        files={
            ".dvcignore": "/ignored/broken\n*.skip\nignored/*.dvc\n!ignored/seen.dvc\n",
            "ignored/broken/dvc.yaml": "stages: [\n",
            "ignored/unseen.dvc": "outs: broken\n",
            "ignored/folder/a.txt": "a\n",
            "ignored/folder/b.skip": "b\n",
            "ignored/deep/.dvcignore": "dvc.yaml\n",
            "ignored/deep/dvc.yaml": "stages: 1\n",
        },
        stages={
            "ignored": {
                "cmd": "ls ignored/folder > ignored_out",
                "deps": ["ignored/folder"],
                "outs": ["ignored_out"],
            }
        },
        edit=_write(
            {"ignored/seen.dvc": f"outs:\n- path: seen.csv\n  md5: {'f' * 32}\n  hash: md5\n  size: 1\n"}
        ),
    ),
    Feature(
        "nested_project",
        files={
            "nested/.dvc/config": "",
            "nested/dvc.yaml": "stages: {foreign: {cmd: x, outs: [y]}}\nmetrics: [m.json]\n",
            "nested/data.dvc": "outs:\n- path: data\n  md5: " + "1" * 32 + "\n  size: 1\n",
            "nested/m.json": '{"foreign": 1}',
        },
    ),
    Feature(
        "empty_pipelines",
        files={
            "empty_pipelines/dvc.yaml": "",
            "empty_pipelines/b/dvc.yaml": "stages: {}\n",
            "empty_pipelines/c/dvc.lock": "schema: '2.0'\n",
            "empty_pipelines/d/dvc.yaml": "# only a comment\n",
            "empty_pipelines/d/dvc.lock": "schema: '2.0'\nstages:\n  gone: {cmd: x, outs: [{path: y}]}\n",
        },
    ),
    Feature(
        "folder_of_code",
        files={"code/a.py": "1\n", "code/b/c.py": "2\n", "code/.gitkeep": ""},
        stages={
            "folder_of_code": {
                "cmd": "mkdir -p code_out/deep && echo 1 > code_out/deep/x && echo 2 > code_out/y",
                "deps": ["code", "./code/b/"],
                "outs": ["code_out"],
            },
            "part_of_output": {
                "cmd": "cat code_out/deep/x > part.txt",
                "deps": ["code_out/deep"],
                "outs": ["part.txt"],
            },
        },
    ),
    Feature(
        "odd_names",
        files={"odd/a b.yaml": "the key: {sub key: 1}\n", "odd/ü: #?.txt": "1\n"},
        stages={
            "Stage_1-b": {
                "cmd": "cat 'odd/ü: #?.txt' > 'odd/out put.txt'\n",
                "deps": ["odd/ü: #?.txt"],
                "params": [{"odd/a b.yaml": ["the key.sub key"]}],
                "outs": ["odd/out put.txt"],
            },
            "yes": {"cmd": "echo 1 > odd/1e5\n\necho '# no comment'\n", "outs": ["odd/1e5"]},
            "1": {"cmd": "echo \"a: 'b'\" > odd/null", "outs": ["odd/null"]},
        },
    ),
)


def build(folder: Path, place: str, features: Sequence[Feature]) -> tuple[Path, list[str]]:
    """A repository with these features.

    Args:
        folder: that it is made in.
        place: of the DVC root in it.
        features: what it has.

    Returns:
        The DVC root, and four commits: without results, with them, with records edited, with files changed.
    """
    root = folder / place
    root.mkdir(parents=True)
    git(folder, "init", "--quiet", "--template=")
    init(root, subdir=bool(place)) if place else init(root)
    _write_files(root, features)
    commits = [commit(folder, "Declare")]
    for feature in features:
        write(root, feature.data)
        if feature.track:
            feature.track(root)
    with dvc(root) as repo:
        repo.reproduce(all_pipelines=True)
    commits.append(commit(folder, "Results"))
    for feature in features:
        if feature.edit:
            feature.edit(root)
    commits.append(commit(folder, "Records of others"))
    for feature in features:
        write(root, feature.changes)
    commits.append(commit(folder, "Changes"))
    return root, commits


def _write_files(root: Path, features: Sequence[Feature]) -> None:
    pipeline: dict[str, Any] = {}
    params: dict[str, Any] = {}
    for feature in features:
        write(root, feature.files)
        params |= feature.params
        for section, content in {**feature.top, "stages": feature.stages}.items():
            if isinstance(content, Mapping):
                pipeline.setdefault(section, {}).update(content)
            else:
                pipeline.setdefault(section, []).extend(content)
    text = yaml.safe_dump(pipeline, sort_keys=False, allow_unicode=True)
    if any(pipeline.values()):
        write(root, {"dvc.yaml": text})
    if params:
        write(root, {"params.yaml": yaml.safe_dump(params, sort_keys=False)})


def choose(number: int, seed: int) -> list[tuple[str, list[Feature]]]:
    """Place and features of so many repositories: each feature is in one or two of them."""
    chance = random.Random(seed)  # noqa: S311 (decides what is tested, no secret)
    chosen: list[tuple[str, list[Feature]]] = [(PLACES[index % len(PLACES)], []) for index in range(number)]
    for feature in FEATURES:
        possible = [features for place, features in chosen if place or not feature.in_subfolder]
        for features in chance.sample(possible, chance.choice((1, 2))):
            features.append(feature)
    return chosen
