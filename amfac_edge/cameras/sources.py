"""Frames one after the other, from a picture, a folder of pictures or a video file; cameras by their address."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amfac_edge.cameras.addresses import camera_address
from amfac_edge.cameras.backends import open_camera
from amfac_edge.cameras.frames import Frame, FrameSource
from amfac_edge.cameras.headers import HEADER_BYTES, picture_kind
from amfac_edge.cameras.pictures import PICTURE_SUFFIXES, check_size, read_picture
from amfac_edge.errors import FrameError
from amfac_edge.keypoints import load_opencv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from amfac_edge.cameras.live_limits import CameraLimits

__all__ = ["open_source"]

# Pictures one behind the other, without a container: the file begins as a picture does.
_BARE_MOTION_JPEG = frozenset({".mjpeg", ".mjpg"})
_SOURCE_CURE = (
    "Give a picture, a folder of pictures or a video file, or a camera: v4l2:///dev/video0, rtsp://host/path."
)


def open_source(
    uri: str | Path, *, limits: CameraLimits | None = None, tell: Callable[[str], None] | None = None
) -> FrameSource:
    """The frames of a picture, of a folder, of a video file or of a camera (see `camera_address`).

    A folder gives its pictures sorted by name; subfolders, hidden files and other files are left out (`ignored`), and a
    broken picture is skipped (`skipped`). A video that breaks off gives its frames up to there.

    A camera has a thread of its own: close it, or open it by `with`, when its frames are no longer wanted.

    Args:
        uri: a path, or a camera's address.
        limits: of patience with a camera; files need none.
        tell: is called with a sentence when a camera is lost and when it is back; see `LiveSource`.

    Raises:
        FrameError: nothing there, no picture, no video, no camera, or not a single frame in it.
        MachineError: a camera that nothing on this machine can read.
        MissingExtraError: OpenCV is not installed.
    """
    address = camera_address(uri) if isinstance(uri, str) else None
    if address is not None:
        return open_camera(address, limits, tell)
    path = Path(uri)
    try:
        if path.is_dir():
            return _Folder(path)
        if not path.is_file():
            kind = "is neither a file nor a folder" if path.exists() else "does not exist"
            raise FrameError(f"{uri}: the source {kind}", cure=_SOURCE_CURE)
        with path.open("rb") as stream:
            head = stream.read(HEADER_BYTES)
    except OSError as error:
        raise FrameError(f"{uri}: can't be read: {error.strerror or error}", cure=_SOURCE_CURE) from error
    if not head:
        raise FrameError(f"{uri}: the file is empty (0 bytes)", cure=_SOURCE_CURE)
    suffix = path.suffix.lower()
    if suffix in PICTURE_SUFFIXES or (picture_kind(head) and suffix not in _BARE_MOTION_JPEG):
        return _Picture(path)
    return _Video(path)


class _File(FrameSource):
    """What all sources of files have in common."""

    live = False

    def close(self) -> None:
        """See `FrameSource.close`."""


class _Picture(_File):
    """One picture, read when it is opened, so that a bad one is known before anything else is done."""

    video = False
    fps: float | None = None
    length: int | None = 1

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.skipped: list[tuple[str, str]] = []
        self.ignored: list[str] = []
        self._image = read_picture(path)

    def __iter__(self) -> Iterator[Frame]:
        yield Frame(0, 0.0, self.name, self._image)


class _Folder(_File):
    """The pictures of a folder."""

    video = False
    fps: float | None = None

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.skipped: list[tuple[str, str]] = []
        visible = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
        self._pictures = [entry for entry in visible if entry.suffix.lower() in PICTURE_SUFFIXES and entry.is_file()]
        self.ignored = sorted({entry.name for entry in visible} - {entry.name for entry in self._pictures})
        self.length: int | None = len(self._pictures)
        self._path = path
        if not self._pictures:
            raise FrameError(
                f"{path}: no picture in this folder ({len(self.ignored)} other entries)",
                cure=f"Pictures end in {' '.join(sorted(PICTURE_SUFFIXES))}; subfolders are not searched.",
            )

    def __iter__(self) -> Iterator[Frame]:
        self.skipped.clear()
        for index, path in enumerate(self._pictures):
            try:
                image = read_picture(path)
            except FrameError as error:  # noqa: PERF203 - reading a picture costs milliseconds
                self.skipped.append((path.name, error.problem))
            else:
                yield Frame(index, 0.0, path.name, image)
        if len(self.skipped) == self.length:
            raise FrameError(
                f"{self._path}: none of its {self.length} pictures can be read; the first: {self.skipped[0][1]}",
                cure="Check where the files come from.",
            )


class _Video(_File):
    """A video file, through whichever backend of OpenCV opens it."""

    video = True

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.skipped: list[tuple[str, str]] = []
        self.ignored: list[str] = []
        self._path = path
        with self._capture() as (cv2, capture):
            width, height = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
            # A backend may know the size with the first frame only.
            check_size(str(path), max(1, int(height)), max(1, int(width)))
            if not capture.read()[0]:
                raise FrameError(f"{path}: the video has no frame that can be read", cure=_SOURCE_CURE)
            self.fps = _positive(capture.get(cv2.CAP_PROP_FPS))
            frames = _positive(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.length = None if frames is None else round(frames)

    def __iter__(self) -> Iterator[Frame]:
        self.skipped.clear()
        index = 0
        with self._capture() as (cv2, capture):
            while True:
                there, image = capture.read()
                if not there:
                    break
                yield Frame(index, self._time(index, capture.get(cv2.CAP_PROP_POS_MSEC)), self.name, image)
                index += 1
        # Some containers announce a length that is one off; more than that means that the file breaks off.
        if self.length is not None and index < self.length - 1:
            self.skipped.append((self.name, f"the video announces {self.length} frames, and {index} can be read"))

    def _time(self, index: int, milliseconds: float) -> float:
        # Backends without time stamps report 0 all the time.
        if milliseconds > 0 or index == 0 or self.fps is None:
            return milliseconds / 1000
        return index / self.fps

    @contextlib.contextmanager
    def _capture(self) -> Iterator[tuple[Any, Any]]:
        cv2 = load_opencv("reading videos")
        capture = cv2.VideoCapture(str(self._path))
        try:
            if not capture.isOpened():
                raise FrameError(f"{self._path}: neither a picture nor a video that can be read", cure=_SOURCE_CURE)
            yield cv2, capture
        finally:
            capture.release()


def _positive(value: float) -> float | None:
    return value if math.isfinite(value) and value > 0 else None
