"""Which of two artefacts of one network is the faster one here: measured in turn, never from two runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from amfac_edge.performance.measuring import people_boxes, still_frame
from amfac_edge.performance.timing import Limits, series
from amfac_edge.runtime import PoseEstimator

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SpeedRatio", "speed_ratio"]

_LIMITS = Limits(seconds=1.0)


@dataclass(frozen=True)
class SpeedRatio:
    """Two artefacts, one after the other in each round.

    Attributes:
        first_ms: each round's median milliseconds of a frame with the first one.
        second_ms: the same of the second one.
    """

    first_ms: tuple[float, ...]
    second_ms: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """How many times as fast the second one is: the median of the rounds' own ratios."""
        return median(first / second for first, second in zip(self.first_ms, self.second_ms, strict=True))

    @property
    def second_wins(self) -> bool:
        """Whether it was faster in every round."""
        return all(second < first for first, second in zip(self.first_ms, self.second_ms, strict=True))


def speed_ratio(
    first: Path, second: Path, *, rounds: int = 5, limits: Limits = _LIMITS, threads: int | None = None
) -> SpeedRatio:
    """Measure two artefacts, pixels to joints of one person in a 1920x1080 frame.

    Args:
        first: an artefact that this machine runs.
        second: another one.
        rounds: in each of which both are opened and measured, so that their threads don't disturb each other and a
            change of the machine's mood meets both.
        limits: of each measurement.
        threads: of the engine, None for this machine's cores.

    Raises:
        AmfacError: a file can't be used here; see `PoseEstimator`.
    """
    frame = still_frame()
    boxes = people_boxes(1, *frame.shape[:2])
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for path, found in zip((first, second), times, strict=True):
            with PoseEstimator(path, threads=threads) as estimator:
                found.append(median(series(partial(estimator, frame, boxes), limits)))
    return SpeedRatio(tuple(times[0]), tuple(times[1]))
