from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amfac_edge.errors import FrameError
from amfac_edge.keypoints import checked_boxes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

HEIGHT, WIDTH = 480, 640


@pytest.mark.parametrize("empty", [[], np.zeros(0), np.zeros((0, 4)), ()])
def test_nobody_is_an_empty_array(empty: ArrayLike) -> None:
    boxes = checked_boxes(empty, HEIGHT, WIDTH)
    assert boxes.shape == (0, 4)
    assert boxes.dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint16])
def test_arrays_and_lists_agree(dtype: type[np.generic]) -> None:
    values = [[10, 20, 30, 40], [0, 0, 640, 480]]
    boxes = checked_boxes(np.array(values, dtype=dtype), HEIGHT, WIDTH)
    np.testing.assert_array_equal(boxes, checked_boxes(values, HEIGHT, WIDTH))
    assert boxes.dtype == np.float64


def test_the_result_is_a_copy() -> None:
    mine = np.array([[10.0, 20.0, 30.0, 40.0]])
    boxes = checked_boxes(mine, HEIGHT, WIDTH)
    mine[:] = 0
    assert boxes.tolist() == [[10, 20, 30, 40]]


@pytest.mark.parametrize(
    "box",
    [
        pytest.param((-50, -50, 20, 20), id="partly outside"),
        pytest.param((-1e5, -1e5, 1e5, 1e5), id="huge"),
        pytest.param((10, 10, 10.1, 10.1), id="tiny"),
        pytest.param((0, 100, 500, 100.5), id="1:1000"),
        pytest.param((-3, -3, -0.4, -0.4), id="half a pixel of the first pixel"),
        pytest.param((639.4, 479.4, 700, 700), id="half a pixel of the last pixel"),
    ],
)
def test_odd_boxes_are_fine(box: tuple[float, ...]) -> None:
    assert checked_boxes([box], HEIGHT, WIDTH).tolist() == [list(box)]


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((math.nan, 0, 10, 10), r"box 1 \(nan, 0, 10, 10\) has a value that is not finite"),
        ((0, 0, math.inf, 10), r"box 1 .*inf.* not finite\n.*failed detections"),
        ((30, 0, 10, 10), r"box 1 \(30, 0, 10, 10\) has its corners the wrong way round\n.*x \+ width"),
        ((0, 30, 10, 10), r"wrong way round"),
        ((5, 5, 5, 10), r"box 1 \(5, 5, 5, 10\) has no area\n.*below 0\.001 pixels"),
        ((0, 5, 10, 5), r"no area"),
        ((-20, 0, -10, 10), r"box 1 .* lies outside the frame of 640x480 pixels\n.*not of a resized one"),
        ((0, 479.5, 10, 500), r"outside the frame"),
        ((639.5, 0, 700, 10), r"outside the frame"),
        ((-9, 0, -0.5, 10), r"outside the frame"),
        ((0, -9, 10, -0.5), r"outside the frame"),
        ((-1e7, 0, 10, 10), r"box 1 .* reaches beyond 1,000,000 pixels"),
    ],
)
def test_bad_boxes_are_named_by_index_and_value(box: tuple[float, ...], message: str) -> None:
    with pytest.raises(FrameError, match=message):
        checked_boxes([(1, 1, 9, 9), box], HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([1, 2, 3, 4], r"the boxes have shape \(4,\), not \(N, 4\)\n.*\[\[x1, y1, x2, y2\]"),
        ([[1, 2, 3, 4, 0.9]], r"shape \(1, 5\)"),
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\)"),
        (None, r"shape \(\)"),
        ([[1, 2, 3, 4], [1, 2, 3]], r"no array of numbers"),
        ("full", r"no array of numbers: .*full"),
    ],
)
def test_other_shapes_are_refused(boxes: ArrayLike, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        checked_boxes(boxes, HEIGHT, WIDTH)


@given(st.lists(st.lists(st.floats(), min_size=4, max_size=4), max_size=5))
def test_whatever_passes_is_finite_ordered_and_touches_the_frame(boxes: list[list[float]]) -> None:
    try:
        checked = checked_boxes(boxes, HEIGHT, WIDTH)
    except FrameError as error:
        assert "box " in error.problem  # noqa: PT017 - either outcome is right, each has its own promise
        return
    assert np.isfinite(checked).all()
    assert (checked[:, :2] < checked[:, 2:]).all()
    assert (checked[:, :2] < (WIDTH - 0.5, HEIGHT - 0.5)).all()
    assert (checked[:, 2:] > -0.5).all()
