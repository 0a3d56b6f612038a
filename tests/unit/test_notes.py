"""The processor of an experiment's results is noted beside its commit."""

import pytest
from tiny_git import git

from locatable.errors import GitError
from locatable.results.processor import Processor, read_processor, write_processor

XEON = Processor("Xeon", 4, "openblas 0.3.31 SkylakeX", 4, ("X86_V3",))


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A repository of one commit, whose user has no name."""
    git(tmp_path, "init", "--quiet", "--template=")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "-m", "One")
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    return tmp_path


def test_the_last_note_is_read_and_changes_no_commit_or_branch(root):
    before = git(root, "rev-parse", "HEAD")
    for processor in (Processor("EPYC", 2), XEON):
        write_processor(root, "HEAD", processor)
        assert read_processor(root, "HEAD") == processor
    assert git(root, "rev-parse", "HEAD") == before
    assert git(root, "rev-list", "--count", "--branches", "--remotes", "--tags") == "1"


def test_nothing_is_read_where_nothing_was_noted(root):
    assert read_processor(root, "HEAD") is None


@pytest.mark.parametrize("text", ["by hand", "[]", "3", '{"model": "other"}'])
def test_a_note_of_someone_else_is_none(root, text):
    git(root, "notes", "--ref=locatable", "add", "-m", text, "HEAD")
    assert read_processor(root, "HEAD") is None


def test_a_commit_that_is_not_there_is_refused(root):
    with pytest.raises(GitError):
        write_processor(root, "nonsense", XEON)
