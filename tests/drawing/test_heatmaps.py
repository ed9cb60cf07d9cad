"""Maps over pictures: where the colours lie, what they mean, and the legend that says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.drawing import colour_bar, difference_picture, heat_picture

if TYPE_CHECKING:
    from amfac_edge.keypoints import Bgr

pytest.importorskip("cv2")


def grey(height: int = 64, width: int = 96) -> Bgr:
    return np.full((height, width, 3), 120, np.uint8)


def test_brightness_grows_with_the_value_and_stops_at_both_ends() -> None:
    values = np.repeat(np.array([[-5.0, 0.0, 0.5, 1.0, 5.0]]), 3, axis=1)
    picture = grey(10, 750)
    drawn = heat_picture(picture, values, 0.0, 1.0)
    middles = drawn[5, [75, 225, 375, 525, 675]].astype(int).sum(axis=1)
    assert middles[0] == middles[1] < middles[2] < middles[3] == middles[4]
    assert (picture == 120).all()


def test_a_value_lies_in_the_middle_of_what_it_covers() -> None:
    values = np.zeros((4, 6))
    values[1, 4] = 1.0
    brightness = heat_picture(grey(), values, 0.0, 1.0).astype(int).sum(axis=2)
    row, column = np.argwhere(brightness == brightness.max()).mean(axis=0)
    assert (row, column) == pytest.approx((1.5 * 16 - 0.5, 4.5 * 16 - 0.5), abs=0.51)


def test_more_is_red_less_is_blue_and_nothing_is_the_grey_picture() -> None:
    values = np.repeat(np.array([[-1.0, 0.0, 2.0]]), 2, axis=0)
    drawn = difference_picture(grey(30, 300), values, 1.0)
    blue, none, red = drawn[15, 20].astype(int), drawn[15, 149].astype(int), drawn[15, 280].astype(int)
    assert blue[0] > blue[2] + 150
    assert red[2] > red[0] + 150
    assert np.ptp(none) <= 2


def test_the_picture_can_be_seen_beneath() -> None:
    picture = grey()
    picture[:, :48] = 30
    for drawn in (heat_picture(picture, np.ones((2, 2)), 0, 1), difference_picture(picture, np.zeros((2, 2)), 1)):
        assert drawn[32, 10].astype(int).sum() < drawn[32, 90].astype(int).sum() - 50


@pytest.mark.parametrize("difference", [False, True])
def test_a_legend_has_the_colours_of_what_it_explains(difference: bool) -> None:  # noqa: FBT001 - a parameter of the test
    bar = colour_bar(400, -2.0, 2.0, "what it is", difference=difference)
    assert bar.shape[1:] == (400, 3)
    ramp = np.linspace(-2, 2, 400)[None].repeat(16, axis=0)
    middle = np.full((16, 400, 3), 110, np.uint8)
    expected = difference_picture(middle, ramp, 2.0) if difference else heat_picture(middle, ramp, -2.0, 2.0)
    assert (bar[24:40] == expected).all()
    for words in (bar[:24], bar[40:, :60], bar[40:, 180:220], bar[40:, -60:]):
        assert words.max() > 150
