# /// script
# dependencies = ["dvc-s3==3.3.0", "moto[server]==5.2.5"]
# [tool.joint]
# question = "Versioning"
# tool = "lakeFS"
# joint = "docs/how-to/storage.md"
# ///
"""The S3 gateway of lakeFS is a DVC remote and a source of imports: bucket is repository, folder is ref.

The server cannot be had here (docs/ecosystem.md has the reason): moto answers the same calls.
"""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import tiny_dvc
from moto.server import ThreadedMotoServer
from tiny_git import write

from locatable import read_coordinates
from locatable.proof.reproduce import ProofOptions, reproduce
from locatable.repository.reader import Reader
from locatable.results.rebuild import rebuild_commands

COMMIT = "c7f2e1a0b9d8"  # lakeFS takes a branch, a tag or a commit as the first folder
TABLE = b"a,b\n1,2\n"
# By `md5sum`.
MD5 = "e5ebd4c02cefbe7955977c67ada242b7"
PIPELINE = "stages: {make: {cmd: cat raw.csv > copy.csv, deps: [raw.csv], outs: [copy.csv]}}\n"


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    """Address of a server whose repository `lake` has a table in a commit."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        client = boto3.client("s3", endpoint_url=address)
        client.create_bucket(Bucket="lake")
        client.put_object(Bucket="lake", Key=f"{COMMIT}/raw.csv", Body=TABLE)
        yield address
    server.stop()


@pytest.fixture
def root(tmp_path: Path, gateway: str) -> Path:
    """A project that imports the table and has results, all of which is pushed to a branch."""
    root = tmp_path / "project"
    tiny_dvc.init(root)
    with tiny_dvc.dvc(root) as repo, repo.config.edit() as settings:
        settings["remote"] = {
            "lake": {"url": "s3://lake", "endpointurl": gateway},
            "store": {"url": "s3://lake/main/dvc", "endpointurl": gateway},
        }
        settings["core"]["remote"] = "store"
    write(root, {"dvc.yaml": PIPELINE})
    with tiny_dvc.dvc(root) as repo:
        repo.imp_url(f"remote://lake/{COMMIT}/raw.csv", "raw.csv")
        repo.reproduce()
        repo.push()
    tiny_dvc.commit(root)
    return root


def test_what_was_imported_is_the_data(root: Path) -> None:
    assert read_coordinates(root, "HEAD").data.content == {"raw.csv": MD5}


def test_the_import_names_the_commit_of_lakefs(root: Path) -> None:
    assert f"path: remote://lake/{COMMIT}/raw.csv" in (root / "raw.csv.dvc").read_text()


def test_a_proof_gets_the_data_from_the_branch(root: Path) -> None:
    shutil.rmtree(root / ".dvc/cache")
    with contextlib.chdir(root):
        assert reproduce(ProofOptions(rev="HEAD", fresh_environment=False), lambda line: None).proven


def test_the_commands_that_rebuild_pull_it(root: Path) -> None:
    with Reader(root) as reader:
        assert "dvc pull raw.csv" in rebuild_commands(reader.snapshot("HEAD"), None, None)
