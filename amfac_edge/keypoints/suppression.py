"""Which of many overlapping candidates are people: non-maximum suppression, as ONNX's operator defines it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["overlaps", "suppressed"]


def suppressed(
    boxes: NDArray[np.floating],
    scores: NDArray[np.floating],
    *,
    score_threshold: float,
    iou_threshold: float,
    classes: NDArray[np.integer] | None = None,
    most: int | None = None,
) -> NDArray[np.intp]:
    """The candidates that are left, the best first.

    A candidate stays where its score is above `score_threshold`, and no better one of its class that stayed overlaps it
    by more than `iou_threshold`. Of equal scores the earlier is the better.

    Args:
        boxes: (A, 4) x1, y1, x2, y2.
        scores: (A,); NaN is no score.
        score_threshold: in 0..1.
        iou_threshold: in 0..1.
        classes: (A,) whose boxes suppress each other; None where all are of one class.
        most: of them at most, None for all.

    Returns:
        (M,) indices into the candidates, by falling score.
    """
    above = np.flatnonzero(scores > score_threshold)
    left = above[np.argsort(-scores[above], kind="stable")]
    kept: list[int] = []
    while len(left) and (most is None or len(kept) < most):
        best, rest = left[0], left[1:]
        kept.append(int(best))
        over = overlaps(boxes[best], boxes[rest]) > iou_threshold
        left = rest[~(over if classes is None else over & (classes[rest] == classes[best]))]
    return np.array(kept, np.intp)


def overlaps(box: NDArray[np.floating], boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Intersection over union of one box (4,) with each of (M, 4), x1, y1, x2, y2: (M,) in 0..1, 0 without area."""
    one, many = np.asarray(box, np.float64), np.asarray(boxes, np.float64)
    sides = np.clip(np.minimum(one[2:], many[:, 2:]) - np.maximum(one[:2], many[:, :2]), 0, None)
    shared = sides.prod(axis=1)
    areas = np.clip(many[:, 2:] - many[:, :2], 0, None).prod(axis=1)
    union = np.clip(one[2:] - one[:2], 0, None).prod() + areas - shared
    return np.divide(shared, union, out=np.zeros(len(many)), where=union > 0)
