from __future__ import annotations

import numpy as np
import pytest

from amfac_edge.people.pose_box import box_from_pose, is_vague, joint_motion

BOX = np.array([100.0, 50, 180, 250])
# Inside the box with room to its edges on all sides.
JOINTS = np.array([[140.0, 72], [118, 100], [162, 100], [124, 160], [156, 160], [130, 228], [150, 228]])
SURE = np.full(7, 0.9)


def test_the_box_goes_where_the_joints_go() -> None:
    moved = box_from_pose(BOX, JOINTS, SURE, JOINTS + np.array([6, -3]), SURE)
    # The room shrinks a little towards what the joints need; the middle goes along.
    np.testing.assert_allclose((moved[:2] + moved[2:]) / 2, [146, 147], atol=2)
    again = BOX
    for step in range(40):
        again = box_from_pose(again, JOINTS + 2.0 * step, SURE, JOINTS + 2.0 * (step + 1), SURE)
    hull = np.r_[JOINTS.min(axis=0), JOINTS.max(axis=0)] + 80
    room = 0.1 * (228 - 72)
    np.testing.assert_allclose(again, hull + room * np.array([-1, -1, 1, 1]), atol=0.5)


def test_it_grows_at_once_and_shrinks_slowly() -> None:
    raised = JOINTS.copy()
    raised[3] = [124, 20]
    grown = box_from_pose(BOX, JOINTS, SURE, raised, SURE)
    assert grown[1] < 20 - 0.05 * 200
    lowered = box_from_pose(grown, raised, SURE, JOINTS, SURE)
    assert grown[1] < lowered[1] < 50


def test_a_person_who_comes_nearer_has_a_larger_box() -> None:
    middle = JOINTS.mean(axis=0)
    nearer = box_from_pose(BOX, JOINTS, SURE, middle + 1.1 * (JOINTS - middle), SURE)
    assert 1.03 < (nearer[3] - nearer[1]) / (BOX[3] - BOX[1]) < 1.15


def test_joints_that_nobody_is_sure_of_move_nothing() -> None:
    unsure = np.full(7, 0.4)
    np.testing.assert_array_equal(box_from_pose(BOX, JOINTS, SURE, JOINTS + 50, unsure), BOX)
    two_sure = np.where(np.arange(7) < 2, 0.9, 0.1)
    np.testing.assert_array_equal(box_from_pose(BOX, JOINTS, SURE, JOINTS + 50, two_sure), BOX)
    assert is_vague(unsure)
    assert is_vague(two_sure)
    assert not is_vague(SURE)


def test_legs_that_are_unsure_stay_in_the_box() -> None:
    scores = np.where(JOINTS[:, 1] > 200, 0.2, 0.9)
    box = BOX
    for _ in range(10):
        box = box_from_pose(box, JOINTS, scores, JOINTS, scores)
    assert box[3] > 228


@pytest.mark.parametrize(("shift", "scale"), [((5.0, -2.0), 1.0), ((0.0, 0.0), 1.1), ((3.0, 4.0), 0.95)])
def test_motion_is_shift_and_scale(shift: tuple[float, float], scale: float) -> None:
    middle = JOINTS.mean(axis=0)
    found, found_scale = joint_motion(JOINTS, middle + scale * (JOINTS - middle) + shift, np.ones(7))
    np.testing.assert_allclose(found, shift, atol=1e-9)
    assert found_scale == pytest.approx(scale)


def test_no_joint_and_one_point_are_no_motion() -> None:
    assert joint_motion(JOINTS, JOINTS + 5, np.zeros(7))[1] == 1.0
    np.testing.assert_array_equal(joint_motion(JOINTS, JOINTS + 5, np.zeros(7))[0], [0, 0])
    points = np.zeros((7, 2))
    shift, scale = joint_motion(points, points + 3, np.ones(7))
    np.testing.assert_allclose(shift, [3, 3])
    assert scale == 1.0
