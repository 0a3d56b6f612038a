"""The description of a result as an RO-Crate, by the profile Provenance Run Crate.

A reader, or another tool, learns from it what can be known without running anything. Every time in it is that
of the commit, and every id follows from what it stands for: the same revision has the same description.
"""

import json
import math
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..model import HASHES, Record, flat_params
from ..repository.snapshot import Snapshot
from .manifest import BUNDLE, README

if TYPE_CHECKING:
    from rocrate.rocrate import ROCrate

# The profiles are for this version of RO-Crate.
VERSION = "1.1"
WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    WORKFLOW_CRATE: "Workflow RO-Crate",
}
DVC = "https://dvc.org"
# The form of an SPDX id; ids that a project makes up have no page.
_SPDX = re.compile(r"(?!LicenseRef-)[A-Za-z0-9][A-Za-z0-9.+-]*")


@dataclass(frozen=True)
class Described:
    """The facts of a result.

    Attributes:
        name: of the project, and what the result is called in it.
        description: of the project.
        snapshot: the revision.
        author: of the commit.
        licence: an SPDX id, the path of a file in the archive, or a sentence.
        python: version of Python that the stages ran with, empty where that is not recorded.
        workflow: the dvc.yaml in the archive.
        locks: locks of packages in the archive.
        members: place in the archive by path of a file or folder of the project; of a folder that DVC keeps,
            the list of its files.
        sizes: bytes by place in the archive.
    """

    name: str
    description: str
    snapshot: Snapshot
    author: str
    licence: str
    python: str
    workflow: str
    locks: Sequence[str]
    members: Mapping[str, str]
    sizes: Mapping[str, int]


def is_spdx(licence: str) -> bool:
    """Return true for a licence that has a page of its own in SPDX's list."""
    return _SPDX.fullmatch(licence) is not None


def describe(result: Described) -> bytes:
    """Return the content of the member `ro-crate-metadata.json`."""
    from rocrate.rocrate import ROCrate

    crate = ROCrate(version=VERSION)
    _Description(crate, result).add_all()
    text = json.dumps(crate.metadata.generate(), indent=2, ensure_ascii=False)
    return f"{text}\n".encode()


class _Description:
    """Adds the entities of a result to a crate.

    Args:
        crate: the crate.
        result: its facts.
    """

    def __init__(self, crate: "ROCrate", result: Described) -> None:
        self._crate = crate
        self._result = result
        self._records = result.snapshot.records
        self._revision = result.snapshot.rev
        self._time = datetime.fromtimestamp(result.snapshot.time, UTC).isoformat()
        # Entities by id, so that each is in the crate once.
        self._known: dict[str, Any] = {}
        self._folders: list[Any] = []

    def add_all(self) -> None:
        """Add everything."""
        self._describe_root()
        agent = self._add("#author", "Person", name=self._result.author)
        self._crate.root_dataset["author"] = agent
        engine = self._add("#dvc", "SoftwareApplication", name="DVC", url=DVC)
        tools = []
        for address, stage in self._records.items():
            tools.append(self._tool(address, stage))
        workflow = self._workflow(tools)
        # The actions refer to the tools, which are known by now.
        actions = []
        for address, stage in self._records.items():
            actions.append(self._action(address, stage, agent))
        run = self._add(
            "#run",
            "CreateAction",
            name=f"dvc repro of {self._revision[:7]}",
            description="DVC ran all stages",
            instrument=workflow,
            agent=agent,
            endTime=self._time,
            actionStatus="http://schema.org/CompletedActionStatus",
            **_said(object=_all_of(actions, "object"), result=_all_of(actions, "result")),
        )
        controls = list(map(self._control, actions))
        if controls:
            self._add(
                "#dvc-run",
                "OrganizeAction",
                name="DVC ran the stages",
                agent=agent,
                instrument=engine,
                object=controls,
                result=run,
            )
        self._crate.root_dataset["mentions"] = [run, *actions, *_unique(self._folders)]

    def _describe_root(self) -> None:
        root = self._crate.root_dataset
        root["name"] = self._result.name
        root["description"] = self._result.description
        root["datePublished"] = self._time
        root["identifier"] = self._revision
        root["license"] = self._licence()
        profiles = []
        for address, name in PROFILES.items():
            version = posixpath.basename(address)
            profiles.append(self._add(address, "CreativeWork", name=name, version=version))
        root["conformsTo"] = profiles
        self._file(BUNDLE, name="Git repository", encodingFormat="application/x-git-bundle")
        self._file(README, name="How to rebuild it", encodingFormat="text/markdown", about=root)
        # The file itself follows other profiles than the data set that it describes.
        own = f"https://w3id.org/ro/crate/{VERSION}"
        self._crate.metadata["conformsTo"] = [{"@id": own}, {"@id": WORKFLOW_CRATE}]

    def _licence(self) -> Any:
        licence = self._result.licence
        if licence in self._result.sizes:
            return self._file(licence, name="Licence", encodingFormat="text/plain")
        if is_spdx(licence):
            return self._add(f"https://spdx.org/licenses/{licence}", "CreativeWork", name=licence)
        return licence

    def _workflow(self, tools: list[Any]) -> Any:
        language = self._add("#dvc-yaml", "ComputerLanguage", name="DVC pipeline", url=DVC)
        workflow = self._file(
            self._result.workflow,
            types=["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
            name=self._result.name,
            encodingFormat="application/yaml",
            programmingLanguage=language,
            version=self._revision,
            **_said(hasPart=tools),
        )
        requirements = []
        for lock in self._result.locks:
            name = posixpath.basename(lock)
            kind = "application/yaml" if name.endswith(".yml") else "text/plain"
            requirements.append(self._file(lock, name=f"Packages: {name}", encodingFormat=kind))
        if self._result.python:
            version = self._result.python
            requirements.append(self._add("#python", "SoftwareApplication", name="Python", version=version))
        steps = []
        for position, tool in enumerate(tools):
            step = {"name": tool["name"], "position": str(position), "workExample": tool}
            steps.append(self._add(f"{tool.id}/step", "HowToStep", **step))
        for name, value in _said(softwareRequirements=requirements, step=steps).items():
            workflow[name] = value
        self._crate.root_dataset["mainEntity"] = workflow
        return workflow

    def _tool(self, address: str, stage: Record) -> Any:
        command = stage.cmd if isinstance(stage.cmd, str) else "\n".join(stage.cmd)
        return self._add(
            f"#stage/{quote(address)}",
            "SoftwareApplication",
            name=address,
            description=command,
            softwareVersion=self._revision,
        )

    def _action(self, address: str, stage: Record, agent: Any) -> Any:
        tool = self._known[f"#stage/{quote(address)}"]
        inputs = [self._data(path, entry) for path, entry in stage.deps.items()]
        for key, value in flat_params(list(stage.params.items())).items():
            id_ = f"#param/{quote(address)}/{quote(key)}"
            inputs.append(self._add(id_, "PropertyValue", name=key, value=_as_text(value)))
        outputs = [self._data(path, entry) for path, entry in stage.outs.items()]
        return self._add(
            f"#stage/{quote(address)}/run",
            "CreateAction",
            name=f"Run of stage {address}",
            description=tool["description"],
            instrument=tool,
            agent=agent,
            endTime=self._time,
            actionStatus="http://schema.org/CompletedActionStatus",
            **_said(object=inputs, result=outputs),
        )

    def _control(self, action: Any) -> Any:
        """Return the entity that says which step of the workflow an action was."""
        return self._add(
            f"{action.id}/control",
            "ControlAction",
            name=f"Control of {action['name']}",
            instrument=self._known[f"{action['instrument'].id}/step"],
            object=action,
        )

    def _data(self, path: str, entry: Mapping[str, Any]) -> Any:
        """Return the entity of a file or folder that a stage reads or writes."""
        said = {"name": path}
        for kind in HASHES:
            if kind in entry:
                said["identifier"] = f"{kind}:{entry[kind]}"
                break
        member = self._result.members.get(path)
        if not member:
            # In the bundle, or left out.
            return self._add(f"#path/{quote(path)}", "CreativeWork", **said)
        if not said.get("identifier", "").endswith(".dir"):
            return self._file(member, **said)
        listing = self._file(member, name=f"Files in {path}", encodingFormat="application/json")
        folder = self._add(f"#path/{quote(path)}", "Collection", **said, hasPart=listing, mainEntity=listing)
        self._folders.append(folder)
        return folder

    def _file(self, path: str, types: Sequence[str] = ("File",), **properties: Any) -> Any:
        """Return the entity of a member of the archive; of one with several names, with the first."""
        from rocrate.model.file import File

        if path not in self._known:
            size = str(self._result.sizes[path])
            kinds = list(types) if len(types) > 1 else types[0]
            said = {"@type": kinds, "contentSize": size, **properties}
            # Without a source: the crate is only described, not written, by this library.
            self._known[path] = self._crate.add(File(self._crate, dest_path=path, properties=said))
        return self._known[path]

    def _add(self, id_: str, kind: str, **properties: Any) -> Any:
        """Return the entity of something that is not a file of the archive."""
        from rocrate.model.contextentity import ContextEntity

        if id_ not in self._known:
            entity = ContextEntity(self._crate, id_, {"@type": kind, **properties})
            self._known[id_] = self._crate.add(entity)
        return self._known[id_]


def _said(**lists: list[Any]) -> dict[str, Any]:
    """Return properties with several values as RO-Crate has them: one alone is no list, none is left out."""
    said: dict[str, Any] = {}
    for name, values in lists.items():
        if values:
            said[name] = values[0] if len(values) == 1 else values
    return said


def _all_of(entities: list[Any], name: str) -> list[Any]:
    """Return the values that a property has in any of some entities, each once."""
    found = []
    for entity in entities:
        values = entity.get(name, [])
        found += values if isinstance(values, list) else [values]
    return _unique(found)


def _unique(entities: list[Any]) -> list[Any]:
    # Entities of the library cannot be hashed.
    return list({entity.id: entity for entity in entities}.values())


def _as_text(value: Any) -> Any:
    """Return a text or number as it is, and any other value as JSON."""
    if isinstance(value, str) or (isinstance(value, int | float) and math.isfinite(value)):
        return value
    return json.dumps(value, sort_keys=True, default=str)
