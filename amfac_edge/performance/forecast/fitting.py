"""What engines attain, learnt from runs that somebody timed: a prior, narrowed by each of them.

The four numbers of `Attained` are log-normal. Each timed run says how long its kernels took together; the numbers that
explain all runs best, given the prior, are found by damped Gauss-Newton steps, and their spread by the curvature there
(Laplace's approximation). With no run at all the prior is the answer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.performance.forecast.roofline import Attained, time_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from amfac_edge.performance.forecast.roofline import Load, Peaks, Shares

__all__ = ["Belief", "TimedRun", "learnt"]

# Nine of ten lie between low and high: 1.645 standard deviations on either side.
_NINE_OF_TEN = 1.645
# How far a roofline is off a run that it knows all about, in natural logarithms; the spread of a row's own reading.
_ROW_SD = 0.1
_STEPS, _NUDGE, _ENOUGH = 60, 1e-4, 1e-9


@dataclass(frozen=True)
class TimedRun:
    """A run that somebody timed: its name, its kernels, the machine's peaks, and milliseconds."""

    name: str
    load: Load
    peaks: Peaks
    ms: float


@dataclass(frozen=True, eq=False)
class Belief:
    """What an engine is believed to attain on a machine.

    Attributes:
        centre: (4,) natural logarithms of `Attained`.
        covariance: (4, 4) of them.
        shares: of what `compute` attains, for other layers than those of tensor cores.
        model_sd: how far the model itself is off, in natural logarithms; part of every forecast's spread.
        sources: what it was learnt from, for people.
    """

    centre: NDArray[np.float64]
    covariance: NDArray[np.float64]
    shares: Shares
    model_sd: float
    sources: tuple[str, ...] = ()

    @classmethod
    def prior(cls, ranges: Sequence[tuple[float, float, float]], *, shares: Shares, source: str) -> Belief:
        """From (low, mid, high) of the four numbers, nine of ten lying between low and high."""
        centre = np.log([mid for _, mid, _ in ranges])
        spread = np.array([math.log(high / low) / (2 * _NINE_OF_TEN) for low, _, high in ranges])
        return cls(centre, np.diag(spread**2), shares, _ROW_SD, (source,))

    @property
    def attained(self) -> Attained:
        """The most probable numbers."""
        return Attained(*np.exp(self.centre).tolist())

    def widened(self, sd: float) -> Belief:
        """For another board of the kind: bandwidth, compute and launches may each differ by `sd`."""
        more = np.diag([sd**2, sd**2, sd**2, 0.0])
        return replace(self, covariance=self.covariance + more)

    def forecast(self, load: Load, peaks: Peaks) -> tuple[float, float, float, dict[str, float]]:
        """Low, mid and high milliseconds, nine of ten runs being expected between, and what binds."""
        mid, shares = time_ms(load, peaks, self.attained, self.shares)
        slope = self._slope(self.centre, load, peaks)
        spread = math.exp(_NINE_OF_TEN * math.sqrt(float(slope @ self.covariance @ slope) + self.model_sd**2))
        return mid / spread, mid, mid * spread, shares

    def _log_ms(self, centre: NDArray[np.float64], load: Load, peaks: Peaks) -> float:
        return math.log(time_ms(load, peaks, Attained(*np.exp(centre).tolist()), self.shares)[0])

    def _slope(self, centre: NDArray[np.float64], load: Load, peaks: Peaks) -> NDArray[np.float64]:
        """(4,) change of the logarithm of the time with each number."""
        steps = np.eye(len(centre)) * _NUDGE
        return np.array([
            (self._log_ms(centre + step, load, peaks) - self._log_ms(centre - step, load, peaks)) / (2 * _NUDGE)
            for step in steps
        ])  # fmt: skip


def learnt(belief: Belief, runs: Sequence[TimedRun], *, source: str) -> Belief:
    """`belief` after `runs`; without any, itself."""
    if not runs:
        return belief
    precision = np.asarray(np.linalg.inv(belief.covariance), np.float64)
    centre, damping = belief.centre, 1e-3
    best = _misfit(belief, centre, precision, runs)
    for _ in range(_STEPS):
        slopes, residuals = _linearised(belief, centre, runs)
        normal = precision + slopes.T @ slopes / _ROW_SD**2
        downhill = precision @ (belief.centre - centre) - slopes.T @ residuals / _ROW_SD**2
        trial = centre + np.linalg.solve(normal + damping * np.diag(np.diag(normal)), downhill)
        misfit = _misfit(belief, trial, precision, runs)
        if abs(misfit - best) < _ENOUGH * best:
            break
        if misfit < best:
            centre, best, damping = np.asarray(trial, np.float64), misfit, damping / 3
        else:
            damping *= 4
    slopes, residuals = _linearised(belief, centre, runs)
    covariance = np.linalg.inv(precision + slopes.T @ slopes / _ROW_SD**2)
    # What the runs leave unexplained stays in every forecast.
    model_sd = max(_ROW_SD, float(np.sqrt(np.mean(residuals**2))))
    return replace(belief, centre=centre, covariance=covariance, model_sd=model_sd, sources=(*belief.sources, source))


def _linearised(
    belief: Belief, centre: NDArray[np.float64], runs: Sequence[TimedRun]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(P, 4) slopes and (P,) residuals, computed minus timed, in logarithms."""
    slopes = np.array([belief._slope(centre, run.load, run.peaks) for run in runs])  # noqa: SLF001 - one model
    residuals = np.array([belief._log_ms(centre, run.load, run.peaks) - math.log(run.ms) for run in runs])  # noqa: SLF001
    return slopes, residuals


def _misfit(
    belief: Belief, centre: NDArray[np.float64], precision: NDArray[np.float64], runs: Sequence[TimedRun]
) -> float:
    away = centre - belief.centre
    residuals = [belief._log_ms(centre, run.load, run.peaks) - math.log(run.ms) for run in runs]  # noqa: SLF001
    return float(away @ precision @ away) + sum(residual**2 for residual in residuals) / _ROW_SD**2
