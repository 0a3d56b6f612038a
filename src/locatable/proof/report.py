"""What a proof tells."""

from dataclasses import dataclass, field
from typing import Any

from ..results.processor import Processor
from .comparison import OutputVerdict, Verdict


@dataclass
class Seconds:
    """How long the parts of a proof took, in seconds; `stages` by address, the first run of each."""

    preparation: float = 0.0
    environment: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the durations as a report in JSON has them."""
        return {"preparation": self.preparation, "stages": self.stages, "environment": self.environment}


@dataclass(frozen=True)
class Report:
    """The result of a proof.

    Attributes:
        revision: the commit that was rebuilt.
        environment: which environment its stages ran in.
        isolation: what its stages could not see.
        varied: names of the conditions that were changed.
        outputs: one verdict for each output.
        findings: one line each.
        seconds: how long it took.
        processor: of this machine, None where all is identical and it makes no difference.
        recorded_processor: that the results were computed on, None where nobody noted it.
        seen_whole: params files by stage, of which it declares a part and saw all.
    """

    revision: str
    environment: str
    isolation: str
    varied: tuple[str, ...]
    outputs: tuple[OutputVerdict, ...]
    findings: tuple[str, ...]
    seconds: Seconds
    processor: Processor | None = None
    recorded_processor: Processor | None = None
    seen_whole: dict[str, list[str]] = field(default_factory=dict)

    @property
    def as_recorded(self) -> int:
        """How many outputs are as recorded."""
        return sum(verdict.as_recorded for verdict in self.outputs)

    @property
    def summary(self) -> str:
        """One line: how many outputs are as recorded, of how many, and how many are not proven."""
        frozen = sum(verdict.verdict is Verdict.FROZEN for verdict in self.outputs)
        unproven = f"{frozen} of frozen stages not proven, " if frozen else ""
        counted = f"{self.as_recorded} of {len(self.outputs)} outputs rebuilt as recorded"
        return f"{counted}, {unproven}{len(self.findings)} findings"

    @property
    def proven(self) -> bool:
        """Whether all outputs are as recorded, and nothing else is wrong."""
        return not self.findings and self.as_recorded == len(self.outputs)

    def to_json(self) -> dict[str, Any]:
        """Return the report as `--json` prints it."""
        return {
            "revision": self.revision,
            "environment": self.environment,
            "isolation": self.isolation,
            "varied": list(self.varied),
            "params_files_seen_whole": self.seen_whole,
            "outputs": [verdict.to_json() for verdict in self.outputs],
            "findings": list(self.findings),
            "seconds": self.seconds.to_json(),
            "processor": self.processor.to_json() if self.processor else None,
            "recorded_processor": self.recorded_processor.to_json() if self.recorded_processor else None,
        }
