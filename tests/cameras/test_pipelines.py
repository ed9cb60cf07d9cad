from __future__ import annotations

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from amfac_edge.cameras import CameraLimits, backends, camera_address, camera_pipeline
from amfac_edge.errors import MachineError

if TYPE_CHECKING:
    from amfac_edge.cameras import CameraAddress

SINK = "appsink name=amfac_appsink drop=true max-buffers=1 sync=false"


def address(source: str) -> CameraAddress:
    found = camera_address(source)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("source", "jetson", "pipeline"),
    [
        (
            "csi://1?width=1280&height=720&fps=60&flip=2",
            True,
            (
                "nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM),width=1280,height=720,framerate=60/1,"
                f"format=NV12 ! nvvidconv flip-method=2 ! video/x-raw,format=BGRx ! {SINK}"
            ),
        ),
        (
            "v4l2:///dev/video0?width=640&height=480&fps=29.97",
            True,
            (
                'v4l2src device="/dev/video0" do-timestamp=true ! image/jpeg,width=640,height=480,framerate=2997/100 ! '
                "nvv4l2decoder mjpeg=1 ! queue max-size-buffers=1 leaky=downstream ! nvvidconv ! "
                f"video/x-raw,format=BGRx ! {SINK}"
            ),
        ),
        (
            "v4l2:///dev/video0?format=yuyv",
            False,
            (
                'v4l2src device="/dev/video0" do-timestamp=true ! video/x-raw,format=YUY2 ! '
                f"queue max-size-buffers=1 leaky=downstream ! videoconvert ! video/x-raw,format=BGR ! {SINK}"
            ),
        ),
        (
            "rtsp://u:p@host/a?codec=h265&width=640&height=360",
            True,
            (
                'rtspsrc location="rtsp://u:p@host/a" latency=0 drop-on-latency=true protocols=tcp ! rtph265depay ! '
                "h265parse ! nvv4l2decoder enable-max-performance=1 ! queue max-size-buffers=1 leaky=downstream ! "
                f"nvvidconv ! video/x-raw,format=BGRx ! {SINK}"
            ),
        ),
        ("gst:a ! b ! ", False, f"a ! b ! videoconvert ! video/x-raw,format=BGR ! {SINK}"),
        ("gst:a ! appsink drop=true", True, "a ! appsink drop=true"),
    ],
)
def test_pipelines(source: str, jetson: bool, pipeline: str) -> None:  # noqa: FBT001 - a parameter
    assert camera_pipeline(address(source), jetson=jetson) == pipeline


@pytest.mark.parametrize("jetson", [False, True])
@pytest.mark.parametrize(
    "source", ["csi://0", "v4l2:///dev/video0", "v4l2:///dev/video0?format=yuyv", "rtsp://host/a", "gst:videotestsrc"]
)
def test_opencv_finds_the_sink_of_every_pipeline(source: str, jetson: bool) -> None:  # noqa: FBT001
    pipeline = camera_pipeline(address(source), jetson=jetson)
    # OpenCV's GStreamer reader knows a sink by its element's name alone, and a pipeline without one doesn't open:
    # "appsink" or "opencvsink" must be in it. Without a name GStreamer calls it appsink0.
    (named,) = re.findall(r"! appsink name=(\S+)", pipeline)
    assert "appsink" in named or "opencvsink" in named


def test_a_quote_in_an_address_ends_nothing() -> None:
    assert r'location="rtsp://host/a\" ! x"' in camera_pipeline(address('rtsp://host/a" ! x'), jetson=True)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401 - set by the tests
    """What this machine has, to be set; and what was opened."""
    here = SimpleNamespace(opencv=False, gi=False, packages={}, opened=[])
    monkeypatch.setattr(backends, "opencv_has_gstreamer", lambda: here.opencv)
    monkeypatch.setattr(backends, "pygobject_has_gstreamer", lambda: here.gi)
    monkeypatch.setattr(backends, "Packages", lambda: SimpleNamespace(installed=lambda _: here.packages))
    monkeypatch.setattr(backends, "OpenCvCapture", lambda *_, pipeline, **__: here.opened.append(("cv2", pipeline)))
    monkeypatch.setattr(backends, "AppsinkCapture", lambda _, pipeline: here.opened.append(("gi", pipeline)))
    return here


@pytest.mark.parametrize(
    ("source", "jetson", "opencv", "gi", "library", "part"),
    [
        ("rtsp://host/a", True, True, True, "cv2", "nvv4l2decoder"),
        ("rtsp://host/a", True, False, True, "gi", "nvv4l2decoder"),
        ("rtsp://host/a", True, False, False, "cv2", None),
        ("rtsp://host/a", False, True, True, "cv2", None),
        ("v4l2:///dev/video0", True, True, False, "cv2", "nvv4l2decoder mjpeg=1"),
        ("v4l2:///dev/video0", False, True, False, "cv2", None),
        ("csi://0", True, True, False, "cv2", "nvarguscamerasrc"),
        ("gst:videotestsrc", False, False, True, "gi", "videotestsrc"),
    ],
)
def test_the_board_decides_what_reads_a_camera(
    machine: Any,  # noqa: ANN401
    source: str,
    jetson: bool,  # noqa: FBT001
    opencv: bool,  # noqa: FBT001
    gi: bool,  # noqa: FBT001
    library: str,
    part: str | None,
) -> None:
    machine.opencv, machine.gi = opencv, gi
    backends.camera_connection(address(source), CameraLimits(), jetson=jetson)()
    ((opened, pipeline),) = machine.opened
    assert opened == library
    assert pipeline is None if part is None else part in pipeline


def test_a_pip_opencv_that_hides_the_board_s_is_named(machine: Any) -> None:  # noqa: ANN401
    machine.packages = {"opencv-python": "4.14.0"}
    with pytest.raises(MachineError, match=r"opencv-python of pip hides JetPack's OpenCV.*\n.*pip uninstall -y opencv"):
        backends.camera_connection(address("csi://0"), CameraLimits(), jetson=True)
    with pytest.raises(MachineError, match=r"built without\n.*apt install python3-gi"):
        backends.camera_connection(address("gst:videotestsrc"), CameraLimits(), jetson=False)
