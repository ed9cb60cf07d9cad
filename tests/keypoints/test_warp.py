"""OpenCV's crop against the exact one. The bounds are arithmetic, not taste:

OpenCV 5 computes coordinates in float32 (2^-24 relative, below 0.01 of 255 on these frames) and rounds: 0.5 and a bit.
OpenCV 4 places samples on a grid of 1/32 pixel: at most 1/64 off on each axis, 2 * 255/64, and it rounds.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amfac_edge.declared.recipe import CropRule
from amfac_edge.errors import MissingExtraError
from amfac_edge.keypoints import crop_affines, exact_crop, warp_crops

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

cv2 = pytest.importorskip("cv2")

HEIGHT, WIDTH = 64, 48
BOUND = 0.56 if int(cv2.__version__.split(".")[0]) >= 5 else 2 * 255 / 64 + 0.6
FRAME = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)


def crop(frame: NDArray[np.uint8], affine: ArrayLike) -> NDArray[np.uint8]:
    out = np.full((1, HEIGHT, WIDTH, 3), 77, np.uint8)
    warp_crops(frame, np.asarray(affine, dtype=np.float64)[None], out)
    return out[0]


@settings(max_examples=40)
@given(
    st.floats(-60, 150),
    st.floats(-60, 110),
    st.floats(0, 2.3),
    st.floats(0, 2.3),
    st.booleans(),
    st.none() | st.floats(-np.pi, np.pi),
)
def test_opencv_agrees_with_the_exact_crop(
    x: float,
    y: float,
    log_width: float,
    log_height: float,
    centres: bool,  # noqa: FBT001 - drawn by hypothesis
    angle: float | None,
) -> None:
    box = np.array([[x, y, x + 10**log_width, y + 10**log_height]])
    rule = CropRule(height=HEIGHT, width=WIDTH, pixel_centres=centres)
    (affine,) = crop_affines(box, rule, angle)
    difference = np.abs(crop(FRAME, affine) - exact_crop(FRAME, affine, HEIGHT, WIDTH))
    assert difference.max() <= BOUND


def test_the_exact_crop_of_the_identity_is_the_frame() -> None:
    exact = exact_crop(FRAME, np.eye(2, 3), 120, 160)
    np.testing.assert_array_equal(exact, FRAME)


def test_the_exact_crop_halfway_between_pixels_is_their_mean_and_black_outside() -> None:
    frame = np.array([[[100], [200]]], np.uint8)
    exact = exact_crop(frame, np.array([[0.5, 0.0, -0.5], [0.0, 0.5, 0.0]]), 2, 5)[:, :, 0]
    np.testing.assert_allclose(exact, [[50, 100, 150, 200, 100], [25, 50, 75, 100, 50]])


def test_each_crop_is_written_into_its_own_slot_and_nowhere_else() -> None:
    boxes = np.array([[10.0, 10.0, 60.0, 90.0], [80.0, 5.0, 150.0, 110.0]])
    affines = crop_affines(boxes, CropRule(height=HEIGHT, width=WIDTH))
    batch = np.full((4, HEIGHT, WIDTH, 3), 77, np.uint8)
    warp_crops(FRAME, affines, batch[1:3])
    np.testing.assert_array_equal(batch[1], crop(FRAME, affines[0]))
    np.testing.assert_array_equal(batch[2], crop(FRAME, affines[1]))
    assert (batch[[0, 3]] == 77).all()


def test_what_lies_outside_is_black_even_where_the_slot_was_not() -> None:
    assert not crop(FRAME, [[1, 0, 500], [0, 1, 500]]).any()


def test_no_crops_write_nothing() -> None:
    warp_crops(FRAME, np.zeros((0, 2, 3)), np.zeros((0, HEIGHT, WIDTH, 3), np.uint8))


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.zeros((1, HEIGHT, WIDTH, 3), np.float32), r"not float32"),
        (np.zeros((2, HEIGHT, WIDTH, 3), np.uint8), r"C-contiguous uint8 \(1, H, W, 3\), not uint8 \(2, 64, 48, 3\)"),
        (np.zeros((1, HEIGHT, WIDTH, 6), np.uint8)[..., ::2], r"C-contiguous"),
        (np.zeros((HEIGHT, WIDTH, 3), np.uint8), r"not uint8 \(64, 48, 3\)"),
    ],
)
def test_a_batch_that_opencv_could_not_fill_is_refused(out: NDArray[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        warp_crops(FRAME, np.zeros((1, 2, 3)), out)


def test_without_opencv_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(
        MissingExtraError, match=r'cutting crops needs .*opencv-python.*\n.*pip install "amfac-edge\[cpu\]"'
    ):
        crop(FRAME, np.eye(2, 3))


@pytest.mark.parametrize("turn", [None, 0.7])
def test_of_four_channels_the_last_is_left_out(turn: float | None) -> None:
    four = np.concatenate([FRAME, np.full((120, 160, 1), 200, np.uint8)], axis=2)
    affines = crop_affines(np.array([[10.0, 5, 90, 110], [-40, -30, 60, 60]]), CropRule(HEIGHT, WIDTH), turn)
    found, expected = (np.full((2, HEIGHT, WIDTH, 3), 77, np.uint8) for _ in range(2))
    warp_crops(four, affines, found)
    warp_crops(FRAME, affines, expected)
    np.testing.assert_array_equal(found, expected)
