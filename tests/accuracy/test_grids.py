"""The grid of predicted poses: which pictures are in it, what is drawn on them, and what its caption says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from amfac_edge.accuracy.choosing import shown_people, shown_pictures, spread
from amfac_edge.accuracy.grids import pose_grid
from amfac_edge.accuracy.predictions import Predictions
from amfac_edge.datasets import PeopleSet, generated_people
from amfac_edge.errors import FrameError, InputError

pytest.importorskip("cv2")


def perfect(people: PeopleSet, score: float = 0.9) -> Predictions:
    return Predictions(
        people.image_ids,
        people.keypoints[:, :, :2].copy(),
        np.full(people.keypoints.shape[:2], score),
        np.full(len(people), score),
        people.boxes,
    )


def crowded(people: PeopleSet) -> PeopleSet:
    """Picture 1 has one person, 2 has two, 3 has three: annotations are repeated."""
    return people.chosen(np.repeat(np.arange(3), [1, 2, 3]))


def test_a_choice_goes_through_the_values_and_repeats_itself() -> None:
    values = np.array([5, 1, 4, 4, 2, 3, 9, 7])
    for seed in range(5):
        chosen = spread(values, 4, seed)
        assert (np.diff(values[chosen]) >= 0).all()
        parts = np.array_split(np.argsort(values, kind="stable"), 4)
        assert all(index in part for index, part in zip(chosen, parts, strict=True))
        assert np.array_equal(chosen, spread(values, 4, seed))
    assert len({tuple(spread(values, 4, seed)) for seed in range(20)}) > 1
    assert sorted(spread(values, 50, 0)) == list(range(8))


def test_pictures_go_from_one_person_to_the_fullest() -> None:
    people = crowded(generated_people(3, 1, height=64, width=64))
    assert shown_pictures(people, 3, 0) == [1, 2, 3]
    assert shown_pictures(people, 2, 0)[1] in {2, 3}
    assert len(shown_pictures(people, 9, 0)) == 3


def test_pictures_of_small_people_only_fill_up() -> None:
    people = generated_people(4, 1, height=64, width=64)
    people.boxes[0] = [10, 10, 12, 14]
    assert all(1 not in shown_pictures(people, 3, seed) for seed in range(8))
    assert 1 in shown_pictures(people, 4, 0)


def test_people_go_from_hidden_joints_to_none_and_the_mostly_hidden_only_fill_up() -> None:
    people = generated_people(4, 1, height=64, width=64)
    people.keypoints[0, :12, 2] = 1
    people.keypoints[2, :5, 2] = 1
    people.keypoints[3, :2, 2] = 0
    for seed in range(5):
        assert shown_people(people, 3, seed).tolist() == [2, 3, 1]
    assert shown_people(people, 4, 0).tolist() == [0, 2, 3, 1]


def test_a_grid_has_as_many_cells_as_were_asked_for() -> None:
    people = generated_people(7, 1, height=96, width=96)
    pictures = {number: people.read_image(number).mean(axis=(0, 1)) for number in people.images}
    bare = dataclasses.replace(perfect(people), scores=np.zeros(7), joint_scores=np.zeros((7, 17)))
    bare = bare.chosen(np.zeros(7, np.bool_))
    grid = pose_grid(people, bare, count=4, seed=3)
    # Nothing is drawn, so each chosen picture is in the grid as it is: two columns of 460 pixels, two rows.
    assert grid.shape[1] == 920
    chosen = shown_pictures(people, 4, 3)
    for index, image in enumerate(chosen):
        top, left = index // 2 * 463, index % 2 * 463
        cell = grid[top + 5 : top + 450, left + 5 : left + 450]
        assert cell.mean(axis=(0, 1)) == pytest.approx(pictures[image], abs=3)
    assert 926 < len(grid) < 1100


def test_poses_are_drawn_where_they_were_predicted_and_the_unsure_are_not() -> None:
    people = generated_people(1, 1, height=96, width=96)
    found = perfect(people)
    none = pose_grid(people, found.chosen(np.zeros(1, np.bool_)))
    shown = pose_grid(people, found)
    size = none.shape[1] / 96
    changed = (none[:460] != shown[:460]).any(axis=-1)
    for x, y in (found.keypoints[0] + 0.5) * size:
        assert changed[round(y), round(x)]
    shy = perfect(people)
    shy.joint_scores[0, 5:] = 0.1  # below a quarter of the best
    assert (none != pose_grid(people, shy)).any(axis=-1).sum() < 0.5 * (none != shown).any(axis=-1).sum()
    twice = people.chosen(np.array([0, 0]))
    doubtful = perfect(twice)
    doubtful.scores[1] = 0.1
    doubtful.keypoints[1] = doubtful.keypoints[1][::-1] / 2
    assert np.array_equal(pose_grid(people, doubtful)[:460], shown[:460])


def test_scores_that_are_small_throughout_are_drawn_all_the_same() -> None:
    """A SimCC network's softmax peak may be a twentieth: what counts is what its best joints have."""
    people = generated_people(2, 1, height=96, width=96)
    high, low = pose_grid(people, perfect(people, 0.9)), pose_grid(people, perfect(people, 0.05))
    assert np.array_equal(high[:460], low[:460])


def test_no_people_or_no_pictures_is_an_error() -> None:
    people = generated_people(2, 1, height=64, width=64)
    nobody = people.chosen(np.zeros(2, np.bool_))
    with pytest.raises(FrameError, match="has no picture with labelled people"):
        pose_grid(nobody, perfect(nobody))
    without = dataclasses.replace(people, stores=())
    with pytest.raises(InputError, match="was loaded without its pictures"):
        pose_grid(without, perfect(people))
