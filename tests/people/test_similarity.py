from __future__ import annotations

import numpy as np
import pytest

from amfac_edge.keypoints import skeleton
from amfac_edge.people.similarity import box_similarities, coverages, pose_similarities

SIGMAS = np.array(skeleton("coco-17").sigmas)
ALL = np.ones((1, 17))
SQUARE = np.array([[0.0, 0, 10, 10]])


def test_boxes_are_compared_by_their_overlap() -> None:
    others = np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [20, 0, 30, 10], [2, 2, 4, 4]])
    np.testing.assert_allclose(box_similarities(SQUARE, others), [[1, 1 / 3, 0, 0.04]])
    assert box_similarities(np.zeros((0, 4)), others).shape == (0, 4)
    assert box_similarities(SQUARE, np.zeros((0, 4))).shape == (1, 0)


def test_coverage_is_of_the_smaller_box_and_room_makes_neighbours_meet() -> None:
    others = np.array([[2.0, 2, 4, 4], [5, 0, 25, 10], [12, 0, 22, 10], [50, 0, 60, 10], [3, 3, 3, 9]])
    np.testing.assert_allclose(coverages(SQUARE, others), [[1, 0.5, 0, 0, 0]])
    # Half a width more on each side: -5 to 15 and 7 to 27 share 8 of 20.
    np.testing.assert_allclose(coverages(SQUARE, others, room=0.5)[0, 2:4], [0.4, 0])
    assert coverages(np.zeros((0, 4)), others).shape == (0, 5)


def test_poses_are_compared_as_coco_does() -> None:
    pose = np.random.default_rng(0).uniform(0, 100, (1, 17, 2))
    area, gap = 5000.0, 7.0
    moved = pose + np.array([gap, 0])
    expected = np.exp(-(gap**2) / (2 * area * (2 * SIGMAS) ** 2)).mean()
    found = pose_similarities(pose, ALL, moved, ALL, np.array([area]), SIGMAS)
    np.testing.assert_allclose(found, [[expected]])
    np.testing.assert_allclose(pose_similarities(pose, ALL, pose, ALL, np.array([area]), SIGMAS), [[1]])


def test_joints_that_one_of_both_is_unsure_of_hardly_count() -> None:
    pose = np.random.default_rng(0).uniform(0, 100, (1, 17, 2))
    other = pose.copy()
    other[0, 9] += 500
    unsure = np.where(np.arange(17) == 9, 0.0, 0.9)[None]
    assert pose_similarities(pose, ALL, other, ALL, np.array([5000.0]), SIGMAS)[0, 0] == pytest.approx(16 / 17)
    assert pose_similarities(pose, ALL, other, unsure, np.array([5000.0]), SIGMAS)[0, 0] == pytest.approx(1)
    assert pose_similarities(pose, 0 * ALL, other, ALL, np.array([5000.0]), SIGMAS)[0, 0] == 0


def test_many_with_many() -> None:
    poses = np.random.default_rng(1).uniform(0, 300, (4, 17, 2))
    scores = np.full((4, 17), 0.8)
    found = pose_similarities(poses, scores, poses[[2, 0, 3]], scores[:3], np.full(3, 9000.0), SIGMAS)
    assert found.shape == (4, 3)
    assert found.argmax(axis=0).tolist() == [2, 0, 3]
