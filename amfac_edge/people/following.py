"""Who is who from frame to frame, and where to look next: boxes in front of the pose network, people behind it.

    boxes  = detector, or the last poses' own boxes       before the network
    poses  = the network's, of these boxes
    people = ids by boxes and poses together, smoothed    behind the network

Letters: N people, K keypoints, Hf x Wf the frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.errors import FrameError, InputError
from amfac_edge.keypoints import PeopleBoxes
from amfac_edge.people.budget import Budget
from amfac_edge.people.matching import is_covered, known_people, whose_boxes, without_doubles
from amfac_edge.people.pose_box import is_vague
from amfac_edge.people.schedule import Schedule
from amfac_edge.people.smoothing import OneEuro, Smoothing
from amfac_edge.people.tracks import Sighting, Track

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from amfac_edge.keypoints import Bgr, Skeleton

__all__ = ["DETECTOR_EVERY", "ENTERING_SCORE", "STAYING_SCORE", "FollowedPeople", "PeopleFollower"]

DETECTOR_EVERY = 10
"""Frames from one look of the detector to the next, where nothing happens."""

ENTERING_SCORE, STAYING_SCORE = 0.4, 0.2
"""From which score of the detector on somebody new is followed, and somebody who is followed stays. Of the small public
detectors, people who fill a tenth of a picture or more have .6 to .9, what is nobody up to .25."""

_PATIENCE_S = 1.0
_MOST_PEOPLE = 100
_MOST_MISSES = 10
_SMALLEST_SIDE = 2.0
# Somebody new most of whose box is another one's must be surer: at the edge of a picture detectors see people twice.
_COVERED_EXTRA = 0.2
_EVIDENT_LEVEL, _EVIDENT_MISSES = 0.5, 3


@dataclass(frozen=True, eq=False)
class FollowedPeople:
    """The N people of a frame, by rising id.

    Attributes:
        ids: (N,) of the people, from 1, each for one person as long as it is followed.
        keypoints: (N, K, 2) float32 in frame pixels, smoothed if that is wanted.
        scores: (N, K) float32 of the joints, in 0..1.
        boxes: (N, 4) float32, that the poses were estimated in.
        box_scores: (N,) of the detector, when it last saw them.
        asked: whether the detector was asked in this frame.
        skipped: people of this frame for whom there was no time or place.
    """

    ids: NDArray[np.int64]
    keypoints: NDArray[np.float32]
    scores: NDArray[np.float32]
    boxes: NDArray[np.float32]
    box_scores: NDArray[np.float64]
    asked: bool
    skipped: PeopleBoxes


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A box that a pose is to be estimated in; `track` is whose box it is taken for."""

    box: NDArray[np.float64]
    score: float
    detected: bool
    track: Track | None

    def certainty(self, usual: float) -> float:
        """In 0..1; somebody new may turn out to have the `usual` joint score."""
        return (self.track.level if self.track else usual) * self.score


class PeopleFollower:
    """Follows people through the frames of one camera or video; each of them needs a follower of its own.

        follower = PeopleFollower(estimator.skeleton)
        for frame in source:
            poses = estimator(frame.image, follower.boxes(frame.image, frame.time, detector))
            people = follower.update(poses.keypoints, poses.scores)

    Nobody is told whom neither the detector has seen lately nor the pose supports: a pose network finds joints in any
    box, so a box whose pose has become improbable is hidden until the detector has had a look. People out of sight keep
    their id for `patience_s`.

    Args:
        skeleton: of the joints.
        every: frames from one look of the detector to the next, where nothing happens; 1 asks in every frame.
        smoothing: of the joints; None leaves them as they are.
        max_people: serve at most so many in a frame, the most certain first.
        deadline_ms: serve as many as there is time for, the most certain first; one at least.
        entering_score: from which score of the detector on somebody new is followed; somebody who is followed stays
            from `STAYING_SCORE` on.
        patience_s: for how long somebody who is out of sight is known again.
        pictures: the frames are pictures that have nothing to do with each other: nobody is known from one to the next,
            and ids number the people of each.

    Raises:
        InputError: a number that means nothing.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        *,
        every: int = DETECTOR_EVERY,
        smoothing: Smoothing | None = Smoothing(),  # noqa: B008 - a frozen value
        max_people: int | None = None,
        deadline_ms: float | None = None,
        entering_score: float = ENTERING_SCORE,
        patience_s: float = _PATIENCE_S,
        pictures: bool = False,
    ) -> None:
        if every < 1:
            raise InputError(f"the detector can't be asked every {every} frames", cure="Give 1 or more.")
        if not 0 <= entering_score <= 1:
            raise InputError(f"a score of {entering_score:g} is not within 0 and 1", cure="Give 0.4, say.")
        self._sigmas = np.array(skeleton.sigmas)
        self._every, self._smoothing = every, smoothing
        self._budget = Budget(max_people, deadline_ms)
        self._entering, self._staying = entering_score, min(STAYING_SCORE, entering_score)
        self._patience_s, self._pictures = patience_s, pictures
        self._next_id = 1
        self._frame_shape: tuple[int, ...] = ()
        self._begin(())

    def _begin(self, shape: tuple[int, ...]) -> None:
        """Know nobody, of frames of this shape; ids go on."""
        self._frame_shape, self._tracks = shape, list[Track]()
        self._schedule = Schedule(self._every)
        self._time = -math.inf
        self._candidates: list[_Candidate] | None = None
        self._skipped, self._asked = PeopleBoxes.nobody(), False

    def boxes(self, image: Bgr, time: float, detect: Callable[[Bgr], PeopleBoxes]) -> NDArray[np.float64]:
        """Where to estimate poses in the next frame.

        Args:
            image: (Hf, Wf, 3) uint8 BGR. Another size than before begins anew.
            time: of the frame, in seconds. One that isn't later than the last one (a camera that came back) is no
                motion, and nothing is smoothed over it.
            detect: finds people in `image`; called where the detector is due. A `PersonDetector`, say.

        Returns:
            (N, 4) xyxy in frame pixels.

        Raises:
            FrameError: `detect` gave boxes that are none.
        """
        began = perf_counter()
        if image.shape != self._frame_shape or self._pictures:
            self._begin(image.shape)
            self._next_id = 1 if self._pictures else self._next_id
        if not math.isfinite(time):
            raise FrameError(f"the frame's time is {time}", cure="Give seconds, of any clock that runs on.")
        self._time = time
        self._leave()
        lost = any(track.lost for track in self._tracks)
        self._asked = self._schedule.is_due(image, self._followed_boxes(), lost=lost)
        candidates = self._found(_checked(detect(image))) if self._asked else self._own()
        if self._asked:
            in_vain = any(track.misses for track in self._tracks)
            self._schedule.asked(image, self._followed_boxes(), in_vain=in_vain)
        usual = float(np.mean([track.level for track in self._tracks] or [1.0]))
        candidates.sort(key=lambda candidate: -candidate.certainty(usual))
        places = self._budget.places(min(len(candidates), _MOST_PEOPLE), (perf_counter() - began) * 1e3)
        self._candidates, left = candidates[:places], candidates[places:]
        for candidate in left:
            if candidate.track and candidate.detected:
                candidate.track.place(time, candidate.box)
        self._skipped = PeopleBoxes(
            np.array([candidate.box for candidate in left]).reshape(-1, 4),
            np.array([candidate.score for candidate in left]),
        )
        return np.array([candidate.box for candidate in self._candidates]).reshape(-1, 4)

    def update(
        self, keypoints: NDArray[np.floating], scores: NDArray[np.floating], *, spent_ms: float = 0.0
    ) -> FollowedPeople:
        """Take the poses of the boxes that `boxes` gave last, in their order.

        Args:
            keypoints: (N, K, 2) in frame pixels.
            scores: (N, K) of the joints, in 0..1.
            spent_ms: what they cost in milliseconds, for a deadline.

        Returns:
            Those of the people who are there, and who they are.

        Raises:
            InputError: `boxes` wasn't called for this frame, or gave another number of boxes.
        """
        candidates, self._candidates = self._candidates, None
        if candidates is None or len(candidates) != len(keypoints):
            wanted = "no boxes" if candidates is None else f"{len(candidates)} boxes"
            raise InputError(
                f"poses of {len(keypoints)} people for {wanted}", cure="Call boxes(), the estimator, then update()."
            )
        self._budget.took(len(candidates), spent_ms)
        sightings = [
            Sighting(
                candidate.box,
                joints.astype(np.float64),
                joint_scores,
                candidate.score,
                detected=candidate.detected,
                taken_for=candidate.track.identity if candidate.track else None,
            )
            for candidate, joints, joint_scores in zip(candidates, keypoints, scores, strict=True)
        ]
        kept = without_doubles(sightings, self._sigmas)
        served = [candidate.track for candidate in candidates if candidate.track]
        possible = [track for track in self._tracks if track.hidden or any(track is other for other in served)]
        seen = known_people(possible, self._time, kept, self._sigmas)
        for track, sighting in seen:
            track.see(self._time, sighting)
        for track in served:
            if all(track is not other for other, _ in seen):
                track.lose(hidden=True)
        pairs = {id(sighting) for _, sighting in seen}
        seen += [(self._new(each), each) for each in kept if each.detected and id(each) not in pairs]
        return self._told(sorted(seen, key=lambda pair: pair[0].identity))

    def _leave(self) -> None:
        """Let go of those who have been out of sight for too long; whoever is out of the frame is out of sight."""
        self._tracks = [
            track
            for track in self._tracks
            if not (
                (track.misses > 1 and abs(self._time - track.seen_at) > self._patience_s)
                or track.misses >= _MOST_MISSES
            )
        ]
        for track in self._tracks:
            if not len(_within(track.box_at(self._time)[None], *self._frame_shape[:2])):
                track.lose(hidden=True)

    def _followed_boxes(self) -> NDArray[np.float64]:
        """Boxes (N, 4) of those whose poses say where they go."""
        followed = [track for track in self._tracks if not (track.hidden or is_vague(track.last.scores))]
        return np.array([track.box_at(self._time) for track in followed]).reshape(-1, 4)

    def _own(self) -> list[_Candidate]:
        """Everybody in sight, in the box of the last pose."""
        return [self._own_box(track) for track in self._tracks if not track.hidden]

    def _own_box(self, track: Track) -> _Candidate:
        # Whoever is half out of the frame has a box that reaches out of it, but never far.
        height, width = self._frame_shape[:2]
        box = np.clip(track.box_at(self._time), [-width / 2, -height / 2] * 2, [1.5 * width, 1.5 * height] * 2)
        return _Candidate(box, track.last.box_score, detected=False, track=track)

    def _found(self, people: PeopleBoxes) -> list[_Candidate]:
        """Everybody whom the detector sees, and those whom it doesn't and whose poses were evident."""
        height, width = self._frame_shape[:2]
        usable = _within(people.boxes, height, width)
        usable = usable[people.scores[usable] >= self._staying]
        usable = usable[np.argsort(-people.scores[usable], kind="stable")]
        boxes, scores = people.boxes[usable], people.scores[usable]
        whose = whose_boxes(self._tracks, self._time, boxes, scores, sure_from=self._entering)
        candidates = [
            _Candidate(boxes[row], float(scores[row]), detected=True, track=whose.get(row))
            for row in range(len(boxes))
            if row in whose or scores[row] >= self._entering + _COVERED_EXTRA * is_covered(boxes, row, whose)
        ]
        for track in self._tracks:
            if any(track is other for other in whose.values()):
                track.misses = 0
                continue
            track.misses += 1
            evident = track.level >= _EVIDENT_LEVEL and track.misses < _EVIDENT_MISSES
            track.lose(hidden=not evident)
            if not track.hidden:
                candidates.append(self._own_box(track))
        return candidates

    def _new(self, sighting: Sighting) -> Track:
        track = Track(self._next_id, self._time, sighting, OneEuro(self._smoothing or Smoothing()))
        self._next_id += 1
        self._tracks.append(track)
        return track

    def _told(self, seen: Sequence[tuple[Track, Sighting]]) -> FollowedPeople:
        places = [self._smoothed(track, sighting) for track, sighting in seen]
        joints = len(self._sigmas)
        return FollowedPeople(
            ids=np.array([track.identity for track, _ in seen], np.int64),
            keypoints=np.array(places, np.float32).reshape(-1, joints, 2),
            scores=np.array([sighting.scores for _, sighting in seen], np.float32).reshape(-1, joints),
            boxes=np.array([sighting.box for _, sighting in seen], np.float32).reshape(-1, 4),
            box_scores=np.array([sighting.box_score for _, sighting in seen], np.float64),
            asked=self._asked,
            skipped=self._skipped,
        )

    def _smoothed(self, track: Track, sighting: Sighting) -> NDArray[np.float64]:
        if self._smoothing is None:
            return sighting.keypoints
        size = float((sighting.box[2:] - sighting.box[:2]).max())
        return track.smoother.smoothed(self._time, sighting.keypoints, size)


def _checked(people: PeopleBoxes) -> PeopleBoxes:
    """What a detector gave, as arrays of the right shape, finite; boxes (N, 4), scores (N,)."""
    boxes, scores = np.asarray(people[0], np.float64).reshape(-1, 4), np.asarray(people[1], np.float64).reshape(-1)
    if len(boxes) != len(scores) or not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise FrameError(
            f"the detector gave {len(boxes)} boxes and {len(scores)} scores, not all finite",
            cure="Give (N, 4) boxes and (N,) scores; drop those of failed detections.",
        )
    return PeopleBoxes(boxes, scores)


def _within(boxes: NDArray[np.float64], height: int, width: int) -> NDArray[np.intp]:
    """The indices of those boxes (N, 4) that have some area, part of it in the frame."""
    shown = np.clip(boxes, -0.5, [width - 0.5, height - 0.5] * 2)
    return np.flatnonzero(((shown[:, 2:] - shown[:, :2]) >= _SMALLEST_SIDE).all(axis=1))
