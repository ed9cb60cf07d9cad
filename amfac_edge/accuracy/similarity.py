"""How alike two poses are: OKS, the suppression of doubles by it, and who was found by what.

Object keypoint similarity, as the COCO evaluator defines it: the mean over the labelled joints i of
exp(-d_i^2 / (2 s^2 k_i^2)), d the distance, s^2 the person's area, k_i = 2 sigma_i. N people, M predictions, K joints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from amfac_edge.accuracy.predictions import Predictions
    from amfac_edge.datasets import PeopleSet
    from amfac_edge.keypoints import Skeleton

__all__ = [
    "CROWDPOSE_AREA",
    "by_image",
    "found_people",
    "oks_scales",
    "require_sigmas",
    "similarities",
    "without_doubles",
]

CROWDPOSE_AREA = 0.53
"""CrowdPose's evaluator takes this part of a box as the person's area, since its files have none."""

_DOUBLES = 0.9


def require_sigmas(skeleton: Skeleton) -> None:
    """Refuse a skeleton whose sigmas nobody has measured.

    Raises:
        InputError: it is one.
    """
    if len(skeleton.sigmas) != len(skeleton.joints):
        raise InputError(
            f"there are no OKS sigmas for {skeleton.name}",
            cure="Score it by PCK (--protocol pck), or give `sigmas` beside `keypoints` in the file's category.",
        )


def oks_scales(areas: NDArray[np.float64], skeleton: Skeleton) -> NDArray[np.float64]:
    """The distance, for each joint of each person, at which the similarity is exp(-1/2): 2 sigma s.

    Args:
        areas: (N,) square pixels.
        skeleton: of the K joints.

    Returns:
        (N, K) pixels.

    Raises:
        InputError: nobody has measured the sigmas of this skeleton.
    """
    require_sigmas(skeleton)
    scales: NDArray[np.float64] = 2 * np.sqrt(areas)[:, None] * np.array(skeleton.sigmas)
    return scales


def similarities(
    keypoints: NDArray[np.float64], truth: NDArray[np.float64], scales: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The similarity of each prediction to each person.

    Args:
        keypoints: (M, K, 2) x, y.
        truth: (N, K, 3) x, y, v; joints with v = 0 don't count.
        scales: (N, K) pixels, from `oks_scales`.

    Returns:
        (M, N) in 0..1; 0 for a person without a labelled joint.
    """
    labelled = truth[:, :, 2] > 0
    squares = ((keypoints[:, None] - truth[None, :, :, :2]) ** 2).sum(axis=-1)
    each = np.exp(-squares / (2 * scales**2 + np.spacing(1))) * labelled
    result: NDArray[np.float64] = each.sum(axis=-1) / np.maximum(labelled.sum(axis=-1), 1)
    return result


def found_people(
    people: PeopleSet, predictions: Predictions, scales: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Which prediction found which person: in each picture the surest prediction chooses first.

    Args:
        people: N of them; those who are not `labelled` are found by nobody.
        predictions: M of them.
        scales: (N, K) pixels: at what distance a joint's similarity falls to exp(-1/2).

    Returns:
        (N,) index of the prediction, -1 for nobody's; (N,) their similarity, 0 where there is none.
    """
    finder = np.full(len(people), -1)
    values = np.zeros(len(people))
    persons, findings = by_image(people.image_ids, people.labelled), by_image(predictions.image_ids)
    for image, here in persons.items():
        there = findings.get(image)
        if there is None:
            continue
        table = similarities(predictions.keypoints[there], people.keypoints[here], scales[here])
        for row in np.argsort(-predictions.scores[there], kind="stable"):
            best = int(table[row].argmax())
            if table[row, best] > 0:
                finder[here[best]], values[here[best]] = there[row], table[row, best]
                table[:, best] = -1
    return finder, values


def without_doubles(predictions: Predictions, skeleton: Skeleton, threshold: float = _DOUBLES) -> Predictions:
    """OKS-NMS: in each picture, drop whoever is more alike than `threshold` to somebody surer.

    The area of the OKS is the mean of the two boxes', as in the common top-down code.

    Args:
        predictions: with boxes.
        skeleton: of their joints.
        threshold: within 0 and 1.
    """
    extents = predictions.boxes[:, 2:] - predictions.boxes[:, :2]
    areas = extents.prod(axis=1)
    kept = []
    for here in by_image(predictions.image_ids).values():
        left = here[np.argsort(-predictions.scores[here], kind="stable")]
        while len(left):
            first, rest = left[0], left[1:]
            kept.append(first)
            squares = ((predictions.keypoints[rest] - predictions.keypoints[first]) ** 2).sum(axis=-1)
            scales = oks_scales((areas[first] + areas[rest]) / 2, skeleton)
            alike = np.exp(-squares / (2 * scales**2)).mean(axis=1)
            left = rest[alike <= threshold]
    return predictions.chosen(np.sort(np.array(kept, np.intp)))


def by_image(image_ids: NDArray[np.int64], chosen: NDArray[np.bool_] | None = None) -> dict[int, NDArray[np.intp]]:
    """Image id -> the indices (L,) of its entries, in their order.

    Args:
        image_ids: (N,).
        chosen: (N,); only these.
    """
    indices = np.arange(len(image_ids)) if chosen is None else np.flatnonzero(chosen)
    order = indices[np.argsort(image_ids[indices], kind="stable")]
    numbers, starts = np.unique(image_ids[order], return_index=True)
    return dict(zip(numbers.tolist(), np.split(order, starts[1:]), strict=True)) if len(order) else {}
