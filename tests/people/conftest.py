"""A made world: people of known joints who walk over a frame, and a detector and a pose network that know them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.keypoints import PeopleBoxes, overlaps, skeleton

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from amfac_edge.people import FollowedPeople, PeopleFollower

HEIGHT, WIDTH = 240, 320
BODY = skeleton("coco-17")
# Of COCO's joints, in a box from (0, 0) to (1, 1): head, shoulders, elbows, wrists, hips, knees, ankles.
_SIDES = ((0.25, 0.22), (0.35, 0.38), (0.4, 0.52), (0.18, 0.52), (0.18, 0.74), (0.18, 0.95))
_STANDING = np.array(
    [(0.5, 0.08), (0.55, 0.06), (0.45, 0.06), (0.6, 0.08), (0.4, 0.08)]
    + [(0.5 + side * x, y) for x, y in _SIDES for side in (1, -1)]
)


@dataclass
class Person:
    """Somebody with a place for every frame in which they are there: `path` gives (x, y) of the box's corner."""

    path: Callable[[int], tuple[float, float] | None]
    size: tuple[float, float] = (40.0, 100.0)
    score: float = 0.9
    joint_score: float = 0.8
    lean: float = 0.0

    def box(self, frame: int) -> NDArray[np.float64] | None:
        corner = self.path(frame)
        return None if corner is None else np.array([*corner, corner[0] + self.size[0], corner[1] + self.size[1]])

    def joints(self, box: NDArray[np.float64]) -> NDArray[np.float64]:
        """In their box; who leans has the head to one side, so that no two people have one pose."""
        unit = _STANDING + np.stack([self.lean * (1 - _STANDING[:, 1]), np.zeros(17)], axis=1)
        return box[:2] + unit * (box[2:] - box[:2])


@dataclass
class World:
    """Frames of 25 a second; it counts how often its detector is asked, and can blind it."""

    people: list[Person]
    noise: float = 0.0
    blind: Callable[[int], bool] = lambda _: False
    asked: list[int] = field(default_factory=list)
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def image(self, frame: int) -> NDArray[np.uint8]:
        picture = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
        for number, box in self.there(frame):
            x1, y1, x2, y2 = np.clip(box, 0, [WIDTH, HEIGHT] * 2).astype(int)
            picture[y1:y2, x1:x2] = 140 + 40 * (number % 3)
        return picture

    def there(self, frame: int) -> list[tuple[int, NDArray[np.float64]]]:
        boxes = [(number, person.box(frame)) for number, person in enumerate(self.people)]
        return [(number, box) for number, box in boxes if box is not None and self._shows(box)]

    def detector(self, frame: int) -> Callable[[NDArray[np.uint8]], PeopleBoxes]:
        def detect(image: NDArray[np.uint8]) -> PeopleBoxes:
            assert image.shape == (HEIGHT, WIDTH, 3)
            self.asked.append(frame)
            there = [] if self.blind(frame) else self.there(frame)
            boxes = np.array([np.clip(box, -0.5, [WIDTH - 0.5, HEIGHT - 0.5] * 2) for _, box in there])
            return PeopleBoxes(boxes.reshape(-1, 4), np.array([self.people[number].score for number, _ in there]))

        return detect

    def poses(self, frame: int, boxes: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Of whoever fills most of a box; where nobody is, improbable joints all the same, as networks give them."""
        keypoints, scores = np.zeros((len(boxes), 17, 2), np.float32), np.full((len(boxes), 17), 0.1, np.float32)
        there = self.there(frame)
        for index, box in enumerate(boxes):
            shares = overlaps(box, np.array([each for _, each in there]).reshape(-1, 4))
            if len(shares) and shares.max() > 0.15:
                number, whole = there[int(shares.argmax())]
                person = self.people[number]
                keypoints[index] = person.joints(whole) + self.random.normal(0, self.noise, (17, 2))
                scores[index] = person.joint_score
            else:
                keypoints[index] = box[:2] + self.random.uniform(size=(17, 2)) * (box[2:] - box[:2])
        return keypoints, scores

    def followed(self, follower: PeopleFollower, frames: range, *, fps: float = 25.0) -> list[FollowedPeople]:
        """What the follower tells of each frame."""
        told = []
        for frame in frames:
            boxes = follower.boxes(self.image(frame), frame / fps, self.detector(frame))
            told.append(follower.update(*self.poses(frame, boxes)))
        return told

    def who(self, told: FollowedPeople, frame: int) -> dict[int, int]:
        """By number of the person, the id that was given to the pose which is theirs."""
        found = {}
        for identity, joints in zip(told.ids.tolist(), told.keypoints, strict=True):
            gaps = {number: np.abs(self.people[number].joints(box) - joints).max() for number, box in self.there(frame)}
            number = min(gaps, key=lambda each: gaps[each])
            assert gaps[number] < 12, f"frame {frame}: a pose of nobody"
            assert number not in found, f"frame {frame}: person {number} is told twice"
            found[number] = identity
        return found

    @staticmethod
    def _shows(box: NDArray[np.float64]) -> bool:
        shown = np.clip(box, 0, [WIDTH, HEIGHT] * 2)
        return bool((shown[2] - shown[0]) * (shown[3] - shown[1]) > 0.3 * (box[2] - box[0]) * (box[3] - box[1]))


@pytest.fixture
def made() -> type[World]:
    return World


@pytest.fixture
def person() -> type[Person]:
    return Person
