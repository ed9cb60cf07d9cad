"""The loop itself: a frame, who is in it, their joints."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from amfac_edge.errors import FrameError
from amfac_edge.keypoints import PeopleBoxes
from amfac_edge.runtime import Poses, StageTimes, person_scores

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from amfac_edge.cameras import Frame
    from amfac_edge.cameras.boxes import BoxSource
    from amfac_edge.people import PeopleFollower
    from amfac_edge.runtime import MicroBatcher, PoseEstimator

    Estimator = PoseEstimator | MicroBatcher

__all__ = ["PosedFrame", "Tally", "posed_frames"]

# An app runs for days: medians are of the last frames.
_MOST_TIMES = 5000


@dataclass(frozen=True, eq=False)
class PosedFrame:
    """A frame with the poses of its N people.

    Attributes:
        frame: as the source gave it.
        poses: of its people.
        person_scores: (N,) in 0..1, mean joint score times box score.
        image_id: the number that the boxes' data set gives to the frame, None where it gives none.
        times: of the estimator's stages.
        ids: (N,) of the people, the same in every frame; None where nobody is followed: then they are numbered in the
            frame.
        find_ms: milliseconds that it took to find the boxes, the detector's time where it was asked.
        asked: whether the detector was asked, or the boxes come from the last frame's poses.
        skipped: people who are in the frame and for whom there was no time or place.
    """

    frame: Frame
    poses: Poses
    person_scores: NDArray[np.float64]
    image_id: int | None
    times: StageTimes
    ids: NDArray[np.int64] | None = None
    find_ms: float = 0.0
    asked: bool = True
    skipped: PeopleBoxes = field(default_factory=PeopleBoxes.nobody)


def posed_frames(
    source: Iterable[Frame], estimator: Estimator, boxes: BoxSource, follower: PeopleFollower | None = None
) -> Iterator[PosedFrame]:
    """Estimate the poses in every frame of `source`.

    Args:
        source: of the frames.
        estimator: of the poses.
        boxes: says who is in a frame.
        follower: knows people again from frame to frame, and asks `boxes` only now and then; None asks every time.

    Raises:
        FrameError: boxes that don't fit their frame; the message names the frame.
    """
    for frame in source:
        try:
            posed = _followed(frame, estimator, boxes, follower) if follower else _posed(frame, estimator, boxes)
        except FrameError as error:
            raise FrameError(f"frame {frame.index} of {frame.name}: {error.problem}", cure=error.cure) from error
        yield posed


def _posed(frame: Frame, estimator: Estimator, boxes: BoxSource) -> PosedFrame:
    started = perf_counter()
    people = boxes.people(frame)
    find_ms = (perf_counter() - started) * 1e3
    poses, times = estimator.timed(frame.image, people.boxes)
    scores = person_scores(poses.scores, people.scores)
    return PosedFrame(frame, poses, scores, boxes.image_id(frame), times, find_ms=find_ms)


def _followed(frame: Frame, estimator: Estimator, boxes: BoxSource, follower: PeopleFollower) -> PosedFrame:
    started = perf_counter()
    wanted = follower.boxes(frame.image, frame.time, lambda _: boxes.people(frame))
    find_ms = (perf_counter() - started) * 1e3
    poses, times = estimator.timed(frame.image, wanted)
    people = follower.update(poses.keypoints, poses.scores, spent_ms=sum(times))
    return PosedFrame(
        frame,
        Poses(people.keypoints, people.scores, people.boxes),
        person_scores(people.scores, people.box_scores),
        boxes.image_id(frame),
        times,
        ids=people.ids,
        find_ms=find_ms,
        asked=people.asked,
        skipped=people.skipped,
    )


@dataclass
class Tally:
    """What has gone through so far: frames, people, who was left out, and the latest times of stages and detector."""

    frames: int = 0
    people: int = 0
    asked: int = 0
    skipped: int = 0
    times: deque[StageTimes] = field(default_factory=lambda: deque(maxlen=_MOST_TIMES))
    asked_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_MOST_TIMES))

    def add(self, posed: PosedFrame) -> None:
        """Count a frame."""
        self.frames += 1
        self.people += len(posed.poses)
        self.skipped += len(posed.skipped.boxes)
        if posed.asked:
            self.asked += 1
            self.asked_ms.append(posed.find_ms)
        if len(posed.poses):
            self.times.append(posed.times)

    def median_asked_ms(self) -> float:
        """The median time of finding boxes where the detector was asked, in milliseconds; 0 before the first time."""
        return median(self.asked_ms) if self.asked_ms else 0.0

    def median_times(self) -> StageTimes | None:
        """The median of each stage over the frames with people, in milliseconds; None before the first of them."""
        return StageTimes(*(median(stage) for stage in zip(*self.times, strict=True))) if self.times else None
