"""Names to arrays over an inference engine: the one place that runs a network."""

from __future__ import annotations

from amfac_edge.sessions.ahead import Ticket
from amfac_edge.sessions.cores import usable_cores
from amfac_edge.sessions.cuda import CUDA_LIBRARIES
from amfac_edge.sessions.gpu_arrays import OnGpu, on_gpu
from amfac_edge.sessions.lost_manifest import UNKNOWN
from amfac_edge.sessions.opening import (
    PROVIDERS,
    WAITS,
    GpuOptions,
    PoseGpuOptions,
    open_detector_session,
    open_session,
)
from amfac_edge.sessions.session import (
    CuttingSession,
    DetectorSession,
    EngineTimes,
    FrameSession,
    PoseSession,
    SessionSettings,
    TimedSession,
)

__all__ = [
    "CUDA_LIBRARIES",
    "PROVIDERS",
    "UNKNOWN",
    "WAITS",
    "CuttingSession",
    "DetectorSession",
    "EngineTimes",
    "FrameSession",
    "GpuOptions",
    "OnGpu",
    "PoseGpuOptions",
    "PoseSession",
    "SessionSettings",
    "Ticket",
    "TimedSession",
    "on_gpu",
    "open_detector_session",
    "open_session",
    "usable_cores",
]
