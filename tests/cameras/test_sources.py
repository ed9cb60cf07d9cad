from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.cameras import CameraLimits, camera_address, open_source, sources
from amfac_edge.cameras.archives import Archive
from amfac_edge.errors import FrameError

if TYPE_CHECKING:
    from pathlib import Path

cv2 = pytest.importorskip("cv2")

FRAMES = 30


def picture(path: Path, grey: int) -> Path:
    path.write_bytes(cv2.imencode(path.suffix, np.full((20, 30, 3), grey, np.uint8))[1])
    return path


def video(path: Path, *, fps: float = 25.0) -> Path:
    """Frame i has the grey value 8 i."""
    fourcc = "MJPG" if path.suffix == ".avi" else "mp4v"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*fourcc), fps, (64, 48))
    for index in range(FRAMES):
        writer.write(np.full((48, 64, 3), 8 * index, np.uint8))
    writer.release()
    return path


def test_a_picture_is_one_frame(tmp_path: Path) -> None:
    source = open_source(picture(tmp_path / "one.png", 70))
    (frame,) = source
    assert (frame.index, frame.time, frame.name, int(frame.image[0, 0, 0])) == (0, 0.0, "one.png", 70)
    assert (source.name, source.video, source.fps, source.length) == ("one.png", False, None, 1)
    assert len(list(source)) == 1


def test_a_picture_without_a_suffix_is_known_by_its_content(tmp_path: Path) -> None:
    (frame,) = open_source(str(picture(tmp_path / "one.png", 70).rename(tmp_path / "one")))
    assert frame.image.shape == (20, 30, 3)


def test_a_bad_picture_is_known_when_it_is_opened(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 and then nothing")
    with pytest.raises(FrameError, match=r"bad\.jpg: the picture is truncated or damaged"):
        open_source(tmp_path / "bad.jpg")


def test_a_folder_gives_its_pictures_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name, grey in [("b.png", 20), ("a.JPG", 10), ("c.webp", 30), (".hidden.png", 99)]:
        picture(tmp_path / name, grey)
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "inner.png").mkdir()
    source = open_source(tmp_path)
    for _ in range(2):
        assert [(frame.index, frame.name) for frame in source] == [(0, "a.JPG"), (1, "b.png"), (2, "c.webp")]
    assert source.length == 3
    assert source.ignored == ["inner.png", "notes.txt"]
    assert source.skipped == []


def test_a_broken_picture_in_a_folder_is_skipped_by_name(tmp_path: Path) -> None:
    for name in ("a.png", "c.png"):
        picture(tmp_path / name, 10)
    (tmp_path / "b.png").write_bytes(b"")
    source = open_source(tmp_path)
    for _ in range(2):
        assert [(frame.index, frame.name) for frame in source] == [(0, "a.png"), (2, "c.png")]
        ((name, reason),) = source.skipped
        assert name == "b.png"
        assert "the picture is empty" in reason


def test_a_folder_of_broken_pictures_is_an_error(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(
        FrameError, match=r"none of its 2 pictures can be read; the first: .*a\.png: the picture is empty"
    ):
        list(open_source(tmp_path))


def test_a_folder_without_pictures_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a picture")
    with pytest.raises(FrameError, match=r"no picture in this folder \(1 other entries\)\n.*\.jpg.*subfolders"):
        open_source(tmp_path)


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_a_video_gives_its_frames_with_their_times(tmp_path: Path, suffix: str) -> None:
    source = open_source(video(tmp_path / f"clip{suffix}", fps=10))
    for _ in range(2):
        frames = list(source)
        assert [frame.index for frame in frames] == list(range(FRAMES))
        assert [frame.time for frame in frames] == pytest.approx([index / 10 for index in range(FRAMES)], abs=1e-3)
        assert [frame.image.mean() for frame in frames] == pytest.approx([8 * index for index in range(FRAMES)], abs=4)
    assert (source.name, source.video, source.fps, source.length) == (f"clip{suffix}", True, 10.0, FRAMES)
    assert source.skipped == []


def test_motion_jpeg_without_a_container_is_a_video(tmp_path: Path) -> None:
    """It begins as a picture does."""
    path = tmp_path / "clip.mjpeg"
    frames = [np.full((48, 64, 3), 8 * index, np.uint8) for index in range(FRAMES)]
    path.write_bytes(b"".join(bytes(cv2.imencode(".jpg", frame)[1]) for frame in frames))
    source = open_source(path)
    assert source.video
    assert len(list(source)) == FRAMES
    assert Archive(path).videos == 1


def test_a_video_that_breaks_off_gives_its_frames_up_to_there(tmp_path: Path) -> None:
    path = video(tmp_path / "clip.avi")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    source = open_source(path)
    there = len(list(source))
    assert 0 < there < FRAMES
    assert source.skipped == [("clip.avi", f"the video announces {FRAMES} frames, and {there} can be read")]


@pytest.mark.parametrize("cut", [0.0, 0.5])
def test_what_is_no_video_is_refused(tmp_path: Path, cut: float) -> None:
    # Half an MP4 has no index; random bytes have nothing.
    path = video(tmp_path / "clip.mp4")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * cut)] or np.random.default_rng(0).bytes(5000))
    with pytest.raises(
        FrameError, match=r"clip\.mp4: neither a picture nor a video that can be read\n.*picture, a folder"
    ):
        open_source(path)


def test_a_video_without_frames_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.mp4"
    cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (64, 48)).release()
    with pytest.raises(FrameError, match=r"none\.mp4: "):
        open_source(path)


class Altered:
    """OpenCV's capture with one answer changed. Not a subclass: OpenCV 5.0 crashes when one is collected."""

    real = cv2.VideoCapture

    def __init__(self, path: str) -> None:
        self._capture = self.real(path)

    def __getattr__(self, name: str) -> object:
        return getattr(self._capture, name)


def test_a_video_too_large_to_be_unpacked_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Huge(Altered):
        read = None

        def get(self, prop: int) -> float:
            return 30_000.0 if prop == cv2.CAP_PROP_FRAME_WIDTH else float(self._capture.get(prop))

    path = video(tmp_path / "clip.mp4")
    monkeypatch.setattr(cv2, "VideoCapture", Huge)
    with pytest.raises(FrameError, match=r"clip\.mp4: 30000x48 pixels are too many"):
        open_source(path)


def test_a_video_whose_first_frame_is_broken_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Altered):
        def read(self) -> tuple[bool, None]:
            return False, None

    path = video(tmp_path / "clip.mp4")
    monkeypatch.setattr(cv2, "VideoCapture", Broken)
    with pytest.raises(FrameError, match=r"clip\.mp4: the video has no frame that can be read"):
        open_source(path)


def test_frames_without_time_stamps_are_timed_by_the_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(Altered):
        def get(self, prop: int) -> float:
            return 0.0 if prop == cv2.CAP_PROP_POS_MSEC else float(self._capture.get(prop))

    path = video(tmp_path / "clip.mp4", fps=10)
    monkeypatch.setattr(cv2, "VideoCapture", Silent)
    assert [frame.time for frame in open_source(path)] == pytest.approx([index / 10 for index in range(FRAMES)])


def test_a_video_is_released_when_nobody_wants_more_of_it(tmp_path: Path) -> None:
    frames = iter(open_source(video(tmp_path / "clip.mp4")))
    assert next(frames).index == 0
    frames.close()  # type: ignore[attr-defined]
    with pytest.raises(StopIteration):
        next(frames)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("nowhere.mp4", r"nowhere\.mp4: the source does not exist\n.*picture, a folder of pictures or a video file"),
        ("/dev/null", r"/dev/null: the source is neither a file nor a folder"),
        ("", r"no picture in this folder|does not exist"),
    ],
)
def test_nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FrameError, match=message):
        open_source(uri)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = picture(tmp_path / "a.png", 3)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(FrameError, match=r"a\.png: can't be read: Permission denied"):
        open_source(path)


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(FrameError, match=r"a\.mp4: the file is empty \(0 bytes\)"):
        open_source(tmp_path / "a.mp4")


@pytest.mark.parametrize(("name", "frames", "fps"), [("pose_1.mp4", 120, 30.0), ("mmpose_demo_5frames.mp4", 5, 5.0)])
def test_real_videos(shared_data: Path, name: str, frames: int, fps: float) -> None:
    source = open_source(shared_data / "video" / name)
    times = [frame.time for frame in source]
    assert (len(times), source.length, source.fps) == (frames, frames, fps)
    assert times == pytest.approx([index / fps for index in range(frames)], abs=1e-3)


def test_limits_and_who_is_told_reach_a_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(sources, "open_camera", lambda *words: asked.extend(words))
    limits = CameraLimits(outage_s=60)
    open_source("rtsp://host/a", limits=limits, tell=print)
    assert asked == [camera_address("rtsp://host/a"), limits, print]
