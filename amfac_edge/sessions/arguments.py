"""What a session is called with, checked alike for every engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from amfac_edge.artefact import DetectorFacts

__all__ = ["check_affines", "check_crops", "check_frame", "check_images"]


def check_images(images: NDArray[np.uint8], facts: DetectorFacts) -> None:
    """Check the argument of `DetectorSession.run_images`.

    Raises:
        InputError: another shape, dtype or layout, or no NumPy array.
    """
    _check_pictures(images, "pictures", facts.height, facts.width)


def check_crops(crops: NDArray[np.uint8], height: int, width: int) -> None:
    """Check the argument of `PoseSession.run`.

    Raises:
        InputError: another shape, dtype or layout, or no NumPy array.
    """
    _check_pictures(crops, "crops", height, width)


def _check_pictures(pictures: NDArray[np.uint8], what: str, height: int, width: int) -> None:
    if not isinstance(pictures, np.ndarray):
        raise InputError(
            f"the {what} are a {type(pictures).__name__}, not a NumPy array",
            cure="Give NumPy arrays; a plan of poses also takes arrays that lie on the GPU (__cuda_array_interface__).",
        )
    if (
        pictures.dtype != np.uint8
        or pictures.shape[1:] != (height, width, 3)
        or not len(pictures)
        or not pictures.flags.c_contiguous
    ):
        layout = "" if pictures.flags.c_contiguous else ", not contiguous"
        raise InputError(
            f"the {what} are {pictures.dtype} {pictures.shape}{layout}",
            cure=f"Give C-contiguous uint8 of shape (N, {height}, {width}, 3), BGR, N at least 1.",
        )


def check_frame(frame_bgr: NDArray[np.uint8], *, fourth_channel: bool = False) -> None:
    """Check the first argument of `FrameSession.run_frame`; that of `CuttingSession.run_cut` may have four channels.

    Raises:
        InputError: another shape, dtype or layout, or no NumPy array.
    """
    if not isinstance(frame_bgr, np.ndarray):
        raise InputError(
            f"the frame is a {type(frame_bgr).__name__}, not a NumPy array",
            cure="Give a NumPy array; a plan also takes one that lies on the GPU (__cuda_array_interface__).",
        )
    channels = {3, 4} if fourth_channel else {3}
    if frame_bgr.dtype != np.uint8 or frame_bgr.ndim != 3 or frame_bgr.shape[2] not in channels or not frame_bgr.size:  # noqa: PLR2004
        raise InputError(
            f"the frame is {frame_bgr.dtype} {frame_bgr.shape}", cure="Give uint8 of shape (height, width, 3), BGR."
        )


def check_affines(affines: NDArray[np.float32]) -> None:
    """Check the second argument of `FrameSession.run_frame`.

    Raises:
        InputError: another shape or dtype.
    """
    if affines.dtype != np.float32 or affines.shape[1:] != (2, 3) or not len(affines):
        raise InputError(
            f"the affines are {affines.dtype} {affines.shape}",
            cure="Give float32 of shape (N, 2, 3), N at least 1: keypoints.crop_affines(...).astype(np.float32).",
        )
