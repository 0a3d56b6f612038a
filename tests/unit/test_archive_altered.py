"""Archives that are not as they were written, or that nobody honest wrote: one line, and nothing unpacked."""

import contextlib
import json
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from archived import Silent, make, no_bar

from locatable.archive.create import ArchiveOptions, create_archive
from locatable.archive.format import is_safe, open_archive, unpacked
from locatable.cli import main
from locatable.errors import CannotTryError


@pytest.fixture(scope="module")
def members(tmp_path_factory) -> dict[str, bytes]:
    """Content by name of what an honest archive has; do not change it."""
    root = make(tmp_path_factory.mktemp("original") / "project")
    target = root.parent / "result.zip"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        create_archive(ArchiveOptions(target), Silent())
    with zipfile.ZipFile(target) as file:
        return {name: file.read(name) for name in file.namelist()}


def write(path: Path, members: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> Path:
    """A ZIP file with these members."""
    with zipfile.ZipFile(path, "w", how) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def refusal(path: Path, tmp_path: Path, monkeypatch) -> str:
    """Why an archive is refused, and that nothing of it was unpacked."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    seen = []
    monkeypatch.setattr(shutil, "copyfileobj", lambda *arguments: seen.append(arguments))
    with pytest.raises(CannotTryError) as caught, unpacked(path, no_bar):
        pass
    assert list(place.iterdir()) == []
    assert seen == []
    assert "\n" not in caught.value.message
    return caught.value.message


def test_an_error_while_an_archive_is_used_is_not_one_of_the_archive(members, tmp_path):
    path = write(tmp_path / "a.zip", members)
    with pytest.raises(FileExistsError), open_archive(path):
        (tmp_path / "a.zip").mkdir()


def first_object(members: dict[str, bytes]) -> str:
    """A piece of data that the archive holds."""
    return next(name for name in members if name.startswith("dvc/") and not name.endswith(".dir"))


def edited(members: dict[str, bytes], edit: Callable[[dict], None]) -> dict[str, bytes]:
    """The members with another manifest."""
    manifest = json.loads(members["manifest.json"])
    edit(manifest)
    return {**members, "manifest.json": json.dumps(manifest).encode()}


def test_an_archive_that_was_written_anew_is_as_good(members, tmp_path):
    with unpacked(write(tmp_path / "a.zip", members), no_bar) as found:
        assert (found.project / "dvc.yaml").is_file()


@pytest.mark.parametrize(
    "name", ["repository.bundle", "README.md", "ro-crate-metadata.json", "files/dvc.lock"]
)
def test_a_member_with_other_bytes_is_named(members, tmp_path, monkeypatch, name):
    content = bytearray(members[name])
    content[-1] ^= 1
    path = write(tmp_path / "a.zip", {**members, name: bytes(content)})
    expected = f"{path}: {name} was altered: it has other bytes than manifest.json says"
    assert refusal(path, tmp_path, monkeypatch) == expected


def test_data_with_other_bytes_is_named(members, tmp_path, monkeypatch):
    name = first_object(members)
    path = write(tmp_path / "a.zip", {**members, name: b"#" * len(members[name])})
    assert f"{name} was altered" in refusal(path, tmp_path, monkeypatch)


def test_a_member_of_another_size_is_named(members, tmp_path, monkeypatch):
    path = write(tmp_path / "a.zip", {**members, "README.md": b"short"})
    assert "README.md was altered: it has another size" in refusal(path, tmp_path, monkeypatch)


def test_a_hash_that_was_altered_is_named_by_its_member(members, tmp_path, monkeypatch):
    def alter(manifest):
        manifest["members"]["repository.bundle"]["sha256"] = "0" * 64

    path = write(tmp_path / "a.zip", edited(members, alter))
    assert "repository.bundle was altered" in refusal(path, tmp_path, monkeypatch)


def test_a_revision_that_was_altered_is_not_in_the_bundle(members, tmp_path):
    path = write(tmp_path / "a.zip", edited(members, lambda one: one.update(revision="1" * 40)))
    with pytest.raises(CannotTryError, match=r"repository\.bundle cannot be used: "), unpacked(path, no_bar):
        pass


def test_a_member_that_is_missing_is_named(members, tmp_path, monkeypatch):
    fewer = {name: content for name, content in members.items() if name != "files/dvc.lock"}
    path = write(tmp_path / "a.zip", fewer)
    assert refusal(path, tmp_path, monkeypatch) == f"{path}: files/dvc.lock is missing"


@pytest.mark.parametrize(
    "name", ["more.txt", "../evil.txt", "/etc/evil.txt", "a/../../evil.txt", "..\\evil.txt"]
)
def test_a_member_that_the_manifest_does_not_know_is_named(members, tmp_path, monkeypatch, name):
    path = write(tmp_path / "a.zip", {**members, name: b"evil"})
    assert "manifest.json does not know '" in refusal(path, tmp_path, monkeypatch)
    assert list(tmp_path.rglob("evil.txt")) == []


@pytest.mark.parametrize("name", ["../evil.txt", "/etc/evil.txt", "a/../../evil.txt", "c:evil.txt", "a\\b"])
def test_a_manifest_with_a_path_that_leads_out_is_refused(members, tmp_path, monkeypatch, name):
    def add(manifest):
        manifest["members"][name] = manifest["members"]["README.md"]

    path = write(tmp_path / "a.zip", {**edited(members, add), name: members["README.md"]})
    assert "is no path within an archive" in refusal(path, tmp_path, monkeypatch)


@pytest.mark.parametrize("path", ["a", "a/b.c", "..a/b", "dvc/files/md5/20/94.dir"])
def test_a_path_that_stays_inside_is_safe(path):
    assert is_safe(path)


def test_a_zip_bomb_is_refused_unread(members, tmp_path, monkeypatch):
    path = write(tmp_path / "a.zip", {"bomb": b"\0" * 10_000_000, **members}, zipfile.ZIP_DEFLATED)
    assert "bomb is compressed, and `locatable archive` compresses nothing" in refusal(
        path, tmp_path, monkeypatch
    )


def test_members_that_share_their_bytes_are_refused(members, tmp_path, monkeypatch):
    path = write(tmp_path / "a.zip", {"a": b"\0" * 100_000})
    data = path.read_bytes()
    start = data.index(b"PK\x01\x02")
    entry, end = data[start : data.index(b"PK\x05\x06")], data[data.index(b"PK\x05\x06") :]
    shared = b"".join(entry[:-1] + bytes([letter]) for letter in b"abcdefgh")
    counts = struct.pack("<HHI", 8, 8, len(shared))
    path.write_bytes(data[:start] + shared + end[:8] + counts + end[16:])
    assert "its members are larger than the file" in refusal(path, tmp_path, monkeypatch)


def test_a_member_that_is_there_twice_is_refused(members, tmp_path, monkeypatch):
    path = write(tmp_path / "a.zip", members)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as file:
        file.writestr("README.md", b"other")
    assert "README.md is in it twice" in refusal(path, tmp_path, monkeypatch)


def test_a_newer_format_is_refused_with_what_to_do(members, tmp_path, monkeypatch):
    path = write(tmp_path / "a.zip", edited(members, lambda one: one.update(format=2, members="other")))
    said = refusal(path, tmp_path, monkeypatch)
    assert said.endswith("format 2 is newer than 1, the newest known here: upgrade locatable")


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b'{"format": "1"}', b'{"format": 1}', b"[" * 100_000, b"\xff"]
)
def test_a_manifest_that_is_none_is_refused(members, tmp_path, monkeypatch, content):
    path = write(tmp_path / "a.zip", {**members, "manifest.json": content})
    assert f"{path}: manifest.json: " in refusal(path, tmp_path, monkeypatch)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04"])
def test_a_file_that_is_no_zip_is_refused(tmp_path, monkeypatch, content):
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    assert "it is damaged, or no ZIP file" in refusal(path, tmp_path, monkeypatch)


def test_an_archive_that_was_cut_off_is_refused(members, tmp_path, monkeypatch):
    path = write(tmp_path / "a.zip", members)
    path.write_bytes(path.read_bytes()[:-500])
    assert "it is damaged, or no ZIP file" in refusal(path, tmp_path, monkeypatch)


def test_whatever_byte_is_altered_no_other_content_passes(members, tmp_path):
    original = write(tmp_path / "original.zip", members).read_bytes()
    path = tmp_path / "a.zip"
    passed = 0
    for position in range(0, len(original), len(original) // 500):
        data = bytearray(original)
        data[position] ^= 1 << position % 8
        path.write_bytes(data)
        with contextlib.suppress(CannotTryError), open_archive(path) as archive:
            archive.check(lambda number: None)
            passed += 1
            with zipfile.ZipFile(path) as file:
                assert {name: file.read(name) for name in file.namelist()} == members
    assert passed < 250  # what only says when a member was written, and by whom


def test_another_zip_is_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "a.zip", {"README.md": b"hello"})
    assert "it has no manifest.json" in refusal(path, tmp_path, monkeypatch)


def test_the_command_says_it_in_one_line_outside_of_any_project(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "missing.zip"]) == 2
    assert capsys.readouterr().err == "cannot try: missing.zip: No such file or directory\n"
