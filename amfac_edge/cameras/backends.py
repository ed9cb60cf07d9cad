"""Which library reads a camera on this machine, and what to do where none can."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.cameras.captures import OpenCvCapture, opencv_has_gstreamer
from amfac_edge.cameras.gstreamer import PACKAGES, AppsinkCapture, pygobject_has_gstreamer
from amfac_edge.cameras.live_limits import CameraLimits
from amfac_edge.cameras.live_source import LiveSource
from amfac_edge.cameras.pipelines import camera_pipeline
from amfac_edge.errors import MachineError
from amfac_edge.machine.jetson import read_jetson
from amfac_edge.machine.packages import OPENCV, Packages

if TYPE_CHECKING:
    from collections.abc import Callable

    from amfac_edge.cameras.addresses import CameraAddress
    from amfac_edge.cameras.captures import Capture

__all__ = ["camera_connection", "open_camera"]


def open_camera(
    address: CameraAddress, limits: CameraLimits | None = None, tell: Callable[[str], None] | None = None
) -> LiveSource:
    """The newest frames of the camera at `address`.

    Raises:
        FrameError: no frame comes from it.
        MachineError: nothing on this machine can read it.
    """
    limits = limits or CameraLimits()
    return LiveSource(address, camera_connection(address, limits), limits, tell)


def camera_connection(
    address: CameraAddress, limits: CameraLimits, *, jetson: bool | None = None
) -> Callable[[], Capture]:
    """What opens a connection to `address`, by the first of these that this machine has.

    GStreamer in OpenCV, then GStreamer by PyGObject; on a Jetson for every camera, elsewhere for what needs it. Then
    FFmpeg (rtsp) and Video4Linux (v4l2) in OpenCV.

    Args:
        address: of the camera.
        limits: of which FFmpeg is told those that are about a stream that sends nothing.
        jetson: whether this is one; None looks.

    Raises:
        MachineError: a camera that only GStreamer reads, and there is none.
        MissingExtraError: OpenCV is not installed.
    """
    on_jetson = read_jetson(Path("/"), os.environ) is not None if jetson is None else jetson
    opened = functools.partial(OpenCvCapture, address, open_s=limits.open_s, read_s=limits.stall_s)
    if on_jetson or address.kind in {"csi", "gst"}:
        pipeline = camera_pipeline(address, jetson=on_jetson)
        if opencv_has_gstreamer():
            return functools.partial(opened, pipeline=pipeline)
        if pygobject_has_gstreamer():
            return functools.partial(AppsinkCapture, address, pipeline)
        if address.kind in {"csi", "gst"}:
            raise _no_gstreamer(address, jetson=on_jetson)
    return functools.partial(opened, pipeline=None)


def _no_gstreamer(address: CameraAddress, *, jetson: bool) -> MachineError:
    of_pip = [name for name, _ in Packages().installed(OPENCV).items()]
    problem = f"{address.name} is read by GStreamer, which this OpenCV was built without"
    if of_pip and jetson:
        problem += f": {' and '.join(of_pip)} of pip hides JetPack's OpenCV, which has it"
        return MachineError(problem, cure=f"pip uninstall -y {' '.join(of_pip)}; amfac-doctor says what else is wrong.")
    return MachineError(
        problem,
        cure=f"No wheel of OpenCV has it: apt install {PACKAGES}, and use an environment with --system-site-packages.",
    )
