"""The One-Euro filter over the joints of one person: calm where they rest, close behind where they move.

Casiez, Roussel and Vogel, "1€ Filter: A Simple Speed-based Low-pass Filter for Noisy Input in Interactive Systems",
CHI 2012. A first-order low-pass whose cutoff frequency grows with the speed:

    cutoff = min_cutoff + beta · |speed|,    alpha = 1 / (1 + 1 / (2π · cutoff · dt))

Two things differ from the paper. Speeds are in lengths of the person a second, so that the same settings fit everybody
at any distance. And dt comes from the time stamps, so that dropped frames are what they are: a longer time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["OneEuro", "Smoothing"]


@dataclass(frozen=True)
class Smoothing:
    """How much is smoothed.

    Attributes:
        min_cutoff: in Hz, of a joint at rest: lower is calmer.
        beta: Hz more for each length of the person a second: higher follows faster.
        speed_cutoff: in Hz, of the speed's own low-pass.
        longest_gap: in seconds; after a longer one the joints are taken as they are.
    """

    min_cutoff: float = 1.5
    beta: float = 8.0
    speed_cutoff: float = 2.0
    longest_gap: float = 0.5


class OneEuro:
    """The filter's state for one person's joints."""

    def __init__(self, smoothing: Smoothing) -> None:
        self._smoothing = smoothing
        self._time = -math.inf
        self._places: NDArray[np.float64] | None = None
        self._speeds: NDArray[np.float64] | None = None

    def smoothed(self, time: float, keypoints: NDArray[np.floating], size: float) -> NDArray[np.float64]:
        """The joints at `time`, smoothed.

        A time that isn't later than the last one, or is much later, starts anew: the joints come back as they are.

        Args:
            time: in seconds.
            keypoints: (K, 2) in frame pixels.
            size: length of the person, in frame pixels.

        Returns:
            (K, 2) float64.
        """
        settings, elapsed = self._smoothing, time - self._time
        self._time = time
        new = keypoints.astype(np.float64)
        if self._places is None or self._speeds is None or not 0 < elapsed <= settings.longest_gap:
            self._places, self._speeds = new, np.zeros_like(new)
            return new
        speeds = (new - self._places) / elapsed / max(size, 1.0)
        self._speeds = self._speeds + _alpha(settings.speed_cutoff, elapsed) * (speeds - self._speeds)
        cutoffs = settings.min_cutoff + settings.beta * np.linalg.norm(self._speeds, axis=1, keepdims=True)
        self._places = self._places + _alpha(cutoffs, elapsed) * (new - self._places)
        return self._places


def _alpha(cutoff: NDArray[np.float64] | float, elapsed: float) -> NDArray[np.float64] | float:
    return 1 / (1 + 1 / (2 * math.pi * cutoff * elapsed))
