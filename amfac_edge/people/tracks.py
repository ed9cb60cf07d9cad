"""One person from frame to frame: where, how sure, and for how long nobody has seen them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.people.pose_box import SURE_JOINT, box_from_pose, joint_motion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from amfac_edge.people.smoothing import OneEuro

__all__ = ["Sighting", "Track"]

# Of its own usual score; below it the pose is of something else.
_DROP = 0.6
_LEVEL_RATE = 0.3
_VELOCITY_TIME = 0.15
_LONGEST_PREDICTION = 1.0
# In widths and heights of the box: from one frame to the next, and behind somebody else.
_FARTHEST_IN_SIGHT, _FARTHEST_HIDDEN = 0.25, 1.0
_LONGEST_STEP = 0.5


@dataclass(frozen=True, eq=False)
class Sighting:
    """A pose of one frame.

    Attributes:
        box: (4,) xyxy, that it was estimated in.
        keypoints: (K, 2) in frame pixels.
        scores: (K,) of the joints.
        box_score: of the detector, the last one where it wasn't asked.
        detected: whether the box is the detector's, of this very frame.
        taken_for: identity of whom the box was taken for; None for somebody new.
    """

    box: NDArray[np.float64]
    keypoints: NDArray[np.float64]
    scores: NDArray[np.float64]
    box_score: float
    detected: bool
    taken_for: int | None = None

    @property
    def joint_score(self) -> float:
        """The mean of the joints' scores."""
        return float(self.scores.mean())


class Track:
    """A person who is followed.

    Args:
        identity: the number.
        time: of the first sighting, in seconds.
        first: that sighting.
        smoother: of this person's joints.

    Attributes:
        box: (4,) xyxy where the person is expected to be, as of `time`.
        level: usual mean score of the joints.
        hidden: whether the person is out of sight: nobody to be told of, but known again.
        lost: whether the detector ought to have a look.
        misses: how often in a row the detector was asked and did not see the person.
    """

    def __init__(self, identity: int, time: float, first: Sighting, smoother: OneEuro) -> None:
        self.identity, self.smoother = identity, smoother
        self.last, self.time, self.seen_at = first, time, time
        self.box = box_from_pose(first.box, None, None, first.keypoints, first.scores)
        self.velocity = np.zeros(2)
        self.level = first.joint_score
        self.hidden = self.lost = False
        self.misses = 0

    def shift_to(self, time: float) -> NDArray[np.float64]:
        """How far the person is expected to have gone at `time`: (2,) in pixels."""
        farthest = (_FARTHEST_HIDDEN if self.hidden else _FARTHEST_IN_SIGHT) * (self.box[2:] - self.box[:2])
        return np.clip(self.velocity * min(max(time - self.time, 0.0), _LONGEST_PREDICTION), -farthest, farthest)

    def box_at(self, time: float) -> NDArray[np.float64]:
        """The expected box at `time`: (4,) xyxy."""
        return self.box + np.tile(self.shift_to(time), 2)

    def doubts(self, sighting: Sighting) -> bool:
        """Whether a pose in the track's own box is hardly this person's: no pose network says that nobody is there."""
        return not sighting.detected and sighting.joint_score < _DROP * self.level

    def see(self, time: float, sighting: Sighting) -> None:
        """Take a sighting as this person's."""
        before, elapsed = self.last, time - self.time
        is_near = 0 < elapsed <= _LONGEST_STEP and not self.hidden
        if is_near:
            sure = (before.scores >= SURE_JOINT) & (sighting.scores >= SURE_JOINT)
            both = np.where(sure, before.scores * sighting.scores, 0.0)
            shift, _ = joint_motion(before.keypoints, sighting.keypoints, both)
            rate = min(1.0, elapsed / _VELOCITY_TIME)
            self.velocity = self.velocity + rate * (shift / elapsed - self.velocity)
        else:
            self.velocity = np.zeros(2)
        moves = is_near and not sighting.detected
        self.box = box_from_pose(
            self.box if moves else sighting.box,
            before.keypoints if moves else None,
            before.scores if moves else None,
            sighting.keypoints,
            sighting.scores,
        )
        self.level += _LEVEL_RATE * (sighting.joint_score - self.level)
        self.last, self.time, self.seen_at = sighting, time, time
        # Where the detector doesn't see what the pose shows, it has another look.
        self.hidden, self.lost = False, self.misses > 0

    def place(self, time: float, box: NDArray[np.float64]) -> None:
        """The detector saw this person in `box` (4,), and no pose was estimated."""
        self.box, self.time, self.seen_at, self.velocity = box, time, time, np.zeros(2)

    def lose(self, *, hidden: bool) -> None:
        """The detector ought to have a look; until then the person may be `hidden`."""
        self.lost, self.hidden = True, self.hidden or hidden
