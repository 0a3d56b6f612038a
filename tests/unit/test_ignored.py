"""Files that DVC does not see because of `.dvcignore`, or of where they are."""

import subprocess
import sys
from pathlib import Path

import pytest
from dvc.fs import localfs
from dvc.ignore import DvcIgnoreFilter
from tiny_git import commit

from locatable.repository.dvc_files import may_hide
from locatable.repository.reader import Reader

BROKEN = "{{ outs }\n"
FILES = {
    ".dvc/config": "",
    "dvc.yaml": "",
    "dvc.lock": "",
    "templates/{{name}}/dvc.yaml": BROKEN,
    "templates/raw.dvc": BROKEN,
    "deep/er/raw.dvc": "",
    "deep/er/.dvc/more/dvc.yaml": BROKEN,
    ".dvc/tmp/dvc.yaml": BROKEN,
    "sub/[a].dvc": "",
    "sub/b.dvc": "",
    ".hg/dvc.yaml": BROKEN,
}


def seen_by_dvc(root: Path) -> set[str]:
    """Files of DVC's that DVC's own filter shows to it."""
    seen = set()
    for folder, _, names in DvcIgnoreFilter(localfs, str(root)).walk(localfs, str(root)):
        paths = [Path(folder, name).relative_to(root).as_posix() for name in names]
        seen.update(path for path in paths if path.endswith((".dvc", "dvc.yaml", "dvc.lock")))
    return seen


@pytest.mark.parametrize(
    "rules",
    [
        {".dvcignore": ""},
        {".dvcignore": "# /templates\n.venv\n"},
        {".dvcignore": "/templates\n"},
        {".dvcignore": "templates/\n!templates/raw.dvc\n"},
        {".dvcignore": "templates/**\n!raw.dvc\n"},
        {".dvcignore": "templates\n", "templates/.dvcignore": "!raw.dvc\n"},
        {".dvcignore": "*.dvc\n!b.dvc\n"},
        {".dvcignore": "**/er\n"},
        {".dvcignore": "deep/*\n"},
        {".dvcignore": "deep/**/raw.dvc\n"},
        {".dvcignore": "r?w.dvc\n"},
        {".dvcignore": "/raw.dvc\n"},
        {".dvcignore": "sub/\\[a\\].dvc\n"},
        {".dvcignore": "sub/[[:alpha:]].dvc\n"},
        {".dvcignore": "sub/[!a].dvc\n"},
        {"deep/.dvcignore": "er\n"},
        {"deep/.dvcignore": "/sub\n"},
        {"deep/.dvcignore": "*\n"},
        {".dvcignore": "*.lock\n"},
        {"no.dvcignore": "deep\n"},
    ],
)
@pytest.mark.parametrize("prefix", ["", ".ml"])
def test_files_are_those_that_dvc_sees(tmp_path: Path, rules: dict[str, str], prefix: str) -> None:
    root = tmp_path / prefix
    commit(tmp_path, {str(Path(prefix, path)): text for path, text in (FILES | rules).items()})
    with Reader(root) as reader:
        assert reader.snapshot("HEAD").files.keys() == seen_by_dvc(root)


def test_rules_are_those_of_the_revision(tmp_path: Path) -> None:
    before = commit(tmp_path, FILES)
    after = commit(tmp_path, {".dvcignore": "sub\n"})
    with Reader(tmp_path) as reader:
        counts = [len(snapshot.files) for snapshot in reader.snapshots([before, after, before])]
    assert counts == [6, 4, 6]


def test_an_environment_json_is_read_whatever_dvcignore_says(tmp_path: Path) -> None:
    commit(tmp_path, {".dvc/config": "", ".dvcignore": "environment.json\n", "environment.json": "{}"})
    with Reader(tmp_path) as reader:
        assert reader.snapshot("HEAD").files == {"environment.json": b"{}"}


@pytest.mark.parametrize(
    "rule", [".venv", "__pycache__/", "*.pyc", "/data/**", "!dvc.yaml", "# dvc.yaml", "\n\n.venv"]
)
def test_rules_about_other_files_need_no_filter(rule: str) -> None:
    assert not may_hide([rule.encode()], ["dvc.yaml", "sub/raw.dvc"])


def test_where_nothing_is_hidden_dvc_is_not_imported(tmp_path: Path) -> None:
    commit(tmp_path, {**FILES, ".dvcignore": ".venv\n*.pyc\n"})
    code = (
        "import sys; from locatable.repository.reader import Reader\n"
        f"Reader({str(tmp_path)!r}).snapshot('HEAD'); sys.exit('dvc' in sys.modules)"
    )
    subprocess.run((sys.executable, "-c", code), check=True)


def test_a_broken_dvcignore_keeps_no_other_revision_from_being_read(tmp_path: Path) -> None:
    commit(tmp_path, FILES)
    commit(tmp_path, {".dvcignore": b"*\n\xff\n"})
    with Reader(tmp_path) as reader:
        assert [len(snapshot.files) for snapshot in reader.snapshots(["HEAD~1", "HEAD"])] == [6, 6]
