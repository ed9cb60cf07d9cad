"""Generated people: exact labels, the same each time, inside their pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from amfac_edge.datasets import generated_people, join_people
from amfac_edge.errors import FrameError, InputError


@pytest.mark.parametrize("skeleton", ["coco-17", "crowdpose-14"])
def test_all_joints_lie_in_their_boxes_and_pictures(skeleton: str) -> None:
    people = generated_people(200, 3, skeleton=skeleton, height=96, width=128)
    points = people.keypoints[:, :, :2]
    assert (points >= people.boxes[:, None, :2]).all()
    assert (points <= people.boxes[:, None, 2:]).all()
    assert (people.boxes[:, :2] >= -0.5).all()
    assert (people.boxes[:, 2:] <= (127.5, 95.5)).all()
    assert people.labelled.all()
    assert (people.boxes[:, 2:] - people.boxes[:, :2]).max(axis=1).min() > 40


def test_the_same_seed_gives_the_same_people_and_pictures() -> None:
    one, same, other = (generated_people(3, seed) for seed in (7, 7, 8))
    assert (one.keypoints == same.keypoints).all()
    assert (one.read_image(2) == same.read_image(2)).all()
    assert not (one.read_image(2) == other.read_image(2)).all()
    assert (generated_people(9, 7).keypoints[:3] == one.keypoints).all()


def test_poses_vary_and_the_person_faces_the_camera() -> None:
    people = generated_people(300, 1)
    relative = (people.keypoints[:, :, :2] - people.boxes[:, None, :2]) / (
        people.boxes[:, None, 2:] - people.boxes[:, None, :2]
    )
    # Hands and feet wander over the box.
    assert relative[:, [9, 10, 15, 16], 0].std(axis=0).min() > 0.15
    assert relative[:, [9, 10], 1].std(axis=0).min() > 0.1
    left_shoulder, right_shoulder = people.keypoints[:, 5, 0], people.keypoints[:, 6, 0]
    assert (left_shoulder > right_shoulder).all()


def test_what_is_drawn_is_where_the_labels_are() -> None:
    """The eyes are the darkest spots of a face: an eye that is looked for in the picture is where its label says."""
    people = generated_people(40, 5, height=320, width=320)
    errors = []
    for index in range(40):
        x, y = people.keypoints[index, 1, :2]
        grey = cv2.GaussianBlur(cv2.cvtColor(people.read_image(index + 1), cv2.COLOR_BGR2GRAY), (3, 3), 0)
        reach = max(3, round((people.keypoints[index, 1, 0] - people.keypoints[index, 2, 0]) * 0.3))
        top, left = round(y) - reach, round(x) - reach
        part = 255.0 - grey[top : top + 2 * reach + 1, left : left + 2 * reach + 1]
        part = np.where(part > (part.max() + part.min()) / 2, part - part.min(), 0)
        rows, columns = np.mgrid[: part.shape[0], : part.shape[1]]
        errors.append(
            np.hypot((columns * part).sum() / part.sum() + left - x, (rows * part).sum() / part.sum() + top - y)
        )
    assert np.median(errors) < 0.75


def test_generated_sets_join_and_keep_their_pictures() -> None:
    one, two = generated_people(2, 1), generated_people(2, 2)
    both = join_people([one, two])
    assert (both.read_image(3) == two.read_image(1)).all()


def test_what_cant_be_generated_is_refused() -> None:
    with pytest.raises(InputError, match="no 0 generated people"):
        generated_people(0, 1)
    with pytest.raises(InputError, match="16x160 pixels"):
        generated_people(1, 1, width=16)
    with pytest.raises(FrameError, match="no picture with the id 2"):
        generated_people(1, 1).read_image(2)
