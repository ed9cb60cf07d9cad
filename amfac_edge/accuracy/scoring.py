"""Predictions against ground truth by one of the protocols of the field, as one frozen result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from amfac_edge.accuracy.bootstrap import bootstrap_intervals
from amfac_edge.accuracy.coco_evaluator import coco_metrics, matched_people, require_evaluator
from amfac_edge.accuracy.pck import pck
from amfac_edge.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amfac_edge.accuracy.bootstrap import Interval
    from amfac_edge.accuracy.predictions import Predictions
    from amfac_edge.datasets import PeopleSet

__all__ = ["CROWD_CLASSES", "PROTOCOLS", "Protocol", "Score", "protocol_of", "require_scorable", "score_people"]

Protocol = Literal["coco", "crowdpose", "pck"]

PROTOCOLS: tuple[Protocol, ...] = ("coco", "crowdpose", "pck")
CROWD_CLASSES = {"APeasy": (-1.0, 0.2), "APmedium": (0.2, 0.8), "APhard": (0.8, 2.0)}
"""CrowdPose's classes of pictures: low <= crowdIndex < high."""

_SHOWN = {
    "coco": ("AP", "AP50", "AP75", "APm", "APl", "AR"),
    "crowdpose": ("AP", "AP50", "AP75", "APm", "APl", "AR", *CROWD_CLASSES),
    "pck": ("PCK", "PCKbody"),
}


@dataclass(frozen=True)
class Score:
    """A score.

    Attributes:
        protocol: by which it was made.
        metrics: fractions; -1 where there was nobody to be found, None where the protocol has no such figure.
        more: further figures: AR50, ARm, PCK of each joint.
        people: how many were to be found.
        pictures: how many were looked at.
        predictions: how many there were.
        intervals: 95 % bootstrap intervals, where resamples were asked for.
    """

    protocol: Protocol
    metrics: Mapping[str, float | None]
    more: Mapping[str, float]
    people: int
    pictures: int
    predictions: int
    intervals: Mapping[str, Interval] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The figures, and all else under "details"."""
        details: dict[str, Any] = {
            "protocol": self.protocol,
            "people": self.people,
            "pictures": self.pictures,
            "predictions": self.predictions,
            "more": dict(self.more),
        }
        if self.intervals:
            details["intervals_95"] = {name: [each.low, each.high] for name, each in self.intervals.items()}
        return {**self.metrics, "details": details}


def protocol_of(people: PeopleSet) -> Protocol:
    """The protocol of a data set's skeleton: COCO's, CrowdPose's, and PCK where nobody measured OKS sigmas."""
    if people.skeleton.name == "crowdpose-14":
        return "crowdpose"
    return "coco" if people.skeleton.sigmas else "pck"


def require_scorable(people: PeopleSet, protocol: Protocol | None = None) -> Protocol:
    """Refuse, before any work, what `score_people` would refuse after it, whatever is predicted.

    Args:
        people: the ground truth.
        protocol: None for the one of the skeleton.

    Returns:
        The protocol.

    Raises:
        InputError: nobody to be found, an unknown protocol, or a skeleton that the protocol can't score.
        MissingExtraError: pycocotools is not installed, for coco and crowdpose.
    """
    chosen = protocol_of(people) if protocol is None else protocol
    if chosen not in PROTOCOLS:
        raise InputError(f'unknown protocol "{chosen}"', cure=f"Use one of {', '.join(PROTOCOLS)}.")
    if not people.labelled.any():
        raise InputError(f"{people.name}: nobody in it has a labelled joint", cure="Score on annotated people.")
    if chosen != "pck":
        require_evaluator(people.skeleton)
    return chosen


def score_people(
    people: PeopleSet,
    predictions: Predictions,
    protocol: Protocol | None = None,
    *,
    resamples: int = 0,
    seed: int = 0,
    pck_threshold: float = 0.1,
) -> Score:
    """Score predictions.

    Args:
        people: the ground truth.
        predictions: to be scored.
        protocol: "coco" (pycocotools' keypoint evaluation), "crowdpose" (the same with CrowdPose's constants, and once
            more on the easy, medium and hard pictures, those rounded to 4 digits as its evaluator does) or "pck"; None
            for the one of the skeleton.
        resamples: of the bootstrap; 0 for none.
        seed: of the bootstrap.
        pck_threshold: t of PCK, of the longer side of the box.

    Raises:
        InputError, MissingExtraError: as `require_scorable`; or a threshold that is no part of the box.
    """
    chosen = require_scorable(people, protocol)
    intervals: dict[str, Interval] = {}
    if chosen == "pck":
        result = pck(people, predictions, threshold=pck_threshold, resamples=resamples, seed=seed)
        figures: dict[str, float] = {"PCK": result.value, "PCKbody": result.body}
        more = {"threshold": result.threshold, **result.joints}
        intervals = dict(result.intervals)
    else:
        crowdpose = chosen == "crowdpose"
        figures = coco_metrics(people, predictions, crowdpose=crowdpose)
        classes: dict[str, set[int]] = {}
        if crowdpose:
            classes = _crowd_classes(people)
            figures |= {name: _class_ap(people, predictions, images) for name, images in classes.items()}
        more = {name: value for name, value in figures.items() if name not in _SHOWN[chosen]}
        if resamples:
            matches = matched_people(people, predictions, crowdpose=crowdpose)
            intervals = bootstrap_intervals(matches, resamples, seed, classes=classes)
    return Score(
        protocol=chosen,
        metrics={name: figures.get(name) for name in _SHOWN[chosen]},
        more=more,
        people=int(people.labelled.sum()),
        pictures=len(people.images),
        predictions=len(predictions),
        intervals=intervals,
    )


def _crowd_classes(people: PeopleSet) -> dict[str, set[int]]:
    """The pictures of each class."""
    return {
        name: {
            number
            for number, record in people.images.items()
            if record.crowd_index is not None and low <= record.crowd_index < high
        }
        for name, (low, high) in CROWD_CLASSES.items()
    }


def _class_ap(people: PeopleSet, predictions: Predictions, images: set[int]) -> float:
    if not images:
        return -1.0
    part = predictions.chosen(np.isin(predictions.image_ids, list(images)))
    return round(coco_metrics(people.of_images(images), part, crowdpose=True)["AP"], 4)
