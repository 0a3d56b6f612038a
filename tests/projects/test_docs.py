"""Every page as a test: its commands are run in order, what it shows is checked, its links lead somewhere.

How a page says what its fenced blocks are:

* `console` holds commands, run by Bash, which must end well; `text` right below it is what they print.
  A line of it must appear, in that order, where `…` stands for anything and blanks count as one.
* `<!-- not run: reason -->` above a block: it cannot be run here. `<!-- fails -->`: it must fail.
  `<!-- in a clone -->`: a colleague's shell.
* `<!-- file: PATH -->` above a block: the reader writes this file. `<!-- into: PATH, after: LINE -->`: the
  reader adds the block below that line; `<!-- instead of: PATH, line: LINE -->`: puts it in the line's place.
"""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
from support import TEMPLATE, activated, as_ordinary_user, check_printed, generate, run, snapshot

GENERATED = Path("{{cookiecutter.project_slug}}")
TOUR = [
    "1-coordinates.md",
    "2-dvc.md",
    "3-data.md",
    "4-mlflow.md",
    "5-search.md",
    "6-proof.md",
    "7-team.md",
    "8-pipelines.md",
    "9-notebooks.md",
]
HOW_TO = [
    "how-to/archive.md",
    "how-to/everywhere.md",
    "how-to/differ.md",
    "how-to/run.md",
    "how-to/param.md",
    "how-to/stage.md",
    "how-to/paper.md",
    "how-to/storage.md",
]
MODEL = "docs/how-to/model.md"
HANDOVER = "docs/how-to/handover.md"
# Followed by tests/joints/test_NAME.py, in an environment with the framework, or with the tool.
CONDA = "docs/how-to/conda.md"
FRAMEWORK = "docs/how-to/frameworks.md"
# What headings of that page call the framework of a joint.
FRAMEWORKS = {"huggingface": "Trainer", "keras": "Keras", "lightning": "Lightning", "skorch": "skorch"}
CHANGES = ["docs/changes.md"]
AGENTS = "AGENTS.md"
OURS = sorted(path.relative_to(TEMPLATE) for path in (TEMPLATE / "docs").rglob("*.md"))
THEIRS = sorted(
    path.relative_to(TEMPLATE / GENERATED)
    for path in [*(TEMPLATE / GENERATED).glob("*.md"), *(TEMPLATE / GENERATED / "docs").rglob("*.md")]
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r"not run( here)?: .")
CLONE = "in a clone"
EDIT = re.compile(r"(?P<how>into|instead of): (?P<path>\S+), (after|line): (?P<line>.*)")
COMMAND = re.compile(r"(?:^|[`&|] ?|from \S+ )locatable ([a-z]+)([^`\n]*)", re.MULTILINE)
# What `make setup` does last, once the packages are there.
SET_UP = "from locatable.clones.config import set_up_clone; set_up_clone()"
LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")


@dataclass
class Block:
    """A fenced block: what kind, what it says, the comment above it, and the output shown below it."""

    place: str
    kind: str
    text: str
    note: str
    shown: list[str] = field(default_factory=list)


def blocks(page: Path, text: str) -> list[Block]:
    """The fenced blocks of a page; output joins the commands that print it."""
    found: list[Block] = []
    end = 0
    for match in FENCE.finditer(text):
        between = text[end : match.start()]
        end = match.end()
        above = between.rstrip().rpartition("\n")[2]
        comment = re.fullmatch(r"<!-- (.*) -->", above)
        note = comment[1] if comment else ""
        place = f"{page}:{text[: match.start()].count(chr(10)) + 1}"
        if match[1] == "text" and found and found[-1].kind == "console" and not between.strip():
            found[-1].shown = [line for line in match[2].splitlines() if line.strip()]
        else:
            assert match[1] != "text" or note or page.stem == "README", f"{place}: below no commands"
            found.append(Block(place, match[1], match[2], note))
    return found


class Shell:
    """One person's terminal: a folder and variables that last from block to block."""

    def __init__(self, folder: Path, env: dict[str, str], notes: Path, start: tuple[str, ...] = ()):
        self.folder, self.notes, self.start = folder, notes, start
        self.printed = ""
        self.env = {**env, "NOTES": str(notes), "PAGER": "cat", "GIT_PAGER": "cat", "COLUMNS": "200"}

    def follow(self, pages: list[tuple[Path, str]], note: str = "", given: tuple[str, ...] = ()) -> None:
        """Do what the pages say, in order; `note` chooses whose blocks, and `given` has happened already."""
        for page, text in pages:
            for block in blocks(page, text):
                if (block.note == CLONE) != (note == CLONE):
                    continue
                lines = block.text.splitlines(keepends=True)
                block.text = "".join(line for line in lines if line.strip() not in given)
                if block.note.startswith("file: "):
                    self.write(block.note.removeprefix("file: "), block.text)
                elif match := EDIT.fullmatch(block.note):
                    path, kept = self.folder / match["path"], match["how"] == "into"
                    before, line, rest = f"\n{path.read_text()}".partition(f"\n{match['line']}\n")
                    assert line, f"{block.place}: {path} has no line {match['line']!r}"
                    path.write_text((before + (line if kept else "\n") + block.text + rest)[1:])
                elif block.kind == "console" and not NOT_RUN.match(block.note):
                    self.execute(block)

    def write(self, name: str, text: str) -> None:
        """Write a file, as the user whose terminal this is: DVC will write beside it."""
        command = ("sh", "-c", 'mkdir -p "$(dirname "$0")" && cat >"$0"', name)
        subprocess.run([*self.start, *command], cwd=self.folder, input=text, text=True, check=True)

    def execute(self, block: Block) -> None:
        """Run a block's commands where the last ones ended, and compare what they print."""
        keep = "trap '{ pwd; export -p; } > \"$NOTES\"' EXIT\nset -ea\n"
        done = subprocess.run(
            [*self.start, "bash", "-c", self.exported() + keep + block.text],
            cwd=self.folder,
            env=self.env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            timeout=600,
            check=False,
        )
        self.folder = Path(self.notes.read_text().splitlines()[0])
        said = f"{block.place}\n{block.text}\nexit {done.returncode}\n{done.stdout}"
        print(said)
        self.printed += done.stdout
        assert (done.returncode != 0) == (block.note == "fails"), said
        check_printed(block.shown, done.stdout)

    def exported(self) -> str:
        """What earlier blocks left in the environment."""
        return self.notes.read_text().partition("\n")[2] if self.notes.exists() else ""


def ours(*names: str) -> list[tuple[Path, str]]:
    """Pages of the template, with their text."""
    return [(Path(name), (TEMPLATE / name).read_text()) for name in names]


def for_joint(joint: str) -> list[tuple[Path, str]]:
    """The page that a joint follows; of that of frameworks, sections whose heading names no other one."""
    if joint == "conda":
        return ours(CONDA)
    [(page, text)] = ours(FRAMEWORK)
    sections = []
    for section in re.split(r"^(?=## )", text, flags=re.MULTILINE):
        heading = section.partition("\n")[0] if section.startswith("## ") else ""
        named = {name for name, title in FRAMEWORKS.items() if title in heading}
        if not named or joint in named:
            sections.append(section)
    return [(page, "".join(sections))]


def theirs(project: Path, *names: str) -> list[tuple[Path, str]]:
    """Pages of a generated project, with their text."""
    return [(GENERATED / name, (project / name).read_text()) for name in names]


def borrow(env: dict[str, str], project: Path) -> None:
    """Give a project a `.venv` that is the tests' environment."""
    (project / ".venv").mkdir()
    (project / ".venv/bin").symlink_to(Path(env["VIRTUAL_ENV"]) / "bin")


def test_the_readme_of_the_template_from_demo_to_a_located_plot(rebuilt, env, bare_env, tmp_path):
    # `make demo` itself is run by test_demo.py; here is what it leaves.
    project = tmp_path / "build/tumour-classifier"
    shutil.copytree(rebuilt, project, symlinks=True)
    borrow(env, project)
    Shell(tmp_path, bare_env, tmp_path / "notes").follow(ours("README.md"))


@pytest.mark.weekly
def test_the_tour(rebuilt, env, tmp_path):
    place = tmp_path / "place"
    project = Path(shutil.copytree(rebuilt, place / "tumour-classifier", symlinks=True))
    shutil.copytree(env["HOME"], place / "home", ignore=shutil.ignore_patterns(".cache"))
    own = {"HOME": str(place / "home"), "DVC_SITE_CACHE_DIR": str(place / "site")}
    shell = Shell(project, env | own, place / "notes", as_ordinary_user(place))
    # The page has the colleague run `make setup`, whose environment this is.
    set_up = "python -c \"from locatable.clones.config import set_up_clone; set_up_clone('../site')\"\n"
    pages = [
        (path, text.replace("\ndvc pull\n", f"\n{set_up}dvc pull\n"))
        for path, text in ours(*(f"docs/{name}" for name in TOUR))
    ]
    shell.follow(pages)


@pytest.mark.long
@pytest.mark.parametrize("lent", [True, pytest.param(False, marks=pytest.mark.weekly)])
def test_a_project_from_its_readme_to_a_colleague(env, bare_env, tmp_path, lent):
    """Both are ordinary users. The colleague is lent the tests' environment, or builds one without uv."""
    place = tmp_path / "place"
    project = generate(place)
    borrow(env, project)
    run("git", "init", "--quiet", "--bare", place / "origin", cwd=place, env=env)
    run("git", "remote", "add", "origin", place / "origin", cwd=project, env=env)
    home = place / "home"
    home.mkdir()
    shutil.copy(Path(bare_env["HOME"], ".gitconfig"), home)
    own = {"HOME": str(home)}
    start = as_ordinary_user(place)
    readme = theirs(project, "README.md")
    # The fixture `env` is what `make setup` builds with uv.
    Shell(project, bare_env | own, place / "notes", start).follow(readme, given=("make setup",))
    clone = place / "colleague"
    cloning = ("git", "clone", "--quiet", "--branch", "main", place / "origin", clone)
    run(*start, *cloning, cwd=place, env=env | own)
    path = [folder for folder in bare_env["PATH"].split(":") if not Path(folder, "uv").exists()]
    # A uv that does not exist cannot be got; what is not imported need not be compiled by pip.
    alone = bare_env | own | {"PATH": ":".join(path), "UV": "uv==0.0.0", "PIP_NO_COMPILE": "0"}
    colleague = Shell(clone, alone, place / "their-notes", start)
    if lent:
        borrow(env, clone)
        run(*start, "python", "-c", SET_UP, cwd=clone, env=env | own)
    colleague.follow(readme, CLONE, given=("make setup",) if lent else ())
    assert lent or "Going on without uv" in colleague.printed
    assert f"site_cache_dir = {home}/.cache/dvc-site" in (clone / ".dvc/config.local").read_text()
    assert json.loads((clone / "environment.json").read_text())["drift"] == {}
    assert run(*start, "git", "status", "--porcelain", cwd=clone, env=env | own).stdout == ""
    colleague.follow(ours(HANDOVER))


def test_what_agents_run_before_they_claim_anything(project, env, tmp_path):
    borrow(env, project)
    Shell(project, env, tmp_path / "notes").follow(theirs(project, AGENTS))


@pytest.mark.weekly
def test_what_agents_run_in_the_template(tmp_path):
    # All of it is in `make test`, too.
    path = f"{TEMPLATE / '.venv/bin'}:{os.environ['PATH']}"
    Shell(TEMPLATE, {**os.environ, "PATH": path}, tmp_path / "notes").follow(ours(AGENTS))


@pytest.mark.parametrize("page", [TEMPLATE / AGENTS, TEMPLATE / GENERATED / AGENTS])
def test_agents_read_a_short_page(page):
    assert len(page.read_text().splitlines()) <= 40


@pytest.mark.weekly
def test_every_usual_change(project, env, tmp_path):
    borrow(env, project)
    shell = Shell(project, env, tmp_path / "notes")
    shell.follow(theirs(project, *CHANGES))
    shell.follow(ours(*(f"docs/{name}" for name in HOW_TO)))


@pytest.mark.weekly
def test_an_estimator_of_another_package(project, env, bare_env, tmp_path):
    """With `make lock` and `make setup`, in a copy of the environment."""
    copy_environment(Path(env["VIRTUAL_ENV"]), project / ".venv")
    shell = Shell(project, activated(project / ".venv", bare_env), tmp_path / "notes")
    shell.follow(ours(MODEL))


@pytest.mark.weekly
@pytest.mark.parametrize("autostage", ["true", "false"])
def test_what_brings_the_last_commit_back_leaves_nothing_of_a_variant(project, sh, env, tmp_path, autostage):
    before = snapshot(project)
    sh("dvc", "config", "--local", "core.autostage", autostage)
    sh("dvc", "exp", "run", "--quiet", "--temp", "--name", "strict", "-S", "evaluate.threshold=0.9")
    sh("dvc", "exp", "apply", "strict")
    assert snapshot(project) != before
    page = Path("docs/2-dvc.md")
    (undo,) = [block for block in blocks(page, (TEMPLATE / page).read_text()) if "reset" in block.text]
    Shell(project, env, tmp_path / "notes").execute(undo)
    assert snapshot(project) == before
    assert sh("git", "status", "--porcelain").stdout == ""


def copy_environment(venv: Path, copy: Path) -> None:
    """Copy an environment, by hard links: what is installed into the copy is not in the other."""
    shutil.copytree(venv, copy, symlinks=True, copy_function=os.link)
    scripts = [path for path in (copy / "bin").iterdir() if not path.is_symlink()]
    for path in [*scripts, copy / "made"]:
        text = path.read_bytes().replace(bytes(venv), bytes(copy))
        mode = path.stat().st_mode
        path.unlink()
        path.write_bytes(text)
        path.chmod(mode)


def test_no_command_is_left_untried(rebuilt):
    followed = {"README.md", AGENTS, HANDOVER, MODEL, CONDA, FRAMEWORK}
    followed.update(f"docs/{name}" for name in [*TOUR, *HOW_TO])
    for path in ["README.md", AGENTS, *OURS]:
        for block in blocks(Path(path), (TEMPLATE / path).read_text()):
            assert block.kind, f"{block.place}: say what the block holds"
            assert block.kind not in ("sh", "bash", "shell"), f"{block.place}: commands are `console`"
            tried = NOT_RUN.match(block.note) or str(path) in followed
            assert block.kind != "console" or tried, f"{block.place}: not followed by any test"
    for path in THEIRS:
        for block in blocks(path, (rebuilt / path).read_text()):
            tried = str(path) in ("README.md", AGENTS, *CHANGES)
            assert block.kind not in ("", "sh", "bash", "shell"), f"{block.place}: commands are `console`"
            assert block.kind != "console" or tried or NOT_RUN.match(block.note), block.place


@pytest.mark.parametrize("name", ["README.md", AGENTS, *[str(path) for path in OURS]])
def test_links_of_the_template_resolve(name):
    check_links(TEMPLATE / name)


@pytest.mark.parametrize("name", [str(path) for path in THEIRS])
def test_links_of_a_project_resolve(rebuilt, name):
    check_links(rebuilt / name)


def check_links(page: Path) -> None:
    """Relative links lead to files that Git knows, and anchors to headings."""
    text = FENCE.sub("", page.read_text())
    for link in LINK.findall(text):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{page.name}: {link}"


def test_the_tour_is_linked_in_order():
    index = (TEMPLATE / "docs/README.md").read_text()
    assert [link for link in LINK.findall(index) if link in TOUR] == TOUR
    for page, following in pairwise(TOUR):
        assert following in LINK.findall((TEMPLATE / "docs" / page).read_text()), page


def pages_together(rebuilt: Path) -> str:
    """The text of all pages, of the template and of a generated project."""
    pages = [TEMPLATE / name for name in ["README.md", AGENTS, "CONTRIBUTING.md", *OURS]]
    pages += [rebuilt / name for name in THEIRS]
    return "\n".join(page.read_text() for page in pages)


def test_targets_named_in_prose_exist(rebuilt):
    targets = (rebuilt / "Makefile").read_text() + (TEMPLATE / "Makefile").read_text()
    for target in set(re.findall(r"(?:^|`)make ([\w-]+)", pages_together(rebuilt), re.MULTILINE)):
        assert re.search(rf"^(?:[\w-]+ )*{target}(?: [\w-]+)*:", targets, re.MULTILINE), f"make {target}"


def test_commands_named_in_prose_exist(rebuilt, extras_env):
    """`--option` is one of `locatable COMMAND`, wherever a page or the demo says so."""
    used: dict[str, set[str]] = {}
    demo = (TEMPLATE / "tools/demo.sh").read_text()
    for name, rest in COMMAND.findall(pages_together(rebuilt) + demo):
        used.setdefault(name, set()).update(re.findall(r"(?<!\S)--[\w-]+", rest))
    assert {"locate", "mirror", "search", "reproduce"} <= set(used)
    for name, options in used.items():
        said = run("locatable", name, "--help", cwd=rebuilt, env=extras_env).stdout
        assert options <= set(re.findall(r"--[\w-]+", said)), f"{name}: {options}"


@pytest.mark.parametrize("old", ["scripts.locate", "scripts.search", "scripts.reproduce", "scripts.flow"])
def test_no_page_names_a_command_of_the_first_release(rebuilt, old):
    assert old not in pages_together(rebuilt)


def test_pages_stay_short():
    for path in [TEMPLATE / "README.md", *(TEMPLATE / path for path in OURS)]:
        assert len(path.read_text().splitlines()) <= 140, path
    for path in THEIRS:
        assert len((TEMPLATE / GENERATED / path).read_text().splitlines()) <= 140, path
