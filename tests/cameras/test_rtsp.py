"""Network cameras by a real RTSP server on the loopback address, with the faults of real ones."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from amfac_edge.cameras import CameraLimits, LiveSource, camera_address, open_camera, open_source
from amfac_edge.errors import FrameError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from amfac_edge.cameras import Frame

pytest.importorskip("cv2")
pytestmark = pytest.mark.slow

LIMITS = CameraLimits(stall_s=1.0, first_wait_s=0.2, longest_wait_s=0.5, run_s=60.0)


@pytest.fixture
def camera(made_rtsp: Any, tmp_path: Path) -> Iterator[Any]:  # noqa: ANN401 - a module's class
    with made_rtsp.RtspCamera(tmp_path) as camera:
        yield camera


@pytest.fixture
def said() -> list[str]:
    """What the source told."""
    return []


def opened(url: str, said: list[str]) -> LiveSource:
    address = camera_address(url)
    assert address is not None
    return open_camera(address, LIMITS, said.append)


def opened_at_last(url: str, said: list[str]) -> LiveSource:
    """Of a damaged stream: its very first packets may be so bad that it ends, and a first connection isn't repeated."""
    for _ in range(5):
        with contextlib.suppress(FrameError):
            return opened(url, said)
    return opened(url, said)


def until(frames: Iterator[Frame], true: Callable[[Frame], bool]) -> Frame:
    """The first frame of which it is true; the source's own end is the time limit."""
    return next(frame for frame in frames if true(frame))


def test_frames_are_new_however_slow_the_app_is(made_rtsp: Any, camera: Any, said: list[str]) -> None:  # noqa: ANN401
    with opened(camera.url, said) as source:
        assert source.fps == 25
        ages = []
        for _, frame in zip(range(20), source, strict=False):
            ages.append(made_rtsp.age_of(frame.image, time.monotonic()))
            time.sleep(0.08)
        counts = source.counts()
    # A loop that reads one frame after the other is 0.8 s behind by now, and falls behind ever more.
    assert sorted(ages)[10] < 0.5
    assert counts.dropped > 5
    assert frame.source_time is not None
    assert not said


@pytest.mark.parametrize("password", ["hush%21hush", "hush@hush%hush", "554/hush?hush#hush@hush%hush"])
def test_a_password_reaches_no_log(
    camera: Any,  # noqa: ANN401
    said: list[str],
    capfd: pytest.CaptureFixture[str],
    password: str,
) -> None:
    with_password = camera.url.replace("//", f"//warden:{password}@")
    with opened(with_password, said) as source:
        frames = iter(source)
        name = next(frames).name
        camera.kill_server()
        threading.Timer(1.0, camera.start).start()
        until(frames, lambda _: source.counts().connections == 2)
    with pytest.raises(FrameError) as caught:
        open_source(with_password.replace("cam0", "cam7"))
    out, err = capfd.readouterr()
    shown = (name, str(caught.value), out, err, *said)
    assert name == f"rtsp://127.0.0.1:{camera.port}/cam0"
    assert not [text for text in shown if "hush" in text or "warden" in text]


def test_a_server_that_is_killed_and_started_again(camera: Any, said: list[str]) -> None:  # noqa: ANN401
    with opened(camera.url, said) as source:
        frames = iter(source)
        for connections in (2, 3):
            next(frames)
            camera.kill_server()
            threading.Timer(1.5, camera.start).start()
            until(frames, lambda _, wanted=connections: source.counts().connections == wanted)  # type: ignore[misc]
        assert source.counts().stalls == 2
    assert [text.partition(": ")[2].split(" ")[0] for text in said][1::2] == ["back", "back"]


def test_a_stream_that_freezes(made_rtsp: Any, camera: Any, said: list[str]) -> None:  # noqa: ANN401
    with opened(camera.url, said) as source:
        frames = iter(source)
        next(frames)
        camera.frozen.set()
        threading.Timer(2.5, camera.frozen.clear).start()
        frame = until(frames, lambda _: source.counts().connections == 2)
        assert made_rtsp.age_of(frame.image, time.monotonic()) < 1.5
    assert re.search(r"no frame for [1-9]\d*\.\d s", said[0])


def test_another_resolution_in_the_same_stream(camera: Any, said: list[str]) -> None:  # noqa: ANN401
    with opened(camera.url, said) as source:
        frames = iter(source)
        assert next(frames).image.shape == (240, 320, 3)
        camera.stop_sending()
        camera.size = (480, 640)
        camera.send()
        assert until(frames, lambda frame: frame.image.shape[0] != 240).image.shape == (480, 640, 3)


def test_damaged_packets_end_nothing(made_rtsp: Any, tmp_path: Path, said: list[str]) -> None:  # noqa: ANN401
    with made_rtsp.RtspCamera(tmp_path, noise=200) as camera, opened_at_last(camera.url, said) as source:
        frames = [frame for _, frame in zip(range(40), source, strict=False)]
    assert len(frames) == 40
    assert {frame.image.shape for frame in frames} == {(240, 320, 3)}


def test_a_stream_that_never_sends_a_frame(made_rtsp: Any, tmp_path: Path) -> None:  # noqa: ANN401
    camera = made_rtsp.RtspCamera(tmp_path)
    camera.serve()
    try:
        address = camera_address(camera.url)
        assert address is not None
        with pytest.raises(FrameError, match=r"cam0: (can't be opened|no frame within)"):
            open_camera(address, CameraLimits(open_s=2.0))
    finally:
        camera.kill_server()


def test_a_network_camera_is_scaled_and_slowed_down(camera: Any, said: list[str]) -> None:  # noqa: ANN401
    with opened(camera.url + "&width=160&fps=5", said) as source:
        frames = [frame for _, frame in zip(range(4), source, strict=False)]
    assert {frame.image.shape for frame in frames} == {(120, 160, 3)}
    assert frames[-1].time > 0.4
