"""`amfac-export --precision auto`: the target's own precision and INT8 beside it; where both run, the faster one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from amfac_edge.artefact import INT8, TENSORRT
from amfac_edge.performance.faster import SpeedRatio, speed_ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from amfac_edge.declared.target import Target
    from amfac_edge.pipeline import Exported
    from amfac_edge.pipeline.engines import Engine

__all__ = ["AUTO", "Choice", "Made", "choices"]

AUTO = "auto"


@dataclass(frozen=True)
class Made:
    """An artefact, its target and what became of it: an engine for a GPU, None for the CPU."""

    exported: Exported
    target: Target
    engine: Engine | None

    @property
    def runs_here(self) -> Path | None:
        """The file that this machine can run, measured by measuring it; None where there is none."""
        if self.engine is None:
            return self.exported.path
        plan = self.engine.plan
        if plan is None or self.engine.board is not None or plan.manifest.plan is None:
            return None
        return plan.path if plan.manifest.plan.flavour == TENSORRT else None

    @property
    def precision(self) -> str:
        """Of the artefact."""
        return self.exported.manifest.precision


@dataclass(frozen=True)
class Choice:
    """Between two artefacts for one target.

    Attributes:
        target: whose they are.
        plain: in the target's own precision.
        int8: the other one; None where its gate let none through, or no set was named.
        speed: of both here, INT8 second; None where this machine can't run them.
    """

    target: Target
    plain: Made
    int8: Made | None
    speed: SpeedRatio | None

    @property
    def chosen(self) -> Made | None:
        """The faster one; the target's own where INT8 isn't faster in every round; None where nothing was measured."""
        if self.int8 is None:
            return self.plain
        if self.speed is None:
            return None
        return self.int8 if self.speed.second_wins else self.plain

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        chosen, speed = self.chosen, self.speed
        return {
            "target": self.target.name,
            "precision": chosen.precision if chosen else None,
            "path": str(chosen.runs_here or chosen.exported.path) if chosen else None,
            "measured_ms": speed and {self.plain.precision: speed.first_ms, INT8: speed.second_ms},
            "int8_times_as_fast": speed and speed.ratio,
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        head, own = f"\n{self.target.name}: ", self.plain.precision.upper()
        chosen, speed = self.chosen, self.speed
        if self.int8 is None:
            yield f"{head}{own}"
        elif chosen is None or speed is None:
            yield f"{head}{own} or INT8 is for the {self.target.title} to say: build both plans there, and run"
            yield "    amfac-bench A.plan B.plan"
        else:
            faster = "faster in every round" if speed.second_wins else "not faster in every round"
            yield f"{head}{chosen.precision.upper()}: {chosen.runs_here}"
            rounds = len(speed.first_ms)
            yield f"  measured here in {rounds} rounds, INT8 is {speed.ratio:.2f} times as fast as {own}, {faster}"


def choices(made: Sequence[Made], *, stage: Callable[[str], None] = lambda _: None) -> list[Choice]:
    """Choose for each target: by measurement where both of its artefacts run on this machine.

    Args:
        made: each target's own precision, and INT8 where there is one.
        stage: called with a line before each measurement.
    """
    found = []
    for plain in made:
        if plain.precision == INT8 and plain.target.default_precision != INT8:
            continue
        int8 = next((one for one in made if one.target == plain.target and one is not plain), None)
        speed = None
        if int8 is not None and plain.runs_here and int8.runs_here:
            stage(f"{plain.target.name}: {plain.precision.upper()} and INT8 in turn")
            speed = speed_ratio(plain.runs_here, int8.runs_here)
        found.append(Choice(plain.target, plain, int8, speed))
    return found
