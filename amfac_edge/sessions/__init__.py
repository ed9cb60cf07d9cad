"""Names to arrays over an inference engine: the one place that runs a network."""

from __future__ import annotations

from amfac_edge.sessions.ahead import Ticket
from amfac_edge.sessions.cores import usable_cores
from amfac_edge.sessions.gpu_arrays import OnGpu
from amfac_edge.sessions.opening import open_session
from amfac_edge.sessions.session import CuttingSession, FrameSession, PoseSession, SessionSettings

__all__ = [
    "CuttingSession",
    "FrameSession",
    "OnGpu",
    "PoseSession",
    "SessionSettings",
    "Ticket",
    "open_session",
    "usable_cores",
]
