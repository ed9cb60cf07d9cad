"""How patient a live source is with its camera, and what it counts."""

from __future__ import annotations

import math
from dataclasses import dataclass

from amfac_edge.errors import InputError

__all__ = ["CameraCounts", "CameraLimits"]

# What the system's own clocks are asked to wait.
_WAITED = frozenset({"open_s", "stall_s", "first_wait_s", "longest_wait_s"})
_LONGEST_WAIT_S = 1e6


@dataclass(frozen=True)
class CameraLimits:
    """How patient a live source is, all in seconds.

    Attributes:
        open_s: for the first frame of a first connection.
        stall_s: without a frame, after which the connection is given up.
        max_age_s: an older frame is not handed over.
        first_wait_s: before the first try to connect again; each later one waits twice as long.
        longest_wait_s: before any try to connect again.
        outage_s: without a frame, after which the source ends with an error; None never ends.
        hung_s: after which the source ends with an error where so many readers hang that no other one is started.
        run_s: after the first frame, when the source ends; None never ends.
    """

    open_s: float = 10.0
    stall_s: float = 2.0
    max_age_s: float = 1.0
    first_wait_s: float = 0.5
    longest_wait_s: float = 10.0
    outage_s: float | None = None
    hung_s: float = 60.0
    run_s: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            most = _LONGEST_WAIT_S if name in _WAITED else math.inf
            if value is not None and not 0 < value <= most:
                cure = f"Give seconds above 0{f', up to {most:g}' if name in _WAITED else ''}."
                raise InputError(f"{name} of a camera: {value:g} seconds", cure=cure)


@dataclass(frozen=True)
class CameraCounts:
    """What has happened so far.

    Attributes:
        arrived: frames that the camera sent.
        handed: frames that were handed over.
        dropped: frames that gave way to newer ones, or were too old.
        stalls: times that no frame came for too long, or the connection ended.
        connections: connections that gave a frame, the first one among them.
        connected: whether frames are coming now.
    """

    arrived: int = 0
    handed: int = 0
    dropped: int = 0
    stalls: int = 0
    connections: int = 0
    connected: bool = False
