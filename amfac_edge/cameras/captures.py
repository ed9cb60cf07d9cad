"""One connection to a camera, through whichever library reads it: pictures until it ends."""

from __future__ import annotations

import contextlib
import math
import os
import re
import threading
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from amfac_edge.errors import FrameError
from amfac_edge.keypoints import load_opencv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from amfac_edge.cameras.addresses import CameraAddress
    from amfac_edge.keypoints import Bgr

__all__ = ["Capture", "OpenCvCapture", "Picture", "opencv_has_gstreamer"]

_OPTIONS_VARIABLE = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_LOG_VARIABLE, _QUIET = "OPENCV_FFMPEG_LOGLEVEL", "-8"
# Half a second of looking at the stream is enough for its size; FFmpeg's own five delay every connection.
_LOOK = "analyzeduration;500000|probesize;500000"
_MOST_FPS = 1_000.0
# OpenCV's LOG_LEVEL_SILENT.
_SILENT = 0


class Picture(NamedTuple):
    """(H, W, 3) uint8 BGR or (H, W, 4) BGRx, and its time by the stream's own clock in seconds, where it has one."""

    image: Bgr
    source_time: float | None


class Capture(Protocol):
    """An open connection; whoever has it reads and closes it in one thread.

    Attributes:
        fps: frames a second, as announced; None where it is not.
    """

    fps: float | None

    def read(self) -> Picture | None:
        """The next picture, None where the connection has ended. It may take as long as it likes."""
        ...  # pragma: no cover - a protocol has no body

    def give_up(self) -> None:
        """Let a waiting `read` end soon, if that can be; the one method for other threads."""
        ...  # pragma: no cover - a protocol has no body

    def close(self) -> None:
        """Give it back; a second time is one too many and does nothing."""
        ...  # pragma: no cover - a protocol has no body


def opencv_has_gstreamer() -> bool:
    """Whether this OpenCV reads GStreamer pipelines; those of pip never do.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    return bool(re.search(r"GStreamer:\s+YES", load_opencv("reading cameras").getBuildInformation()))


class OpenCvCapture:
    """A connection of OpenCV's.

    Args:
        address: of the camera.
        pipeline: of GStreamer, for an OpenCV that has it; None for Video4Linux and FFmpeg.
        open_s: after which FFmpeg gives up a network stream that doesn't begin.
        read_s: after which it gives up one that sends nothing.

    Raises:
        FrameError: it can't be opened.
        MissingExtraError: OpenCV is not installed.
    """

    def __init__(self, address: CameraAddress, *, pipeline: str | None, open_s: float, read_s: float) -> None:
        self._cv2 = load_opencv("reading cameras")
        self._capture: Any = self._opened(address, pipeline, (open_s, read_s))
        if not self._capture.isOpened():
            self._capture.release()
            raise FrameError(f"{address.name}: can't be opened", cure=_cure(address))
        fps = self._capture.get(self._cv2.CAP_PROP_FPS)
        self.fps = fps if math.isfinite(fps) and 0 < fps <= _MOST_FPS else None

    def read(self) -> Picture | None:
        """See `Capture.read`."""
        there, image = self._capture.read()
        if not there or image is None:
            return None
        milliseconds = self._capture.get(self._cv2.CAP_PROP_POS_MSEC)
        known = math.isfinite(milliseconds) and milliseconds > 0
        return Picture(image, milliseconds / 1e3 if known else None)

    def give_up(self) -> None:
        """See `Capture.give_up`: OpenCV's `read` can't be woken, and ends by its own limits or never."""

    def close(self) -> None:
        """See `Capture.close`."""
        self._capture.release()

    def _opened(self, address: CameraAddress, pipeline: str | None, patience: tuple[float, float]) -> Any:  # noqa: ANN401 - cv2's
        cv2 = self._cv2
        with _opening.of(cv2, address.options.get("transport", "tcp")):
            if pipeline is not None:
                return cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER)
            if address.kind == "v4l2":
                capture = cv2.VideoCapture(address.place, cv2.CAP_V4L2)
                for key, value in _v4l2_settings(cv2, address):
                    capture.set(key, value)
                return capture
            limits = _ffmpeg_limits(cv2, *patience)
            return cv2.VideoCapture(address.place, cv2.CAP_FFMPEG, limits)


def _ffmpeg_limits(cv2: Any, open_s: float, read_s: float) -> list[int]:  # noqa: ANN401
    limits = {
        "CAP_PROP_OPEN_TIMEOUT_MSEC": max(1, round(open_s * 1e3)),
        "CAP_PROP_READ_TIMEOUT_MSEC": max(1, round(read_s * 1e3)),
        # Threads that decode ahead hold frames back.
        "CAP_PROP_N_THREADS": 1,
    }
    # OpenCV 4.5 doesn't have all of them.
    return [number for name, value in limits.items() if hasattr(cv2, name) for number in (getattr(cv2, name), value)]


def _v4l2_settings(cv2: Any, address: CameraAddress) -> Iterator[tuple[int, float]]:  # noqa: ANN401
    code = "YUYV" if address.options.get("format") == "yuyv" else "MJPG"
    yield cv2.CAP_PROP_FOURCC, cv2.VideoWriter_fourcc(*code)
    asked = (
        (cv2.CAP_PROP_FRAME_WIDTH, address.width),
        (cv2.CAP_PROP_FRAME_HEIGHT, address.height),
        (cv2.CAP_PROP_FPS, address.fps),
    )
    yield from ((key, value) for key, value in asked if value is not None)
    yield cv2.CAP_PROP_BUFFERSIZE, 1


class _Opening:
    """What OpenCV has for the whole process only, set while cameras are being opened.

    FFmpeg's options come from the environment; who has set the variable knows better. OpenCV's log is off, since it
    quotes addresses and pipelines with the passwords in them. So is FFmpeg's, for good: connections that stand use it
    too, and OpenCV reads the variable once, before the first camera or video of the process. Cameras open side by side,
    but for those with another transport.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._transport = ""
        self._count = 0
        self._restore: list[Callable[[], object]] = []

    @contextlib.contextmanager
    def of(self, cv2: Any, transport: str) -> Iterator[None]:  # noqa: ANN401
        with self._changed:
            self._changed.wait_for(lambda: not self._count or transport == self._transport)
            self._count += 1
            if self._count == 1:
                self._set(cv2, transport)
        try:
            yield
        finally:
            with self._changed:
                self._count -= 1
                while not self._count and self._restore:
                    self._restore.pop()()
                self._changed.notify_all()

    def _set(self, cv2: Any, transport: str) -> None:  # noqa: ANN401
        self._transport = transport
        os.environ.setdefault(_LOG_VARIABLE, _QUIET)
        # Builds of OpenCV 4.5 and 4.6 have one of the two.
        log_level = getattr(getattr(getattr(cv2, "utils", None), "logging", cv2), "setLogLevel", None)
        if log_level is not None:
            before = log_level(_SILENT)
            self._restore.append(lambda: log_level(before))
        if _OPTIONS_VARIABLE not in os.environ:
            os.environ[_OPTIONS_VARIABLE] = f"rtsp_transport;{transport}|{_LOOK}"
            self._restore.append(lambda: os.environ.pop(_OPTIONS_VARIABLE, None))


_opening = _Opening()


def _cure(address: CameraAddress) -> str:
    if address.kind == "rtsp":
        return (
            "Check host, path, user and password with another player; transport=udp may be what the camera takes. "
            'An "@" of the path is written %40.'
        )
    if address.kind == "v4l2":
        return "Check that the device is there (ls /dev/video*), free, and yours to read (group video)."
    return (
        "Try the pipeline with gst-launch-1.0, with fakesink in the place of appsink. "
        'A name of the appsink\'s own must hold "appsink": OpenCV finds it by that.'
    )
