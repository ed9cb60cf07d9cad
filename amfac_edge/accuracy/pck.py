"""PCK: the part of the labelled joints that were found within t of the longer side of the person's box."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.accuracy.bootstrap import image_weights, percentile_interval
from amfac_edge.accuracy.similarity import found_people
from amfac_edge.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from amfac_edge.accuracy.bootstrap import Interval
    from amfac_edge.accuracy.predictions import Predictions
    from amfac_edge.datasets import PeopleSet

__all__ = ["BODY_JOINTS", "Pck", "judged_joints", "pck", "require_threshold"]

BODY_JOINTS = tuple(
    f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in ("left", "right")
)
"""The twelve joints that all data sets have."""


@dataclass(frozen=True)
class Pck:
    """The result; fractions.

    Attributes:
        value: over all joints.
        body: over the twelve `BODY_JOINTS`; -1 where the skeleton has none of them labelled.
        joints: of each joint that is labelled somewhere.
        threshold: t.
        intervals: of `value` ("PCK") and of `body` ("PCKbody"), where resamples were asked for.
    """

    value: float
    body: float
    joints: dict[str, float]
    threshold: float
    intervals: Mapping[str, Interval] = field(default_factory=dict)


def pck(
    people: PeopleSet, predictions: Predictions, *, threshold: float = 0.1, resamples: int = 0, seed: int = 0
) -> Pck:
    """Score by PCK. A person that no prediction found has none of its joints right.

    Args:
        people: the ground truth.
        predictions: in each picture the surest one takes the person that is most like it, and so on.
        threshold: t, of the box's longer side.
        resamples: of the bootstrap over pictures; 0 for none.
        seed: of it.

    Raises:
        InputError: as `require_threshold`; or a single resample.
    """
    right, labelled, _ = judged_joints(people, predictions, threshold)
    names = people.skeleton.joints
    body = [names.index(name) for name in BODY_JOINTS if name in names]
    intervals: dict[str, Interval] = {}
    if resamples:
        numbers = np.array(sorted(people.images))
        weights = image_weights(len(numbers), resamples, seed)[:, np.searchsorted(numbers, people.image_ids)]
        for name, joints in (("PCK", list(range(len(names)))), ("PCKbody", body)):
            totals = weights @ labelled[:, joints].sum(axis=1)
            found = weights @ right[:, joints].sum(axis=1)
            intervals[name] = percentile_interval(found[totals > 0] / totals[totals > 0])
    return Pck(
        value=_part(right, labelled),
        body=_part(right[:, body], labelled[:, body]),
        joints={name: _part(right[:, k], labelled[:, k]) for k, name in enumerate(names) if labelled[:, k].any()},
        threshold=threshold,
        intervals=intervals,
    )


def require_threshold(threshold: float) -> None:
    """Refuse what is no part of the box.

    Raises:
        InputError: a threshold that is not above 0 and at most 1.
    """
    if not 0 < threshold <= 1:
        raise InputError(
            f"PCK at {threshold:g}: no such threshold",
            cure="Give a part of the box's longer side above 0 and up to 1 (--pck 0.1).",
        )


def judged_joints(
    people: PeopleSet, predictions: Predictions, threshold: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.intp]]:
    """Which joints were found.

    Args:
        people: the ground truth, N.
        predictions: in each picture the surest one takes the person that is most like it, and so on.
        threshold: t.

    Returns:
        (N, K) right, (N, K) labelled, and (N,) the prediction that found each person, -1 for none.

    Raises:
        InputError: as `require_threshold`.
    """
    require_threshold(threshold)
    reach = threshold * (people.boxes[:, 2:] - people.boxes[:, :2]).max(axis=1)
    scales = np.repeat(reach[:, None], len(people.skeleton.joints), axis=1)
    finder, _ = found_people(people, predictions, scales)
    labelled = (people.keypoints[:, :, 2] > 0) & people.labelled[:, None]
    if not len(predictions):
        return np.zeros_like(labelled), labelled, finder
    distances = np.linalg.norm(predictions.keypoints[finder] - people.keypoints[:, :, :2], axis=-1)
    return labelled & (finder >= 0)[:, None] & (distances <= scales), labelled, finder


def _part(right: NDArray[np.bool_], labelled: NDArray[np.bool_]) -> float:
    count = int(labelled.sum())
    return int(right.sum()) / count if count else -1.0
