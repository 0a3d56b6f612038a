"""The description of a result as an RO-Crate, by the profile Provenance Run Crate: what a reader, or another
tool, can know of it without running anything.

Every time in it is that of the commit, and every id follows from what it stands for: the same revision has
the same description.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..model import Record
from .format import BUNDLE, README

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
_SPDX = re.compile(r"(?!LicenseRef-)[A-Za-z0-9][A-Za-z0-9.+-]*")
_HASHES = ("md5", "etag", "checksum")


@dataclass(frozen=True)
class Described:
    """What is said of a result.

    Attributes:
        name: of the project, and what the result is called in it.
        description: of the project.
        revision: full id of the commit.
        time: when it was committed, in seconds since 1970.
        author: of the commit.
        licence: an SPDX id, the path of a file in the archive, or a sentence; see `licence_of`.
        python: version of Python that the stages ran with, empty where that is not recorded.
        workflow: the dvc.yaml in the archive.
        locks: locks of packages in the archive.
        stages: by address.
        params: values that each stage used, by key, by address of the stage.
        members: place in the archive by path of a file or folder of the project; of a folder that DVC keeps,
            the list of its files.
        sizes: bytes by place in the archive.
    """

    name: str
    description: str
    revision: str
    time: int
    author: str
    licence: str
    python: str
    workflow: str
    locks: Sequence[str]
    stages: Mapping[str, Record]
    params: Mapping[str, Mapping[str, Any]]
    members: Mapping[str, str]
    sizes: Mapping[str, int]


def is_spdx(licence: str) -> bool:
    """Whether a licence has a page of its own in SPDX's list."""
    return _SPDX.fullmatch(licence) is not None


def describe(result: Described) -> bytes:
    """The content of the member `ro-crate-metadata.json`."""
    from rocrate.rocrate import ROCrate

    crate = ROCrate(version=VERSION)
    _Description(crate, result).add_all()
    return (json.dumps(crate.metadata.generate(), indent=2, ensure_ascii=False) + "\n").encode()


class _Description:
    """Adds the entities of a result to a crate.

    Args:
        crate: the crate.
        result: what is said.
    """

    def __init__(self, crate: "ROCrate", result: Described) -> None:
        self._crate = crate
        self._result = result
        self._time = datetime.fromtimestamp(result.time, UTC).isoformat()
        self._known: dict[str, Any] = {}
        self._folders: list[Any] = []

    def add_all(self) -> None:
        """Add everything."""
        self._describe_root()
        agent = self._add("#author", "Person", name=self._result.author)
        self._crate.root_dataset["author"] = agent
        engine = self._add("#dvc", "SoftwareApplication", name="DVC", url=DVC)
        tools = [self._tool(address, stage) for address, stage in self._result.stages.items()]
        workflow = self._workflow(tools)
        actions = [self._action(address, stage, agent) for address, stage in self._result.stages.items()]
        run = self._add(
            "#run",
            "CreateAction",
            name=f"dvc repro of {self._result.revision[:7]}",
            description="DVC ran all stages",
            instrument=workflow,
            agent=agent,
            endTime=self._time,
            actionStatus="http://schema.org/CompletedActionStatus",
            **_said(
                object=_unique(entity for action in actions for entity in _listed(action, "object")),
                result=_unique(entity for action in actions for entity in _listed(action, "result")),
            ),
        )
        controls = self._controls(actions)
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
        root["identifier"] = self._result.revision
        root["license"] = self._licence()
        root["conformsTo"] = [
            self._add(address, "CreativeWork", name=name, version=address.rpartition("/")[2])
            for address, name in PROFILES.items()
        ]
        self._file(BUNDLE, name="Git repository", encodingFormat="application/x-git-bundle")
        self._file(README, name="How to rebuild it", encodingFormat="text/markdown", about=root)
        followed = (f"https://w3id.org/ro/crate/{VERSION}", WORKFLOW_CRATE)
        self._crate.metadata["conformsTo"] = [{"@id": address} for address in followed]

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
            version=self._result.revision,
            **_said(hasPart=tools),
        )
        requirements = [
            self._file(lock, name=f"Packages: {lock.rpartition('/')[2]}", encodingFormat=_format_of(lock))
            for lock in self._result.locks
        ]
        if self._result.python:
            version = self._result.python
            requirements.append(self._add("#python", "SoftwareApplication", name="Python", version=version))
        steps = [self._step(tool, position) for position, tool in enumerate(tools)]
        for name, value in _said(softwareRequirements=requirements, step=steps).items():
            workflow[name] = value
        self._crate.root_dataset["mainEntity"] = workflow
        return workflow

    def _step(self, tool: Any, position: int) -> Any:
        return self._add(
            f"{tool.id}/step", "HowToStep", name=tool["name"], position=str(position), workExample=tool
        )

    def _tool(self, address: str, stage: Record) -> Any:
        command = stage.cmd if isinstance(stage.cmd, str) else "\n".join(stage.cmd)
        return self._add(
            f"#stage/{quote(address)}",
            "SoftwareApplication",
            name=address,
            description=command,
            softwareVersion=self._result.revision,
        )

    def _action(self, address: str, stage: Record, agent: Any) -> Any:
        params = [
            self._add(
                f"#param/{quote(address)}/{quote(key)}", "PropertyValue", name=key, value=_as_text(value)
            )
            for key, value in self._result.params[address].items()
        ]
        return self._add(
            f"#stage/{quote(address)}/run",
            "CreateAction",
            name=f"Run of stage {address}",
            description=self._known[f"#stage/{quote(address)}"]["description"],
            instrument=self._known[f"#stage/{quote(address)}"],
            agent=agent,
            endTime=self._time,
            actionStatus="http://schema.org/CompletedActionStatus",
            **_said(
                object=[*(self._data(path, entry) for path, entry in stage.deps.items()), *params],
                result=[self._data(path, entry) for path, entry in stage.outs.items()],
            ),
        )

    def _controls(self, actions: list[Any]) -> list[Any]:
        return [
            self._add(
                f"{action.id}/control",
                "ControlAction",
                name=f"Control of {action['name']}",
                instrument=self._known[f"{action['instrument'].id}/step"],
                object=action,
            )
            for action in actions
        ]

    def _data(self, path: str, entry: Mapping[str, Any]) -> Any:
        """The entity of a file or folder that a stage reads or writes."""
        recorded = next((f"{kind}:{entry[kind]}" for kind in _HASHES if kind in entry), "")
        member = self._result.members.get(path)
        said = {"name": path, **({"identifier": recorded} if recorded else {})}
        if not member:
            # In the bundle, or left out.
            return self._add(f"#path/{quote(path)}", "CreativeWork", **said)
        if not recorded.endswith(".dir"):
            return self._file(member, **said)
        listing = self._file(member, name=f"Files in {path}", encodingFormat="application/json")
        folder = self._add(f"#path/{quote(path)}", "Collection", **said, hasPart=listing, mainEntity=listing)
        self._folders.append(folder)
        return folder

    def _file(self, path: str, types: Sequence[str] = ("File",), **properties: Any) -> Any:
        """The entity of a member of the archive; of one that has several names, with the first."""
        from rocrate.model.file import File

        if path not in self._known:
            size = str(self._result.sizes[path])
            kinds = list(types) if len(types) > 1 else types[0]
            said = {"@type": kinds, "contentSize": size, **properties}
            # Without a source: the crate is only described, not written, by this library.
            self._known[path] = self._crate.add(File(self._crate, dest_path=path, properties=said))
        return self._known[path]

    def _add(self, id_: str, kind: str, **properties: Any) -> Any:
        """The entity of something that is no file of the archive."""
        from rocrate.model.contextentity import ContextEntity

        if id_ not in self._known:
            entity = ContextEntity(self._crate, id_, {"@type": kind, **properties})
            self._known[id_] = self._crate.add(entity)
        return self._known[id_]


def _format_of(lock: str) -> str:
    return "application/yaml" if lock.endswith(".yml") else "text/plain"


def _said(**lists: list[Any]) -> dict[str, Any]:
    """Properties with several values, as RO-Crate has them: one alone is no list, and none is not said."""
    return {name: values[0] if len(values) == 1 else values for name, values in lists.items() if values}


def _listed(entity: Any, name: str) -> list[Any]:
    """All values of a property."""
    values = entity.get(name, [])
    return values if isinstance(values, list) else [values]


def _unique(entities: Any) -> list[Any]:
    return list({entity.id: entity for entity in entities}.values())


def _as_text(value: Any) -> Any:
    """A value as RO-Crate has them; what it has not, as JSON."""
    if isinstance(value, str) or (isinstance(value, int | float) and math.isfinite(value)):
        return value
    return json.dumps(value, sort_keys=True, default=str)
