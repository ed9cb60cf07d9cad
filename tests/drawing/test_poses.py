from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amfac_edge.drawing import draw_note, draw_poses
from amfac_edge.errors import FrameError, MissingExtraError
from amfac_edge.keypoints import skeleton

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytest.importorskip("cv2")

COCO = skeleton("coco-17")
LEFT, RIGHT, MIDDLE = (30, 140, 255), (255, 160, 30), (110, 220, 110)


def person(height: int = 240, width: int = 320) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """One person whose joints lie on a grid within the picture, all of them sure."""
    rng = np.random.default_rng(0)
    keypoints = rng.uniform(0.2, 0.8, (1, 17, 2)) * (width, height)
    return keypoints, np.ones((1, 17)), np.array([[0.1 * width, 0.1 * height, 0.9 * width, 0.9 * height]])


def blank(height: int = 240, width: int = 320) -> NDArray[np.uint8]:
    return np.full((height, width, 3), 128, np.uint8)


def colours(picture: NDArray[np.uint8]) -> set[tuple[int, ...]]:
    return {tuple(pixel) for pixel in picture.reshape(-1, 3).tolist()}


def test_the_picture_itself_stays_as_it_was() -> None:
    image = blank()
    drawn = draw_poses(image, *person(), COCO, min_score=0.3)
    assert (image == 128).all()
    assert drawn.shape == image.shape
    assert not np.shares_memory(drawn, image)


def test_sides_have_their_colours() -> None:
    assert {LEFT, RIGHT, MIDDLE} <= colours(draw_poses(blank(), *person(), COCO, min_score=0.3))


def test_every_visible_joint_is_marked_in_the_colour_of_its_side() -> None:
    keypoints, scores, boxes = person()
    for index, name in enumerate(COCO.joints):
        only = np.zeros_like(scores)
        only[0, index] = 1
        drawn = draw_poses(blank(), keypoints, only, boxes * 0, COCO, min_score=0.5)
        x, y = np.rint(keypoints[0, index]).astype(int)
        expected = LEFT if name.startswith("left_") else RIGHT if name.startswith("right_") else MIDDLE
        assert tuple(drawn[y, x].tolist()) == expected


def test_boxes_can_be_left_out() -> None:
    keypoints, scores, boxes = person()
    outlined = draw_poses(blank(), keypoints, scores * 0, boxes, COCO, min_score=0.5)
    bare = draw_poses(blank(), keypoints, scores * 0, boxes, COCO, min_score=0.5, outlined=False)
    assert (outlined != 128).any()
    assert (bare == 128).all()


def test_a_limb_needs_both_its_joints() -> None:
    keypoints = np.zeros((1, 17, 2))
    keypoints[0, [11, 13]] = [(50, 50), (250, 150)]  # left hip and knee
    scores = np.zeros((1, 17))
    scores[0, [11, 13]] = 0.6
    middle = (100, 150)
    boxes = np.array([[0.0, 0.0, 320.0, 240.0]])
    both = draw_poses(blank(), keypoints, scores, boxes, COCO, min_score=0.5)
    assert tuple(both[middle].tolist()) == LEFT
    scores[0, 13] = 0.4
    one = draw_poses(blank(), keypoints, scores, boxes, COCO, min_score=0.5)
    assert tuple(one[middle].tolist()) == (128, 128, 128)


def test_boxes_are_drawn_thinly() -> None:
    drawn = draw_poses(
        blank(), np.zeros((1, 17, 2)), np.zeros((1, 17)), np.array([[40, 30, 90, 200]]), COCO, min_score=1
    )
    assert (drawn[30:201, 40] != 128).all()
    assert (drawn[100, 43:87] == 128).all()


def test_lines_grow_with_the_picture_and_the_person() -> None:
    def painted(factor: int, extent: float) -> int:
        keypoints, scores, boxes = person()
        drawn = draw_poses(
            blank(240 * factor, 320 * factor), keypoints * factor, scores, boxes * factor * extent, COCO, min_score=0
        )
        return int((drawn == LEFT).all(axis=-1).sum())

    assert painted(8, 1) > 3 * painted(8, 0.1) > 0
    assert painted(8, 1) > 16 * painted(1, 1)


def test_nobody_leaves_the_picture_unchanged() -> None:
    empty = np.zeros((0, 17, 2)), np.zeros((0, 17)), np.zeros((0, 4))
    np.testing.assert_array_equal(draw_poses(blank(), *empty, COCO, min_score=0.3), blank())


@settings(max_examples=30)
@given(
    st.lists(
        st.sampled_from([math.nan, math.inf, -math.inf, 1e30, -1e9, 1e5, -3.5, 0.0, 12.25]), min_size=38, max_size=38
    )
)
def test_no_coordinate_breaks_it(values: list[float]) -> None:
    keypoints, box = np.array(values[:34]).reshape(1, 17, 2), np.array(values[34:]).reshape(1, 4)
    drawn = draw_poses(blank(), keypoints, np.ones((1, 17)), box, COCO, min_score=0.3)
    assert drawn.shape == (240, 320, 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (9, 9), (3, 2000)])
def test_odd_pictures_can_be_drawn_on(size: tuple[int, int]) -> None:
    drawn = draw_poses(
        blank(*size), *person(*size), COCO, min_score=0, note="untrained weights: the joints mean nothing"
    )
    assert drawn.shape == (*size, 3)


def test_a_grey_picture_becomes_a_coloured_one() -> None:
    drawn = draw_poses(blank()[:, :, 0], *person(), COCO, min_score=0.3)
    assert LEFT in colours(drawn)


def test_the_note_is_a_dark_strip_with_light_letters_at_the_bottom() -> None:
    noted = draw_note(blank(), "untrained weights")
    assert (noted[:150] == 128).all()
    assert (noted[-1] == 32).all()
    assert noted[200:].min(axis=-1).max() > 200


def test_a_long_note_takes_more_lines() -> None:
    def strip(words: int) -> int:
        return int((draw_note(blank(), "weights " * words)[:, 0, 0] == 32).sum())

    assert strip(1) < strip(20) < strip(40) < 240


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(FrameError, match="dtype float64"):
        draw_poses(blank().astype(float), *person(), COCO, min_score=0.3)


def test_without_opencv_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r'drawing needs .*\n.*"amfac-edge\[cpu\]"'):
        draw_poses(blank(), *person(), COCO, min_score=0.3)
