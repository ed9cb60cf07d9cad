from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.accuracy import Predictions
from amfac_edge.datasets import ImageRecord, PeopleSet
from amfac_edge.keypoints import skeleton

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def made_people() -> Callable[..., PeopleSet]:
    """People of area 10,000 in boxes of 100 x 200, all joints labelled at places of their own."""

    def make(
        images: list[int], *, name: str = "coco-17", crowd_indices: dict[int, float] | None = None, area: float = 1e4
    ) -> PeopleSet:
        joints, count = skeleton(name), len(images)
        rng = np.random.default_rng(0)
        corners = np.arange(count)[:, None] * 1000.0 * np.ones(2)
        points = corners[:, None] + rng.uniform(0, 100, size=(count, len(joints.joints), 2))
        return PeopleSet(
            name="made",
            skeleton=joints,
            boxes=np.concatenate([corners, corners + np.array([100, 200])], axis=1),
            keypoints=np.concatenate([points, np.full((*points.shape[:2], 1), 2.0)], axis=2),
            areas=np.full(count, area),
            image_ids=np.array(images),
            annotation_ids=np.arange(count),
            iscrowd=np.zeros(count, np.bool_),
            keypoint_counts=np.full(count, len(joints.joints)),
            images={
                number: ImageRecord(number, f"{number}.png", 5000, 5000, (crowd_indices or {}).get(number))
                for number in dict.fromkeys(images)
            },
        )

    return make


@pytest.fixture
def perfect() -> Callable[[PeopleSet], Predictions]:
    """Predictions that are the truth, the first person the surest."""

    def predict(people: PeopleSet) -> Predictions:
        return Predictions(
            image_ids=people.image_ids,
            keypoints=people.keypoints[:, :, :2].copy(),
            joint_scores=np.ones(people.keypoints.shape[:2]),
            scores=np.linspace(1, 0.5, len(people)),
            boxes=people.boxes,
        )

    return predict
