"""A video of a camera, true to its time whatever the app made of its frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.drawing import VideoFile
from amfac_edge.keypoints import load_opencv

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from amfac_edge.cameras import Frame
    from amfac_edge.keypoints import Bgr

__all__ = ["CameraVideo"]

_LONGEST_GAP_S = 2.0


class CameraVideo:
    """Writes frames that come as they like into a video of a constant rate.

    A frame is repeated until the time of the next one, so that the video plays as fast as the world was; a gap is kept
    up to 2 seconds and shortened to that beyond. A frame that comes before its turn is left out. A camera that changes
    its size goes on in the size of the first frame, in its own shape with black beside it.

    Args:
        path: .mp4 or .avi.
        fps: of the video.
        size: (height, width) of it, in pixels.

    Raises:
        OutputError: as `VideoFile`.
    """

    def __init__(self, path: Path, fps: float, size: tuple[int, int]) -> None:
        self._fps = fps
        self._size = size
        self._file = VideoFile(path, fps, size)
        self._began: float | None = None
        self._last: Bgr | None = None

    def write(self, frame: Frame, picture: Bgr) -> None:
        """Add a frame, whose `time` says when; `picture` is (H, W, 3) uint8 BGR, what is to be seen of it."""
        if self._began is None:
            self._began = frame.time
        due = round((frame.time - self._began) * self._fps)
        missing = due - self._file.frames
        longest = round(_LONGEST_GAP_S * self._fps)
        if missing > longest:
            self._began += (missing - longest) / self._fps
            missing = longest
        if self._last is not None:
            for _ in range(missing):
                self._file.write(self._last)
        if missing >= 0:
            self._last = self._fitted(picture)
            self._file.write(self._last)

    def __enter__(self) -> CameraVideo:
        self._file.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def _fitted(self, picture: Bgr) -> Bgr:
        height, width = self._size
        if picture.shape[:2] == self._size:
            return picture
        scale = min(height / picture.shape[0], width / picture.shape[1])
        inner = max(1, round(picture.shape[0] * scale)), max(1, round(picture.shape[1] * scale))
        canvas = np.zeros((height, width, 3), np.uint8)
        top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
        cv2 = load_opencv("scaling frames")
        canvas[top : top + inner[0], left : left + inner[1]] = cv2.resize(
            picture, (inner[1], inner[0]), interpolation=cv2.INTER_AREA
        )
        return canvas
