"""How an app is doing, at intervals: frames a second, how old frames are, where the time goes, what was dropped."""

from __future__ import annotations

import json
import sys
import threading
import time
from statistics import median
from typing import TYPE_CHECKING, Any

from amfac_edge.cameras import CameraCounts, LiveSource
from amfac_edge.machine.usage import board_watts, resident_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from amfac_edge.cameras import FrameSource
    from amfac_edge.live.loop import PosedFrame

__all__ = ["LiveStats", "stats_line", "stats_sentence"]

_STAGES = ("boxes", "crop", "network", "decode")
_HIGH = 0.95


class LiveStats:
    """Tells at intervals, from a thread of its own, so that a camera that sends nothing is told too.

    What is told is one JSON object:

        time            when, in seconds since 1970
        seconds         since the start
        frames, fps     that were posed in this interval; `total` since the start
        people          in those frames
        waited_ms       median, p95 and max time from a frame's arrival to its hand-over; null for files
        age_ms          the same to the time when its poses were there
        stages_ms       median time of boxes (a detector's, where it was asked), crop, network and decode
        arrived, dropped, stalls, connections, connected    of a camera, since the start; null for files
        rss_mb          resident memory of this process
        watts           of the whole board; null where that can't be read

    Args:
        source: of the frames.
        every_s: seconds between two of them.
        listeners: are told, one after the other. One that raises is not told again.
    """

    def __init__(
        self, source: FrameSource, every_s: float, listeners: Sequence[Callable[[dict[str, Any]], None]]
    ) -> None:
        self._source = source
        self._every_s = every_s
        self._listeners = list(listeners)
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._began = self._told = time.monotonic()
        self._total = 0
        self._interval: list[tuple[float, float, int, tuple[float, ...]]] = []
        self._thread = threading.Thread(target=self._run, name="stats", daemon=True)

    def add(self, posed: PosedFrame) -> None:
        """Count a frame whose poses are there now."""
        age = posed.frame.age(time.monotonic())
        row = (posed.frame.waited, age, len(posed.poses), (posed.find_ms, *posed.times))
        with self._lock:
            self._total += 1
            self._interval.append(row)

    def __enter__(self) -> LiveStats:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._tell()

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            self._tell()

    def _tell(self) -> None:
        stats = self._now()
        for listener in tuple(self._listeners):
            try:
                listener(stats)
            except (OSError, ValueError):  # a full disk or a closed pipe must not end the app  # noqa: PERF203
                self._listeners.remove(listener)
            except Exception as error:  # noqa: BLE001 - nor must a fault of the app's own listener, which is told
                self._listeners.remove(listener)
                fault = f"{type(error).__name__}: {error}"
                sys.stderr.write(f"a listener of the statistics failed, and is told no more: {fault}\n")

    def _now(self) -> dict[str, Any]:
        now = time.monotonic()
        with self._lock:
            rows, self._interval = self._interval, []
            total, told, self._told = self._total, self._told, now
        counts = self._source.counts() if isinstance(self._source, LiveSource) else None
        watts = board_watts()
        return {
            "time": round(time.time(), 3),
            "seconds": round(now - self._began, 3),
            "frames": len(rows),
            "fps": round(len(rows) / (now - told), 2) if now > told else 0.0,
            "total": total,
            "people": sum(row[2] for row in rows),
            "waited_ms": _spread([row[0] for row in rows]) if counts else None,
            "age_ms": _spread([row[1] for row in rows]) if counts else None,
            "stages_ms": _stages([row[3] for row in rows]),
            **_of_camera(counts),
            "rss_mb": round(resident_bytes() / 1e6, 1),
            "watts": None if watts is None else round(watts, 2),
        }


def stats_sentence(stats: dict[str, Any]) -> str:
    """The same for people, in a line."""
    words = [f"{stats['fps']:.1f} fps"]
    if stats["age_ms"]:
        waited, age = stats["waited_ms"], stats["age_ms"]
        words.append(f"frames {waited['median']:.0f} ms old at hand-over (p95 {waited['p95']:.0f})")
        words.append(f"{age['median']:.0f} ms with their poses (p95 {age['p95']:.0f})")
    if stats["stages_ms"]:
        words.append("ms: " + ", ".join(f"{name} {value:.1f}" for name, value in stats["stages_ms"].items()))
    if stats["arrived"] is not None:
        words.append(f"{stats['dropped']:,} of {stats['arrived']:,} dropped")
        if stats["stalls"]:
            words.append(f"camera lost {stats['stalls']:,} times")
        if not stats["connected"]:
            words.append("no camera now")
    words.append(f"{stats['rss_mb']:.0f} MB")
    if stats["watts"] is not None:
        words.append(f"{stats['watts']:.1f} W")
    return "; ".join(words)


def stats_line(stats: dict[str, Any]) -> str:
    """The same for programs, a line of JSON."""
    return json.dumps(stats, allow_nan=False) + "\n"


def _of_camera(counts: CameraCounts | None) -> dict[str, Any]:
    names = ("arrived", "dropped", "stalls", "connections", "connected")
    return {name: None if counts is None else getattr(counts, name) for name in names}


def _spread(seconds: list[float]) -> dict[str, float] | None:
    if not seconds:
        return None
    ordered = sorted(seconds)
    high = ordered[min(len(ordered) - 1, int(_HIGH * len(ordered)))]
    values = {"median": median(ordered), "p95": high, "max": ordered[-1]}
    return {name: round(value * 1e3, 2) for name, value in values.items()}


def _stages(rows: list[tuple[float, ...]]) -> dict[str, float] | None:
    if not rows:
        return None
    return {name: round(median(column), 3) for name, column in zip(_STAGES, zip(*rows, strict=True), strict=True)}
