from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.drawing import VideoFile, write_picture
from amfac_edge.errors import FrameError, MissingExtraError, OutputError

if TYPE_CHECKING:
    from pathlib import Path

cv2 = pytest.importorskip("cv2")

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def frame(index: int) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    return np.full((48, 64, 3), 10 * index, np.uint8)


def played(path: Path) -> list[float]:
    """The mean of each frame."""
    capture = cv2.VideoCapture(str(path))
    means = []
    while (read := capture.read())[0]:
        means.append(float(read[1].mean()))
    capture.release()
    return means


def only_file(folder: Path) -> str:
    (path,) = folder.iterdir()
    return path.name


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".PNG"])
def test_lossless_pictures_are_written_as_they_are(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_picture(path, PICTURE)
    np.testing.assert_array_equal(cv2.imread(str(path)), PICTURE)
    assert only_file(tmp_path) == path.name


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_lossy_pictures_are_written_nearly_so(tmp_path: Path, suffix: str) -> None:
    smooth = cv2.resize(PICTURE[:4, :6], (60, 40))
    write_picture(tmp_path / f"a{suffix}", smooth)
    assert np.abs(cv2.imread(str(tmp_path / f"a{suffix}")).astype(int) - smooth).mean() < 4


def test_a_faulty_picture_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_picture(path, PICTURE)
    with pytest.raises(FrameError, match="dtype float64"):
        write_picture(path, PICTURE.astype(float))
    np.testing.assert_array_equal(cv2.imread(str(path)), PICTURE)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.txt", r'a\.txt: no form of picture ends in "\.txt"\n.*\.jpg \.jpeg \.png'),
        ("a", r'no form of picture ends in ""'),
        ("no/folder/a.png", r"a\.png: can't be written: No such file or directory\n.*another place"),
    ],
)
def test_places_that_take_no_picture_are_named(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(OutputError, match=message):
        write_picture(tmp_path / name, PICTURE)
    assert not list(tmp_path.iterdir())


def test_a_size_beyond_the_form_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"OpenCV can't write 17000x1 pixels as \.webp\n.*\.png"):
        write_picture(tmp_path / "a.webp", np.zeros((1, 17_000, 3), np.uint8))


def test_an_opencv_without_the_form_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imencode", lambda _, image, real=cv2.imencode: real(".unknown", image))
    with pytest.raises(OutputError, match=r"OpenCV can't write 60x40 pixels as \.webp"):
        write_picture(tmp_path / "a.webp", PICTURE)


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_a_video_has_its_frames_and_its_rate(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with VideoFile(path, 12.5, (48, 64)) as video:
        for index in range(20):
            video.write(frame(index))
        assert not path.exists()
    assert video.frames == 20
    assert played(path) == pytest.approx([10 * index for index in range(20)], abs=4)
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) == pytest.approx(12.5)
    assert only_file(tmp_path) == path.name


@pytest.mark.parametrize(("fps", "written"), [(66.667, 66.67), (99.123, 99.12), (59.94, 59.94), (1000.0, 1000.0)])
def test_an_mp4_has_a_rate_as_near_as_its_form_allows(tmp_path: Path, fps: float, written: float) -> None:
    with VideoFile(tmp_path / "a.mp4", fps, (48, 64)) as video:
        for index in range(3):
            video.write(frame(index))
    assert cv2.VideoCapture(str(tmp_path / "a.mp4")).get(cv2.CAP_PROP_FPS) == pytest.approx(written, abs=1e-3)


def test_an_odd_size_loses_a_row_or_a_column_but_no_frame(tmp_path: Path) -> None:
    with VideoFile(tmp_path / "a.mp4", 25, (51, 101)) as video:
        for _ in range(5):
            video.write(np.zeros((51, 101, 3), np.uint8))
    assert len(played(tmp_path / "a.mp4")) == 5


@pytest.mark.parametrize("error", [ValueError("elsewhere"), OSError("elsewhere")])
def test_an_error_in_the_block_leaves_the_old_file_and_stays_the_same_error(tmp_path: Path, error: Exception) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"the old one")

    def broken() -> None:
        with VideoFile(path, 25, (48, 64)) as video:
            video.write(frame(1))
            raise error

    with pytest.raises(type(error), match="elsewhere") as caught:
        broken()
    assert caught.value is error
    assert path.read_bytes() == b"the old one"
    assert only_file(tmp_path) == "a.mp4"


def test_ctrl_c_leaves_the_frames_so_far(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
import numpy as np
from amfac_edge.drawing import VideoFile
with VideoFile(Path(sys.argv[1]), 25, (48, 64)) as video:
    while True:
        video.write(np.zeros((48, 64, 3), np.uint8))
        print(video.frames, flush=True)
"""
    path = tmp_path / "a.mp4"
    arguments = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        while int(child.stdout.readline()) < 10:
            pass
        child.send_signal(signal.SIGINT)
        _, complaints = child.communicate(timeout=60)
    assert "KeyboardInterrupt" in complaints
    assert len(played(path)) >= 10
    assert only_file(tmp_path) == "a.mp4"


def test_ctrl_c_before_the_first_frame_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), VideoFile(tmp_path / "a.mp4", 25, (48, 64)):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_noticed(tmp_path: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
import numpy as np
from amfac_edge.drawing import VideoFile
from amfac_edge.errors import OutputError
noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    with VideoFile(Path(sys.argv[1]), 25, (240, 320)) as video:
        for _ in range(30):
            video.write(noise)
except OutputError as error:
    print(error)
"""
    arguments = [sys.executable, "-c", script, str(tmp_path / "a.mp4")]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert "a.mp4: of 30 frames, 0 can be read back\n  Free space there" in done.stdout, done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "fps", "size", "message"),
    [
        ("a.mkv", 25.0, (48, 64), r'a\.mkv: no form of video ends in "\.mkv"\n.*\.mp4 or \.avi'),
        ("no/folder/a.mp4", 25.0, (48, 64), r"a\.mp4: can't be written: No such file or directory"),
        (
            "a.mp4",
            25.0,
            (9000, 9000),
            r"a\.mp4: OpenCV can't write a video of 9000x9000 pixels at 25 frames.*\n.*\.avi",
        ),
        ("a.mp4", 25.0, (48, 64), r"a\.mp4: no frame was written\n.*source has frames"),
    ],
)
def test_places_that_take_no_video_are_named(
    tmp_path: Path, name: str, fps: float, size: tuple[int, int], message: str
) -> None:
    with pytest.raises(OutputError, match=message), VideoFile(tmp_path / name, fps, size):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf")])
def test_a_frame_rate_must_be_above_0(tmp_path: Path, fps: float) -> None:
    with pytest.raises(FrameError, match=r"a\.mp4: a video of .* frames a second\n.*above 0"):
        VideoFile(tmp_path / "a.mp4", fps, (48, 64))


def test_a_frame_of_another_size_is_refused(tmp_path: Path) -> None:
    with VideoFile(tmp_path / "a.mp4", 25, (48, 64)) as video:
        video.write(frame(0))
        with pytest.raises(FrameError, match=r"a\.mp4: frame 1 has 64x50 pixels, the video 64x48\n.*Resize"):
            video.write(np.zeros((50, 64, 3), np.uint8))
    assert len(played(tmp_path / "a.mp4")) == 1


def test_without_opencv_the_message_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r'writing pictures needs .*\n.*"amfac-edge\[cpu\]"'):
        write_picture(tmp_path / "a.png", PICTURE)
    with pytest.raises(MissingExtraError, match="writing videos needs"), VideoFile(tmp_path / "a.mp4", 25, (48, 64)):
        pass
