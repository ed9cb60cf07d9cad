"""A forecast: what nobody measured. It is another type than `Measured`, and has neither samples nor statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EAGER", "ENGINE", "RANGES", "Forecast"]

EAGER, ENGINE = "eager", "engine"
"""The two models: of eager PyTorch in float32, and of an engine."""

RANGES = {
    ENGINE: "low to high of an engine: nine of ten runs are expected there",
    EAGER: (
        "low to high of eager PyTorch: twice the largest error of such fits where they can be checked, or the span of "
        "three ways to scale a board; no share of runs"
    ),
}
"""What low and high of each model are."""


@dataclass(frozen=True)
class Forecast:
    """Milliseconds that a run is expected to take; nothing of it was measured.

    Attributes:
        model: which of the two models said so, "eager" or "engine".
        subject: the artefact or recipe.
        target: the machine.
        mode: its power mode; None where it has none.
        precision: "fp32", "fp16" or "int8".
        batch: crops in one run.
        low_ms: such a run is expected between this (`RANGES` says how surely)
        mid_ms: around this
        high_ms: and this.
        binds: share of the time that each limit binds: "bandwidth", "compute", "launches", "host".
        memory_mib: what the run needs with the CUDA context; None where it can't be told.
        fits: whether the target has that much; None where it can't be told.
        basis: what it was made from, in sentences for people.

    Raises:
        ValueError: low, mid and high are not positive numbers in this order.
    """

    model: str
    subject: str
    target: str
    mode: str | None
    precision: str
    batch: int
    low_ms: float
    mid_ms: float
    high_ms: float
    binds: Mapping[str, float]
    memory_mib: float | None = None
    fits: bool | None = None
    basis: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.low_ms <= self.mid_ms <= self.high_ms < float("inf"):
            message = f"{self.low_ms}, {self.mid_ms}, {self.high_ms} ms are no forecast"
            raise ValueError(message)

    @property
    def binding(self) -> str:
        """What binds most of the time."""
        return max(self.binds, key=lambda name: self.binds[name])

    def as_json(self) -> dict[str, object]:
        """For a program; `"forecast": true` stands beside the numbers."""
        return {
            "forecast": True,
            "model": self.model,
            "subject": self.subject,
            "target": self.target,
            "mode": self.mode,
            "precision": self.precision,
            "batch": self.batch,
            "low_ms": self.low_ms,
            "mid_ms": self.mid_ms,
            "high_ms": self.high_ms,
            "binds": dict(self.binds),
            "memory_mib": self.memory_mib,
            "fits": self.fits,
            "basis": list(self.basis),
        }
