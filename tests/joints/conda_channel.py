"""Packages of conda in a folder, locks of them, and stand-ins for the programs that install these.

No package index has conda, mamba, micromamba or pixi. A stand-in takes the arguments that their documentation
has, and refuses others. What then reads the lock and installs is py-rattler, which pixi is made of.
"""

import hashlib
import io
import json
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PLATFORM = "linux-64"
# Under the name conda, it reads what conda does: a list of addresses with hashes, not conda-lock.yml.
STAND_IN = """\
#!{python} -P
import argparse, asyncio, os, sys
from pathlib import Path
from rattler import LockFile, PackageRecord, RepoDataRecord, install
from rattler.package import BuildString

parser = argparse.ArgumentParser(allow_abbrev=False)
by_pixi = Path(sys.argv[0]).name == "pixi"
parser.add_argument("command", choices=["install" if by_pixi else "create"])
parser.add_argument("--quiet", action="store_true", required=True)
if by_pixi:
    parser.add_argument("--frozen", action="store_true", required=True)
    parser.add_argument("--environment", choices=["default"], required=True)
    parser.add_argument("--manifest-path", type=Path, required=True)
else:
    parser.add_argument("--yes", action="store_true", required=True)
    parser.add_argument("--prefix", type=Path, required=True)
    parser.add_argument("--file", type=Path, required=True)
asked = parser.parse_args()
if by_pixi:
    asked.prefix = asked.manifest_path / ".pixi/envs/default"
    asked.file = asked.manifest_path / "pixi.lock"


def by_address(line):
    address, _, md5 = line.partition("#")
    file = address.rpartition("/")[2]
    name, version, build = file.removesuffix(".tar.bz2").rsplit("-", 2)
    package = PackageRecord(name, version, BuildString(build), 0, "{platform}", md5=bytes.fromhex(md5))
    return RepoDataRecord(package, file, address, "file:///channel")


if "CONDA_PREFIX" in os.environ:
    sys.exit("critical libmamba: this would install into the active environment")
if Path(sys.argv[0]).name == "conda":
    lines = asked.file.read_text().splitlines()
    assert "@EXPLICIT" in lines
    records = [by_address(line) for line in lines if "://" in line]
else:
    environment = LockFile.from_path(asked.file).default_environment()
    records = environment.conda_repodata_records_for_platform(environment.platforms()[0])
cache = Path(sys.argv[0]).parent / "pkgs"
try:
    asyncio.run(install(records, asked.prefix, cache_dir=cache, show_progress=False))
except Exception as error:
    print("critical libmamba:", error, file=sys.stderr, flush=True)
    os._exit(1)
# py-rattler 0.28.0 can crash when Python ends.
os._exit(0)
"""
HEAD = """\
version: 1
metadata:
  content_hash: {{{platform}: 3d1b2e7f0a2c4f2f9d7b8c6a5e4f3d2c1b0a9f8e7d6c5b4a3f2e1d0c9b8a7f6e}}
  channels: [{{url: conda-forge, used_env_vars: []}}]
  platforms: [{platform}]
  sources: [environment.yml]
package:
"""
ENTRY = """\
- name: {name}
  version: '{version}'
  manager: conda
  platform: {platform}
  dependencies: {{}}
  url: {url}
  hash: {{md5: {md5}, sha256: {sha256}}}
  category: main
  optional: false
"""


PIXI_LOCK = """\
version: 6
environments:
  default:
    channels: [{{url: file:///channel/}}]
    packages:
      {platform}: [{{conda: {url}}}]
packages:
- conda: {url}
  name: {name}
  version: '{version}'
  build: '0'
  build_number: 0
  subdir: {platform}
  sha256: {sha256}
"""


def stand_in(folder: Path, name: str) -> Path:
    """Write a program that installs as micromamba, mamba, conda or pixi does; returns it."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(STAND_IN.format(python=sys.executable, platform=PLATFORM))
    program.chmod(0o755)
    return program


@dataclass(frozen=True)
class Package:
    """A package: its files with their text, and symbolic links with their targets, by path."""

    name: str
    version: str
    files: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)


def lock_of(folder: Path, *packages: Package) -> str:
    """Build packages into a folder; returns the text of a conda-lock.yml that names them."""
    folder.mkdir(parents=True, exist_ok=True)
    text = HEAD.format(platform=PLATFORM)
    for package in packages:
        archive = _build(folder, package)
        content = archive.read_bytes()
        text += ENTRY.format(
            name=package.name,
            version=package.version,
            platform=PLATFORM,
            url=archive.as_uri(),
            md5=hashlib.md5(content).hexdigest(),  # noqa: S324
            sha256=hashlib.sha256(content).hexdigest(),
        )
    return text


def pixi_lock_of(folder: Path, package: Package) -> str:
    """Build a package into a folder; returns the text of a pixi.lock that names it."""
    folder.mkdir(parents=True, exist_ok=True)
    archive = _build(folder, package)
    return PIXI_LOCK.format(
        name=package.name,
        version=package.version,
        platform=PLATFORM,
        url=archive.as_uri(),
        sha256=hashlib.sha256(archive.read_bytes()).hexdigest(),
    )


def _build(folder: Path, package: Package) -> Path:
    paths = [
        {"_path": path, "path_type": "hardlink", "sha256": hashlib.sha256(text.encode()).hexdigest()}
        for path, text in package.files.items()
    ]
    paths += [{"_path": path, "path_type": "softlink"} for path in package.links]
    index = {
        "name": package.name,
        "version": package.version,
        "build": "0",
        "build_number": 0,
        "depends": [],
        "subdir": PLATFORM,
    }
    information = {
        "info/index.json": json.dumps(index),
        "info/paths.json": json.dumps({"paths": paths, "paths_version": 1}),
        "info/files": "\n".join([*package.files, *package.links]),
    }
    archive = folder / f"{package.name}-{package.version}-0.tar.bz2"
    with tarfile.open(archive, "w:bz2") as tar:
        for path, text in {**information, **package.files}.items():
            member = tarfile.TarInfo(path)
            member.size = len(text.encode())
            member.mode = 0o755 if path.startswith("bin/") else 0o644
            tar.addfile(member, io.BytesIO(text.encode()))
        for path, target in package.links.items():
            member = tarfile.TarInfo(path)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return archive
