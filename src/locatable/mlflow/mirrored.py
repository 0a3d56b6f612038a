"""What a mirror is asked for, and what it reports."""

from dataclasses import dataclass, field

from .plan import Action


@dataclass(frozen=True)
class MirrorOptions:
    """What a mirror was asked for.

    Attributes:
        prune: delete the runs of what is gone from Git.
        all_commits: mirror every commit of every branch and tag that has results, not only baselines.
        copy_models: add model files to the artifacts.
    """

    prune: bool = False
    all_commits: bool = False
    copy_models: bool = False


@dataclass
class MirrorResult:
    """What a mirror did.

    Attributes:
        new: how many runs were created or finished.
        present: how many were there already.
        renamed: how many have another name now.
        described: how many were described again.
        extended: how many got files that were missing.
        missing: how many lack files that this machine does not have.
        pruned: how many were deleted, because what they show is gone; None if that was not asked for.
        failures: names of runs by the reason why they could not be written.
    """

    new: int = 0
    present: int = 0
    renamed: int = 0
    described: int = 0
    extended: int = 0
    missing: int = 0
    pruned: int | None = None
    failures: dict[str, list[str]] = field(default_factory=dict)

    def count(self, action: Action, lacks_files: bool) -> None:
        """Note that a run was written."""
        if action in (Action.CREATE, Action.FINISH):
            self.new += 1
        elif action is Action.DESCRIBE:
            self.described += 1
        elif action is Action.EXTEND:
            self.extended += 1
        if lacks_files:
            self.missing += 1

    def fail(self, name: str, reason: str) -> None:
        """Note that a run could not be written."""
        self.failures.setdefault(reason, []).append(name)

    @property
    def failure_lines(self) -> list[str]:
        """A line for each reason, with the run that it was first met with."""
        lines = []
        for reason, names in self.failures.items():
            others = f" and {len(names) - 1} more" if len(names) > 1 else ""
            lines.append(f"{names[0]}{others}: {reason}")
        return lines

    @property
    def summary(self) -> str:
        """One line for the user."""
        failed = sum(len(names) for names in self.failures.values())
        parts = [f"mirrored {self.new} new", f"{self.present} already there", f"{failed} failed"]
        if self.renamed:
            parts.append(f"{self.renamed} renamed")
        if self.described:
            parts.append(f"{self.described} described again")
        if self.extended:
            parts.append(f"{self.extended} of them with more files now")
        if self.pruned is not None:
            parts.append(f"{self.pruned} pruned")
        if self.missing:
            parts.append(f"{self.missing} without files that this machine does not have (tag mirror.missing)")
        return ", ".join(parts)
