"""Picture and video files that are whole or absent."""

from __future__ import annotations

import contextlib
import math
import shutil
from typing import TYPE_CHECKING, Any, NoReturn

from amfac_edge.errors import FrameError, OutputError
from amfac_edge.files import atomic_file, write_bytes
from amfac_edge.keypoints import checked_frame, load_opencv

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from amfac_edge.keypoints import Bgr

__all__ = ["VideoFile", "require_picture_name", "write_picture"]

_PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
# An MP4 is nothing without its index, which is written at the end: there must be room for it, and for what is buffered.
_RESERVE, _INDEX_OF_FRAME = 16 << 20, 32
_CODECS = {".mp4": "mp4v", ".avi": "MJPG"}
# MPEG-4 part 2 has 16 bits for the ticks of a second.
_MOST_TICKS = 65_535


def write_picture(path: Path, image: Bgr) -> None:
    """Write a picture; the suffix says in which form.

    Args:
        path: its suffix is .jpg, .jpeg, .png, .bmp, .webp, .tif or .tiff. A file of that name is replaced when the new
            one is complete.
        image: (H, W, 3) uint8 BGR, or what else `checked_frame` takes.

    Raises:
        OutputError: another suffix, a size that this form can't have, or a place that can't be written to.
        FrameError: the picture is none.
        MissingExtraError: OpenCV is not installed.
    """
    suffix = require_picture_name(path)
    cv2 = load_opencv("writing pictures")
    frame = checked_frame(image)
    try:
        content = cv2.imencode(suffix, frame)[1]
    except cv2.error:
        content = b""
    if len(content) == 0:
        size = f"{frame.shape[1]}x{frame.shape[0]}"
        raise OutputError(
            f"{path}: OpenCV can't write {size} pixels as {suffix}", cure="Use .png, which takes any size."
        )
    write_bytes(path, bytes(content))


def require_picture_name(path: Path) -> str:
    """The suffix of a picture that `write_picture` can write, in small letters.

    Raises:
        OutputError: another suffix.
    """
    suffix = path.suffix.lower()
    if suffix not in _PICTURES:
        raise OutputError(f'{path}: no form of picture ends in "{suffix}"', cure=f"Use one of {' '.join(_PICTURES)}.")
    return suffix


class VideoFile:
    """A video that is being written: to a temporary file beside its target, renamed when it is complete.

    Use it in a `with` block. A block that ends well, or by Ctrl-C, leaves a playable video of the frames so far; a
    block that ends by an error leaves the old file, or none. A disk that is nearly full ends the video while there is
    still room to complete it: `write` raises, and the frames so far are there. A process that is killed leaves the old
    file too, and a hidden one that ends in `.part` and the suffix and can't be played (an MP4 is nothing without its
    end).

    Args:
        path: its suffix is .mp4 (MPEG-4 part 2) or .avi (Motion JPEG).
        fps: frames a second.
        size: (height, width) of every frame, in pixels. MPEG-4 drops the last row or column of an odd one.

    Raises:
        OutputError: another suffix; on entering, a place that can't be written to, or an OpenCV without the codec; on
            leaving, no frames, or a video that can't be read back (a full disk).
        FrameError: a frame rate that is not above 0.
        MissingExtraError: OpenCV is not installed.
    """

    def __init__(self, path: Path, fps: float, size: tuple[int, int]) -> None:
        if path.suffix.lower() not in _CODECS:
            raise OutputError(f'{path}: no form of video ends in "{path.suffix}"', cure="Use .mp4 or .avi.")
        if not (math.isfinite(fps) and fps > 0):
            raise FrameError(f"{path}: a video of {fps:g} frames a second", cure="Give a frame rate above 0.")
        self.path = path
        self.frames = 0
        """How many frames were written so far."""
        self._fps = _rate(fps) if path.suffix.lower() == ".mp4" else fps
        self._size = size
        self._ended = False

    def __enter__(self) -> VideoFile:
        self._cv2 = load_opencv("writing videos")
        self._atomic = atomic_file(self.path)
        self._temporary = self._atomic.__enter__()
        codec = self._cv2.VideoWriter_fourcc(*_CODECS[self.path.suffix.lower()])
        height, width = self._size
        self._writer = self._cv2.VideoWriter(str(self._temporary), codec, self._fps, (width, height))
        if not self._writer.isOpened():
            self._discard()
            raise OutputError(
                f"{self.path}: OpenCV can't write a video of {width}x{height} pixels at {self._fps:g} frames a second",
                cure="Try the other form (.avi or .mp4): this OpenCV may lack the codec, or the size may be beyond it.",
            )
        return self

    def write(self, image: Bgr) -> None:
        """Add a frame: (H, W, 3) uint8 BGR of the video's size, or what else `checked_frame` takes.

        Raises:
            FrameError: another size, or no picture.
            OutputError: the disk is nearly full; the video is complete with the frames before this one.
        """
        frame = checked_frame(image)
        if frame.shape[:2] != tuple(self._size):
            raise FrameError(
                f"{self.path}: frame {self.frames} has {frame.shape[1]}x{frame.shape[0]} pixels, the video "
                f"{self._size[1]}x{self._size[0]}",
                cure="Resize the frames to one size, or write pictures.",
            )
        free = shutil.disk_usage(self._temporary.parent).free
        if free < _RESERVE + _INDEX_OF_FRAME * self.frames + frame.nbytes:
            self._end_early(free)
        self._writer.write(frame)
        self.frames += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ended:
            return
        self._writer.release()
        interrupted = kind is not None and not issubclass(kind, Exception)
        if kind is None or (interrupted and self.frames):
            fault = self._fault()
            if fault is None:
                self._atomic.__exit__(None, None, None)
                return
            self._discard()
            raise fault from error
        self._discard()

    def _end_early(self, free: int) -> NoReturn:
        self._ended = True
        self._writer.release()
        full = f"{self.path}: the disk is nearly full ({free / 1e6:.1f} MB are free)"
        if self._fault() is None:
            self._atomic.__exit__(None, None, None)
            raise OutputError(
                f"{full}; the video ends after {self.frames} frames and is kept",
                cure="Free space there before the next video.",
            )
        self._discard()
        raise OutputError(f"{full}; no video was written", cure="Free space there, or choose another folder.")

    def _fault(self) -> OutputError | None:
        if not self.frames:
            return OutputError(f"{self.path}: no frame was written", cure="Check that the source has frames.")
        # OpenCV's writer says nothing when the disk is full. There may be one frame more, if Ctrl-C came just after it.
        capture: Any = self._cv2.VideoCapture(str(self._temporary))
        readable = int(capture.get(self._cv2.CAP_PROP_FRAME_COUNT)) if capture.read()[0] else 0
        capture.release()
        if readable >= self.frames:
            return None
        return OutputError(
            f"{self.path}: of {self.frames} frames, {readable} can be read back",
            cure="Free space there, or choose another folder.",
        )

    def _discard(self) -> None:
        # By an error of our own, since the block's error is none of the file's: an OSError would be taken for one.
        with contextlib.suppress(_DiscardedError):
            self._atomic.__exit__(_DiscardedError, _DiscardedError(), None)


class _DiscardedError(Exception):
    pass


def _rate(fps: float) -> float:
    """The nearest rate that an .mp4 can have: OpenCV writes it with as many decimals as it has, up to three."""
    decimals = next((each for each in (3, 2, 1) if fps * 10**each <= _MOST_TICKS), 0)
    return round(fps, decimals) or fps
