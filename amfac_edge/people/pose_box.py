"""The next frame's box from this frame's joints.

The box goes where its joints went (shift and scale, each joint with the weight that both frames are sure of it). Then
it grows at once where a sure joint would come too near to its edge, and shrinks slowly where there is more room than
needed. So a lowered arm or a leg that the network is unsure of doesn't cut the person off, and what is missing in
the joints (hair, hands, feet) stays in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SURE_JOINT", "box_from_pose", "is_vague", "joint_motion"]

SURE_JOINT = 0.5
"""From this score on a joint says where the person is: scores are probabilities, and it is rather right than wrong."""

# Room between the outermost joints and the edge, in lengths of the joints' hull: over COCO's annotated people with
# nearly all joints the medians are .05 to .11 by side.
_ROOM = 0.1
_SHRINKS, _NEARLY_ALL = 0.15, 0.8
_FEWEST_JOINTS = 3
# Of all joints, that must be sure in both frames before they say where a person went.
_LEAST_SHARE = 0.25
_MOST_SCALE = 1.15


def is_vague(scores: NDArray[np.floating]) -> bool:
    """Whether too few of the joints, whose scores are (K,), are sure to say where the person goes."""
    return float((scores[scores >= SURE_JOINT] ** 2).sum()) < _LEAST_SHARE * len(scores)


def joint_motion(
    before: NDArray[np.floating], after: NDArray[np.floating], weights: NDArray[np.floating]
) -> tuple[NDArray[np.float64], float]:
    """How joints (K, 2) moved to (K, 2): the shift (2,) of their middle, in pixels, and the scale; weights are (K,)."""
    total = float(weights.sum())
    if total < _LEAST_SHARE * len(weights):
        return np.zeros(2), 1.0
    share = (weights / total)[:, None]
    middles = [(share * joints).sum(axis=0) for joints in (before, after)]
    spreads = [
        float(np.sqrt((share * (joints - middle) ** 2).sum()))
        for joints, middle in zip((before, after), middles, strict=True)
    ]
    scale = spreads[1] / spreads[0] if min(spreads) > 1 else 1.0
    return middles[1] - middles[0], min(max(scale, 1 / _MOST_SCALE), _MOST_SCALE)


def box_from_pose(
    box: NDArray[np.float64],
    before: NDArray[np.floating] | None,
    before_scores: NDArray[np.floating] | None,
    keypoints: NDArray[np.floating],
    scores: NDArray[np.floating],
) -> NDArray[np.float64]:
    """Where a person's box is, now that the joints are known.

    Args:
        box: (4,) xyxy, that the joints were estimated in.
        before: (K, 2) joints that `box` belonged to; None where it comes from a detector in this very frame.
        before_scores: (K,) of those.
        keypoints: (K, 2) of this frame, in frame pixels.
        scores: (K,) of those, in 0..1.

    Returns:
        (4,) xyxy; `box` itself where too few joints are sure.
    """
    sure = scores >= SURE_JOINT
    if sure.sum() < _FEWEST_JOINTS:
        return box
    moved = box
    if before is not None and before_scores is not None:
        both = np.where(sure & (before_scores >= SURE_JOINT), scores * before_scores, 0.0)
        shift, scale = joint_motion(before, keypoints, both)
        middle, half = (box[:2] + box[2:]) / 2 + shift, (box[2:] - box[:2]) / 2 * scale
        moved = np.concatenate([middle - half, middle + half])
    joints = keypoints[sure].astype(np.float64)
    low, high = joints.min(axis=0), joints.max(axis=0)
    room = _ROOM * float((high - low).max())
    hull = np.concatenate([low - room, high + room])
    outwards = np.array([-1.0, -1.0, 1.0, 1.0]) * (hull - moved)
    # Only where nearly all joints are sure is it known how little room the person needs.
    shrinks = _SHRINKS * max(0.0, (float(sure.mean()) - _NEARLY_ALL) / (1 - _NEARLY_ALL))
    rate = np.where(outwards > 0, 1.0, shrinks)
    return moved + rate * (hull - moved)
