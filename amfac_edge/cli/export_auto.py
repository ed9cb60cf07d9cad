"""`amfac-export --precision auto`: the target's own precision and INT8 beside it; the faster one, where that is known.

It is measured where both run on this machine; of plans that a board built and tried, the board's own trials tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from amfac_edge.artefact import INT8, TENSORRT
from amfac_edge.errors import AmfacError, typed
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
    def file(self) -> Path:
        """What runs: the plan, or the artefact where none was built."""
        return self.engine.plan.path if self.engine and self.engine.plan else self.exported.path

    @property
    def trial_ms(self) -> float | None:
        """Milliseconds of a call by the trial of a board that built it; None where there was none."""
        if self.engine is None or self.engine.board is None or self.engine.plan is None:
            return None
        facts = self.engine.plan.manifest.plan
        trial = facts.settings.get("trial") if facts else None
        found = trial.get("compute_ms") if isinstance(trial, dict) else None
        return float(found) if isinstance(found, (int, float)) else None

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
        speed: of both, INT8 second; None where nobody measured them.
        board: whose trials that was; None for this machine.
        fault: why they were not measured, though this machine should run them.
    """

    target: Target
    plain: Made
    int8: Made | None
    speed: SpeedRatio | None
    board: str | None = None
    fault: str = ""

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
            "path": str(chosen.file) if chosen else None,
            "measured_ms": speed and {self.plain.precision: speed.first_ms, INT8: speed.second_ms},
            "int8_times_as_fast": speed and speed.ratio,
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        head, own = f"\n{self.target.name}: ", self.plain.precision.upper()
        chosen, speed = self.chosen, self.speed
        if self.int8 is None:
            yield f"{head}{own}"
        elif self.fault:
            yield f"{head}{own} or INT8 was not measured: {self.fault}"
            yield f"    amfac-bench {typed(self.plain.file)} {typed(self.int8.file)}"
        elif chosen is None or speed is None:
            yield f"{head}{own} or INT8 is for the {self.target.title} to say: build both plans there, and run"
            yield "    amfac-bench A.plan B.plan"
        else:
            yield f"{head}{chosen.precision.upper()}: {chosen.file}"
            yield f"  {self._measured(speed, own)}"

    def _measured(self, speed: SpeedRatio, own: str) -> str:
        if self.board is not None:
            times = f"{own} {speed.first_ms[0]:.3f} ms, INT8 {speed.second_ms[0]:.3f} ms a call"
            return f"by one trial of each on {self.board}: {times}; amfac-bench there measures more"
        faster = "faster in every round" if speed.second_wins else "not faster in every round"
        rounds = len(speed.first_ms)
        return f"measured here in {rounds} rounds, INT8 is {speed.ratio:.2f} times as fast as {own}, {faster}"


def choices(made: Sequence[Made], *, stage: Callable[[str], None] = lambda _: None) -> list[Choice]:
    """Choose for each target: by measurement where both of its artefacts run on this machine.

    Args:
        made: each target's own precision, and INT8 where there is one.
        stage: called with a line before each measurement.
    """
    found: list[Choice] = []
    for plain in made:
        if plain.precision == INT8 and plain.target.default_precision != INT8:
            continue
        int8 = next((one for one in made if one.target == plain.target and one is not plain), None)
        found.append(_choice(plain, int8, stage))
    return found


def _choice(plain: Made, int8: Made | None, stage: Callable[[str], None]) -> Choice:
    if int8 is None:
        return Choice(plain.target, plain, None, None)
    if plain.runs_here and int8.runs_here:
        stage(f"{plain.target.name}: {plain.precision.upper()} and INT8 in turn")
        try:
            return Choice(plain.target, plain, int8, speed_ratio(plain.runs_here, int8.runs_here))
        except AmfacError as error:  # both are written, and what they are is still to be told
            return Choice(plain.target, plain, int8, None, fault=error.problem)
    first, second = plain.trial_ms, int8.trial_ms
    if first and second and int8.engine:
        return Choice(plain.target, plain, int8, SpeedRatio((first,), (second,)), board=str(int8.engine.board))
    return Choice(plain.target, plain, int8, None)
