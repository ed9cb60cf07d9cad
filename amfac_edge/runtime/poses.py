"""The joints of the people of one frame, as parallel arrays. N people, K keypoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Poses", "person_scores"]


@dataclass(frozen=True, eq=False)
class Poses:
    """What an estimator found; the people are in the order of the boxes that it was given.

    Attributes:
        keypoints: (N, K, 2) float32, x and y in frame pixels; integers are pixel centres. A joint may lie outside the
            frame.
        scores: (N, K) float32 in 0..1, the confidence of each joint.
        boxes: (N, 4) float32, xyxy in frame pixels: the boxes as given.
    """

    keypoints: NDArray[np.float32]
    scores: NDArray[np.float32]
    boxes: NDArray[np.float32]

    def __len__(self) -> int:
        """N."""
        return len(self.boxes)

    @classmethod
    def empty(cls, joints: int) -> Poses:
        """No people, of a skeleton with `joints` joints."""
        return cls(
            np.zeros((0, joints, 2), np.float32), np.zeros((0, joints), np.float32), np.zeros((0, 4), np.float32)
        )


def person_scores(scores: NDArray[np.floating], box_scores: ArrayLike = 1.0) -> NDArray[np.float64]:
    """A person's score: the mean of the joints' scores times the score of the box. The one definition of it.

    Args:
        scores: (N, K) of the joints, in 0..1.
        box_scores: (N,) of the detector, or one number for all; 1 for boxes that somebody drew.

    Returns:
        (N,) float64.
    """
    means: NDArray[np.float64] = scores.mean(axis=1, dtype=np.float64)
    return means * np.asarray(box_scores, np.float64)
