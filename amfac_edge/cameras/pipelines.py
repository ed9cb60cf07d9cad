"""GStreamer pipelines of cameras: as text, so that everybody can read what runs.

On a Jetson the board's own parts do the work: `nvarguscamerasrc` takes CSI cameras, `nvv4l2decoder` decodes H.264,
H.265 and MJPEG on NVDEC and NVJPG, and `nvvidconv` converts and scales on VIC. Its BGRx frames are taken as they are:
making BGR of them would be a copy of every frame on the CPU. Elsewhere GStreamer's own elements are used.

Every pipeline ends in an `appsink` that holds one frame and drops the older one, so that no frame waits.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amfac_edge.cameras.addresses import CameraAddress

__all__ = ["SINK", "camera_pipeline"]

SINK = "amfac_appsink"
"""The name of the appsink of a pipeline that was made here. OpenCV finds a sink by "appsink" in its name."""

_NEWEST = f"appsink name={SINK} drop=true max-buffers=1 sync=false"
_BGRX = "video/x-raw,format=BGRx"
_BGR = "videoconvert ! video/x-raw,format=BGR"
_LEAKY = "queue max-size-buffers=1 leaky=downstream"


def camera_pipeline(address: CameraAddress, *, jetson: bool) -> str:
    """The pipeline that reads the camera at `address`.

    Args:
        address: of the camera.
        jetson: whether this is a Jetson, with its own decoders.
    """
    stages = {"csi": _csi, "v4l2": _v4l2, "rtsp": _rtsp, "gst": _given}[address.kind](address, jetson)
    return " ! ".join(stages)


def _csi(address: CameraAddress, _jetson: bool) -> list[str]:  # noqa: FBT001 - private
    flip = address.options.get("flip", "0")
    return [
        f"nvarguscamerasrc sensor-id={address.place}",
        f"video/x-raw(memory:NVMM),{_size(address)}format=NV12",
        f"nvvidconv flip-method={flip}",
        _BGRX,
        _NEWEST,
    ]


def _v4l2(address: CameraAddress, jetson: bool) -> list[str]:  # noqa: FBT001
    source = f"v4l2src device={_quoted(address.place)} do-timestamp=true"
    if address.options.get("format", "mjpeg") == "yuyv":
        return [source, f"video/x-raw,{_size(address)}format=YUY2", *_converted(jetson), _NEWEST]
    stages = [source, f"image/jpeg,{_size(address)}".rstrip(",")]
    return [*stages, "nvv4l2decoder mjpeg=1" if jetson else "jpegdec", *_converted(jetson), _NEWEST]


def _rtsp(address: CameraAddress, jetson: bool) -> list[str]:  # noqa: FBT001
    transport = address.options.get("transport", "tcp")
    source = f"rtspsrc location={_quoted(address.place)} latency=0 drop-on-latency=true protocols={transport}"
    codec = address.options.get("codec", "h264")
    decoder = "nvv4l2decoder enable-max-performance=1" if jetson else f"avdec_{codec}"
    # No size: nvvidconv would stretch the frame to it. `LiveSource` scales network cameras, in their shape.
    return [source, f"rtp{codec}depay", f"{codec}parse", decoder, *_converted(jetson), _NEWEST]


def _given(address: CameraAddress, _jetson: bool) -> list[str]:  # noqa: FBT001
    pipeline = address.place.rstrip("! \n")
    return [pipeline] if re.search(r"(^|!)\s*appsink\b", pipeline) else [pipeline, _BGR, _NEWEST]


def _converted(jetson: bool) -> list[str]:  # noqa: FBT001
    return [_LEAKY, "nvvidconv", _BGRX] if jetson else [_LEAKY, _BGR]


def _size(address: CameraAddress) -> str:
    """Caps of what was asked for, each with a comma behind it."""
    rate = address.fps
    # GStreamer wants a fraction: 29.97 is 2997/100.
    whole = rate is not None and rate == int(rate)
    fps = "" if rate is None else f"framerate={int(rate)}/1," if whole else f"framerate={round(rate * 100)}/100,"
    sides = (("width", address.width), ("height", address.height))
    return "".join(f"{name}={value}," for name, value in sides if value is not None) + fps


def _quoted(value: str) -> str:
    """A value as one word of a pipeline, whatever is in it."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
