"""The letterbox: where a frame lies in a detector's input, and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amfac_edge.keypoints import LETTERBOX_FILL, Letterbox


def placed(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    out = np.full((height, width, 3), 7, np.uint8)
    Letterbox(frame.shape[0], frame.shape[1], height, width).place(frame, out)
    return out


def test_a_wide_frame_lies_at_the_top() -> None:
    frame = np.full((50, 100, 3), (10, 20, 30), np.uint8)
    out = placed(frame, 64, 64)
    assert (out[:32] == (10, 20, 30)).all()
    assert (out[32:] == LETTERBOX_FILL).all()
    assert LETTERBOX_FILL == 114


def test_a_tall_frame_lies_at_the_left() -> None:
    frame = np.full((100, 50, 3), (10, 20, 30), np.uint8)
    out = placed(frame, 64, 96)
    assert (out[:, :32] == (10, 20, 30)).all()
    assert (out[:, 32:] == LETTERBOX_FILL).all()


def test_a_frame_of_the_very_size_is_copied() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    np.testing.assert_array_equal(placed(frame, 64, 96), frame)


def test_a_thin_frame_keeps_a_pixel() -> None:
    out = placed(np.zeros((1, 5000, 3), np.uint8), 64, 64)
    assert (out[0] == 0).all()
    assert (out[1:] == LETTERBOX_FILL).all()


def test_a_painted_box_is_found_again() -> None:
    frame = np.zeros((400, 600, 3), np.uint8)
    frame[100:300, 150:450] = 255
    out = placed(frame, 320, 320)
    rows, columns = np.nonzero(out[: round(400 * 320 / 600), :, 0] > 127)
    box = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    back = Letterbox(400, 600, 320, 320).to_frame(box)
    np.testing.assert_allclose(back, [[150, 100, 450, 300]], atol=600 / 320)  # a pixel of the input


def test_boxes_end_at_the_frame() -> None:
    letterbox = Letterbox(50, 100, 64, 64)
    np.testing.assert_allclose(letterbox.to_frame(np.array([[-9.0, -9, 99, 99]])), [[0, 0, 100, 50]])
    assert letterbox.to_frame(np.zeros((0, 4))).shape == (0, 4)


@given(
    sizes=st.tuples(*[st.integers(1, 5000)] * 2, *[st.integers(1, 2000)] * 2),
    corners=st.tuples(*[st.floats(0, 1)] * 4),
)
def test_there_and_back(sizes: tuple[int, int, int, int], corners: tuple[float, float, float, float]) -> None:
    letterbox = Letterbox(*sizes)
    frame = np.array([corners]) * [sizes[1], sizes[0], sizes[1], sizes[0]]
    inside = frame * letterbox.scale
    assert (inside <= np.array([sizes[3], sizes[2]] * 2) * (1 + 1e-12)).all()
    np.testing.assert_allclose(letterbox.to_frame(inside), frame, rtol=1e-12, atol=1e-9)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"doesn't take \(3, 4, 3\) to \(64, 64, 3\)"):
        Letterbox(4, 3, 64, 64).place(np.zeros((3, 4, 3), np.uint8), np.zeros((64, 64, 3), np.uint8))
