"""How like each other people are: by their boxes, and by their poses.

Letters: N and M people, K keypoints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.keypoints import overlaps

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["box_similarities", "coverages", "pose_similarities"]

_SMALLEST_WEIGHT = 1e-3


def box_similarities(boxes: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of boxes (N, 4) with others (M, 4): (N, M) in 0..1."""
    return np.array([overlaps(box, others) for box in boxes]).reshape(len(boxes), len(others))


def coverages(boxes: NDArray[np.float64], others: NDArray[np.float64], *, room: float = 0.0) -> NDArray[np.float64]:
    """How much of the smaller box of each pair the larger one covers, both grown by a part of their sides.

    Boxes that are grown before they are compared find a person again who moved by more than their own box (Yang et al.,
    "Hard to Track Objects with Irregular Motions and Similar Appearances? Make It Easier by Buffering the Matching
    Space", WACV 2023).

    Args:
        boxes: (N, 4) xyxy.
        others: (M, 4) xyxy.
        room: how much every side is moved outwards, in widths and heights of its box.

    Returns:
        (N, M) in 0..1; 0 without area.
    """
    ones, twos = _grown(boxes, room)[:, None], _grown(others, room)[None]
    sides = np.clip(np.minimum(ones[..., 2:], twos[..., 2:]) - np.maximum(ones[..., :2], twos[..., :2]), 0, None)
    areas = [(each[..., 2:] - each[..., :2]).prod(axis=-1) for each in (ones, twos)]
    smaller = np.minimum(*areas)
    shared = sides.prod(axis=-1)
    return np.divide(shared, smaller, out=np.zeros_like(shared), where=smaller > 0)


def _grown(boxes: NDArray[np.float64], room: float) -> NDArray[np.float64]:
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return boxes + room * sides * (-1.0, -1.0, 1.0, 1.0)


def pose_similarities(
    keypoints: NDArray[np.floating],
    scores: NDArray[np.floating],
    others: NDArray[np.floating],
    other_scores: NDArray[np.floating],
    areas: NDArray[np.floating],
    sigmas: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Object keypoint similarity, as COCO defines it, each joint with the weight that both poses are sure of it.

    Args:
        keypoints: (N, K, 2) in frame pixels.
        scores: (N, K) of the joints, in 0..1.
        others: (M, K, 2).
        other_scores: (M, K).
        areas: (M,) of the others' boxes, in square pixels.
        sigmas: (K,) of the skeleton.

    Returns:
        (N, M) in 0..1; 0 where no joint has any weight.
    """
    distances = ((keypoints[:, None].astype(np.float64) - others[None]) ** 2).sum(axis=-1)
    spreads = 2 * (2 * sigmas) ** 2 * np.maximum(areas, 1.0)[:, None]
    weights = np.sqrt(scores[:, None].astype(np.float64) * other_scores[None])
    alike = (weights * np.exp(-distances / spreads)).sum(axis=-1)
    total = weights.sum(axis=-1)
    return np.divide(alike, total, out=np.zeros_like(alike), where=total > _SMALLEST_WEIGHT)
