"""Which model, in which precision, for a machine and a budget: what is accurate enough and fast enough.

A model's accuracy is what its paper prints, of its own float32 weights: nobody has measured what FP16 or INT8 costs it.
Its time is measured where a measurement is there, else forecast; an option says which.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from amfac_edge.declared.recipe import load_recipe, recipe_names
from amfac_edge.drawing import Panel, Series, draw_curves
from amfac_edge.errors import InputError
from amfac_edge.performance.forecast import Forecast, forecast_engine, subject_of_recipe
from amfac_edge.performance.forecast.recorded import recorded_eager, recorded_kernels
from amfac_edge.performance.samples import Measured

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from amfac_edge.declared.recipe import Recipe
    from amfac_edge.declared.target import Target
    from amfac_edge.keypoints import Bgr
    from amfac_edge.performance.forecast.fitting import TimedRun

__all__ = ["Choice", "Option", "chosen", "options_for", "pareto_front", "pareto_picture"]

_NAMES = {"fp32": "FP32", "fp16": "FP16", "int8": "INT8"}


@dataclass(frozen=True)
class Option:
    """One model in one precision.

    Attributes:
        recipe: of the model.
        precision: of its engine.
        size: height x width of its crop.
        ap: that the paper prints of it, in percent; None where there is none.
        parameters: of its network.
        time: of one run of one crop on the target, the engine alone.
    """

    recipe: str
    precision: str
    size: str
    ap: float | None
    parameters: int
    time: Measured | Forecast

    @property
    def measured(self) -> bool:
        """Whether its time was measured."""
        return isinstance(self.time, Measured)

    @property
    def ms(self) -> float:
        """The mean of what was measured, or the middle of the forecast."""
        return self.time.statistics.mean if isinstance(self.time, Measured) else self.time.mid_ms

    @property
    def ends_ms(self) -> tuple[float, float]:
        """The measured mean twice, or the forecast's low and high."""
        return (self.ms, self.ms) if isinstance(self.time, Measured) else (self.time.low_ms, self.time.high_ms)

    def as_json(self) -> dict[str, object]:
        """For a program."""
        return {
            "recipe": self.recipe,
            "precision": self.precision,
            "size": self.size,
            "ap": self.ap,
            "parameters": self.parameters,
            "measured": self.measured,
            "ms": self.ms,
            "low_ms": self.ends_ms[0],
            "high_ms": self.ends_ms[1],
        }


@dataclass(frozen=True)
class Choice:
    """What is recommended.

    Attributes:
        option: the one; None where nothing fits.
        sure: whether even the high end of its time is within the budget.
        faster: the option with the same demands that is surely within the budget, where `option` isn't; else None.
        int8: one in INT8 that would be more accurate, if INT8 cost it nothing; None where `option` is one, or none is.
    """

    option: Option | None
    sure: bool
    faster: Option | None = None
    int8: Option | None = None


def options_for(
    model: Recipe,
    target: Target,
    *,
    mode: str | None = None,
    runs: Sequence[TimedRun] = (),
    measured: Mapping[tuple[str, str], Measured] | None = None,
) -> tuple[Option, ...]:
    """`model` and the declared models with the same joints, in every precision that engines of `target` have.

    Args:
        model: the user's own; it is among the options where its costs are recorded, its AP known or not.
        target: the machine.
        mode: a power mode; None for the one that Table 4 is held against.
        runs: timed on that machine, see `forecast_engine`.
        measured: engine times on that machine in that mode, by recipe and precision.

    Raises:
        InputError: nothing can be forecast for the target, or there is no other model of these joints.
    """
    measured = measured or {}
    precisions = ("fp32",) if target.kind == "cpu" else ("fp16", "int8")
    options = []
    for name in recipe_names():
        recipe = load_recipe(name)
        ap = next((row.ap for row in recipe.published if row.ap is not None), None)
        if (
            (name, "gpu") not in recorded_kernels()
            or recipe.skeleton != model.skeleton
            or (ap is None and name != model.name)
        ):
            continue
        for precision in precisions:
            time: Measured | Forecast | None = measured.get((name, precision))
            if time is None:
                time = forecast_engine(subject_of_recipe(name), target, mode=mode, precision=precision, runs=runs)
            size = f"{recipe.crop.height}x{recipe.crop.width}"
            options.append(Option(name, precision, size, ap, recorded_eager()[name].parameters, time))
    if not options:
        raise InputError(
            f"no declared model has the joints of {model.name} ({model.skeleton})",
            cure="amfac-info recipes lists the models; choose compares those of one skeleton.",
        )
    return tuple(options)


def chosen(options: Sequence[Option], *, budget_ms: float, min_ap: float = 0.0) -> Choice:
    """The most accurate option within the budget; of equal ones the fastest.

    INT8 is chosen only where nothing else is within the budget: what it costs in accuracy nobody knows beforehand. An
    option that is surely within the budget wins over one that may be only where it is as accurate; both are given
    otherwise.
    """
    full, int8 = (
        _choice([option for option in options if (option.precision == "int8") == quantised], budget_ms, min_ap)
        for quantised in (False, True)
    )
    if full.option is None:
        return int8
    better = int8.option is not None and (int8.option.ap or 0.0) > (full.option.ap or 0.0)
    return replace(full, int8=int8.option if better else None)


def _choice(options: Sequence[Option], budget_ms: float, min_ap: float) -> Choice:
    able = [option for option in options if option.ap is not None and option.ap >= min_ap]
    best = _best([option for option in able if option.ms <= budget_ms])
    safe = _best([option for option in able if option.ends_ms[1] <= budget_ms])
    if best is None:
        return Choice(None, sure=False)
    if safe is not None and safe.ap == best.ap:
        return Choice(safe, sure=True)
    return Choice(best, sure=False, faster=safe)


def pareto_front(options: Sequence[Option]) -> tuple[Option, ...]:
    """The options that no other is both faster and at least as accurate than, by time."""
    front: list[Option] = []
    for option in sorted(options, key=lambda option: (option.ms, -(option.ap or 0.0))):
        if option.ap is not None and (not front or option.ap > (front[-1].ap or 0.0)):
            front.append(option)
    return tuple(front)


def pareto_picture(options: Sequence[Option], *, budget_ms: float, title: str) -> Bgr:
    """AP against milliseconds, a panel for each precision: their AP is not to be compared, INT8's loss being unknown.

    A forecast is a line from low to high with a dot at its ends and middle, a measurement one dot; the front and the
    budget are lines.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    known = [option for option in options if option.ap is not None]
    heights = [option.ap or 0.0 for option in known]
    low, high = math.floor(min(heights)) - 1, math.ceil(max(heights)) + 1
    reach = max(budget_ms, *(option.ends_ms[1] for option in known)) * 1.05
    panels = []
    for precision in dict.fromkeys(option.precision for option in known):
        group = [option for option in known if option.precision == precision]
        front = pareto_front(group)
        series = [
            _points("forecast: low, middle, high", [option for option in group if not option.measured]),
            Series("front", [option.ms for option in front], [option.ap or 0.0 for option in front]),
            Series(f"budget {budget_ms:g} ms", [budget_ms, budget_ms], [low, high]),
            _points("measured", [option for option in group if option.measured]),
        ]
        loss = ", before INT8's loss" if precision == "int8" else ""
        panels.append(
            Panel(
                f"{title}, {_NAMES[precision]}",
                series,
                "ms a crop, engine alone",
                f"AP as printed{loss}",
                x_range=(0, reach),
                y_range=(low, high),
            )
        )
    return draw_curves(panels, plot=(300, 760))


def _best(options: Sequence[Option]) -> Option | None:
    return max(options, key=lambda option: (option.ap or 0.0, -option.ms), default=None)


def _points(name: str, group: Sequence[Option]) -> Series:
    x: list[float] = []
    y: list[float] = []
    # A point without a height ends a line.
    for option in group:
        low, high = option.ends_ms
        x += [low, option.ms, high, high]
        y += [option.ap or math.nan] * 3 + [math.nan]
    return Series(name, x, y, dots=True)
