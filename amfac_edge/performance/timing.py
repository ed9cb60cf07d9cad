"""Series of samples: one call after another, the next one starting when the last one has ended."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from amfac_edge.errors import MachineError
from amfac_edge.machine.load import cpu_seconds_of_others, slept_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["BUSY", "MODES", "Limits", "overhead_us", "series", "with_others"]

BUSY = 0.1
"""More than that of a core, taken by others, and a figure is worth less."""

_Result = TypeVar("_Result")
_SUSPENDED_S = 0.01
_TRIALS = 2000


@dataclass(frozen=True)
class Limits:
    """When a series ends: after `iterations`, or after `seconds` and at least `fewest` samples.

    Attributes:
        seconds: of each series.
        iterations: exact number of samples instead, None for the time.
        warmup: calls before the first sample; slow ones end after `seconds` too.
        fewest: samples that a timed series has at least.
        most: samples after which a timed series ends early; None for no such number.
        pauses: of a frame after the machine stood idle: how often.
        pause_s: how long it stands idle each time, in seconds.
    """

    seconds: float = 3.0
    iterations: int | None = None
    warmup: int = 10
    fewest: int = 10
    most: int | None = None
    pauses: int = 3
    pause_s: float = 1.0


# 64 samples are the fewest for a p90, 662 for a p99; 600 s are what MLPerf asks of a single stream.
MODES = {"quick": Limits(30.0, fewest=64, most=1000), "full": Limits(600.0, fewest=662, pause_s=10.0)}


def series(call: Callable[[], object], limits: Limits) -> list[float]:
    """Milliseconds of one `call` after another, after the warm-up.

    Raises:
        MachineError: the clock stood still or went back, or the machine was suspended: the samples mean nothing.
    """
    clock = time.perf_counter
    end = clock() + limits.seconds
    for _ in range(limits.warmup):
        call()
        if clock() >= end:
            break
    samples: list[float] = []
    slept = slept_seconds()
    end = clock() + limits.seconds
    while not _is_done(samples, limits, clock() >= end):
        started = clock()
        call()
        samples.append((clock() - started) * 1e3)
    _check_clock(samples, slept_seconds() - slept)
    return samples


def overhead_us() -> float:
    """What taking a sample costs beside the call itself, in microseconds: the same loop around nothing."""
    started = time.perf_counter()
    series(_nothing, Limits(iterations=_TRIALS, warmup=0))
    return (time.perf_counter() - started) / _TRIALS * 1e6


def with_others(work: Callable[[], _Result]) -> tuple[_Result, float | None]:
    """The result of `work`, and what other processes took of the CPU meanwhile: 1.0 is one core, None is unknown."""
    before, began = cpu_seconds_of_others(), time.perf_counter()
    result = work()
    after, lasted = cpu_seconds_of_others(), time.perf_counter() - began
    return result, None if before is None or after is None else max(after - before, 0.0) / lasted


def _nothing() -> None:
    pass


def _is_done(samples: Sequence[float], limits: Limits, time_is_up: bool) -> bool:  # noqa: FBT001 - private
    if limits.iterations is not None:
        return len(samples) >= limits.iterations
    if limits.most is not None and len(samples) >= limits.most:
        return True
    return time_is_up and len(samples) >= limits.fewest


def _check_clock(samples: Sequence[float], suspended_s: float) -> None:
    if samples and min(samples) <= 0:
        raise MachineError(
            f"the clock jumped: one of {len(samples)} calls took {min(samples):.6f} ms by it",
            cure="Measure again; in a virtual machine see that its clock source is a steady one (tsc, kvm-clock).",
        )
    if suspended_s > _SUSPENDED_S:
        raise MachineError(
            f"the machine was suspended for {suspended_s:.1f} s while it was measured, and its clock stood still",
            cure="Measure again with suspending switched off: systemd-inhibit amfac-bench ..., say.",
        )
