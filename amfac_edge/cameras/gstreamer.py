"""GStreamer by PyGObject, for an OpenCV that was built without it: the bindings are the system's, never pip's."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from amfac_edge.cameras.captures import Picture
from amfac_edge.cameras.pipelines import SINK
from amfac_edge.errors import FrameError, MachineError

if TYPE_CHECKING:
    from amfac_edge.cameras.addresses import CameraAddress

__all__ = ["PACKAGES", "AppsinkCapture", "pygobject_has_gstreamer"]

PACKAGES = "python3-gi gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-good"
"""What Debian and Ubuntu call them."""

# How often a wait for a frame looks whether the pipeline has failed or the capture was given up.
_LOOK_S = 0.25
_CHANNELS = {"BGR": 3, "BGRx": 4, "BGRA": 4}


@functools.cache
def _gstreamer() -> Any:  # noqa: ANN401 - PyGObject makes its modules at run time
    """The module `Gst`, initialised, or None."""
    try:
        import gi

        gi.require_version("Gst", "1.0")
        gi.require_version("GstApp", "1.0")
        from gi.repository import Gst, GstApp  # noqa: F401 - the second gives an appsink its methods
    except (ImportError, ValueError):
        return None
    Gst.init(None)
    return Gst


def pygobject_has_gstreamer() -> bool:
    """Whether PyGObject and GStreamer's descriptions are here for this Python."""
    return _gstreamer() is not None


def _glib_error() -> type[Exception]:
    from gi.repository import GLib

    return GLib.Error


class AppsinkCapture:
    """A pipeline that ends in an appsink.

    Args:
        address: of the camera.
        pipeline: its description.

    Raises:
        FrameError: no such element, or the pipeline doesn't start.
        MachineError: no GStreamer.
    """

    def __init__(self, address: CameraAddress, pipeline: str) -> None:
        gst = _gstreamer()
        if gst is None:
            raise MachineError(
                "no PyGObject with GStreamer here", cure="apt install python3-gi gir1.2-gst-plugins-base-1.0"
            )
        self._gst = gst
        self._address = address
        self._given_up = threading.Event()
        self.fps: float | None = None
        try:
            self._pipeline = gst.parse_launch(pipeline)
        except _glib_error() as error:
            raise self._fault(str(error)) from None
        self._sink = self._pipeline.get_by_name(SINK) or self._only_sink()
        self._bus = self._pipeline.get_bus()
        if self._pipeline.set_state(gst.State.PLAYING) == gst.StateChangeReturn.FAILURE:
            fault = self._failure() or "the pipeline doesn't start"
            self.close()
            raise self._fault(fault)

    def read(self) -> Picture | None:
        """See `Capture.read`.

        Raises:
            FrameError: the pipeline has failed, or its pictures are no BGR.
        """
        while not self._given_up.is_set():
            sample = self._sink.try_pull_sample(int(_LOOK_S * self._gst.SECOND))
            if sample is not None:
                return self._picture(sample)
            fault = self._failure()
            if fault is not None:
                raise self._fault(fault)
            if self._sink.is_eos():
                return None
        return None

    def give_up(self) -> None:
        """See `Capture.give_up`."""
        self._given_up.set()

    def close(self) -> None:
        """See `Capture.close`."""
        self.give_up()
        self._pipeline.set_state(self._gst.State.NULL)

    def _only_sink(self) -> Any:  # noqa: ANN401
        found = self._pipeline.iterate_sinks()
        sinks = []
        while True:
            result, sink = found.next()
            if result != self._gst.IteratorResult.OK:
                break
            sinks.append(sink)
        appsinks = [sink for sink in sinks if hasattr(sink, "try_pull_sample")]
        if len(appsinks) != 1:
            raise self._fault(f"{len(appsinks)} appsinks in the pipeline")
        return appsinks[0]

    def _failure(self) -> str | None:
        message = self._bus.pop_filtered(self._gst.MessageType.ERROR)
        return None if message is None else message.parse_error()[0].message

    def _picture(self, sample: Any) -> Picture:  # noqa: ANN401
        caps = sample.get_caps().get_structure(0)
        kind, width, height = caps.get_value("format"), caps.get_value("width"), caps.get_value("height")
        known, numerator, denominator = caps.get_fraction("framerate")
        self.fps = numerator / denominator if known and numerator and denominator else None
        if kind not in _CHANNELS:
            raise self._fault(f"its pictures are {kind}, not BGR or BGRx")
        buffer = sample.get_buffer()
        mapped, info = buffer.map(self._gst.MapFlags.READ)
        if not mapped:
            raise self._fault("a picture can't be read")
        try:
            rows = np.frombuffer(info.data, np.uint8)
            # Rows may be padded to a multiple of 4 bytes.
            stride = len(rows) // height
            image = rows[: stride * height].reshape(height, stride)[:, : width * _CHANNELS[kind]]
            picture = image.reshape(height, width, _CHANNELS[kind]).copy()
        finally:
            buffer.unmap(info)
        stamp = buffer.pts
        return Picture(picture, stamp / self._gst.SECOND if stamp != self._gst.CLOCK_TIME_NONE else None)

    def _fault(self, sentence: str) -> FrameError:
        return FrameError(
            f"{self._address.name}: {self._address.cleaned(sentence)}",
            cure="Try the pipeline with gst-launch-1.0, with fakesink in the place of appsink.",
        )
