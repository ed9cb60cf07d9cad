"""The axes of a chart: which values they reach, where a value lies, and round ticks with short words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["Axis", "fitted_axis"]

_PIXELS_PER_TICK = 70
_ROUND_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
# Below this part of a value, differences are rounding and no news.
_FLAT = 1e-9
_EXPONENT_FROM, _EXPONENT_BELOW = 1e5, 1e-3


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        low: value at its first pixel, below `high`.
        high: value at its last pixel.
        length: in pixels.
        log: whether it is logarithmic.
        ticks: value and words of each tick, from low to high; without words for the small ones between decades.
    """

    low: float
    high: float
    length: int
    log: bool
    ticks: tuple[tuple[float, str], ...]

    def places(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where values lie, beyond both ends too.

        Args:
            values: (P,).

        Returns:
            (P,) pixels from the axis' first one, up to `length` - 1 at its last.
        """
        low, high = self.low, self.high
        if self.log:
            low, high, values = math.log10(low), math.log10(high), np.log10(values)
        return (values - low) / (high - low) * (self.length - 1)


def fitted_axis(
    values: NDArray[np.float64],
    length: int,
    *,
    fixed: tuple[float, float] | None = None,
    log: bool = False,
    words: Mapping[float, str] | None = None,
    whole: bool = False,
    widen: bool = False,
) -> Axis:
    """An axis for values.

    Args:
        values: (P,), some of them finite (and above 0 for `log`); the rest is passed over.
        length: in pixels.
        fixed: its ends, where they are not the values' own.
        log: logarithmic.
        words: the ticks, in place of round numbers.
        whole: whether a tick between two whole numbers would mean nothing.
        widen: whether it reaches to the next round numbers.
    """
    known = values[np.isfinite(values) & ((values > 0) | (not log))]
    low, high = fixed or (float(known.min()), float(known.max()))
    if log:
        return _logarithmic(low, high, length, widen=widen and fixed is None)
    if high - low <= _FLAT * max(abs(low), abs(high)):
        room = max(1.0, abs(low) * _FLAT) if whole else abs(low) / 10 or 1.0
        low, high = low - room, high + room
    step = _round_step((high - low) / max(2, length // _PIXELS_PER_TICK))
    if whole:
        step = math.ceil(step)
    if widen and fixed is None:
        low, high = math.floor(low / step + _FLAT) * step, math.ceil(high / step - _FLAT) * step
    if words is not None:
        return Axis(low, high, length, log=False, ticks=tuple(sorted(words.items())))
    first, last = math.ceil(low / step - _FLAT), math.floor(high / step + _FLAT)
    # Adding 0 turns a negative zero into a zero.
    ticks = [count * step + 0.0 for count in range(first, last + 1)]
    return Axis(low, high, length, log=False, ticks=tuple((tick, _words(tick, step, ticks)) for tick in ticks))


def _logarithmic(low: float, high: float, length: int, *, widen: bool) -> Axis:
    if widen or high <= low * (1 + _FLAT):
        low, high = _round_below(low), 1 / _round_below(1 / high)
        if high <= low * (1 + _FLAT):
            low, high = low / 2, high * 2
    pitch = length / (math.log10(high) - math.log10(low))
    every = max(1, math.ceil(_PIXELS_PER_TICK / 2 / pitch))
    ticks = []
    for decade in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        for digit in range(1, 10) if every == 1 else (1,) if decade % every == 0 else ():
            value = digit * 10.0**decade
            # Within few decades 2 and 5 are named too, else there would be one number or none.
            named = digit == 1 or (digit in (2, 5) and pitch > 2 * _PIXELS_PER_TICK)
            if low * (1 - _FLAT) <= value <= high * (1 + _FLAT):
                ticks.append((value, f"{value:g}" if named else ""))
    return Axis(low, high, length, log=True, ticks=tuple(ticks))


def _round_below(value: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is not above `value`."""
    decade = 10.0 ** math.floor(math.log10(value) + _FLAT)
    return max(digit * decade for digit in (1, 2, 5) if digit * decade <= value * (1 + _FLAT))


def _round_step(step: float) -> float:
    """The smallest of 1, 2, 2.5 and 5 times a power of ten that is not below `step`."""
    decade = 10.0 ** math.floor(math.log10(step))
    return next(digit * decade for digit in _ROUND_STEPS if digit * decade >= step * (1 - _FLAT))


def _words(value: float, step: float, ticks: list[float]) -> str:
    """The number in as many digits as tell it from its neighbours."""
    largest = max(abs(tick) for tick in ticks)
    if largest >= _EXPONENT_FROM or largest < _EXPONENT_BELOW:
        # Two more than the digits before the step's: a step of 2.5 has one of its own.
        return f"{value:.{max(1, math.ceil(math.log10(max(largest, step) / step))) + 1}g}"
    decimals = next(digits for digits in range(20) if math.isclose(round(step, digits), step, rel_tol=_FLAT))
    return f"{value:.{decimals}f}"
