"""Experiments of several DVC projects in one Git repository."""

from pathlib import Path

from tiny_git import commit, git

from locatable.locate import locate
from locatable.locate.render import title
from locatable.mlflow.plan import wanted_runs
from locatable.repository.reader import Reader

FILES = {"a/.dvc/config": "", "b/.dvc/config": "", "a/m.yaml": "1", "b/m.yaml": "1", "b/deep/n.yaml": "1"}


def experiment(top: Path, name: str, files: dict[str, str]) -> str:
    """An experiment on the last commit."""
    head = git(top, "rev-parse", "HEAD")
    rev = commit(top, files)
    git(top, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name}", rev)
    git(top, "reset", "--quiet", "--hard", head)
    return rev


def foreign(root: Path) -> dict[str, str]:
    """The other project by the name of each experiment that is not this project's."""
    with Reader(root) as reader:
        experiments = reader.experiments()
        found = reader.foreign_projects(experiments)
    return {one.name: found[one.rev] for one in experiments if one.rev in found}


def test_an_experiment_is_that_of_the_project_whose_files_it_changed(tmp_path: Path) -> None:
    commit(tmp_path, FILES)
    experiment(tmp_path, "of-a", {"a/m.yaml": "2"})
    experiment(tmp_path, "of-b", {"b/deep/n.yaml": "3"})
    experiment(tmp_path, "of-both", {"a/m.yaml": "4", "b/m.yaml": "4"})
    experiment(tmp_path, "of-none", {"README.md": "5"})
    experiment(tmp_path, "same", {})
    assert (foreign(tmp_path / "a"), foreign(tmp_path / "b")) == ({"of-b": "b"}, {"of-a": "a"})


def test_a_project_in_a_project_has_its_own(tmp_path: Path) -> None:
    commit(tmp_path, {".dvc/config": "", "sub/.dvc/config": "", "m.yaml": "1", "sub/m.yaml": "1"})
    experiment(tmp_path, "outer", {"m.yaml": "2", "more/n.yaml": "2"})
    experiment(tmp_path, "inner", {"sub/m.yaml": "3"})
    assert (foreign(tmp_path), foreign(tmp_path / "sub")) == ({"inner": "sub"}, {"outer": "."})


def test_a_file_that_became_a_folder_is_a_change(tmp_path: Path) -> None:
    commit(tmp_path, FILES)
    head = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "b/m.yaml").unlink()
    rev = commit(tmp_path, {"b/m.yaml/n": "1"})
    git(tmp_path, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/x", rev)
    assert foreign(tmp_path / "a") == {"x": "b"}


def test_an_experiment_whose_baseline_is_missing_is_taken_for_ours(tmp_path: Path) -> None:
    rev = commit(tmp_path, FILES)
    git(tmp_path, "update-ref", f"refs/exps/{'ab'}/{'c' * 38}/lost", rev)
    assert foreign(tmp_path / "a") == {}


def test_a_mirror_leaves_them_out(tmp_path: Path) -> None:
    head = commit(tmp_path, FILES)
    rev = experiment(tmp_path, "of-a", {"a/m.yaml": "2"})
    experiment(tmp_path, "of-b", {"b/m.yaml": "3"})
    with Reader(tmp_path / "a") as reader:
        assert wanted_runs(reader).keys() == {head, rev}


def test_they_are_marked_where_they_are_located(tmp_path: Path) -> None:
    commit(tmp_path, FILES)
    experiment(tmp_path, "of-b", {"b/m.yaml": "3"})
    with Reader(tmp_path / "a") as reader:
        (result,) = locate(reader, "of-b").results
    assert title(result).endswith("  of another project, b")
