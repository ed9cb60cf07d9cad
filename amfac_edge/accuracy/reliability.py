"""Does a joint's score mean what it says? Scores against correctness: rank correlation, calibration error, diagram.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, 2. J joints, B bins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from amfac_edge.accuracy.pck import judged_joints
from amfac_edge.drawing import Panel, Series, draw_curves
from amfac_edge.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from amfac_edge.accuracy.predictions import Predictions
    from amfac_edge.datasets import PeopleSet
    from amfac_edge.keypoints import Bgr

__all__ = [
    "BINS",
    "JudgedJoints",
    "Reliability",
    "ReliabilityBin",
    "judge",
    "log_loss",
    "rank_correlation",
    "reliability",
    "reliability_picture",
]

BINS = 10
"""Bins of the calibration error, each with as many joints as the others."""

_DRAWS = 100
_SUREST = 1e-6
_SIGMAS_95 = 1.96
_PLOT = (440, 440)


@dataclass(frozen=True, eq=False)
class JudgedJoints:
    """The labelled joints of the people that were found.

    Attributes:
        scores: (J,) in 0..1.
        right: (J,) whether the joint lies within the threshold.
        image_ids: (J,).
        threshold: of the longer side of the person's box.
        prediction: (J,) which prediction the joint is of.
        joint: (J,) which joint of the skeleton it is.
    """

    scores: NDArray[np.float64]
    right: NDArray[np.bool_]
    image_ids: NDArray[np.int64]
    threshold: float
    prediction: NDArray[np.intp]
    joint: NDArray[np.intp]

    def __len__(self) -> int:
        """J."""
        return len(self.right)

    def chosen(self, joints: NDArray[np.bool_]) -> JudgedJoints:
        """These joints only.

        Args:
            joints: (J,).
        """
        return JudgedJoints(
            self.scores[joints],
            self.right[joints],
            self.image_ids[joints],
            self.threshold,
            self.prediction[joints],
            self.joint[joints],
        )


class ReliabilityBin(NamedTuple):
    """One bin: joints in it, their mean score, the part of them that is right, and its 95 % interval.

    The interval is that of a mean over pictures (joints of one picture are right and wrong together).
    """

    joints: int
    score: float
    right: float
    low: float
    high: float


@dataclass(frozen=True)
class Reliability:
    """What the scores of some joints are worth.

    Attributes:
        joints: how many.
        pictures: that they are of.
        right: the part of them that is right.
        ece: expected calibration error: mean over the joints of |mean score - part right| of their bin.
        ece_by_chance: the mean of it for a perfect score with as many joints, were they independent.
        spearman: rank correlation of score and correctness; None where one of them is the same everywhere.
        brier: mean squared difference of score and correctness.
        log_loss: mean negative log likelihood, in nats; scores are kept 1e-6 away from 0 and 1.
        bins: from the lowest score to the highest.
    """

    joints: int
    pictures: int
    right: float
    ece: float
    ece_by_chance: float
    spearman: float | None
    brier: float
    log_loss: float
    bins: tuple[ReliabilityBin, ...]

    def figures(self) -> dict[str, float | None]:
        """The figures by name, without the bins."""
        return {
            "ece": self.ece,
            "ece_by_chance": self.ece_by_chance,
            "spearman": self.spearman,
            "brier": self.brier,
            "log_loss": self.log_loss,
        }

    def as_json(self) -> dict[str, Any]:
        """All of it; a bin is a list in the order of `ReliabilityBin`."""
        counts = {"joints": self.joints, "pictures": self.pictures, "right": self.right}
        return counts | self.figures() | {"bins": [list(each) for each in self.bins]}


def judge(people: PeopleSet, predictions: Predictions, threshold: float = 0.1) -> JudgedJoints:
    """Which joints are right, by PCK's rule.

    Args:
        people: the ground truth.
        predictions: of them.
        threshold: of the box's longer side.

    Raises:
        InputError: a threshold that is not above 0 and at most 1, or scores that are no probabilities.
    """
    right, labelled, finder = judged_joints(people, predictions, threshold)
    person, joint = np.nonzero(labelled & (finder >= 0)[:, None])
    prediction = finder[person]
    scores = predictions.joint_scores[prediction, joint]
    if len(scores) and not (scores.min() >= 0 and scores.max() <= 1):
        raise InputError(
            f"scores of joints from {scores.min():.3g} to {scores.max():.3g} are no probabilities",
            cure="Give predictions whose scores lie within 0 and 1.",
        )
    return JudgedJoints(scores, right[person, joint], people.image_ids[person], threshold, prediction, joint)


def reliability(joints: JudgedJoints, bins: int = BINS) -> Reliability:
    """The figures of some joints.

    Args:
        joints: one at least.
        bins: B at most; equal scores are never parted.

    Raises:
        InputError: there is no joint.
    """
    if not len(joints):
        raise InputError("no labelled joint of anybody who was found", cure="Check --data and --images.")
    scores, right = joints.scores, joints.right.astype(np.float64)
    order = np.argsort(scores, kind="stable")
    starts = _bin_starts(scores[order], bins)
    members = np.split(order, starts[1:])
    errors = np.add.reduceat(scores[order] - right[order], starts)
    random = np.random.default_rng(0)
    by_chance = [
        float(np.abs(np.add.reduceat(scores[order] - (random.random(len(order)) < scores[order]), starts)).sum())
        for _ in range(_DRAWS)
    ]
    return Reliability(
        joints=len(joints),
        pictures=len(np.unique(joints.image_ids)),
        right=float(right.mean()),
        ece=float(np.abs(errors).sum()) / len(joints),
        ece_by_chance=float(np.mean(by_chance)) / len(joints),
        spearman=rank_correlation(scores, right),
        brier=float(np.mean((scores - right) ** 2)),
        log_loss=log_loss(scores, joints.right),
        bins=tuple(_bin(scores[each], right[each], joints.image_ids[each]) for each in members),
    )


def rank_correlation(one: NDArray[np.floating], other: NDArray[np.floating]) -> float | None:
    """Spearman's, equal values at the mean of their ranks.

    Args:
        one: (J,).
        other: (J,).

    Returns:
        Within -1 and 1; None where one of them is the same everywhere.
    """
    ranks = [_ranks(values) for values in (one, other)]
    centred = [each - each.mean() for each in ranks]
    spread = float(np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum()))
    return float((centred[0] * centred[1]).sum()) / spread if spread else None


def log_loss(scores: NDArray[np.floating], right: NDArray[np.bool_]) -> float:
    """Mean negative log likelihood in nats.

    Args:
        scores: (J,) kept 1e-6 away from 0 and 1.
        right: (J,).
    """
    kept = np.clip(np.asarray(scores, np.float64), _SUREST, 1 - _SUREST)
    return float(-np.log(np.where(right, kept, 1 - kept)).mean())


def reliability_picture(found: Mapping[str, Reliability], title: str) -> Bgr:
    """The diagram: the part that is right over the score; the last one with its intervals.

    Args:
        found: one or more by their names.
        title: of the picture; ASCII.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    last = list(found)[-1]
    series = []
    for name, each in found.items():
        bins = np.array(each.bins)
        low, high = (bins[:, 3], bins[:, 4]) if name == last else (None, None)
        rank = "none" if each.spearman is None else f"{each.spearman:.3f}"
        words = f"{name}: ECE {each.ece:.3f}, rank correlation {rank}"
        series.append(Series(words, bins[:, 1], bins[:, 2], low=low, high=high, dots=True))
    panel = Panel(
        title=title,
        series=series,
        x_label=f"score (mean of each of {len(found[last].bins)} bins of equal size)",
        y_label="right",
        x_range=(0, 1),
        y_range=(0, 1),
        diagonal=True,
    )
    return draw_curves([panel], plot=_PLOT)


def _bin_starts(scores: NDArray[np.float64], bins: int) -> NDArray[np.intp]:
    """Where each bin of (J,) sorted scores begins; a boundary within equal scores moves to their nearer end."""
    count = min(bins, len(scores))
    wanted = np.arange(count) * len(scores) // count
    first, beyond = (np.searchsorted(scores, scores[wanted], side) for side in ("left", "right"))
    starts = np.unique(np.where(wanted - first <= beyond - wanted, first, beyond))
    return starts[starts < len(scores)]


def _bin(scores: NDArray[np.float64], right: NDArray[np.float64], image_ids: NDArray[np.int64]) -> ReliabilityBin:
    part = float(right.mean())
    _, picture = np.unique(image_ids, return_inverse=True)
    sums = np.bincount(picture.reshape(-1), right - part)
    error = _SIGMAS_95 * float(np.sqrt((sums**2).sum())) / len(right)
    return ReliabilityBin(len(right), float(scores.mean()), part, max(0.0, part - error), min(1.0, part + error))


def _ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: NDArray[np.float64] = (ends - (counts + 1) / 2)[place.reshape(-1)]
    return ranks
