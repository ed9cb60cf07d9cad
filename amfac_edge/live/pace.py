"""How fast an app goes right now, over its last frames."""

from __future__ import annotations

import time
from collections import deque
from statistics import fmean
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amfac_edge.live.loop import PosedFrame

__all__ = ["Pace"]

_FRAMES = 60
_STAGES = ("boxes", "crop", "network", "decode")


class Pace:
    """Figures of the last 60 frames, in bounded memory. One thread at a time calls it."""

    def __init__(self) -> None:
        self.frames = 0
        """How many frames there were."""
        self._times: deque[float] = deque(maxlen=_FRAMES)
        self._stages: deque[tuple[float, ...]] = deque(maxlen=_FRAMES)
        self._people = 0

    def add(self, posed: PosedFrame) -> None:
        """Count a frame whose poses are there now."""
        self.frames += 1
        self._people = len(posed.poses)
        self._times.append(time.monotonic())
        self._stages.append((posed.find_ms, *posed.times))

    def figures(self) -> dict[str, Any]:
        """`frames` (all), `fps` (None before the second one), `people` (in the last one), `stages_ms` (means)."""
        times = self._times
        elapsed = times[-1] - times[0] if times else 0.0
        stages = zip(_STAGES, zip(*self._stages, strict=True), strict=True) if self._stages else ()
        return {
            "frames": self.frames,
            "fps": round((len(times) - 1) / elapsed, 2) if elapsed > 0 else None,
            "people": self._people,
            "stages_ms": {name: round(fmean(column), 2) for name, column in stages},
        }

    def sentence(self) -> str:
        """The same on a picture, in ASCII."""
        figures = self.figures()
        fps = "" if figures["fps"] is None else f"{figures['fps']:.1f} fps"
        people = f"{figures['people']} {'person' if figures['people'] == 1 else 'people'}"
        busy = f"{sum(figures['stages_ms'].values()):.0f} ms a frame"
        return ", ".join(filter(None, (fps, people, busy)))
