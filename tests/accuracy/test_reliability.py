"""What scores are worth: cases that are computed by hand."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amfac_edge.accuracy.reliability import (
    JudgedJoints,
    judge,
    log_loss,
    rank_correlation,
    reliability,
    reliability_picture,
)
from amfac_edge.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from amfac_edge.accuracy import Predictions
    from amfac_edge.datasets import PeopleSet


def _joints(scores: Sequence[float], right: Sequence[float], images: Sequence[int] | None = None) -> JudgedJoints:
    count = len(scores)
    pictures = np.arange(count) if images is None else np.array(images)
    none = np.zeros(count, np.intp)
    return JudgedJoints(np.array(scores, np.float64), np.array(right, np.bool_), pictures, 0.1, none, none)


def test_spearman_by_hand() -> None:
    # Ranks 1, 2.5, 2.5, 4 and 1, 3, 2, 4: 4.5 / sqrt(4.5 * 5).
    assert rank_correlation(np.array([1, 2, 2, 9.0]), np.array([1, 3, 2, 4.0])) == pytest.approx(4.5 / 22.5**0.5)
    assert rank_correlation(np.array([3, 2, 1.0]), np.array([0, 5, 9.0])) == pytest.approx(-1)
    assert rank_correlation(np.ones(5), np.arange(5.0)) is None


@given(st.lists(st.tuples(st.floats(-9, 9), st.booleans()), min_size=2, max_size=30))
def test_spearman_is_blind_to_the_scale(values: list[tuple[float, bool]]) -> None:
    scores, right = np.array([each[0] for each in values]), np.array([each[1] for each in values], np.float64)
    found = rank_correlation(scores, right)
    doubled = rank_correlation(scores * 2, right)
    assert (found is None) == (len(set(scores.tolist())) == 1 or len(set(right.tolist())) == 1)
    assert found == doubled or found == pytest.approx(doubled)
    assert found is None or -1 - 1e-9 <= found <= 1 + 1e-9


def test_the_calibration_error_by_hand() -> None:
    # Two bins: mean 0.3 where half is right, mean 0.7 where all is.
    found = reliability(_joints([0.8, 0.2, 0.6, 0.4], [1, 0, 1, 1]), bins=2)
    assert found.ece == pytest.approx((2 * 0.2 + 2 * 0.3) / 4)
    assert np.array(found.bins)[:, :3] == pytest.approx(np.array([[2, 0.3, 0.5], [2, 0.7, 1]]))
    assert found.brier == pytest.approx((0.2**2 + 0.2**2 + 0.4**2 + 0.6**2) / 4)
    assert found.log_loss == pytest.approx(-np.log([0.8, 0.8, 0.6, 0.4]).mean())
    assert (found.joints, found.pictures, found.right) == (4, 4, 0.75)


def test_equal_scores_are_never_parted() -> None:
    found = reliability(_joints([0.1, 0.5, 0.5, 0.5, 0.5, 0.9], [0, 1, 0, 1, 0, 1]), bins=3)
    assert [each.joints for each in found.bins] == [1, 4, 1]
    one = reliability(_joints([0.5] * 7, [1, 0, 1, 0, 1, 0, 1]))
    assert (len(one.bins), one.spearman) == (1, None)
    assert one.ece == pytest.approx(4 / 7 - 0.5)
    assert len(reliability(_joints([0.3], [1])).bins) == 1


def test_bins_are_of_equal_size() -> None:
    scores = np.random.default_rng(0).random(1003)
    sizes = [each.joints for each in reliability(_joints(scores.tolist(), [1] * 1003)).bins]
    assert len(sizes) == 10
    assert set(sizes) == {100, 101}


def test_a_perfect_score_errs_by_chance_alone() -> None:
    rng = np.random.default_rng(1)
    scores = rng.random(3000)
    found = reliability(_joints(scores.tolist(), (rng.random(3000) < scores).tolist()))
    # Ten bins of 300 joints: about sqrt(2 / pi * mean(p (1 - p)) / 300) of each.
    assert found.ece_by_chance == pytest.approx(0.8 * np.sqrt((scores * (1 - scores)).mean() / 300), rel=0.1)
    assert found.ece < 2 * found.ece_by_chance
    off = reliability(_joints((scores / 2).tolist(), (rng.random(3000) < scores).tolist()))
    assert off.ece == pytest.approx(0.25, abs=0.02)


def test_joints_of_one_picture_are_one_observation() -> None:
    right = [1] * 10 + [0] * 10
    alone = reliability(_joints([0.5] * 20, right)).bins[0]
    together = reliability(_joints([0.5] * 20, right, [1] * 10 + [2] * 10)).bins[0]
    # 1.96 sqrt(20 / 4) / 20, and 1.96 sqrt(2 * 5^2) / 20 = 0.69, which is cut at 0 and 1.
    assert (alone.low, alone.high) == pytest.approx((0.5 - 0.2191, 0.5 + 0.2191), abs=1e-4)
    assert (together.low, together.high) == (0, 1)


def test_certainty_that_errs_costs_but_not_infinitely() -> None:
    assert log_loss(np.array([1.0]), np.array([False])) == pytest.approx(np.log(1e6))
    assert log_loss(np.array([1.0]), np.array([True])) == pytest.approx(0, abs=2e-6)


def test_joints_are_judged_as_pck_judges_them(
    made_people: Callable[..., PeopleSet], perfect: Callable[[PeopleSet], Predictions]
) -> None:
    people = made_people([7, 8, 9])
    people.keypoints[0, 3, 2] = 0  # not labelled
    truth = perfect(people)
    keypoints = truth.keypoints.copy()
    keypoints[1, 5, 0] += 19.9  # a tenth of the box's longer side is 20
    keypoints[1, 6, 0] += 20.1
    scores = np.random.default_rng(0).random(truth.joint_scores.shape)
    order = np.array([1, 0, 2])
    found = dataclasses.replace(truth, keypoints=keypoints, joint_scores=scores).chosen(order)
    joints = judge(people, found)
    assert len(joints) == 3 * 17 - 1
    assert (~joints.right).sum() == 1
    wrong = int(np.flatnonzero(~joints.right)[0])
    assert (joints.joint[wrong], joints.image_ids[wrong], joints.scores[wrong]) == (6, 8, scores[1, 6])
    assert joints.prediction[wrong] == 0
    assert not (joints.chosen(joints.image_ids == 7).joint == 3).any()
    assert judge(people, found, threshold=0.09).right.sum() == 3 * 17 - 3


def test_what_cant_be_judged_is_refused(
    made_people: Callable[..., PeopleSet], perfect: Callable[[PeopleSet], Predictions]
) -> None:
    people = made_people([7])
    found = perfect(people)
    with pytest.raises(InputError, match=r"scores of joints from 12 to 12 are no probabilities"):
        judge(people, dataclasses.replace(found, joint_scores=np.full((1, 17), 12.0)))
    with pytest.raises(InputError, match="PCK at 0: no such threshold"):
        judge(people, found, threshold=0)
    with pytest.raises(InputError, match="no labelled joint of anybody who was found"):
        reliability(judge(people, found.chosen(np.zeros(0, np.intp))))


def test_the_diagram_is_drawn() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(500)
    found = reliability(_joints(scores.tolist(), (rng.random(500) < scores).tolist()))
    flat = reliability(_joints([0.5] * 4, [1, 0, 1, 0]))
    picture = reliability_picture({"plain": flat, "calibrated": found}, "made")
    assert picture.shape[0] > 500
    # Along the diagonal of the plot, which begins 84 pixels from the left and ends 28 from the right, lies the curve.
    blue = np.abs(picture.astype(int) - (255, 190, 90)).max(axis=-1) < 40
    rows, columns = np.nonzero(blue[-520:])
    assert np.corrcoef(rows, columns)[0, 1] < -0.9
