"""The loop itself: a frame, who is in it, their joints."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from amfac_edge.errors import FrameError
from amfac_edge.runtime import StageTimes, person_scores

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from amfac_edge.cameras import Frame
    from amfac_edge.cameras.boxes import BoxSource
    from amfac_edge.runtime import PoseEstimator, Poses

__all__ = ["PosedFrame", "Tally", "posed_frames"]


@dataclass(frozen=True, eq=False)
class PosedFrame:
    """A frame with the poses of its N people.

    Attributes:
        frame: as the source gave it.
        poses: of its people.
        person_scores: (N,) in 0..1, mean joint score times box score.
        image_id: the number that the boxes' data set gives to the frame, None where it gives none.
        times: of the estimator's stages.
    """

    frame: Frame
    poses: Poses
    person_scores: NDArray[np.float64]
    image_id: int | None
    times: StageTimes


def posed_frames(source: Iterable[Frame], estimator: PoseEstimator, boxes: BoxSource) -> Iterator[PosedFrame]:
    """Estimate the poses in every frame of `source`.

    Raises:
        FrameError: boxes that don't fit their frame; the message names the frame.
    """
    for frame in source:
        people = boxes.people(frame)
        try:
            poses, times = estimator.timed(frame.image, people.boxes)
        except FrameError as error:
            raise FrameError(f"frame {frame.index} of {frame.name}: {error.problem}", cure=error.cure) from error
        yield PosedFrame(frame, poses, person_scores(poses.scores, people.scores), boxes.image_id(frame), times)


@dataclass
class Tally:
    """What has gone through so far: frames, people, and the stage times of the frames with people in them."""

    frames: int = 0
    people: int = 0
    times: list[StageTimes] = field(default_factory=list)

    def add(self, posed: PosedFrame) -> None:
        """Count a frame."""
        self.frames += 1
        self.people += len(posed.poses)
        if len(posed.poses):
            self.times.append(posed.times)

    def median_times(self) -> StageTimes | None:
        """The median of each stage over the frames with people, in milliseconds; None before the first of them."""
        return StageTimes(*(median(stage) for stage in zip(*self.times, strict=True))) if self.times else None
