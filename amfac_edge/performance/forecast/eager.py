"""The eager model: Table 4 of the AMFACPose paper, explained, and carried to boards and networks beside it.

Table 4's times follow what eager PyTorch in float32 does: on Jetsons a constant and the bytes that pass through the
operators, on desktop cards also the number of operators. That Table 4 was taken so is an inference: the paper names
PyTorch, doesn't name an engine, and doesn't say what its times include. Which terms a kind of machine gets was chosen
by the error that they leave (`leave_out`).

Between Jetsons the time that the bytes take is scaled by the square root of bandwidth times GPU clock: two of the
boards share their bandwidth and differ by 15 %. That root, too, was chosen after seeing three boards.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.declared.published import load_published
from amfac_edge.declared.target import load_target
from amfac_edge.errors import InputError
from amfac_edge.performance.forecast.forecasts import EAGER, Forecast
from amfac_edge.performance.forecast.recorded import recorded_eager

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from amfac_edge.declared.target import Target
    from amfac_edge.performance.forecast.recorded import RecordedEager

__all__ = [
    "BOARD_SHARES",
    "TABLE",
    "EagerCell",
    "EagerFit",
    "board_fit",
    "device_fit",
    "eager_cells",
    "forecast_eager",
    "forecast_left_out",
    "recipe_of",
    "speed_of",
]

TABLE = "amfacpose-table4-devices"
"""The published table that the model explains."""

BOARD_SHARES = (0.5, 0.0, 1.0)
"""How much of a board's speed is its bandwidth, in logarithms; the rest is its clock. The first is the model's."""

_BACKBONES = {"ResNet34": "r34", "ResNet18": "r18"}
_TERMS = {"jetson": ("constant", "bytes"), "rtx": ("constant", "operators", "bytes")}
_INFERRED = "that Table 4 is eager FP32 PyTorch is an inference"


@dataclass(frozen=True)
class EagerCell:
    """One printed cell of Table 4, and what its network costs."""

    recipe: str
    device: str
    ms: float
    cost: RecordedEager


@dataclass(frozen=True)
class EagerFit:
    """Coefficients of one machine (or of a scaled board).

    Attributes:
        constant_ms: whatever else a frame takes.
        operator_us: of each operator.
        gigabyte_ms: of each GB that passes through them.
    """

    constant_ms: float
    operator_us: float
    gigabyte_ms: float

    def ms(self, cost: RecordedEager, *, speed: float = 1.0) -> float:
        """Milliseconds of a network; `speed` divides what its bytes take."""
        return sum(self.parts(cost, speed=speed).values())

    def parts(self, cost: RecordedEager, *, speed: float = 1.0) -> dict[str, float]:
        """Milliseconds by what binds them."""
        return {
            "bandwidth": self.gigabyte_ms * cost.bytes / 1e9 / speed,
            "launches": self.operator_us * cost.operators / 1e3,
            "host": self.constant_ms,
        }


def eager_cells() -> tuple[EagerCell, ...]:
    """The twenty cells of Table 4."""
    costs = recorded_eager()
    cells = []
    for row in load_published(TABLE).rows:
        name = recipe_of(row.values)
        ms = row.number("ms")
        assert ms is not None
        cells.append(EagerCell(name, str(row.values["device"]), ms, costs[name]))
    return tuple(cells)


def recipe_of(values: Mapping[str, str | float | None]) -> str:
    """The recipe that a row of Table 4 is about."""
    backbone = _BACKBONES[str(values["backbone"])]
    return f"amfacpose-{backbone}-{values['input_height']:g}x{values['input_width']:g}"


def device_fit(cells: Iterable[EagerCell], kind: str) -> EagerFit:
    """The fit of cells of one machine of that kind."""
    return _fit([(cell, 1.0) for cell in cells], kind)


def board_fit(cells: Iterable[EagerCell], *, share: float = BOARD_SHARES[0]) -> EagerFit:
    """One fit of cells of several Jetsons, each in the mode that Table 4 is held against; for boards of speed 1."""
    speeds = {device: speed_of(load_target(device), share=share) for device in {cell.device for cell in cells}}
    return _fit([(cell, speeds[cell.device]) for cell in cells], "jetson")


def speed_of(target: Target, mode: str | None = None, *, share: float = BOARD_SHARES[0]) -> float:
    """A Jetson's speed in `mode` (None: the one that Table 4 is held against): 1 is 100 GB/s and 8 SMs at 1 GHz.

    Raises:
        InputError: its bandwidth, cores or clock aren't known.
    """
    mode = mode or target.paper_mode
    bandwidth, arithmetic = target.bandwidth_gbs(mode), target.fp32_tflops(mode)
    if bandwidth is None or arithmetic is None:
        raise InputError(
            f"{target.name}: its clock, cores or bandwidth{f' in {mode}' if mode else ''} aren't known, so there is "
            "nothing to forecast from",
            cure="Give another target or mode.",
        )
    return math.exp(share * math.log(bandwidth / 100) + (1 - share) * math.log(arithmetic / 2.048))


def forecast_eager(recipe: str, target: Target, mode: str | None = None, *, name: str | None = None) -> Forecast:
    """What eager FP32 PyTorch is expected to take on `target`, one crop a run.

    Args:
        recipe: a declared recipe of the papers' networks.
        target: a machine of Table 4, or another Jetson.
        mode: a power mode; None for the one that Table 4 is held against, the full clocks elsewhere.
        name: of the file that is asked about; None for the recipe's.

    Raises:
        InputError: neither a fit nor a scaling reaches this network or machine.
    """
    cost = recorded_eager().get(recipe)
    if cost is None:
        raise InputError(
            f'what "{recipe}" costs in eager PyTorch is not recorded', cure=f"Recorded: {', '.join(recorded_eager())}."
        )
    mode = mode or target.paper_mode
    cells = eager_cells()
    own = [cell for cell in cells if cell.device == target.name]
    if own and mode == target.paper_mode:
        fit, speed, basis = device_fit(own, target.kind), 1.0, f"fitted to its {len(own)} cells of Table 4"
        spread = 1 + 2 * max(map(abs, _left_out(own, target.kind)))
        low, high = fit.ms(cost) / spread, fit.ms(cost) * spread
    elif target.kind == "jetson":
        boards = [cell for cell in cells if load_target(cell.device).kind == "jetson"]
        fit, speed = board_fit(boards), speed_of(target, mode)
        basis = "scaled from three Jetsons of Table 4 by the root of bandwidth x clock"
        every = [
            board_fit(boards, share=share).ms(cost, speed=speed_of(target, mode, share=share)) for share in BOARD_SHARES
        ]
        low, high = min(every), max(every)
    else:
        raise InputError(
            f"{target.name}: Table 4 has no figure of it, and no way is known from one desktop card to another",
            cure="The eager model reaches the five machines of Table 4, and other Jetsons.",
        )
    return _forecast(name or recipe, target.name, mode, fit.parts(cost, speed=speed), (low, high), basis)


def forecast_left_out(cell: EagerCell) -> Forecast:
    """What a printed cell of Table 4 would be expected to be by whoever knows the others of its device alone.

    Its range is twice the largest error of the same kind of forecast on the other devices: the cell has no say in it.
    """
    target = load_target(cell.device)
    others = [other for other in eager_cells() if other.device == cell.device and other.recipe != cell.recipe]
    parts = device_fit(others, target.kind).parts(cell.cost)
    spread = 1 + 2 * _error_elsewhere(cell.device, target.kind)
    mid = sum(parts.values())
    basis = f"fitted to the {len(others)} other cells of its device in Table 4"
    return _forecast(cell.recipe, target.name, target.paper_mode, parts, (mid / spread, mid * spread), basis)


def _error_elsewhere(device: str, kind: str) -> float:
    """The largest relative error of a cell forecast by the others of its device, over the other devices of the kind."""
    by_device: dict[str, list[EagerCell]] = {}
    for cell in eager_cells():
        if cell.device != device and load_target(cell.device).kind == kind:
            by_device.setdefault(cell.device, []).append(cell)
    return max(abs(error) for cells in by_device.values() for error in _left_out(cells, kind))


def _forecast(
    subject: str, target: str, mode: str | None, parts: dict[str, float], ends: tuple[float, float], basis: str
) -> Forecast:
    mid = sum(parts.values())
    return Forecast(
        model=EAGER,
        subject=subject,
        target=target,
        mode=mode,
        precision="fp32",
        batch=1,
        low_ms=ends[0],
        mid_ms=mid,
        high_ms=ends[1],
        binds={name: part / mid for name, part in parts.items()},
        basis=(basis, _INFERRED),
    )


def _left_out(cells: Sequence[EagerCell], kind: str) -> list[float]:
    """Relative errors of each cell, predicted by a fit of the others."""
    return [
        device_fit([other for other in cells if other is not cell], kind).ms(cell.cost) / cell.ms - 1 for cell in cells
    ]


def _fit(cells: Sequence[tuple[EagerCell, float]], kind: str) -> EagerFit:
    columns = {
        "constant": [1.0 for _ in cells],
        "operators": [cell.cost.operators / 1e3 for cell, _ in cells],
        "bytes": [cell.cost.bytes / 1e9 / speed for cell, speed in cells],
    }
    terms = _TERMS[kind]
    found = _non_negative(np.array([columns[term] for term in terms]).T, np.array([cell.ms for cell, _ in cells]))
    named = dict(zip(terms, found.tolist(), strict=True))
    return EagerFit(named["constant"], named.get("operators", 0.0), named["bytes"])


def _non_negative(columns: NDArray[np.float64], ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T,) coefficients >= 0 of (P, T) columns that leave the least squared relative error of (P,) times.

    With three terms at most, every set of terms that may be above 0 is tried.
    """
    relative = columns / ms[:, None]
    best, least = np.zeros(columns.shape[1]), math.inf
    for count in range(1, columns.shape[1] + 1):
        for chosen in itertools.combinations(range(columns.shape[1]), count):
            found = np.linalg.lstsq(relative[:, chosen], np.ones(len(ms)), rcond=None)[0]
            error = float(np.sum((relative[:, chosen] @ found - 1) ** 2))
            if (found >= 0).all() and error < least:
                best, least = np.zeros(columns.shape[1]), error
                best[list(chosen)] = found
    return best
