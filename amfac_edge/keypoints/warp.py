"""Cutting crops out of a frame: OpenCV's warp for speed, and the exact bilinear crop that it is measured against.

Both read the frame at `affine @ (x, y, 1)` for the crop's pixel (x, y), bilinearly; what lies outside the frame is
black. OpenCV 5 differs from the exact value by its rounding (measured on noise: at most 0.503 of 255, mean 0.16).
OpenCV 4 puts its samples on a grid of 1/32 pixel (4.8 on noise: at most 6.3, mean 0.55; on smooth pictures mean 0.17).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.keypoints.opencv import load_opencv

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from amfac_edge.keypoints.frames import Bgr

__all__ = ["exact_crop", "warp_crops"]


def warp_crops(frame_bgr: Bgr, affines: NDArray[np.float64], out: NDArray[np.uint8]) -> None:
    """Cut N crops straight into `out`, without a copy.

    Args:
        frame_bgr: (Hf, Wf, 3) uint8 BGR, as `checked_frame` returns it, or (Hf, Wf, 4), whose last channel is left out.
        affines: (N, 2, 3) float64, crop pixels to frame pixels.
        out: (N, H, W, 3) uint8, C-contiguous; overwritten.

    Raises:
        MissingExtraError: OpenCV is not installed.
        ValueError: `out` is not laid out as described; OpenCV would then write elsewhere and leave it as it was.
    """
    if out.dtype != np.uint8 or out.ndim != 4 or len(out) != len(affines) or not out.flags.c_contiguous:  # noqa: PLR2004
        message = f"out must be C-contiguous uint8 ({len(affines)}, H, W, 3), not {out.dtype} {out.shape}"
        raise ValueError(message)
    cv2 = load_opencv("cutting crops")
    size = (out.shape[2], out.shape[1])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    if frame_bgr.shape[2] == out.shape[3]:
        for affine, crop in zip(affines, out, strict=True):
            cv2.warpAffine(frame_bgr, affine, size, dst=crop, flags=flags, borderMode=cv2.BORDER_CONSTANT)
        return
    four = np.empty((*out.shape[1:3], 4), np.uint8)
    for affine, crop in zip(affines, out, strict=True):
        cv2.warpAffine(frame_bgr, affine, size, dst=four, flags=flags, borderMode=cv2.BORDER_CONSTANT)
        cv2.cvtColor(four, cv2.COLOR_BGRA2BGR, dst=crop)


def exact_crop(frame_bgr: Bgr, affine: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """One crop by the definition of bilinear interpolation, in float64: slow, for tests and golden vectors.

    Args:
        frame_bgr: (Hf, Wf, C) uint8, any channels.
        affine: (2, 3), crop pixels to frame pixels.
        height: H of the crop.
        width: W of the crop.

    Returns:
        (H, W, C) float64 in 0..255, not rounded.
    """
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    crop_pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1)
    x, y = np.moveaxis(crop_pixels @ np.asarray(affine).T, -1, 0)
    left, top = np.floor(x), np.floor(y)
    crop = np.zeros((height, width, frame_bgr.shape[2]))
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = (1 - np.abs(x - (left + column))) * (1 - np.abs(y - (top + row)))
        crop += weight[..., None] * _pixels_at(frame_bgr, top + row, left + column)
    return crop


def _pixels_at(frame: Bgr, rows: NDArray[np.float64], columns: NDArray[np.float64]) -> NDArray[np.float64]:
    height, width = frame.shape[:2]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    pixels = frame[np.where(inside, rows, 0).astype(np.intp), np.where(inside, columns, 0).astype(np.intp)]
    return pixels * inside[..., None].astype(np.float64)
