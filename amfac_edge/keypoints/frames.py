"""Frames that an app hands in: one layout for everything behind this check."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from amfac_edge.errors import FrameError

__all__ = ["Bgr", "checked_frame"]

Bgr = NDArray[np.uint8]
"""(H, W, 3) uint8, blue-green-red, the top-left pixel first: a picture as OpenCV reads it."""

_UINT8 = np.dtype(np.uint8)
_AXES = 3
_BGR_CHANNELS = 3
# OpenCV 4 counts a picture's rows and columns in 16 bits when it warps; OpenCV 5 takes more.
_LONGEST_SIDE = 32_766


def checked_frame(frame: Any, *, fourth_channel: bool = False) -> Bgr:  # noqa: ANN401 - what an app hands in is checked here
    """The frame as contiguous BGR; about a microsecond where it is that already, and then the same array.

    Args:
        frame: uint8 array, (H, W, 3) BGR, (H, W) or (H, W, 1) grey, or (H, W, 4) BGRA, whose alpha is dropped. Views
            with any strides are accepted and copied; H and W from 1 to 32,766.
        fourth_channel: leave the fourth one where it is: whoever takes the frame passes over it, which saves the copy.

    Returns:
        (H, W, 3) uint8 BGR, C-contiguous; (H, W, 4) with the `fourth_channel` of such a frame.

    Raises:
        FrameError: no NumPy array, or another dtype, shape or size, which the message names.
    """
    if not isinstance(frame, np.ndarray):
        raise FrameError(
            f"the frame is a {type(frame).__name__}, not a NumPy array",
            cure="Give an array (height, width, 3), uint8, BGR; cv2.imread returns None for a file it can't read.",
        )
    if frame.dtype != _UINT8:
        raise FrameError(
            f"the frame has dtype {frame.dtype} (shape {frame.shape}), not uint8",
            cure="Convert it: 16 bits by (frame >> 8).astype('uint8'), 0..1 by (frame * 255).astype('uint8').",
        )
    picture = frame if frame.ndim == _AXES and frame.shape[2] == _BGR_CHANNELS else _as_bgr(frame, fourth_channel)
    if not (0 < picture.shape[0] <= _LONGEST_SIDE and 0 < picture.shape[1] <= _LONGEST_SIDE):
        raise FrameError(
            f"the frame has shape {frame.shape}: a side is outside 1 to {_LONGEST_SIDE:,} pixels",
            cure="Resize it, or cut it into parts.",
        )
    return picture if picture.flags.c_contiguous else np.ascontiguousarray(picture)


def _as_bgr(frame: NDArray[np.uint8], fourth_channel: bool) -> Bgr:  # noqa: FBT001 - private
    picture = frame[:, :, None] if frame.ndim == _AXES - 1 else frame
    channels = picture.shape[2] if picture.ndim == _AXES else 0
    if channels == 1:
        return np.repeat(picture, _BGR_CHANNELS, axis=2)
    if channels == _BGR_CHANNELS + 1:
        return picture if fourth_channel else picture[:, :, :_BGR_CHANNELS]
    planar = frame.ndim == _AXES and frame.shape[0] == _BGR_CHANNELS
    raise FrameError(
        f"the frame has shape {frame.shape}, not (height, width, 3)",
        cure="Put the channels last: frame.transpose(1, 2, 0)." if planar else "Give one BGR, grey or BGRA picture.",
    )
