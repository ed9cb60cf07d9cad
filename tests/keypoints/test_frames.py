from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from amfac_edge.errors import FrameError
from amfac_edge.keypoints import checked_frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

PICTURE = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)


def test_a_bgr_frame_is_not_copied() -> None:
    assert checked_frame(PICTURE) is PICTURE


@pytest.mark.parametrize("grey", [PICTURE[:, :, 0], PICTURE[:, :, :1], PICTURE[:, :, 0].T.copy().T])
def test_grey_becomes_three_equal_channels(grey: NDArray[Any]) -> None:
    frame = checked_frame(grey)
    assert frame.shape == (6, 8, 3)
    assert (frame == PICTURE[:, :, :1]).all()


def test_alpha_is_dropped() -> None:
    bgra = np.concatenate([PICTURE, np.zeros((6, 8, 1), np.uint8)], axis=2)
    frame = checked_frame(bgra)
    np.testing.assert_array_equal(frame, PICTURE)
    assert frame.flags.c_contiguous


@pytest.mark.parametrize(
    "view",
    [PICTURE[::-1], PICTURE[:, ::-1], PICTURE[:, :, ::-1], PICTURE[1:4, 2:5], PICTURE.transpose(1, 0, 2)],
    ids=["upside down", "mirrored", "RGB view", "part", "transposed"],
)
def test_views_keep_their_pixels(view: NDArray[Any]) -> None:
    frame = checked_frame(view)
    np.testing.assert_array_equal(frame, view)
    assert frame.flags.c_contiguous


def test_a_single_pixel_is_a_frame() -> None:
    assert checked_frame(np.zeros((1, 1, 3), np.uint8)).shape == (1, 1, 3)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (None, r"the frame is a NoneType, not a NumPy array\n.*imread returns None"),
        ([[1, 2, 3]], r"the frame is a list"),
        (PICTURE.astype(np.float32), r"dtype float32 \(shape \(6, 8, 3\)\), not uint8\n.*frame \* 255"),
        (PICTURE.astype(np.uint16), r"dtype uint16.*not uint8\n.*>> 8"),
        (PICTURE.astype(bool), r"dtype bool"),
        (PICTURE.transpose(2, 0, 1), r"shape \(3, 6, 8\), not \(height, width, 3\)\n.*transpose\(1, 2, 0\)"),
        (PICTURE[None], r"shape \(1, 6, 8, 3\).*\n.*one BGR, grey or BGRA picture"),
        (PICTURE[:, :, :2], r"shape \(6, 8, 2\)"),
        (np.zeros((), np.uint8), r"shape \(\)"),
        (np.zeros((0, 8, 3), np.uint8), r"shape \(0, 8, 3\): a side is outside 1 to 32,766"),
        (np.zeros((1, 40_000, 3), np.uint8), r"shape \(1, 40000, 3\): a side is outside"),
    ],
)
def test_other_frames_are_refused_by_dtype_and_shape(frame: object, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        checked_frame(frame)


def test_a_fourth_channel_may_stay_where_it_is() -> None:
    four = np.dstack([PICTURE, PICTURE[..., :1]])
    assert checked_frame(four, fourth_channel=True) is four
    assert checked_frame(four).shape == PICTURE.shape
    assert checked_frame(PICTURE, fourth_channel=True) is PICTURE
    assert checked_frame(PICTURE[..., 0], fourth_channel=True).shape == PICTURE.shape
