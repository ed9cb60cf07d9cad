"""The twenty cells of Table 4: paper, eager, FP16, INT8, each of our figures either measured or forecast."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from amfac_edge.declared.published import load_published
from amfac_edge.declared.target import load_target
from amfac_edge.performance.against import counts_for
from amfac_edge.performance.forecast.eager import TABLE, eager_cells, forecast_left_out, recipe_of
from amfac_edge.performance.forecast.engine import forecast_engine
from amfac_edge.performance.forecast.forecasts import Forecast
from amfac_edge.performance.forecast.subjects import subject_of_recipe
from amfac_edge.performance.paper_mode import COUNTED_PRECISIONS
from amfac_edge.performance.samples import Measured

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from amfac_edge.performance.receipts import Receipt

__all__ = ["COLUMNS", "ENGINES", "Table4Cell", "cells_met", "markdown_table", "measured_for_table4", "table4_cells"]

COLUMNS = ("eager", *COUNTED_PRECISIONS)
"""What stands beside the paper: eager FP32 PyTorch, an engine of FP16, one of INT8."""

ENGINES = COUNTED_PRECISIONS
"""The columns that are to beat the paper."""

_HEADS = {"eager": "eager PyTorch", "fp16": "FP16 engine", "int8": "INT8 engine"}


@dataclass(frozen=True)
class Table4Cell:
    """One printed cell and our figures for it; a figure is measured or forecast, never either by mistake.

    Attributes:
        label: of the model, as printed.
        recipe: of the model.
        device: name of the target.
        title: of the target, with its mode.
        paper_ms: as printed.
        forecast: by column.
        measured: by column; it takes the forecast's place where it is shown.

    Raises:
        TypeError: a measurement among the forecasts, or a forecast among the measurements.
    """

    label: str
    recipe: str
    device: str
    title: str
    paper_ms: float
    forecast: Mapping[str, Forecast]
    measured: Mapping[str, Measured] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, values, kind in (("forecast", self.forecast, Forecast), ("measured", self.measured, Measured)):
            for value in values.values():
                if not isinstance(value, kind):
                    message = f"a {type(value).__name__} is nothing {name}"
                    raise TypeError(message)

    @property
    def met(self) -> bool:
        """Whether an engine was measured on the device, and its mean is at most the paper's time."""
        engines = [self.measured[name] for name in ENGINES if name in self.measured]
        return any(engine.statistics.mean <= self.paper_ms for engine in engines)

    def figure(self, column: str) -> str:
        """Its milliseconds in words, tagged; "-" where there is nothing."""
        if column in self.measured:
            return f"**{self.measured[column].statistics.mean:.2f} measured**"
        if column in self.forecast:
            forecast = self.forecast[column]
            return f"{forecast.mid_ms:.1f} ({forecast.low_ms:.1f}-{forecast.high_ms:.1f}) forecast"
        return "-"


def table4_cells(measured: Mapping[tuple[str, str, str], Measured] | None = None) -> tuple[Table4Cell, ...]:
    """The twenty cells in the paper's order.

    Args:
        measured: by recipe, device and column; measured on that device in the mode that the table is held against.
    """
    measured = measured or {}
    cells = []
    for row, printed in zip(load_published(TABLE).rows, eager_cells(), strict=True):
        target, recipe = load_target(printed.device), recipe_of(row.values)
        subject = subject_of_recipe(recipe)
        forecast = {name: forecast_engine(subject, target, precision=name) for name in ENGINES}
        label = (
            f"{row.values['model']} {str(row.values['backbone']).replace('ResNet', 'R')} {recipe.rpartition('-')[2]}"
        )
        watts = row.number("power_w")
        # The paper prints watts and no mode.
        mode = f", {watts:g} W ({target.paper_mode} inferred)" if target.paper_mode and watts else ""
        cells.append(
            Table4Cell(
                label=label,
                recipe=recipe,
                device=target.name,
                title=target.title.removeprefix("Jetson ").removeprefix("GeForce ") + mode,
                paper_ms=printed.ms,
                forecast={"eager": forecast_left_out(printed), **forecast},
                measured={name: measured[key] for name in COLUMNS if (key := (recipe, target.name, name)) in measured},
            )
        )
    return tuple(cells)


def measured_for_table4(receipts: Sequence[Receipt]) -> dict[tuple[str, str, str], Measured]:
    """What of receipts stands in `table4_cells`: one crop a run, on a device of the table, in its own mode there.

    Of several for one cell the fastest counts, and none that was throttled. The network's time is taken, as
    `--against table4` does and as the forecasts beside it mean; the paper names no boundary.
    """
    found: dict[tuple[str, str, str], Measured] = {}
    for receipt in receipts:
        key = counts_for(receipt)
        if key is None:
            continue
        measured = receipt.series["eager" if key[2] == "eager" else "engine"]
        before = found.setdefault(key, measured)
        if measured.statistics.mean < before.statistics.mean:
            found[key] = measured
    return found


def cells_met(cells: Sequence[Table4Cell]) -> int:
    """How many cells an engine that was measured on the device meets; a forecast meets nothing."""
    return sum(cell.met for cell in cells)


def markdown_table(cells: Sequence[Table4Cell]) -> str:
    """The cells as a table of Markdown, with the count below it."""
    heads = ("model", "device", "paper", *(_HEADS[name] for name in COLUMNS))
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for cell in cells:
        figures = (cell.figure(name) for name in COLUMNS)
        lines.append(f"| {' | '.join((cell.label, cell.title, f'{cell.paper_ms:.2f}', *figures))} |")
    measured = sum(bool(set(cell.measured) & set(ENGINES)) for cell in cells)
    lines += [
        "",
        f"Met on {cells_met(cells)} of {len(cells)}: an engine was measured for {measured or 'none'} of them.",
    ]
    return "\n".join(lines)
