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
        f"rtsp://host:554/user=warden&password={SECRET}&channel=1&stream=0.sdp?real_stream",
        f"rtsp://host/user=warden_password={SECRET}_channel=1_stream=0.sdp",
        f"rtsp://host/live?password=p@{SECRET}",
        f"rtsp://host/live/user=warden&password=p@{SECRET}",
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
    if f"={SECRET}" in source:
        assert "hush" not in address.cleaned(f"wrong password {SECRET}")


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ("warden:hush%21hush@host/a", "warden:hush%21hush@host/a"),
        ("operator7:554/cret@127.0.0.1:9/x", "operator7:554%2Fcret@127.0.0.1:9/x"),
        ("u:a/b?c#d@host/a?b=c", "u:a%2Fb%3Fc%23d@host/a?b=c"),
        ("u:a@b@host/a", "u:a%40b@host/a"),
        ("u:100%@host/a", "u:100%25@host/a"),
        ("u:5%2fa%zz:é@host/a", "u:5%2fa%25zz:%C3%A9@host/a"),
        ("u/v:p@host", "u%2Fv:p@host"),
        ("warden@host/a", "warden@host/a"),
        ("host/cam@1", "host/cam@1"),
        ("host/a?mail=b@c", "host/a?mail=b@c"),
        ("host:554/a", "host:554/a"),
    ],
)
def test_a_library_takes_no_part_of_a_password_for_a_host(given: str, place: str) -> None:
    address = camera_address(f"rtsp://{given}")
    assert address is not None
    assert address.place == f"rtsp://{place}"


def test_a_password_that_ends_at_one_or_another_place_reaches_nobody() -> None:
    with pytest.raises(FrameError, match=r"rtsp://host/a: which \"@\" ends the password.*\n.*%40") as caught:
        camera_address(f"rtsp://warden:a@b/{SECRET}@host/a")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        "cam:554/live?password=p@",
        "cam/live?t=a:b@",
        "cam/user=w&password=a:b@",
        "10.0.0.7:554/cam@",
        "[fe80::1]:554/s@",
    ],
)
def test_what_may_be_a_path_or_a_password_reaches_nobody(given: str) -> None:
    with pytest.raises(FrameError, match=r"rtsp://…: which \"@\" ends the password") as caught:
        camera_address(f"rtsp://{given}{SECRET}")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("rtsp://10.0.0.7:554/user=admin&password=x&channel=1", "rtsp://10.0.0.7:554/channel=1"),
        ("rtsp://10.0.0.7/user=admin_password=x_channel=12_stream=0", "rtsp://10.0.0.7/channel=12"),
        ("rtsp://host/live/user=admin/a", "rtsp://host/live"),
        ("rtsp://host/cam@1", "rtsp://host/cam@1"),
        ("rtsp://host/a?mail=b@c", "rtsp://host/a"),
        ("rtsp://warden:pw@host/a/b", "rtsp://host/a/b"),
    ],
)
def test_what_is_shown_of_an_address(source: str, shown: str) -> None:
    assert shown_source(source) == shown
    address = camera_address(source)
    assert address is not None
    assert address.name == shown


def test_a_path_with_an_at_sign_stays_whole_in_a_library_s_words() -> None:
    address = camera_address("rtsp://h/a/@b/c")
    assert address is not None
    assert (address.name, address.cleaned("404 at rtsp://h/a/@b/c")) == ("rtsp://h/a/@b/c", "404 at rtsp://h/a/@b/c")


def test_parameters_of_ours_behind_an_at_sign_are_ours() -> None:
    address = camera_address("rtsp://host/a?mail=b@c&fps=5")
    assert address is not None
    assert (address.place, address.fps) == ("rtsp://host/a?mail=b@c", 5.0)


def test_a_library_s_words_are_kept_but_for_the_password() -> None:
    address = camera_address(WITH_PASSWORD)
    assert address is not None
    assert address.cleaned(f"401 at {address.place}, was {SECRET}") == "401 at rtsp://10.0.0.7:554/live/1, was ***"


def test_a_short_user_leaves_words_whole() -> None:
    address = camera_address("rtsp://u:p@host/a")
    assert address is not None
    assert address.cleaned("resource unknown to u: p") == "resource unknown to ***: ***"
