"""What the nodes of a Ray cluster get; none of it needs Ray."""

from locatable.search.ray_backend import fill_working_folder, lock_text, prepared_environment


def project(tmp_path, *names):
    """A project with these files, each with its name as content."""
    root = tmp_path / "project"
    for name in (*names, "secret.txt", "vendor/notes.txt"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}\n")
    return root


def copied(tmp_path, root):
    """Files that nodes get of a project, beside the package."""
    folder = tmp_path / "folder"
    folder.mkdir()
    fill_working_folder(folder, root)
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    assert "locatable/search/worker.py" in files
    return {file for file in files if not file.startswith("locatable/")}


def test_nodes_get_both_locks_and_the_wheels_that_they_name(tmp_path):
    root = project(tmp_path, "requirements.lock", "tools.lock", "vendor/locatable-1.whl")
    assert copied(tmp_path, root) == {"requirements.lock", "tools.lock", "vendor/locatable-1.whl"}


def test_nodes_get_nothing_of_a_repository_without_locks(tmp_path):
    assert copied(tmp_path, project(tmp_path)) == set()


def test_no_byte_code_is_copied(tmp_path):
    copied(tmp_path, project(tmp_path))
    assert list((tmp_path / "folder").rglob("__pycache__")) == []


def test_the_text_of_the_locks_is_that_of_both(tmp_path):
    assert lock_text(project(tmp_path, "requirements.lock", "tools.lock")).split() == [
        "requirements.lock",
        "tools.lock",
    ]


def test_a_repository_without_locks_pins_nothing(tmp_path):
    assert lock_text(project(tmp_path)) == ""


def test_an_environment_is_prepared_from_the_locks_that_there_are(tmp_path):
    environment = prepared_environment(project(tmp_path, "requirements.lock"))
    (package,) = environment["uv"]["packages"]
    assert package.endswith("/requirements.lock")
    assert environment["uv"]["uv_pip_install_options"] == ["--require-hashes"]
