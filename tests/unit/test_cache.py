"""Where the user's DVC cache is: compared with what DVC itself says."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from dvc.repo import Repo
from tiny_git import commit, write

from locatable.errors import ProjectError
from locatable.repository.hashes import cache_folder, cached_file

MD5 = "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, without settings of this machine."""
    for name in ("XDG_CONFIG_HOME", "DVC_GLOBAL_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DVC_SYSTEM_CONFIG_DIR", str(tmp_path / "system"))
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    return tmp_path / "home"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A DVC repository."""
    commit(tmp_path / "repo", {".dvc/config": ""})
    return tmp_path / "repo"


def dvcs_own(root: Path) -> Path:
    """Where DVC itself keeps objects."""
    with Repo(str(root)) as repo:
        return Path(repo.cache.local_cache_dir)


LEVELS = {
    "default": {},
    "repository": {"repo/.dvc/config": "[cache]\n    dir = ../../shared\n"},
    "local": {"repo/.dvc/config.local": "[cache]\n    dir = /mnt/cache\n"},
    "global": {"home/.config/dvc/config": "[cache]\n    dir = here\n"},
    "system": {"system/config": "[cache]\n    dir = here\n"},
    "local before repository": {
        "repo/.dvc/config": "[cache]\n    dir = one\n",
        "repo/.dvc/config.local": "[cache]\n    dir = two\n",
    },
    "repository before global": {
        "repo/.dvc/config": "[cache]\n    dir = one\n",
        "home/.config/dvc/config": "[cache]\n    dir = two\n",
    },
    "global before system": {
        "system/config": "[cache]\n    dir = one\n",
        "home/.config/dvc/config": "[cache]\n    dir = two\n",
    },
    "other settings of a nearer level": {
        "repo/.dvc/config.local": "[cache]\n    type = copy\n",
        "repo/.dvc/config": "[cache]\n    dir = one\n",
    },
    "remote as cache": {
        "repo/.dvc/config": "[cache]\n    local = mine\n['remote \"mine\"']\n    url = ../../old\n"
    },
}


@pytest.mark.parametrize("files", LEVELS.values(), ids=LEVELS)
def test_the_cache_is_where_dvc_has_it(tmp_path: Path, root: Path, files: Mapping[str, str]) -> None:
    write(tmp_path, files)
    assert cache_folder(root) == dvcs_own(root)


@pytest.mark.parametrize(
    "text",
    [
        "[cache]\ndir = ~/cache\n",
        "[cache]\ndir = ~nobody-of-this-name/cache\n",
        "[cache]\ndir = a/../../b\n",
        "[cache]\ndir = 'a b # c'\n",
        '[cache]\ndir = "a b"\n',
        "[cache]\ndir = a # comment\n",
        "[cache]\ndir = ''\n",
        "[CACHE]\nDIR = a\n",
        "[core]\nremote = x\n[cache]\n\n  dir=a\n",
        "[cache]\r\ndir = a\r\n",
        "[cache]\ntype = copy\ndir = /x/%(type)s\n",
    ],
)
def test_a_setting_is_read_as_dvc_reads_it(root: Path, text: str) -> None:
    (root / ".dvc/config").write_bytes(text.encode())
    assert cache_folder(root) == dvcs_own(root)


@pytest.mark.parametrize(
    ("variable", "file"),
    [
        ("DVC_GLOBAL_CONFIG_DIR", "elsewhere/config"),
        ("DVC_SYSTEM_CONFIG_DIR", "elsewhere/config"),
        ("XDG_CONFIG_HOME", "elsewhere/dvc/config"),
    ],
)
def test_a_variable_that_dvc_honours_moves_its_settings(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, variable: str, file: str
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
    write(tmp_path, {file: "[cache]\ndir = there\n"})
    assert cache_folder(root) == dvcs_own(root) == (tmp_path / file).parent / "there"


@pytest.mark.parametrize(
    "text",
    [b"[cache\ndir = a\n", b"[cache]\ndir = \xff\n", b"[cache]\ndir = %(nothing)s\n"],
    ids=["section", "encoding", "interpolation"],
)
def test_a_broken_file_is_named(root: Path, text: bytes) -> None:
    (root / ".dvc/config").write_bytes(text)
    with pytest.raises(ProjectError, match=f"^{root / '.dvc/config'}: "):
        cache_folder(root)


@pytest.mark.parametrize("layout", ["files/md5/", ""], ids=["DVC 3", "DVC 2"])
def test_a_file_is_found_where_dvc_keeps_it(tmp_path: Path, layout: str) -> None:
    write(tmp_path, {f"{layout}{MD5[:2]}/{MD5[2:]}": "x"})
    assert cached_file(tmp_path, MD5) == tmp_path / layout / MD5[:2] / MD5[2:]


def test_the_list_of_a_folder_is_found(tmp_path: Path) -> None:
    write(tmp_path, {f"files/md5/{MD5[:2]}/{MD5[2:]}.dir": "[]"})
    assert cached_file(tmp_path, f"{MD5}.dir") is not None


@pytest.mark.parametrize("md5", [MD5, "", "ab", '"etag"'])
def test_what_the_cache_does_not_hold_is_not_found(tmp_path: Path, md5: str) -> None:
    write(tmp_path, {"files/md5/ab/x": ""})
    assert cached_file(tmp_path, md5) is None


@pytest.mark.parametrize("link", ["files/md5/01/23456789abcdef0123456789abcdef", "files/md5/01", "files"])
def test_a_link_in_a_cache_to_a_file_elsewhere_is_not_followed(tmp_path, link):
    name = "23456789abcdef" + MD5[16:]
    secret = tmp_path / "home/md5/01" / name
    write(secret.parent, {name: "secret"})
    place = tmp_path / "cache" / link
    place.parent.mkdir(parents=True)
    place.symlink_to({"files": tmp_path / "home", "files/md5/01": secret.parent}.get(link, secret))
    assert cached_file(tmp_path / "cache", MD5) is None


def test_a_hash_that_leads_out_of_a_cache_names_no_file(tmp_path):
    (tmp_path / "cache/files/md5").mkdir(parents=True)
    name = "a secret of more than thirty characters"
    write(tmp_path / "cache", {name: "secret"})
    assert cached_file(tmp_path / "cache", f"../../{name}") is None


def test_a_cache_can_itself_be_a_link(tmp_path):
    write(tmp_path / "disk/files/md5" / MD5[:2], {MD5[2:]: "data"})
    (tmp_path / "cache").symlink_to(tmp_path / "disk")
    assert cached_file(tmp_path / "cache", MD5) is not None
