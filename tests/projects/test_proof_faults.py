"""Every fault that a proof is there to find, planted one by one in a small pipeline.

The pipeline is not the example's: two stages, one of them no Python at all. Whatever is
found, the checkout, the cache and the remote are byte for byte as before.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from small_pipeline import PATH, SmallPipeline, copied, make
from tiny_dvc import commit, dvc, init

from locatable.errors import CannotTryError
from locatable.proof import diagnosis
from locatable.proof.reproduce import ProofOptions, reproduce
from locatable.results.processor import count_cpus

CURRENT = ProofOptions(fresh_environment=False)
VARIED = replace(CURRENT, vary=True)
TOLERANT = replace(CURRENT, rtol=0.1)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pipeline before its first run, with its data in a remote; copy it."""
    return make(tmp_path_factory.mktemp("small"))


@pytest.fixture(autouse=True)
def _user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages run in the environment of these tests, and only those that hold a time are waited for."""
    monkeypatch.setenv("PATH", PATH)
    monkeypatch.setattr(diagnosis, "PAUSE", 0.0)
    # Whoever runs these tests may have chosen a kernel; results would be made with it, and proofs without.
    for name in ("OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rebuild begins in another second than the one before."""
    monkeypatch.setattr(diagnosis, "PAUSE", 1.0)


@pytest.fixture(params=["bubblewrap", "folders"])
def isolated(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Bubblewrap as this machine has it, and a bubblewrap that is refused."""
    if request.param == "folders":
        refuse_bubblewrap(tmp_path / "bin", monkeypatch)


def refuse_bubblewrap(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a bubblewrap on the path that is not allowed to do anything."""
    folder.mkdir()
    (folder / "bwrap").write_text("#!/bin/sh\necho no namespaces for you >&2\nexit 1\n")
    (folder / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


class Pipeline(SmallPipeline):
    """A small pipeline that is reproduced by import."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(folder)
        self.monkeypatch = monkeypatch
        self.progress: list[str] = []

    def prove(self, options: ProofOptions = CURRENT, **variables: str) -> None:
        """Reproduce it, and check that nothing of the user's changed."""
        before = self.state()
        with self.monkeypatch.context() as environment:
            environment.chdir(self.folder)
            for name, value in variables.items():
                environment.setenv(name, value)
            try:
                self.report = reproduce(options, self.progress.append)
            finally:
                assert self.state() == before

    def findings(self, options: ProofOptions = CURRENT, **variables: str) -> list[str]:
        """What is found in it, something being wrong."""
        self.prove(options, **variables)
        assert not self.report.proven
        return list(self.report.findings)

    def is_proven(self, options: ProofOptions = CURRENT, **variables: str) -> bool:
        """Whether nothing is found in it."""
        self.prove(options, **variables)
        return self.report.proven and not self.report.findings

    def refusal(self, options: ProofOptions = CURRENT) -> str:
        """The line that says why it cannot even be tried."""
        with pytest.raises(CannotTryError) as refused:
            self.prove(options)
        return str(refused.value)

    def verdicts(self) -> dict[str, str]:
        """Verdict by output, of the last proof."""
        return {row.output: str(row.verdict) for row in self.report.outputs}


@pytest.fixture
def plain(small: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pipeline:
    """The small pipeline, for what does not depend on bubblewrap."""
    return Pipeline(copied(small, tmp_path), monkeypatch)


@pytest.fixture
def pipeline(isolated: None, plain: Pipeline) -> Pipeline:
    """As `plain`, with bubblewrap and without."""
    return plain


@pytest.fixture(scope="module")
def results(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small pipeline with its results committed; copy it."""
    folder = copied(small, tmp_path_factory.mktemp("results"))
    SmallPipeline(folder).repro(PATH=PATH)
    return folder.parent


@pytest.fixture
def recorded(results: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pipeline:
    """As `plain`, with its results committed."""
    return Pipeline(copied(results, tmp_path), monkeypatch)


def test_nothing_is_found_where_nothing_is_wrong(pipeline: Pipeline) -> None:
    pipeline.repro()
    assert pipeline.is_proven(VARIED)
    assert {"hash seed", "time zone", "home and working folder", "umask"} <= set(pipeline.report.varied)
    assert pipeline.verdicts() == {"rows.csv": "identical", "metrics.json": "identical"}


EXTRA = "make reads data/extra.csv, which dvc.yaml does not declare"
HELPERS = "make imports pkg/helpers.py, which dvc.yaml does not declare"
OFFSET = "make reads total.offset in params.yaml, which dvc.yaml does not declare"
# Code of the stage `make`, and what is found in it.
UNDECLARED = {
    "a module": ("from .helpers import times\nrows = [times(row, 2) for row in rows]", [HELPERS]),
    "a file": ("rows += [int(line) for line in open('data/extra.csv')]", [EXTRA]),
    "a file, if it is there": (
        "import os\nrows += [10] if os.path.exists('data/extra.csv') else []",
        [EXTRA],
    ),
    "a file that Arrow reads": (
        "from pyarrow import csv as arrow\nrows += arrow.read_csv('data/extra.csv').column_names",
        [EXTRA],
    ),
    "a param": ("rows += [params['total']['offset']]", [OFFSET]),
    "a param with a default": ("rows += [params.get('total', {}).get('offset', 0)]", [OFFSET]),
    "a module and a param": (
        "from .helpers import times\nrows = [times(row, params['total']['offset']) for row in rows]",
        [HELPERS, OFFSET],
    ),
}


@pytest.mark.parametrize(
    ("isolated", "what"),
    [*(("bubblewrap", what) for what in UNDECLARED), ("folders", "a module"), ("folders", "a file")],
    indirect=["isolated"],
)
def test_what_a_stage_reads_undeclared(pipeline: Pipeline, what: str) -> None:
    code, findings = UNDECLARED[what]
    pipeline.insert(code)
    pipeline.repro()
    assert sorted(pipeline.findings()) == findings
    # What follows is judged with the file given: one fault, one line.
    assert set(pipeline.verdicts().values()) == {"identical"}


def test_a_file_that_a_shell_command_reads_undeclared(plain: Pipeline) -> None:
    plain.edit("dvc.yaml", "' rows.csv >", "' rows.csv data/extra.csv >")
    plain.repro()
    assert plain.findings() == ["total reads data/extra.csv, which dvc.yaml does not declare"]


def test_a_file_that_only_the_checkout_has(pipeline: Pipeline) -> None:
    pipeline.write(".gitignore", "__pycache__\nprivate.csv\n")
    pipeline.write("private.csv", "7\n")
    pipeline.insert("rows += [int(line) for line in open('private.csv')]")
    pipeline.repro()
    assert pipeline.findings() == [
        "make reads private.csv, which dvc.yaml does not declare, nor does Git or DVC hold it"
    ]


def test_undeclared_data_of_dvc(plain: Pipeline) -> None:
    plain.write("data/more.csv", "5\n")
    with dvc(plain.folder) as repo:
        repo.add("data/more.csv")
    plain.insert("rows += [int(line) for line in open('data/more.csv')]")
    plain.repro()
    assert plain.findings() == ["make reads data/more.csv, which dvc.yaml does not declare"]


def test_an_undeclared_param_that_changed_since(plain: Pipeline) -> None:
    """What DVC misses: the lock holds results of the old value, and nothing is out of date."""
    plain.insert("rows += [params.get('total', {}).get('offset', 0)]")
    plain.repro()
    plain.edit("params.yaml", "offset: 1", "offset: 5")
    plain.commit()
    assert OFFSET in plain.findings()


def test_params_in_another_format(plain: Pipeline) -> None:
    plain.write("settings.toml", "# by hand\n[make]\nshift = 1e-05\n[total]\nscale = 3\n")
    plain.edit("dvc.yaml", "params: [make]", "params: [make, settings.toml: [make.shift]]")
    plain.insert("import tomllib\nsettings = tomllib.load(open('settings.toml', 'rb'))\n# MORE")
    plain.edit("pkg/make.py", "# MORE", "rows += [settings['make']['shift']]\n# MORE")
    plain.repro()
    assert plain.is_proven()
    plain.edit("pkg/make.py", "# MORE", "rows += [settings['total']['scale']]")
    plain.repro()
    assert plain.findings() == ["make reads total.scale in settings.toml, which dvc.yaml does not declare"]


def test_an_environment_variable_that_changes_the_result(pipeline: Pipeline) -> None:
    pipeline.insert("import os\nrows += [int(os.environ.get('SHIFT', 0))]")
    pipeline.repro(SHIFT="4")
    assert pipeline.findings(SHIFT="4") == [
        "make depends on the environment variable SHIFT, which nothing records"
    ]


@pytest.mark.parametrize(
    ("read", "line"),
    [
        (
            "os.environ.get('SHIFT', 0)",
            "make: rows.csv is not what dvc.lock records, although every input is; "
            "it asks for SHIFT, which is not set here: "
            "line 4, column 1 8 -> 0 (largest relative difference 1)",
        ),
        (
            "os.environ['SHIFT']",
            "make fails (exit 1): KeyError: 'SHIFT'; it asks for SHIFT, which is not set here",
        ),
    ],
)
def test_an_environment_variable_that_is_set_no_more(plain: Pipeline, read: str, line: str) -> None:
    plain.insert(f"import os\nrows += [int({read})]")
    plain.repro(SHIFT="4")
    assert plain.findings() == [line]


SEEDLESS = "a random seed is missing, or it holds a time or a path"
UNSTABLE = {
    "import random\nrows += [random.randrange(10**9)]": SEEDLESS,
    "rows += [hash('rows') % 10**9]": "it changes with the hash seed",
    "import time\nrows += [int(time.time())]": "it holds the time of the run",
    "import datetime\nrows += [datetime.datetime.now().isoformat()]": "it holds the time of the run",
    # The decimals of a number are no time.
    "import random, time\nrows += [f'0.{int(time.time())}{random.random()}']": SEEDLESS,
}


@pytest.mark.usefixtures("waiting")
@pytest.mark.parametrize("code", UNSTABLE)
def test_a_random_seed_that_is_missing(plain: Pipeline, code: str) -> None:
    # As it is written: the stage multiplies what is in `rows`.
    plain.edit("params.yaml", "factor: 2", "factor: 1")
    plain.insert(code)
    plain.repro()
    time.sleep(1)  # a rebuild within the second is identical
    (line,) = plain.findings()
    assert line.startswith("make")
    assert line.endswith(f"differs from one rebuild to the next: {UNSTABLE[code]}")
    assert plain.verdicts()["rows.csv"] == "differs"


def test_a_lucky_result_accuses_nobody(
    plain: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_bubblewrap(tmp_path / "bin", monkeypatch)
    # Recorded 0; then 1 and 1, which looks stable; then 0 with whatever is tried.
    plain.insert(
        f"count = open('{tmp_path}/count', 'a+')\ncount.write('x')\n"
        "rows += [1 if count.tell() in (2, 3) else 0]"
    )
    plain.repro()
    assert plain.findings() == [f"make differs from one rebuild to the next: {SEEDLESS}"]


def test_outputs_that_the_lock_does_not_record(recorded: Pipeline) -> None:
    recorded.edit("dvc.yaml", "outs: [rows.csv]", "outs: [rows.csv, b.txt, {c.txt: {cache: false}}]")
    recorded.commit()
    assert sorted(recorded.findings()) == [f"make: dvc.lock does not record {name}.txt" for name in "bc"]


def test_a_dependency_that_leads_out_of_the_project(plain: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "outside.csv").write_text("1\n")
    (plain.folder / "data/link.csv").symlink_to(tmp_path / "outside.csv")
    plain.edit("dvc.yaml", "deps: [data/in.csv", "deps: [data/link.csv, data/in.csv")
    plain.repro()
    assert plain.refusal() == (
        f"cannot try: data/link.csv is a link to {tmp_path}/outside.csv, which is outside the project"
    )


def test_a_path_of_the_checkout_in_a_command(pipeline: Pipeline) -> None:
    pipeline.edit("dvc.yaml", "' rows.csv >", f"' {pipeline.folder}/rows.csv >")
    pipeline.repro()
    assert pipeline.findings() == [
        f"total: its command names {pipeline.folder}, a folder that only this machine has"
    ]
    assert pipeline.verdicts() == {"rows.csv": "identical", "metrics.json": "not tried"}


def test_a_path_of_the_checkout_in_the_code(pipeline: Pipeline) -> None:
    pipeline.insert(f"rows += [int(line) for line in open('{pipeline.folder}/data/extra.csv')]")
    pipeline.repro()
    assert pipeline.findings() == [
        f"make: pkg/make.py names {pipeline.folder}, a folder that only this machine has"
    ]


def lock_of(pipeline: Pipeline, stage: str, change: Callable[[dict], object]) -> None:
    """Change the record of a stage by hand."""
    path = pipeline.folder / "dvc.lock"
    lock = yaml.safe_load(path.read_text())
    change(lock["stages"][stage])
    path.write_text(yaml.safe_dump(lock, sort_keys=False))
    pipeline.commit()


ACTUAL = hashlib.md5(b"2\n4\n6\n", usedforsecurity=False).hexdigest()
# A stage, a change of its record, and what is found.
EDITED: dict[str, tuple[str, Callable[[dict], object], str]] = {
    "a hash of an output": (
        "make",
        lambda stage: stage["outs"][0].update(md5="0" * 32),
        "make: rows.csv is not what dvc.lock records, although every input is",
    ),
    "a hash of a dependency": (
        "total",
        lambda stage: stage["deps"][0].update(md5="0" * 32),
        f"total: dvc.lock records rows.csv as {'0' * 32}, and it is {ACTUAL}",
    ),
    "a param": (
        "make",
        lambda stage: stage["params"]["params.yaml"]["make"].update(factor=3),
        "make: dvc.lock records make.factor = 3, params.yaml has 2",
    ),
}


@pytest.mark.parametrize("what", EDITED)
def test_a_record_edited_by_hand(recorded: Pipeline, what: str) -> None:
    stage, change, line = EDITED[what]
    lock_of(recorded, stage, change)
    assert recorded.findings() == [line]
    assert recorded.verdicts()["metrics.json"] == "identical"


def test_data_that_is_not_what_the_lock_says(recorded: Pipeline) -> None:
    recorded.write("data/in.csv", "1\n2\n4\n")
    with dvc(recorded.folder) as repo:
        repo.add("data/in.csv")
    recorded.commit()
    (line,) = recorded.findings()
    assert line.startswith("make: dvc.lock records data/in.csv as ")


def test_a_metric_and_its_hash_edited_by_hand(plain: Pipeline) -> None:
    plain.edit("dvc.yaml", "metrics.json: {cache: false}", "metrics.json")
    plain.repro()
    plain.edit("metrics.json", "12", "13")
    with dvc(plain.folder) as repo:
        repo.commit("total", force=True)
    made_up = hashlib.md5(b'{"total":13}', usedforsecurity=False).hexdigest()
    lock_of(plain, "total", lambda stage: stage["outs"][0].update(md5=made_up))
    assert plain.findings() == [
        "total: metrics.json is not what dvc.lock records, although every input is: "
        "total 13 -> 12 (largest relative difference 0.08)"
    ]
    assert plain.is_proven(TOLERANT)
    assert plain.verdicts()["metrics.json"] == "within rtol"


def test_the_tolerance_reaches_into_lists_and_knows_nan(plain: Pipeline) -> None:
    plain.edit("dvc.yaml", 'total\\":%d}", s', 'total\\":[%d,NaN]}", s')
    plain.repro()
    plain.edit("metrics.json", "12", "13")
    made_up = hashlib.md5(b'{"total":[13,NaN]}', usedforsecurity=False).hexdigest()
    lock_of(plain, "total", lambda stage: stage["outs"][0].update(md5=made_up))
    assert plain.is_proven(TOLERANT)
    assert plain.findings()[0].endswith(": total.0 13 -> 12 (largest relative difference 0.08)")


def cached(pipeline: Pipeline, content: bytes) -> Path:
    oid = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return pipeline.folder / ".dvc/cache/files/md5" / oid[:2] / oid[2:]


@pytest.mark.parametrize("content", [b"2\n4\n6\n", b"1\n2\n3\n"], ids=["output", "source"])
def test_a_file_swapped_in_the_cache(recorded: Pipeline, content: bytes) -> None:
    place = cached(recorded, content)
    mode = place.stat().st_mode
    place.chmod(0o644)
    place.write_bytes(b"another model")
    place.chmod(mode)
    (line,) = recorded.findings()
    assert line.endswith(
        f"the DVC cache holds other bytes than its hash {place.parent.name}{place.name} says ({place})"
    )
    # The right source came from the remote, so all the rest is proved all the same.
    assert set(recorded.verdicts().values()) == {"identical"}


def test_data_comes_from_the_remote_where_the_cache_lacks_it(recorded: Pipeline) -> None:
    shutil.rmtree(recorded.folder / ".dvc/cache")
    assert recorded.is_proven()


def test_a_command_that_needs_the_shell_of_its_author(plain: Pipeline) -> None:
    plain.edit("dvc.yaml", "awk '{s", "cat <(echo 5) rows.csv | awk '{s")
    plain.edit("dvc.yaml", "' rows.csv >", "' >")
    plain.repro(SHELL="/bin/bash")
    assert plain.findings(SHELL="/bin/bash") == [
        "total depends on the environment variable SHELL, which nothing records"
    ]


def test_a_stage_that_finds_a_disk_full_is_accused_of_nothing(plain: Pipeline) -> None:
    """The disk of the folder for temporary files, in which a proof runs."""
    plain.insert("import os\nif '/reproduce-' in os.getcwd(): raise OSError('No space left on device')")
    plain.repro()
    assert plain.refusal().startswith("cannot try: make: a disk is full, and `df` shows which")


def test_data_imported_from_another_repository(plain: Pipeline, tmp_path: Path) -> None:
    other = tmp_path / "other"
    init(other)
    (other / "n.csv").write_text("42\n")
    with dvc(other) as repo:
        repo.add("n.csv")
    commit(other, "Data")
    with dvc(plain.folder) as repo:
        repo.imp(str(other), "n.csv", "data/n.csv")
    plain.edit("dvc.yaml", "deps: [data/in.csv", "deps: [data/n.csv, data/in.csv")
    plain.insert("rows += [int(line) for line in open('data/n.csv')]")
    plain.repro()
    shutil.rmtree(plain.folder / ".dvc/cache")
    assert plain.is_proven()


VARYING = {
    "time zone": "import time\nrows += [time.timezone]",
    "umask": "import os\nrows += [os.umask(0)]",
}
X86_64 = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="these kernels and features are those of x86-64"
)
SEVERAL_CPUS = pytest.mark.skipif(count_cpus() == 1, reason="there is only one processor to compute on")
NUMBERS = "import numpy as np\nsome = np.random.default_rng(0).random(100_000)\n"
PRODUCT = f"{NUMBERS}some = some.reshape(100, 1000)\nrows = (some @ some.T).ravel().tolist()"


def test_a_count_of_processors_that_changes_the_result(plain: Pipeline) -> None:
    tried = "bwrap --ro-bind / / --dev /dev --proc /proc --unshare-net --unshare-pid true 2>/dev/null"
    if os.system(tried) or os.cpu_count() == 1:  # noqa: S605
        pytest.skip("needs bubblewrap, and a second processor")
    # How many there are in the machine, and not how many may be used.
    plain.insert("import os\nrows += [os.cpu_count()]")
    plain.repro()
    (line,) = plain.findings(VARIED)
    assert line.startswith("make depends on the processor: rows.csv differs with 1 CPU (")


def test_a_frozen_stage_is_taken_as_it_is(plain: Pipeline) -> None:
    plain.insert("import time\nrows += [time.time_ns()]")
    plain.repro()
    with dvc(plain.folder) as repo:
        repo.freeze("make")
    plain.commit()
    assert not plain.is_proven()
    assert plain.verdicts() == {"rows.csv": "frozen, not proven", "metrics.json": "identical"}
    assert plain.progress[1] == "frozen, so taken as recorded and not proven: make"


@pytest.mark.parametrize("condition", VARYING)
def test_a_condition_that_changes_the_result(plain: Pipeline, condition: str) -> None:
    plain.insert(VARYING[condition])
    plain.repro()
    assert plain.findings(VARIED) == [f"make: rows.csv changes with the {condition}"]


@X86_64
def test_features_of_a_processor_change_the_result(plain: Pipeline) -> None:
    plain.insert(f"{NUMBERS}rows = np.exp(some[:1000].astype('float32')).tolist()")
    plain.repro()
    (line,) = plain.findings(VARIED)
    assert line.startswith("make depends on the processor: rows.csv differs with ")
    assert "NumPy's " in line


@X86_64
def test_how_much_a_processor_changes_is_said_and_can_be_tolerated(plain: Pipeline) -> None:
    plain.insert(PRODUCT)
    plain.repro()
    (line,) = plain.findings(VARIED)
    assert line.startswith("make depends on the processor: rows.csv differs with ")
    assert "OpenBLAS's Prescott kernel" in line
    figure = re.search(r"\(largest relative difference (.*)\)$", line)
    assert figure
    # The rounding of a sum of a thousand products.
    assert 1e-17 < float(figure.group(1)) < 1e-12
    assert plain.is_proven(replace(VARIED, rtol=1e-9))
    assert plain.verdicts() == {"rows.csv": "identical", "metrics.json": "identical"}


@SEVERAL_CPUS
def test_a_sum_that_changes_with_the_number_of_threads(plain: Pipeline) -> None:
    plain.insert(f"{NUMBERS}rows = [float(some @ some[::-1].copy())]")
    plain.repro()
    (line,) = plain.findings(VARIED)
    assert "1 CPU" in line
    assert "another number of threads" in line


@SEVERAL_CPUS
def test_processors_that_a_stage_may_use_change_the_result(plain: Pipeline) -> None:
    plain.insert("import os\nrows += [len(os.sched_getaffinity(0))]")
    plain.repro()
    (line,) = plain.findings(VARIED)
    assert line.startswith("make depends on the processor: rows.csv differs with 1 CPU (")


PINS = """
import os
os.environ.update(OPENBLAS_CORETYPE="Haswell", OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
os.environ.update(NPY_ENABLE_CPU_FEATURES="X86_V3", NPY_DISABLE_CPU_FEATURES="")
"""


@X86_64
def test_a_stage_that_pins_its_numbers_depends_on_no_processor(plain: Pipeline) -> None:
    plain.insert(PINS + PRODUCT)
    plain.repro()
    assert plain.is_proven(VARIED)
    assert {"OpenBLAS kernel", "number of threads"} <= set(plain.report.varied)


def environment_record(variables: dict[str, str]) -> str:
    """An environment.json of the Python that runs, with these variables set."""
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    return json.dumps({"python": running, "variables": variables})


def test_a_condition_with_which_a_stage_fails(plain: Pipeline) -> None:
    plain.insert("import time\nassert not time.timezone")
    plain.repro()
    assert plain.findings(VARIED) == ["make fails with another time zone"]


MEMORY = "/dev/shm"  # noqa: S108 - where `--vary` changes the order


def listed(folder: Path, names: list[str]) -> list[str]:
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    return os.listdir(folder)


def test_the_order_of_files_that_changes_the_result(plain: Pipeline, tmp_path: Path) -> None:
    names = [f"{number}.txt" for number in range(8)]
    one, other = listed(tmp_path / "one", names), listed(tmp_path / "other", names[::-1])
    with TemporaryDirectory(dir=MEMORY if os.path.isdir(MEMORY) else None) as memory:
        if one != other or listed(Path(memory, "names"), names[::-1]) == one:
            pytest.skip("the file systems here cannot show a difference")
    (plain.folder / "parts").mkdir()
    for name in names:
        plain.write(f"parts/{name}", name)
    plain.edit("dvc.yaml", "deps: [data/in.csv", "deps: [parts, data/in.csv")
    plain.insert("import os\nrows += [int(name[0]) for name in os.listdir('parts')]")
    plain.repro()
    assert plain.findings(VARIED) == ["make: rows.csv changes with the file order"]


def test_variables_that_environment_json_records_are_set_for_stages(plain):
    plain.write("environment.json", environment_record({"FACTOR": "3"}))
    plain.insert('import os; rows = [row * int(os.environ["FACTOR"]) for row in rows]')
    plain.repro(FACTOR="3")
    assert plain.is_proven()


NOTES = """
import json, os
settings = {name: os.environ[name] for name in ('MKL_NUM_THREADS', 'PYTHONHASHSEED') if name in os.environ}
json.dump({'variables': settings, 'zone': os.environ.get('TZ', '')}, open('environment.json', 'w'))
"""


def test_a_record_of_variables_may_hold_what_is_varied_and_nothing_else(plain: Pipeline) -> None:
    plain.edit("dvc.yaml", "outs: [rows.csv]", "outs: [rows.csv, environment.json: {cache: false}]")
    plain.insert(NOTES)
    plain.repro()
    assert plain.findings(VARIED) == ["make: environment.json changes with the time zone"]


def test_variables_are_set_where_a_stage_writes_their_record(plain: Pipeline) -> None:
    plain.edit("dvc.yaml", "outs: [rows.csv]", "outs: [rows.csv, environment.json]")
    plain.insert(
        "import json, os, sys\n"
        "record = {'python': '%d.%d' % sys.version_info[:2], 'variables': {'FACTOR': os.environ['FACTOR']}}\n"
        "json.dump(record, open('environment.json', 'w'))"
    )
    plain.edit("dvc.yaml", "environment.json]", "{environment.json: {cache: false}}]")
    plain.repro(FACTOR="3")
    assert plain.is_proven()


ROUNDED = "2.0000000000000004\n4\n6\n"
ROUNDING = replace(CURRENT, rtol=1e-9)


def as_made_elsewhere(pipeline: Pipeline, **contents: str) -> None:
    """Record outputs as another processor would have written them; `rows_csv` is rows.csv."""
    for name, text in contents.items():
        pipeline.write(name.replace("_", "."), text)
    with dvc(pipeline.folder) as repo:
        repo.commit(force=True)
    pipeline.commit()


def test_numbers_that_differ_by_rounding_are_close_and_not_proven(recorded: Pipeline) -> None:
    as_made_elsewhere(recorded, rows_csv=ROUNDED)
    (line,) = recorded.findings()
    assert line.startswith("make: rows.csv is what dvc.lock records only up to rounding")
    assert recorded.verdicts() == {"rows.csv": "close", "metrics.json": "identical"}


def test_a_tolerance_accepts_numbers_that_a_later_stage_reads(recorded: Pipeline) -> None:
    as_made_elsewhere(recorded, rows_csv=ROUNDED)
    assert recorded.is_proven(ROUNDING)
    assert recorded.verdicts() == {"rows.csv": "within rtol", "metrics.json": "identical"}


@pytest.fixture
def modelled(plain: Pipeline) -> Pipeline:
    """As `recorded`, where what `make` writes is no table but a file without values, such as a model."""
    plain.edit("pkg/make.py", "rows.csv", "rows.bin")
    plain.edit("dvc.yaml", "rows.csv", "rows.bin")
    plain.repro()
    return plain


def test_a_model_in_other_bytes_differs(modelled: Pipeline) -> None:
    as_made_elsewhere(modelled, rows_bin=ROUNDED)
    assert modelled.findings() == ["make: rows.bin is not what dvc.lock records, although every input is"]


def test_a_tolerance_accepts_a_model_in_other_bytes_by_the_numbers_after_it(modelled: Pipeline) -> None:
    as_made_elsewhere(modelled, rows_bin=ROUNDED)
    assert modelled.is_proven(ROUNDING)
    assert modelled.verdicts() == {
        "rows.bin": "differs, numbers after it within rtol",
        "metrics.json": "identical",
    }


def test_a_model_whose_numbers_differ_is_diagnosed_for_all_the_tolerance(modelled: Pipeline) -> None:
    as_made_elsewhere(modelled, rows_bin=ROUNDED, metrics_json='{"total":13}')
    assert modelled.findings(ROUNDING) == [
        "make: rows.bin is not what dvc.lock records, although every input is"
    ]
    assert modelled.verdicts() == {"rows.bin": "differs", "metrics.json": "differs"}
