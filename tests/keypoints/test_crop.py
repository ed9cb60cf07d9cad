"""The crop rule. Boxes are drawn at the ends of what is allowed: partly outside, 0.1 px, 1e5 px, aspect 1:1000."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amfac_edge.declared.recipe import CropRule
from amfac_edge.keypoints import crop_affines, inverse_affines, transform_points

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

RULE = CropRule(height=384, width=288)

rules = st.builds(
    CropRule,
    height=st.integers(32, 512),
    width=st.integers(32, 512),
    padding=st.floats(1.0, 2.0),
    pixel_centres=st.booleans(),
)
angles = st.none() | st.floats(-np.pi, np.pi)


@st.composite
def boxes(draw: st.DrawFn) -> NDArray[Any]:
    longer = 10 ** draw(st.floats(-1, 5))
    aspect = 10 ** draw(st.floats(0, 3))
    extent = (longer, max(longer / aspect, 1e-3))
    width, height = extent if draw(st.booleans()) else extent[::-1]
    x, y = draw(st.floats(-width, 4000)), draw(st.floats(-height, 4000))
    return np.array([[x, y, x + width, y + height]])


def anchor(rule: CropRule) -> NDArray[Any]:
    shift = 1 if rule.pixel_centres else 0
    return np.array([(rule.width - shift) / 2, (rule.height - shift) / 2])


@given(boxes(), rules, angles)
def test_crop_then_inverse_is_the_identity(box: NDArray[Any], rule: CropRule, angle: float | None) -> None:
    affines = crop_affines(box, rule, angle)
    corners = np.array([[[-0.5, -0.5], [rule.width, 0], [rule.width, rule.height], [3.25, 7.75]]])
    there = transform_points(corners, affines)
    back = transform_points(there, inverse_affines(affines))
    np.testing.assert_allclose(back, corners, atol=1e-3)
    np.testing.assert_allclose(transform_points(back, affines), there, atol=1e-3)


@given(boxes(), rules, angles)
def test_the_box_centre_lands_on_the_anchor(box: NDArray[Any], rule: CropRule, angle: float | None) -> None:
    centre = (box[:, None, :2] + box[:, None, 2:]) / 2
    landed = transform_points(centre, inverse_affines(crop_affines(box, rule, angle)))
    np.testing.assert_allclose(landed[0, 0], anchor(rule), atol=1e-3)


@given(boxes(), rules)
def test_the_padded_box_touches_two_sides_of_the_crop_and_leaves_none(box: NDArray[Any], rule: CropRule) -> None:
    corners = transform_points(box.reshape(1, 2, 2), inverse_affines(crop_affines(box, rule)))[0]
    padded = (corners - anchor(rule)) * rule.padding
    sides = np.array([rule.width, rule.height]) / 2
    assert (np.abs(padded) <= sides + 1e-3).all()
    assert np.isclose(np.abs(padded), sides, atol=1e-3).any()


@given(boxes(), rules, angles)
def test_the_scale_is_the_same_on_both_axes(box: NDArray[Any], rule: CropRule, angle: float | None) -> None:
    linear = crop_affines(box, rule, angle)[0, :, :2]
    scale = rule.padding * max((box[0, 2] - box[0, 0]) / rule.width, (box[0, 3] - box[0, 1]) / rule.height)
    np.testing.assert_allclose(linear @ linear.T, np.eye(2) * scale**2, rtol=1e-9, atol=scale**2 * 1e-9)


def test_a_box_of_the_crop_s_own_aspect_by_hand() -> None:
    # 144 x 192 with padding 1.25 is 180 x 240: 0.625 frame pixels for each crop pixel; its centre is (172, 196).
    (affine,) = crop_affines(np.array([[100.0, 100.0, 244.0, 292.0]]), RULE)
    np.testing.assert_allclose(affine, [[0.625, 0, 172 - 0.625 * 143.5], [0, 0.625, 196 - 0.625 * 191.5]])


def test_the_convention_of_foreign_weights_moves_the_crop_by_half_its_pixel() -> None:
    box = np.array([[100.0, 100.0, 244.0, 292.0]])
    foreign = CropRule(height=384, width=288, pixel_centres=False)
    difference = crop_affines(box, RULE)[0, :, 2] - crop_affines(box, foreign)[0, :, 2]
    np.testing.assert_allclose(difference, 0.625 / 2)


def test_a_positive_rotation_turns_the_crop_s_x_axis_towards_y() -> None:
    box = np.array([[100.0, 100.0, 244.0, 292.0]])
    quarter = crop_affines(box, RULE, [np.pi / 2])
    start, end = transform_points(np.array([[[0.0, 0.0], [1.0, 0.0]]]), quarter)[0]
    np.testing.assert_allclose(end - start, [0, 0.625], atol=1e-12)


def test_each_box_has_its_own_affine() -> None:
    several = np.array([[0.0, 0.0, 10.0, 10.0], [5.0, 5.0, 50.0, 90.0], [-4.0, 3.0, 400.0, 9.0]])
    turns = [0.1, -0.2, 3.0]
    together = crop_affines(several, RULE, turns)
    alone = [crop_affines(several[i : i + 1], RULE, [turns[i]])[0] for i in range(3)]
    np.testing.assert_array_equal(together, alone)
    points = np.arange(12.0).reshape(3, 2, 2)
    expected = [transform_points(points[i : i + 1], together[i : i + 1])[0] for i in range(3)]
    np.testing.assert_allclose(transform_points(points, together), expected)


@pytest.mark.parametrize("turns", [None, []])
def test_nobody_has_no_affine(turns: ArrayLike | None) -> None:
    affines = crop_affines(np.zeros((0, 4)), RULE, turns)
    assert affines.shape == inverse_affines(affines).shape == (0, 2, 3)
    assert transform_points(np.zeros((0, 17, 2), np.float32), affines).shape == (0, 17, 2)
