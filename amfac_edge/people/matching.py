"""Whose box, and whose pose: detections and poses against those who are followed.

Letters: N boxes or poses, M people who are followed, K keypoints.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.people.assignment import assigned
from amfac_edge.people.similarity import box_similarities, coverages, pose_similarities

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from numpy.typing import NDArray

    from amfac_edge.people.tracks import Sighting, Track

__all__ = ["is_covered", "known_people", "whose_boxes", "without_doubles"]

# A box that overlaps the expected one by less is somebody else, unless it is near, and they were seen just now.
_SAME_BOX = 0.2
_LEAP_S, _LEAP_ROOM, _LEAP_COVERAGE = 0.6, 0.5, 0.3
# Whom the box was taken for counts as much as half of a perfect pose.
_SAME_PERSON, _PRIOR = 0.3, 0.5
_TWICE_POSE, _TWICE_BOX = 0.75, 0.85
_COVERED = 0.6


def whose_boxes(
    tracks: Sequence[Track], time: float, boxes: NDArray[np.float64], scores: NDArray[np.float64], *, sure_from: float
) -> dict[int, Track]:
    """Whom of those who are followed a detector's boxes belong to.

    Those that the detector is sure of are given away first (Zhang et al., "ByteTrack", ECCV 2022): a weak box
    beside a strong one is most often of the same person.

    Args:
        tracks: M, those who are followed.
        time: of the frame, in seconds.
        boxes: (N, 4) xyxy.
        scores: (N,) of the detector.
        sure_from: from which score on it is sure.

    Returns:
        By index of the box.
    """
    expected = np.array([track.box_at(time) for track in tracks]).reshape(-1, 4)
    near = [abs(time - track.seen_at) <= _LEAP_S for track in tracks]
    similarities = box_similarities(boxes, expected)
    # Whoever was seen just now may have made a leap, or come into the picture as a whole.
    leaps = coverages(boxes, expected, room=_LEAP_ROOM) * np.array(near)
    sure = scores >= sure_from
    whose: dict[int, Track] = {}
    for likeness, rows, least in (
        (similarities, sure, _SAME_BOX),
        (similarities, ~sure, _SAME_BOX),
        (leaps, sure, _LEAP_COVERAGE),
    ):
        free = [all(track is not other for other in whose.values()) for track in tracks]
        open_rows = rows & ~np.isin(np.arange(len(boxes)), list(whose))
        open_pairs = np.where(open_rows[:, None] & np.array(free, np.bool_), likeness, 0.0)
        whose |= {row: tracks[column] for row, column in assigned(open_pairs, least=least)}
    return whose


def without_doubles(sightings: Sequence[Sighting], sigmas: NDArray[np.float64]) -> list[Sighting]:
    """Everybody once: of two boxes with one person's pose the surer stays, and whose it is, is open again.

    Args:
        sightings: of one frame.
        sigmas: (K,) of the skeleton.
    """
    if len(sightings) < 2:  # noqa: PLR2004 - nobody to be like
        return list(sightings)
    boxes = np.array([each.box for each in sightings])
    alike = _pose_likeness(sightings, sightings, sigmas)
    twice = (alike > _TWICE_POSE) & (box_similarities(boxes, boxes) > _SAME_BOX)
    twice |= box_similarities(boxes, boxes) > _TWICE_BOX
    order = sorted(range(len(sightings)), key=lambda i: (-sightings[i].detected, -sightings[i].joint_score))
    kept: dict[int, Sighting] = {}
    for index in order:
        same = [other for other in kept if twice[index, other]]
        if not same:
            kept[index] = sightings[index]
        for other in same:
            kept[other] = replace(kept[other], taken_for=None)
    return list(kept.values())


def known_people(
    tracks: Sequence[Track], time: float, sightings: Sequence[Sighting], sigmas: NDArray[np.float64]
) -> list[tuple[Track, Sighting]]:
    """Who of those who are followed is seen in which pose, by boxes and poses together.

    Args:
        tracks: those who may be.
        time: of the frame, in seconds.
        sightings: N, of the frame.
        sigmas: (K,) of the skeleton.
    """
    if not tracks or not sightings:
        return []
    boxes = np.array([each.box for each in sightings])
    likeness = box_similarities(boxes, np.array([track.box_at(time) for track in tracks]))
    likeness += _pose_likeness(
        sightings, [track.last for track in tracks], sigmas, [track.shift_to(time) for track in tracks]
    )
    likeness += _PRIOR * np.array([[each.taken_for == track.identity for track in tracks] for each in sightings])
    seen = []
    for row, column in assigned(likeness, least=_SAME_PERSON):
        track, sighting = tracks[column], sightings[row]
        if not track.doubts(sighting):
            seen.append((track, sighting))
    return seen


def is_covered(boxes: NDArray[np.float64], row: int, whose: Container[int]) -> bool:
    """Whether a box of (N, 4), the best first, shares most of the smaller one with a better one or a known person's."""
    others = [other for other in range(len(boxes)) if other < row or (other != row and other in whose)]
    return bool((coverages(boxes[row : row + 1], boxes[others]) > _COVERED).any())


def _pose_likeness(
    ones: Sequence[Sighting],
    others: Sequence[Sighting],
    sigmas: NDArray[np.float64],
    shifts: Sequence[NDArray[np.float64]] | None = None,
) -> NDArray[np.float64]:
    """Pose similarity (N, M); the M others' poses are moved by their shifts (2,)."""
    boxes = np.array([each.box for each in others])
    places = np.array([each.keypoints for each in others])
    if shifts is not None:
        places = places + np.array(shifts)[:, None]
    return pose_similarities(
        np.array([each.keypoints for each in ones]),
        np.array([each.scores for each in ones]),
        places,
        np.array([each.scores for each in others]),
        (boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
        sigmas,
    )
