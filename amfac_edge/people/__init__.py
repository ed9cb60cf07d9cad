"""Who is in the frame: detectors, boxes from poses, ids from frame to frame, smoothing."""

from __future__ import annotations

from amfac_edge.people.detector import DETECTION_SCORE, Detector, PersonDetector, open_detector
from amfac_edge.people.following import (
    DETECTOR_EVERY,
    ENTERING_SCORE,
    STAYING_SCORE,
    FollowedPeople,
    PeopleFollower,
)
from amfac_edge.people.smoothing import OneEuro, Smoothing

__all__ = [
    "DETECTION_SCORE",
    "DETECTOR_EVERY",
    "ENTERING_SCORE",
    "STAYING_SCORE",
    "Detector",
    "FollowedPeople",
    "OneEuro",
    "PeopleFollower",
    "PersonDetector",
    "Smoothing",
    "open_detector",
]
