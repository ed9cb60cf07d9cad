"""The values of a preflight: what is known of a machine, what was compared, and what came of it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from amfac_edge.errors import MachineError, ModelFileError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["ONNXRUNTIME", "Check", "Host", "HostGpu", "Outcome", "Verdict"]

ONNXRUNTIME = "onnxruntime"
_EXPORT = "amfac-export MODEL --target {target}"


class Outcome(enum.Enum):
    """What came of one check."""

    FITS = "ok"
    DIFFERS = "warning"
    UNKNOWN = "unknown"
    REFUSED = "refused"


@dataclass(frozen=True)
class Check:
    """One line of a verdict.

    Attributes:
        outcome: FITS; DIFFERS, but loads; UNKNOWN, one of the two isn't known; REFUSED, it would not load.
        subject: what was compared.
        expected: by the artefact.
        found: here.
        cure: the line for a shell that mends it; what isn't a command in it stands behind a "#". Empty where nothing
            needs mending, or nothing mends it.
        on_machine: the machine lacks something, rather than the file being at fault.
    """

    outcome: Outcome
    subject: str
    expected: str
    found: str
    cure: str = ""
    on_machine: bool = False


@dataclass(frozen=True)
class Verdict:
    """All checks of one artefact on one machine."""

    checks: tuple[Check, ...]

    def of(self, outcome: Outcome) -> tuple[Check, ...]:
        """The checks with that outcome."""
        return tuple(check for check in self.checks if check.outcome is outcome)

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        if refused := self.of(Outcome.REFUSED):
            return "it will not load here: " + ", ".join(dict.fromkeys(check.subject for check in refused))
        if unknown := self.of(Outcome.UNKNOWN):
            subjects = ", ".join(dict.fromkeys(check.subject for check in unknown))
            return f"nothing speaks against it, but this is not known: {subjects}"
        differs = self.of(Outcome.DIFFERS)
        return "it fits this machine" + (
            f", but look at: {', '.join(check.subject for check in differs)}" if differs else ""
        )

    def error(self, path: Path) -> ModelFileError | MachineError | None:
        """The refusal as an error with its cure; None where nothing was refused."""
        refused = self.of(Outcome.REFUSED)
        if not refused:
            return None
        first = refused[0]
        lines = "; ".join(f"{check.subject}: expected {check.expected}, found {check.found}" for check in refused)
        kind = MachineError if all(check.on_machine for check in refused) else ModelFileError
        # A command stays as it is; what is a comment for a shell is a sentence here.
        cure = first.cure.removeprefix("# ")
        cure = f"{cure[:1].upper()}{cure[1:]}." if cure != first.cure else cure
        return kind(f"{path}: it can't be loaded here: {lines}", cure=cure or "Export the model for this machine.")

    def require(self, path: Path) -> None:
        """Go on only if nothing was refused.

        Raises:
            ModelFileError: the file is at fault.
            MachineError: the file is whole, but not for this machine.
        """
        error = self.error(path)
        if error is not None:
            raise error

    def as_json(self) -> dict[str, Any]:
        """The verdict as a JSON object."""
        return {
            "loads": not self.of(Outcome.REFUSED),
            "certain": bool(self.of(Outcome.REFUSED)) or not self.of(Outcome.UNKNOWN),
            "sentence": self.sentence,
            "checks": [
                {
                    "outcome": check.outcome.value,
                    "subject": check.subject,
                    "expected": check.expected,
                    "found": check.found,
                    "cure": check.cure,
                }
                for check in self.checks
            ],
        }


@dataclass(frozen=True)
class HostGpu:
    """One GPU; the name that CUDA gives it and its count of SMs are None, its capability is "", where nobody knows."""

    compute_capability: str
    name: str | None = None
    sm_count: int | None = None


@dataclass(frozen=True)
class Host:
    """What is known of the machine that is to load an artefact; None or empty for what isn't.

    Attributes:
        system: "linux".
        architecture: "x86_64" or "aarch64".
        target: the declared target that it is.
        gpus: that answer.
        libraries: version by name ("tensorrt", "tensorrt-rtx", "onnxruntime"); only those that can be imported, "" for
            one that doesn't tell its version.
        l4t: release of Jetson Linux; None on any other machine.
        driver: version of the driver of NVIDIA's cards.
        power_mode: of a board.
        host_code_allowed: plans may bring code for the CPU; their maker must be trusted for that.
    """

    system: str
    architecture: str
    target: str | None = None
    gpus: tuple[HostGpu, ...] = ()
    libraries: Mapping[str, str] = field(default_factory=dict)
    l4t: str | None = None
    driver: str | None = None
    power_mode: str | None = None
    host_code_allowed: bool = False

    @property
    def rebuild(self) -> str:
        """The command that makes an artefact for this machine."""
        return _EXPORT.format(target=self.target or "auto")
