"""Describes an archive: how to rebuild and cite it, metadata for Zenodo, and an RO-Crate.

The RO-Crate is a Provenance Run Crate. The description is read only from the revision, every time in it is
the time of the commit, and ids are derived from names. So the same revision has the same description.
"""

import json
import math
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from html import escape
from shlex import join, quote
from typing import TYPE_CHECKING, Any
from urllib.parse import quote as quote_url

import yaml

from ..model import ENVIRONMENT_RECORD, HASHES, Record, flat_params
from ..output import redact_urls
from ..repository.parsing import parse_toml, parse_yaml
from ..repository.snapshot import Snapshot
from ..results.coordinates import (
    CONDA_LOCK,
    ENVIRONMENT_LOCKS,
    LOCKS,
    PIXI_LOCK,
    PYLOCK,
    UV_LOCK,
    read_record,
)
from ..results.rebuild import environment_lock, hashed_locks, repro_command, tool_commands
from .format import (
    BUNDLE,
    CITATION,
    CRATE,
    FILES,
    OBJECTS,
    README,
    WHEELS,
    ZENODO,
    Content,
    Manifest,
    size_of,
)
from .plan import LICENCE, ArchivePlan

if TYPE_CHECKING:
    from rocrate.rocrate import ROCrate

# The name of the archive in its README.md. It is fixed, because the bytes of an archive must not depend on
# the name of its file.
ARCHIVE = "result.zip"
# The version of RO-Crate that the profiles below refer to.
VERSION = "1.1"
WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    WORKFLOW_CRATE: "Workflow RO-Crate",
}
WORKFLOW_TYPES = ("File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo")
DVC = "https://dvc.org"
COMPLETED = "http://schema.org/CompletedActionStatus"
_PYTHON = re.compile(r"\d+\.\d+")
# The programs that install the locks that pip cannot install.
TOOLS = {CONDA_LOCK: "micromamba", UV_LOCK: "uv", PYLOCK: "uv", PIXI_LOCK: "pixi"}
# The line of a lock that pins locatable.
_LOCATABLE = re.compile(r"^locatable\S*==", re.MULTILINE)
# Types of works in CITATION.cff that are not papers.
_NO_PAPERS = ("software", "data", "dataset", "database")
# The form of an SPDX id. `LicenseRef-` ids are excluded, because projects make them up and they have no page.
_SPDX = re.compile(r"(?!LicenseRef-)[A-Za-z0-9][A-Za-z0-9.+-]*")


@dataclass(frozen=True)
class Archived:
    """A result with the members of its archive, and the facts that a description states about it.

    Attributes:
        snapshot: the revision.
        plan: the plan of the archive.
        manifest: the manifest of the archive, without the list of its members.
        members: the members collected so far, as content or a file with it, by path in the archive.
        places: the path in the archive by path of a file or folder of the project. For a folder that DVC
            stores, it is the path of the list of its files.
    """

    snapshot: Snapshot
    plan: ArchivePlan
    manifest: Manifest
    members: Mapping[str, Content]
    places: Mapping[str, str]

    def text(self, path: str) -> str:
        """Return the text of a file that Git stores, empty if the archive has no copy of it."""
        content = self.members.get(f"{FILES}/{path}", b"")
        return content.decode(errors="replace") if isinstance(content, bytes) else ""

    @cached_property
    def project(self) -> Mapping[str, Any]:
        """The table `[project]` of pyproject.toml, empty if there is none or the file cannot be read."""
        try:
            table = parse_toml(self.text("pyproject.toml")).get("project", {})
        except ValueError:
            return {}
        return table if isinstance(table, dict) else {}

    @cached_property
    def citation(self) -> Mapping[str, Any]:
        """The fields of CITATION.cff in the DVC root, or else in the Git root. Empty if it cannot be read."""
        reader, rev = self.snapshot.reader, self.snapshot.rev
        places = [posixpath.join(folder, CITATION) for folder in (self.manifest.project, "")]
        for answer in reader.objects.read([f"{rev}:{place}" for place in places]):
            if answer:
                try:
                    fields = parse_yaml(answer.content)
                except (ValueError, yaml.YAMLError):
                    return {}
                return fields if isinstance(fields, dict) else {}
        return {}

    @property
    def authors(self) -> list[dict[str, Any]]:
        """The authors in the form of CITATION.cff.

        They are the authors in CITATION.cff, or else in pyproject.toml, or else the author of the commit.
        """
        cited = _mappings(self.citation.get("authors"))
        if cited and cited == self.citation["authors"]:
            return cited
        named = []
        for author in _mappings(self.project.get("authors")):
            if author.get("name"):
                named.append({"name": str(author["name"])})
        return named or [{"name": self.snapshot.author or "unknown"}]

    @property
    def references(self) -> list[dict[str, Any]]:
        """The works that CITATION.cff lists as references."""
        return _mappings(self.citation.get("references"))

    @property
    def date(self) -> str:
        """The date of the commit in UTC."""
        return datetime.fromtimestamp(self.snapshot.time, UTC).date().isoformat()

    @property
    def name(self) -> str:
        """The name of the project."""
        return str(self.project.get("name", "DVC project"))

    @property
    def title(self) -> str:
        """The title of the project, and the name of the experiment or the short commit."""
        result = self.manifest.experiment or f"commit {self.snapshot.rev[:7]}"
        return f"{self.citation.get('title') or self.name}: {result}"

    @property
    def python(self) -> str:
        """The version of Python as in the name of its program, such as 3.11. Empty if it is not recorded."""
        record = read_record(self.snapshot.files.get(ENVIRONMENT_RECORD))
        version = _PYTHON.match(record.get("python", ""))
        return version[0] if version else ""

    @cached_property
    def tool(self) -> str:
        """The program that installs the packages, empty for pip."""
        return TOOLS.get(environment_lock(self.snapshot), "")

    @cached_property
    def locks(self) -> list[str]:
        """The names of the locks for pip that have hashes."""
        return hashed_locks(self.snapshot)

    @property
    def installs_locatable(self) -> bool:
        """True if the locks install locatable, so that a reader can run `locatable reproduce`."""
        return "tools.lock" in self.locks and bool(_LOCATABLE.search(self.text("tools.lock")))

    @property
    def spdx(self) -> str:
        """The SPDX id of the licence that CITATION.cff or pyproject.toml declares, or an empty text."""
        for declared in (self.citation.get("license"), self.project.get("license")):
            if isinstance(declared, str) and _SPDX.fullmatch(declared):
                return declared
        return ""

    @property
    def licence(self) -> str:
        """The SPDX id of the licence, or else the path of its copy in the archive, or else a sentence."""
        if self.spdx:
            return self.spdx
        for path, place in self.places.items():
            if LICENCE.fullmatch(path):
                return place
        return "The project states no licence."

    @property
    def workflow(self) -> str:
        """The path in the archive of the main dvc.yaml: the one closest to the DVC root.

        It is the path of the bundle if the archive has no copy of any dvc.yaml. This happens if their paths
        are not possible on Windows, for example in a folder `a:b`.
        """
        found = [path for path in self.places if posixpath.basename(path) == "dvc.yaml"]
        if not found:
            return BUNDLE
        main = min(found, key=lambda path: (path.count("/"), path))
        return self.places[main]


def _mappings(value: Any) -> list[dict[str, Any]]:
    """Return the mappings of a list. The value can be anything, because a person wrote the file."""
    if not isinstance(value, list):
        return []
    return [item for item in value if isinstance(item, dict)]


def describing_members(archived: Archived) -> dict[str, Content]:
    """Return the members that describe a result and how to rebuild it, by path in the archive."""
    from rocrate.rocrate import ROCrate

    page = readme(archived)
    # The manifest is not described, because it is written last and contains the hash of the description.
    sizes = {path: size_of(content) for path, content in archived.members.items()}
    sizes[README] = len(page)
    crate = ROCrate(version=VERSION)
    _Description(crate, archived, sizes).add_all()
    cited = yaml.safe_dump(citation_fields(archived), sort_keys=False, allow_unicode=True)
    return {
        README: page,
        CRATE: _json(crate.metadata.generate()),
        ZENODO: _json(zenodo_metadata(archived)),
        CITATION: cited.encode(),
    }


def _json(content: Any) -> bytes:
    text = json.dumps(content, indent=2, ensure_ascii=False)
    return f"{text}\n".encode()


def citation_fields(archived: Archived) -> dict[str, Any]:
    """Return the fields of a CITATION.cff for the result.

    They are based on the project's own CITATION.cff. Its preferred citation, such as a paper, becomes a
    reference.
    """
    cited = archived.citation
    fields = {
        "cff-version": "1.2.0",
        "message": "If you use this result, please cite it as below.",
        "type": "dataset",
        "title": archived.title,
        "authors": archived.authors,
        "version": archived.snapshot.rev,
        "date-released": archived.date,
    }
    if archived.spdx:
        fields["license"] = archived.spdx
    for key in ("repository-code", "url"):
        if isinstance(cited.get(key), str):
            fields[key] = redact_urls(cited[key])
    for key in ("abstract", "keywords"):
        if cited.get(key):
            fields[key] = cited[key]
    references = archived.references
    if cited.get("preferred-citation"):
        references.insert(0, cited["preferred-citation"])
    if references:
        fields["references"] = references
    return fields


def zenodo_metadata(archived: Archived) -> dict[str, Any]:
    """Return the metadata of a deposit in the form of Zenodo's API.

    Without a licence, the files are not open, because Zenodo would choose a licence for open files.
    """
    cited = archived.citation
    abstract = str(cited.get("abstract") or archived.project.get("description") or archived.title)
    note = f"Commit {archived.snapshot.rev}. {README} in the file says how to rebuild it."
    metadata: dict[str, Any] = {
        "upload_type": "dataset",
        "title": archived.title,
        "creators": [_creator(author) for author in archived.authors],
        "description": f"<p>{escape(abstract)}</p><p>{note}</p>",
        "publication_date": archived.date,
        "version": archived.snapshot.rev,
        "access_right": "open" if archived.spdx else "closed",
    }
    if archived.spdx:
        metadata["license"] = archived.spdx.lower()
    keywords = cited.get("keywords") or archived.project.get("keywords")
    if isinstance(keywords, list) and keywords:
        metadata["keywords"] = [str(keyword) for keyword in keywords]
    related = []
    paper = cited.get("preferred-citation")
    if isinstance(paper, dict) and not str(paper.get("type")).startswith(_NO_PAPERS):
        related.append({"identifier": _identifier(paper), "relation": "isSupplementTo"})
    for reference in archived.references:
        related.append({"identifier": _identifier(reference), "relation": "references"})
    identified = [work for work in related if work["identifier"]]
    if identified:
        metadata["related_identifiers"] = identified
    return metadata


def _identifier(work: Mapping[str, Any]) -> str:
    """Return the DOI of a work in CITATION.cff, or else its URL, or else an empty text."""
    if work.get("doi"):
        return str(work["doi"])
    for identifier in _mappings(work.get("identifiers")):
        if identifier.get("type") == "doi":
            return str(identifier.get("value") or "")
    return str(work.get("url") or "")


def _creator(author: Mapping[str, Any]) -> dict[str, str]:
    """Return an author of CITATION.cff in the form of Zenodo, with the family name first."""
    keys = ("name-particle", "family-names", "name-suffix")
    family = " ".join(str(author[key]) for key in keys if author.get(key))
    full = ", ".join(str(part) for part in (family, author.get("given-names")) if part)
    creator = {"name": str(author.get("name") or full or author.get("alias"))}
    if author.get("affiliation"):
        creator["affiliation"] = str(author["affiliation"])
    if author.get("orcid"):
        creator["orcid"] = posixpath.basename(str(author["orcid"]))
    return creator


def readme(archived: Archived) -> bytes:
    """Return the content of the member `README.md`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(  # noqa: S701 (no HTML)
        loader=PackageLoader(__package__),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    page = environment.get_template("README.md.j2")
    return page.render(archived=archived, commands=_commands(archived), archive=ARCHIVE).encode()


def _commands(archived: Archived) -> list[str]:
    """Return the commands that rebuild the result on a machine with Git and Python."""
    venv = f"python{archived.python or '3'} -m venv .venv && . .venv/bin/activate"
    place = posixpath.join("result/project", archived.manifest.project).rstrip("/")
    # The way from the project's folder to the folder into which the archive is unpacked.
    up = posixpath.relpath("result", place)
    commands = [
        f"python3 -m zipfile -e {ARCHIVE} result",
        f"git clone --quiet result/{BUNDLE} result/project && cd {quote(place)}",
    ]
    if archived.tool:
        commands += tool_commands(environment_lock(archived.snapshot))
    elif archived.locks:
        install = ["pip", "install"]
        if archived.manifest.wheels_for:
            install += ["--no-index", "--find-links", f"{up}/{WHEELS}"]
        install.append("--require-hashes")
        for lock in archived.locks:
            install += ["-r", lock]
        commands.append(f"{venv} && {join(install)}")
    else:
        commands.append(f"{venv} && pip install dvc")
    if archived.installs_locatable:
        return [*commands, f"locatable reproduce {up}/../{ARCHIVE}"]
    steps = [f"dvc remote add --local archive {up}/{OBJECTS}"]
    sources = [source.path for source in archived.plan.sources]
    if sources:
        steps.append(join(["dvc", "pull", "--remote", "archive", *sources]))
    steps.append(_repro_command(archived.snapshot))
    return [*commands, " && ".join(steps)]


def _repro_command(snapshot: Snapshot) -> str:
    """Return the command with which DVC runs all stages.

    It names the pipelines instead of `--all-pipelines`, which would also ask for data that no stage reads.
    """
    command = repro_command(snapshot)
    if "--all-pipelines" not in command:
        return command
    words = ["dvc", "repro"]
    for folder, pipeline in snapshot.pipelines.items():
        if pipeline.stages:
            words.append(posixpath.join(folder, "dvc.yaml"))
    return join(words)


class _Description:
    """Adds the entities that describe a result to a crate.

    Sizes are given in bytes, by path in the archive.
    """

    def __init__(self, crate: "ROCrate", archived: Archived, sizes: Mapping[str, int]) -> None:
        self._crate = crate
        self._archived = archived
        self._sizes = sizes
        self._revision = archived.snapshot.rev
        self._time = datetime.fromtimestamp(archived.snapshot.time, UTC).isoformat()
        # Entities by id, so that each is in the crate once.
        self._entities: dict[str, Any] = {}
        self._folders: list[Any] = []

    def add_all(self) -> None:
        """Add all entities: the archive, the pipeline, its stages, and the run of each of them."""
        self._describe_root()
        author = self._add("#author", "Person", name=self._archived.snapshot.author or "unknown")
        self._crate.root_dataset["author"] = author
        engine = self._add("#dvc", "SoftwareApplication", name="DVC", url=DVC)
        records = self._archived.snapshot.records
        tools = [self._tool(address, stage) for address, stage in records.items()]
        workflow = self._workflow(tools)
        actions = []
        for tool, stage in zip(tools, records.values(), strict=True):
            actions.append(self._action(tool, stage, author))
        run = self._add(
            "#run",
            "CreateAction",
            name=f"dvc repro of {self._revision[:7]}",
            description="DVC ran all stages",
            instrument=workflow,
            agent=author,
            endTime=self._time,
            actionStatus=COMPLETED,
            **_list_properties({"object": _all_of(actions, "object"), "result": _all_of(actions, "result")}),
        )
        # A control action links the run of a stage to its step of the workflow.
        controls = []
        for tool, action in zip(tools, actions, strict=True):
            name = f"Control of {action['name']}"
            step = self._entities[f"{tool.id}/step"]
            controls.append(
                self._add(f"{action.id}/control", "ControlAction", name=name, instrument=step, object=action)
            )
        if controls:
            self._add(
                "#dvc-run",
                "OrganizeAction",
                name="DVC ran the stages",
                agent=author,
                instrument=engine,
                object=controls,
                result=run,
            )
        self._crate.root_dataset["mentions"] = [run, *actions, *_unique(self._folders)]

    def _describe_root(self) -> None:
        """Describe the archive as a whole, its bundle and its README."""
        archived = self._archived
        default = f"A result of {archived.name}, and what it takes to rebuild it."
        root = self._crate.root_dataset
        root["name"] = archived.title
        root["description"] = str(archived.project.get("description", default))
        root["datePublished"] = self._time
        root["identifier"] = self._revision
        root["license"] = self._licence(archived.licence)
        profiles = []
        for address, name in PROFILES.items():
            version = posixpath.basename(address)
            profiles.append(self._add(address, "CreativeWork", name=name, version=version))
        root["conformsTo"] = profiles
        types = WORKFLOW_TYPES if archived.workflow == BUNDLE else ("File",)
        self._file(BUNDLE, types, name="Git repository", encodingFormat="application/x-git-bundle")
        self._file(README, name="How to rebuild it", encodingFormat="text/markdown", about=root)
        # The metadata file conforms to other profiles than the data set that it describes.
        profile = f"https://w3id.org/ro/crate/{VERSION}"
        self._crate.metadata["conformsTo"] = [{"@id": profile}, {"@id": WORKFLOW_CRATE}]

    def _licence(self, licence: str) -> Any:
        """Return the entity of a licence, or the sentence that there is no licence."""
        if licence in self._sizes:
            return self._file(licence, name="Licence", encodingFormat="text/plain")
        if _SPDX.fullmatch(licence):
            return self._add(f"https://spdx.org/licenses/{licence}", "CreativeWork", name=licence)
        return licence

    def _tool(self, address: str, stage: Record) -> Any:
        """Return the entity of a stage. In the terms of a crate, a stage is an application."""
        command = stage.cmd if isinstance(stage.cmd, str) else "\n".join(stage.cmd)
        return self._add(
            f"#stage/{quote_url(address)}",
            "SoftwareApplication",
            name=address,
            description=command,
            softwareVersion=self._revision,
        )

    def _workflow(self, tools: Sequence[Any]) -> Any:
        """Return the entity of the pipeline, with a step for each stage."""
        language = self._add("#dvc-yaml", "ComputerLanguage", name="DVC pipeline", url=DVC)
        workflow = self._file(
            self._archived.workflow,
            WORKFLOW_TYPES,
            name=self._archived.title,
            encodingFormat="application/yaml",
            programmingLanguage=language,
            version=self._revision,
        )
        requirements = []
        for lock in dict.fromkeys((*LOCKS, *ENVIRONMENT_LOCKS)):
            place = f"{FILES}/{lock}"
            if place in self._sizes:
                kind = "application/yaml" if lock in (CONDA_LOCK, PIXI_LOCK) else "text/plain"
                requirements.append(self._file(place, name=f"Packages: {lock}", encodingFormat=kind))
        version = self._archived.python
        if version:
            requirements.append(self._add("#python", "SoftwareApplication", name="Python", version=version))
        steps = []
        for position, tool in enumerate(tools):
            step = {"name": tool["name"], "position": str(position), "workExample": tool}
            steps.append(self._add(f"{tool.id}/step", "HowToStep", **step))
        lists = {"hasPart": tools, "softwareRequirements": requirements, "step": steps}
        for name, value in _list_properties(lists).items():
            workflow[name] = value
        self._crate.root_dataset["mainEntity"] = workflow
        return workflow

    def _action(self, tool: Any, stage: Record, agent: Any) -> Any:
        """Return the entity of the run of a stage, with its inputs, params and outputs."""
        address = tool["name"]
        inputs = [self._data(path, entry) for path, entry in stage.deps.items()]
        for key, value in flat_params(list(stage.params.items())).items():
            id_ = f"#param/{quote_url(address)}/{quote_url(key)}"
            inputs.append(self._add(id_, "PropertyValue", name=key, value=_as_text(value)))
        outputs = [self._data(path, entry) for path, entry in stage.outs.items()]
        return self._add(
            f"{tool.id}/run",
            "CreateAction",
            name=f"Run of stage {address}",
            description=tool["description"],
            instrument=tool,
            agent=agent,
            endTime=self._time,
            actionStatus=COMPLETED,
            **_list_properties({"object": inputs, "result": outputs}),
        )

    def _data(self, path: str, entry: Mapping[str, Any]) -> Any:
        """Return the entity of a file or folder that a stage reads or writes."""
        properties = {"name": path}
        for kind in HASHES:
            if kind in entry:
                properties["identifier"] = f"{kind}:{entry[kind]}"
                break
        place = self._archived.places.get(path)
        if not place:
            # The archive has no member for this path: it is in the bundle, or left out.
            return self._add(f"#path/{quote_url(path)}", "CreativeWork", **properties)
        if not properties.get("identifier", "").endswith(".dir"):
            return self._file(place, **properties)
        listing = self._file(place, name=f"Files in {path}", encodingFormat="application/json")
        properties |= {"hasPart": listing, "mainEntity": listing}
        folder = self._add(f"#path/{quote_url(path)}", "Collection", **properties)
        self._folders.append(folder)
        return folder

    def _file(self, path: str, types: Sequence[str] = ("File",), **properties: Any) -> Any:
        """Return the entity of a member of the archive. It keeps the properties of the first call."""
        from rocrate.model.file import File

        if path not in self._entities:
            fixed = {**_list_properties({"@type": types}), "contentSize": str(self._sizes[path])}
            # No source is needed, because the library only describes the crate and does not write it.
            file = File(self._crate, dest_path=path, properties={**fixed, **properties})
            self._entities[path] = self._crate.add(file)
        return self._entities[path]

    def _add(self, id_: str, kind: str, **properties: Any) -> Any:
        """Return an entity that is not a member of the archive. It keeps the properties of the first call."""
        from rocrate.model.contextentity import ContextEntity

        if id_ not in self._entities:
            entity = ContextEntity(self._crate, id_, {"@type": kind, **properties})
            self._entities[id_] = self._crate.add(entity)
        return self._entities[id_]


def _list_properties(lists: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Return list properties in the form of RO-Crate: a single value without a list, empty lists left out."""
    properties: dict[str, Any] = {}
    for name, values in lists.items():
        if values:
            properties[name] = values[0] if len(values) == 1 else list(values)
    return properties


def _all_of(entities: Iterable[Any], name: str) -> list[Any]:
    """Return the values of a property of several entities, without duplicates."""
    found = []
    for entity in entities:
        value = entity.get(name, [])
        found += value if isinstance(value, list) else [value]
    return _unique(found)


def _unique(entities: Iterable[Any]) -> list[Any]:
    """Return entities without duplicates, by their ids, because the library's entities cannot be hashed."""
    return list({entity.id: entity for entity in entities}.values())


def _as_text(value: Any) -> Any:
    """Return text and finite numbers unchanged, and other values as JSON text."""
    # Infinite numbers become text, because JSON does not have them.
    is_number = isinstance(value, int | float) and math.isfinite(value)
    if is_number or isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, default=str)
