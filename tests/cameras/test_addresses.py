from __future__ import annotations

import pytest

from amfac_edge.cameras import camera_address, open_source, shown_source
from amfac_edge.errors import FrameError

SECRET = "hush!hush"  # noqa: S105 - of nobody
WITH_PASSWORD = "rtsp://warden:hush%21hush@10.0.0.7:554/live/1"  # noqa: S105


@pytest.mark.parametrize("path", ["film.mp4", "pictures", "/data/a:b.png", "odd?name.png", "C:"])
def test_a_path_is_no_camera(path: str) -> None:
    assert camera_address(path) is None


@pytest.mark.parametrize(
    ("source", "kind", "place"),
    [
        ("csi://0", "csi", "0"),
        ("v4l2:///dev/video2", "v4l2", "/dev/video2"),
        ("/dev/video2", "v4l2", "/dev/video2"),
        ("rtsp://host/a", "rtsp", "rtsp://host/a"),
        ("RTSPS://host/a", "rtsp", "rtsps://host/a"),
        ("gst:videotestsrc ! x", "gst", "videotestsrc ! x"),
    ],
)
def test_the_kinds_of_cameras(source: str, kind: str, place: str) -> None:
    address = camera_address(source)
    assert address is not None
    assert (address.kind, address.place) == (kind, place)


def test_what_is_asked_of_a_camera() -> None:
    address = camera_address("v4l2:///dev/video0?width=1280&height=720&fps=29.97&format=yuyv")
    assert address is not None
    assert (address.width, address.height, address.fps, address.options) == (1280, 720, 29.97, {"format": "yuyv"})
    assert address.place == "/dev/video0"


def test_parameters_of_a_network_camera_reach_it_and_ours_do_not() -> None:
    address = camera_address("rtsp://host/axis?channel=1&fps=5&camera.fps=15&transport=udp")
    assert address is not None
    assert address.place == "rtsp://host/axis?channel=1&fps=15"
    assert (address.fps, address.options) == (5.0, {"transport": "udp"})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("http://host/a", '"http" is no kind of source\n.*csi://0'),
        ("csi://", "names no camera"),
        ("csi://front", '"front" is no number'),
        ("csi://0?flip=9", 'flip: "9"\n.*one of 0, 1'),
        ("csi://0?widht=3", "widht is no parameter.*\n?.*width"),
        ("v4l2://video0", '"video0" is no device\n.*three strokes'),
        ("v4l2:///dev/video0?width=0", 'width: "0"'),
        ("v4l2:///dev/video0?width=99999999999999999999", "width"),
        ("v4l2:///dev/video0?fps=nan", 'fps: "nan"'),
        ("v4l2:///dev/video0?fps=-5", 'fps: "-5"'),
        ("rtsp://host/a?transport=pigeon", 'transport: "pigeon"'),
        ("gst:", "no pipeline"),
    ],
)
def test_a_wrong_address_is_named_with_its_cure(source: str, message: str) -> None:
    with pytest.raises(FrameError, match=f"(?s){message}"):
        open_source(source)


@pytest.mark.parametrize(
    "source",
    [
        WITH_PASSWORD,
        f"rtsp://warden:{SECRET}@host/a",
        f"rtsp://warden:p/{SECRET}@host/a",
        f"rtsp://warden:p?{SECRET}@host/a",
        f"rtsp://host/a?user=warden&password={SECRET}",
        f"gst:rtspsrc location=rtsp://warden:{SECRET}@host/a ! fakesink",
        f"gst:rtspsrc user-id=warden user-pw={SECRET} ! fakesink",
        f"ftp://warden:{SECRET}@host/a",
    ],
)
def test_a_password_is_shown_nowhere(source: str) -> None:
    shown = shown_source(source)
    assert "hush" not in shown
    assert "warden" not in shown
    if source.startswith("ftp"):
        with pytest.raises(FrameError) as caught:
            camera_address(source)
        assert "hush" not in str(caught.value)
        return
    address = camera_address(source)
    assert address is not None
    assert "hush" not in repr(address)
    assert "hush" not in address.cleaned(f"GStreamer: can't open {source}")


def test_a_library_s_words_are_kept_but_for_the_password() -> None:
    address = camera_address(WITH_PASSWORD)
    assert address is not None
    assert address.cleaned(f"401 at {address.place}, was {SECRET}") == "401 at rtsp://10.0.0.7:554/live/1, was ***"


def test_a_short_user_leaves_words_whole() -> None:
    address = camera_address("rtsp://u:p@host/a")
    assert address is not None
    assert address.cleaned("resource unknown to u: p") == "resource unknown to ***: ***"
