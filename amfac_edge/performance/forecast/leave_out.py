"""The errors that the models are entitled to: each figure forecast by a model that hasn't seen it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amfac_edge.declared.target import load_target
from amfac_edge.performance.forecast.eager import BOARD_SHARES, board_fit, device_fit, eager_cells, speed_of
from amfac_edge.performance.forecast.engine import prior_of, published_runs
from amfac_edge.performance.forecast.fitting import TimedRun, learnt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amfac_edge.performance.forecast.eager import EagerCell
    from amfac_edge.performance.forecast.fitting import Belief

__all__ = ["ErrorRow", "ErrorTable", "board_errors", "engine_errors", "half_errors", "prior_errors", "variant_errors"]

# What is aimed at: mean of a device's left-out variants, of a left-out board, median of an engine's rows.
_VARIANT_LIMIT, _BOARD_LIMIT, _ENGINE_LIMIT = 0.05, 0.08, 0.25


@dataclass(frozen=True)
class ErrorRow:
    """One figure.

    Attributes:
        group: device or machine.
        name: what was left out.
        ms: printed or measured.
        forecast_ms: by a model that hasn't seen it.
        within: whether it lies between the forecast's low and high; None where there are none.
    """

    group: str
    name: str
    ms: float
    forecast_ms: float
    within: bool | None = None

    @property
    def error(self) -> float:
        """Relative, above 0 where the forecast is too slow."""
        return self.forecast_ms / self.ms - 1


@dataclass(frozen=True)
class ErrorTable:
    """Figures that were left out in one way.

    Attributes:
        title: what was left out, and of what.
        rows: at least one.
        limit: what each group's `statistic` is to stay within.
        statistic: "mean" or "median", of the errors without their signs.
    """

    title: str
    rows: tuple[ErrorRow, ...]
    limit: float
    statistic: str = "mean"

    def groups(self) -> dict[str, float]:
        """The statistic of each group."""
        names = dict.fromkeys(row.group for row in self.rows)
        return {name: self._of([row for row in self.rows if row.group == name]) for name in names}

    def worst(self, group: str) -> float:
        """The largest error of a group, without its sign."""
        return max(abs(row.error) for row in self.rows if row.group == group)

    @property
    def met(self) -> bool:
        """Whether every group stays within the limit."""
        return all(value <= self.limit for value in self.groups().values())

    def as_json(self) -> dict[str, object]:
        """For a program."""
        return {
            "title": self.title,
            "statistic": self.statistic,
            "limit": self.limit,
            "groups": self.groups(),
            "met": self.met,
            "rows": [
                {
                    "group": row.group,
                    "name": row.name,
                    "ms": row.ms,
                    "forecast_ms": row.forecast_ms,
                    "error": row.error,
                    "within": row.within,
                }
                for row in self.rows
            ],
        }

    def _of(self, rows: Sequence[ErrorRow]) -> float:
        errors = [abs(row.error) for row in rows]
        return statistics.fmean(errors) if self.statistic == "mean" else statistics.median(errors)


def variant_errors() -> ErrorTable:
    """Eager: each variant of Table 4, forecast from the other three on the same device."""
    rows = []
    for device, cells in _by_device().items():
        kind = load_target(device).kind
        for cell in cells:
            fit = device_fit([other for other in cells if other is not cell], kind)
            rows.append(ErrorRow(device, cell.recipe, cell.ms, fit.ms(cell.cost)))
    return ErrorTable("eager: one variant left out, on the same device", tuple(rows), _VARIANT_LIMIT)


def board_errors(share: float = BOARD_SHARES[0]) -> ErrorTable:
    """Eager: each Jetson of Table 4, forecast from the other two; `share` as in `speed_of`."""
    boards = {device: cells for device, cells in _by_device().items() if load_target(device).kind == "jetson"}
    rows = []
    for device, cells in boards.items():
        fit = board_fit([cell for other, each in boards.items() if other != device for cell in each], share=share)
        speed = speed_of(load_target(device), share=share)
        rows += [ErrorRow(device, cell.recipe, cell.ms, fit.ms(cell.cost, speed=speed)) for cell in cells]
    how = {0.5: "the root of bandwidth x clock", 0.0: "clock alone", 1.0: "bandwidth alone"}
    return ErrorTable(f"eager: one Jetson left out, scaled by {how[share]}", tuple(rows), _BOARD_LIMIT)


def prior_errors() -> ErrorTable:
    """Engine: RTMPose's published rows, forecast from the peaks and the prior alone."""
    rows = [_row(_MACHINES[kind], run, prior_of(kind)[0]) for kind, runs in published_runs().items() for run in runs]
    return ErrorTable("engine: RTMPose's rows from the peaks alone", tuple(rows), _ENGINE_LIMIT, "median")


def engine_errors() -> ErrorTable:
    """Engine: each of RTMPose's published rows, forecast with the others of its machine."""
    rows = []
    for kind, runs in published_runs().items():
        for run in runs:
            others = [other for other in runs if other is not run]
            rows.append(_row(_MACHINES[kind], run, learnt(prior_of(kind)[0], others, source="")))
    return ErrorTable("engine: one of RTMPose's rows left out", tuple(rows), _ENGINE_LIMIT, "median")


def half_errors(machine: str, kind: str, runs: Sequence[TimedRun]) -> ErrorTable:
    """Engine: runs of one machine, each half forecast from the other one (every second run).

    Args:
        machine: its name.
        kind: "cpu", "jetson" or "rtx".
        runs: at least two, of different networks.
    """
    halves = runs[::2], runs[1::2]
    rows = []
    for known, asked in (halves, halves[::-1]):
        belief = learnt(prior_of(kind)[0], known, source="")
        rows += [_row(machine, run, belief) for run in asked]
    return ErrorTable("engine: half of the measured models from the other half", tuple(rows), _ENGINE_LIMIT, "median")


_MACHINES = {"jetson": "Orin NX (board and mode not stated)", "rtx": "RTX 3090"}


def _row(group: str, run: TimedRun, belief: Belief) -> ErrorRow:
    low, mid, high, _ = belief.forecast(run.load, run.peaks)
    return ErrorRow(group, run.name, run.ms, mid, low <= run.ms <= high)


def _by_device() -> dict[str, list[EagerCell]]:
    found: dict[str, list[EagerCell]] = {}
    for cell in eager_cells():
        found.setdefault(cell.device, []).append(cell)
    return found
