"""Rendering: every choice gives a clean project; hostile answers are refused or come out as data."""

import ast
import hashlib
import json
import re
import subprocess
import sys
import tomllib
from configparser import RawConfigParser
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement
from support import TEMPLATE, generate

DEFAULTS = {
    "task": "classification",
    "project_name": "Tumour Classifier",
    "project_slug": "tumour-classifier",
    "package_name": "tumour_classifier",
    "description": "Tells malignant from benign tumours; every result can be found and rebuilt.",
    "author": "The Tumour Classifier authors",
    "license": "MIT",
    "dvc_remote": "../tumour-classifier-dvc",
    "mlflow_tracking_uri": "sqlite:///mlflow.db",
    "__year": "2026",
    "__answers": "",
}
FILES = """
.dvc/.gitignore .dvc/config .dvcignore .gitattributes .github/dependabot.yml .github/workflows/ci.yml
.gitignore LICENSE AGENTS.md CITATION.cff Makefile README.md data/.gitignore data/README.md data/raw.csv.dvc
docs/changes.md dvc.yaml
extras.lock params.yaml pyproject.toml
requirements.lock scripts/__init__.py scripts/environment.py scripts/mirror.py scripts/setup.py
search.yaml tests/test_declared.py tests/test_stages.py
tumour_classifier/__init__.py tumour_classifier/dataset.py tumour_classifier/evaluate.py
tumour_classifier/figures.py tumour_classifier/models.py tumour_classifier/params/__init__.py
tumour_classifier/params/__main__.py tumour_classifier/params/evaluate.py
tools.lock tumour_classifier/params/prepare.py tumour_classifier/params/train.py
tumour_classifier/prepare.py tumour_classifier/train.py uv.lock vendor/locatable-0.2.0-py3-none-any.whl
""".split()
FLOW = ".github/workflows/ci.yml"
LICENSES = {
    "MIT": "Permission is hereby granted, free of charge",
    "BSD-3-Clause": "Neither the name of the copyright holder",
    "Apache-2.0": "Apache License",
    "Proprietary": "All rights reserved",
}
# What DVC needs for a remote, and a package of it that no other remote brings.
PLUGINS = {
    "../folder": ("dvc", None),
    "/srv/dvc store, old#1": ("dvc", None),
    "s3://bucket/path": ("dvc[s3]", "dvc-s3"),
    "gs://bucket": ("dvc[gs]", "dvc-gs"),
    "azure://container/path": ("dvc[azure]", "dvc-azure"),
    "ssh://ada@example.org:2222/srv/dvc": ("dvc[ssh]", "dvc-ssh"),
    "webdavs://example.org/dvc": ("dvc[webdav]", "dvc-webdav"),
}


def replay(folder: Path, **answers: str) -> subprocess.CompletedProcess[str]:
    """Generate with answers exactly as a person typed them: cookiecutter renders defaults, not answers."""
    (folder / "answers.json").write_text(json.dumps({"cookiecutter": DEFAULTS | answers}))
    command = [sys.executable, "-m", "cookiecutter", "--replay-file", folder / "answers.json"]
    return subprocess.run(
        [*command, "--output-dir", folder / "out", TEMPLATE],
        cwd=folder,
        text=True,
        capture_output=True,
        check=False,
    )


def tracked(project: Path) -> list[str]:
    """Every file in the project's first commit."""
    listed = subprocess.run(
        ["git", "-C", project, "ls-tree", "-r", "-z", "--name-only", "HEAD"],
        text=True,
        capture_output=True,
        check=True,
    )
    return listed.stdout.rstrip("\0").split("\0")


def parse(project: Path) -> None:
    """Fail unless every rendered file of a known kind parses, and no brace of the template is left."""
    for name in tracked(project):
        if name.endswith(".whl"):
            continue
        text = (project / name).read_bytes().decode()
        if name.endswith(".py"):
            ast.parse(text)
        elif name.endswith((".yaml", ".yml", ".dvc", ".cff")):
            assert isinstance(yaml.safe_load(text), dict)
        elif name.endswith(".toml"):
            tomllib.loads(text)


def dvc_remote(project: Path) -> str:
    """The remote's address, as DVC would read it from its configuration."""
    config = RawConfigParser()
    config.read(project / ".dvc/config", encoding="utf-8")
    return config["'remote \"storage\"'"]["url"].strip('"')


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project a newcomer gets who only presses Enter."""
    return generate(tmp_path_factory.mktemp("default"))


def test_the_default_project_has_exactly_these_files(default):
    assert sorted(tracked(default)) == sorted(FILES)
    there = {path for path in default.rglob("*") if path.is_file() and ".git" not in path.parts}
    untracked = {path.relative_to(default).as_posix() for path in there} - set(FILES)
    (cached,) = (path for path in untracked if path.startswith(".dvc/cache/files/md5/"))
    assert untracked - {cached} == {"data/raw.csv", ".dvc/config.local"}


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of the other task."""
    return generate(tmp_path_factory.mktemp("regression"), task="regression")


def test_a_project_can_be_read_in_an_evening(default, regression):
    not_written_for_readers = ("LICENSE", "data/raw.csv", ".lock", ".whl")
    for project in (default, regression):
        read = [name for name in tracked(project) if not name.endswith(not_written_for_readers)]
        assert sum(len((project / name).read_text().splitlines()) for name in read) <= 1500
        assert len([name for name in read if name.endswith(".py")]) <= 25


def test_the_default_project_is_committed_on_main_and_clean(default):
    def git(*command):
        return subprocess.check_output(["git", "-C", default, *command], text=True).strip()

    assert git("symbolic-ref", "HEAD") == "refs/heads/main"
    assert git("rev-list", "--count", "HEAD") == "1"
    assert git("status", "--porcelain") == ""


def test_the_default_project_parses_and_keeps_no_braces(default):
    parse(default)
    for name in tracked(default):
        if name.endswith(".whl"):
            continue
        text = (default / name).read_text()
        if not name.startswith(".github"):
            assert "{{" not in text, name
        assert "{%" not in text, name
        assert "cookiecutter." not in text, name


def test_the_workflow_is_valid_and_a_security_linter_finds_nothing(default):
    zizmor = Path(sys.executable).with_name("zizmor")
    done = subprocess.run(
        [zizmor, "--offline", "--no-progress", default / ".github"],
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    steps = yaml.safe_load((default / FLOW).read_text())["jobs"]["prove"]["steps"]
    assert any("locatable reproduce" in step.get("run", "") for step in steps)


def test_the_workflow_archives_each_tag_and_nothing_else(default):
    workflow = yaml.safe_load((default / FLOW).read_text())
    assert workflow[True]["push"]["tags"] == ["*"]  # to YAML, `on` is a truth value
    steps = workflow["jobs"]["prove"]["steps"]
    write, upload = [step for step in steps if step.get("if") == "github.ref_type == 'tag'"]
    assert write["run"].startswith("locatable archive ")
    assert write["run"].endswith(f" {upload['with']['path']}")


def test_the_shipped_table_is_the_one_its_dvc_file_names(default, regression):
    for project, rows in ((default, 569), (regression, 344)):
        (out,) = yaml.safe_load((project / "data/raw.csv.dvc").read_text())["outs"]
        table = (project / "data/raw.csv").read_bytes()
        assert out["md5"] == hashlib.md5(table, usedforsecurity=False).hexdigest()
        assert out["size"] == len(table)
        assert table.count(b"\n") == rows + 1


def test_a_project_holds_the_code_of_its_task_alone(default, regression):
    parse(regression)
    foreign = {default: "mean_squared|ElasticNet", regression: "predict_proba|Classifier|roc_"}
    for project, words in foreign.items():
        code = [project / name for name in tracked(project) if name.endswith((".py", ".yaml"))]
        assert not [path for path in code if re.search(words, path.read_text())]


@pytest.mark.parametrize("license_name", LICENSES)
def test_every_licence_is_a_real_one_in_the_authors_name(tmp_path, license_name):
    project = generate(tmp_path, license=license_name, author="Ada Lovelace")
    text = (project / "LICENSE").read_text()
    assert LICENSES[license_name] in text
    if license_name != "Apache-2.0":  # which names no holder in its text
        assert "Ada Lovelace" in text
    cited = yaml.safe_load((project / "CITATION.cff").read_text())
    # Only what SPDX knows is a licence there.
    assert cited.get("license", "Proprietary") == license_name


@pytest.fixture(scope="module", params=PLUGINS)
def with_remote(request, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """An address of a DVC remote, and a project that has it."""
    return request.param, generate(tmp_path_factory.mktemp("remote"), dvc_remote=request.param)


def test_a_remote_brings_its_plug_in_and_no_other(with_remote):
    address, project = with_remote
    requirement, package = PLUGINS[address]
    tools = tomllib.loads((project / "pyproject.toml").read_text())["dependency-groups"]["tools"]
    assert tools[0].split(">")[0] == requirement
    names = pins(project / "tools.lock").keys()
    assert "locatable" in names
    others = {name for _, name in PLUGINS.values()} - {package}
    assert package is None or package in names
    assert not others & names
    assert dvc_remote(project) == ("../../folder" if address == "../folder" else address)


def test_the_locks_name_no_place_to_download_from(default):
    locks = [default / name for name in ("requirements.lock", "tools.lock", "extras.lock")]
    for lock in [TEMPLATE / "requirements.lock", *locks]:
        assert "://" not in lock.read_text()
        text = lock.read_text().removeprefix("--find-links vendor\n\n")
        pins = [line for line in text.splitlines() if not line.startswith(" ")]
        assert all("==" in pin and pin.endswith("\\") for pin in pins)


def pins(lock: Path) -> dict[str, set[str]]:
    """Versions by package in a lock; which of several is installed depends on platform and Python."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([^\s=]+)==(\S+)", lock.read_text(), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def test_each_lock_is_a_part_of_the_next_and_no_remote_changes_what_stages_may_import(default, with_remote):
    _, project = with_remote
    assert (project / "requirements.lock").read_text() == (default / "requirements.lock").read_text()
    science, tools, extras = (pins(project / f"{name}.lock") for name in ("requirements", "tools", "extras"))
    assert science.items() <= tools.items() <= extras.items()
    assert pins(default / "tools.lock").items() <= tools.items()
    # As uv writes it, or the first `make lock` would show a difference.
    assert list(tools) == sorted(tools)


def test_the_locks_keep_to_the_bounds_of_pyproject(default):
    project = tomllib.loads((default / "pyproject.toml").read_text())["project"]
    groups = tomllib.loads((default / "pyproject.toml").read_text())["dependency-groups"]
    asked_and_locked = [
        (project["dependencies"], pins(default / "requirements.lock")),
        (groups["tools"] + groups["dev"], pins(default / "tools.lock")),
        *((asked, pins(default / "extras.lock")) for asked in project["optional-dependencies"].values()),
    ]
    for asked, locked in asked_and_locked:
        for requirement in map(Requirement, asked):
            versions = locked[requirement.name.replace(".", "-")]
            assert all(version in requirement.specifier for version in versions), requirement


# Each piece means something to Jinja, a shell, Python, TOML, YAML or Markdown, or is no text at all.
PIECES = [
    *"\"'\\#`|]aé漢🧪\n\t\ufeff",
    '"""',
    "'''",
    "---",
    ": ",
    "<b>",
    "&amp;",
    "${HOME}",
    "%(x)s",
    "$(touch pwned)",
]
PIECES += ["{{ 7 * 7 }}", "{% raw %}", "{# #}", '"; import os; os.system("touch pwned") #']
NO_TEXT = ["\r", "\0", "\x85", "\u2028", "\ufffe"]
PLAIN = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=40)
TANGLED = st.lists(st.sampled_from(PIECES), min_size=1, max_size=8).map("".join)
HOSTILE = PLAIN | TANGLED | st.tuples(TANGLED, st.sampled_from(NO_TEXT)).map("".join)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=HOSTILE, description=HOSTILE, author=HOSTILE)
@example(name='"', description="\\", author="🧪\n# x\n[project]\nname = 'y'")
@example(name="A & B", description="{{ cookiecutter }} {% endraw %}", author='"""\nimport os')
def test_free_text_is_refused_with_one_line_or_comes_out_as_data(name, description, author):
    with TemporaryDirectory() as folder:
        done = replay(Path(folder), project_name=name, description=description, author=author)
        project = Path(folder, "out", "tumour-classifier")
        assert not list(Path(folder).rglob("pwned"))
        if done.returncode:
            first = done.stderr.splitlines()[0]
            question = first.split(":")[0]
            assert question in ("project_name", "description", "author"), done.stderr
            assert " is not allowed; it should be " in first
            assert not project.exists()
            return
        parse(project)
        metadata = tomllib.loads((project / "pyproject.toml").read_text())["project"]
        assert metadata["name"] == "tumour-classifier"
        assert metadata["description"] == " ".join(description.split())
        assert metadata["authors"] == [{"name": " ".join(author.split())}]
        cited = yaml.safe_load((project / "CITATION.cff").read_text())
        assert cited["title"] == " ".join(name.split())
        assert cited["authors"] == metadata["authors"]
        readme = (project / "README.md").read_text().splitlines()
        assert readme[0].startswith("# ")
        assert readme[1] == readme[3] == ""
        assert sorted(tracked(project)) == sorted(FILES)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    slug=st.just("ok") | HOSTILE,
    package=st.just("ok") | HOSTILE,
    address=HOSTILE.map("../".__add__),
    uri=HOSTILE.map("sqlite:///".__add__),
)
@example(slug="ok", package="ok", address="..", uri="sqlite:///x")
@example(slug="ok", package="ok", address="s3://{{ 7 * 7 }}/$(touch pwned)", uri="sqlite:///{{ x }}\\")
@example(slug="ok", package="ok", address="C:\\data\\dvc", uri="postgresql+psycopg2://db/mlflow")
def test_names_and_addresses_are_refused_with_one_line_or_come_out_as_data(slug, package, address, uri):
    with TemporaryDirectory() as folder:
        # No separator: a name with one is refused too (see test_hooks), and its parent folders are not ours.
        slug = slug.replace("/", "_")
        answers = {"project_slug": slug or "x", "package_name": package, "dvc_remote": address}
        done = replay(Path(folder), **answers, mlflow_tracking_uri=uri)
        project = Path(folder, "out", slug or "x")
        assert not list(Path(folder).rglob("pwned"))
        if done.returncode:
            assert "\0" in slug or " is not allowed; it should be " in done.stderr.splitlines()[0]
            assert not list(Path(folder, "out").rglob("*"))
            return
        parse(project)
        config = tomllib.loads((project / "pyproject.toml").read_text())
        assert config["tool"]["locatable"]["mlflow-tracking-uri"] == uri
        assert dvc_remote(project).endswith(address)
        assert (project / package / "train.py").is_file()
