"""People that a program draws, with exact labels: for tests, for CI, and to warm a network up before real pictures.

A figure faces the camera, so that left and right can be told, and mirroring it gives another such figure. Body plan,
pose, colours, background and light vary with the seed; a picture is drawn when it is read, always the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from amfac_edge.datasets.people import ImageRecord, PeopleSet
from amfac_edge.errors import FrameError, InputError
from amfac_edge.keypoints import load_opencv
from amfac_edge.keypoints import skeleton as known_skeleton

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from amfac_edge.keypoints import Bgr, Skeleton

__all__ = ["generated_people"]

_SHIFT = 4
_MARGIN = 0.06
# Limbs from the body outwards: joint, its parent, length in torso lengths (mean), resting angle and spread in degrees.
# Angles are from straight down, positive towards the person's left (the right of the picture).
_LIMBS = (
    ("left_elbow", "left_shoulder", 0.55, 25.0, 75.0),
    ("left_wrist", "left_elbow", 0.50, 10.0, 90.0),
    ("right_elbow", "right_shoulder", 0.55, -25.0, 75.0),
    ("right_wrist", "right_elbow", 0.50, -10.0, 90.0),
    ("left_knee", "left_hip", 0.78, 10.0, 35.0),
    ("left_ankle", "left_knee", 0.75, 0.0, 35.0),
    ("right_knee", "right_hip", 0.78, -10.0, 35.0),
    ("right_ankle", "right_knee", 0.75, 0.0, 35.0),
)
# Fixed joints in torso lengths from the middle of the hips, x to the person's left, y upwards.
_TRUNK = {
    "left_shoulder": (0.34, 1.0), "right_shoulder": (-0.34, 1.0), "left_hip": (0.21, 0.0), "right_hip": (-0.21, 0.0),
    "neck": (0.0, 1.08), "head": (0.0, 1.62),
    "nose": (0.0, 1.34), "left_eye": (0.07, 1.41), "right_eye": (-0.07, 1.41), "left_ear": (0.15, 1.37),
    "right_ear": (-0.15, 1.37),
}  # fmt: skip
_FACE_CENTRE, _FACE_AXES = (0.0, 1.37), (0.155, 0.235)


def generated_people(
    count: int, seed: int, *, skeleton: str = "coco-17", height: int = 160, width: int = 160
) -> PeopleSet:
    """`count` pictures with one person each.

    The same arguments give the same people and, with the same OpenCV release, the same pictures. Each joint is at its
    exact place (pixel centres are integers) and visible (v = 2); all lie inside the picture.

    Args:
        count: how many, from 1 on.
        seed: of all that varies.
        skeleton: "coco-17" or "crowdpose-14", or another one of joints that the figure has.
        height: of a picture, in pixels, from 32 on.
        width: of a picture, in pixels.

    Returns:
        The set, ids from 1 on; reading a picture needs OpenCV.

    Raises:
        InputError: a count below 1, pictures below 32 pixels, or a skeleton with joints that the figure hasn't.
    """
    joints = known_skeleton(skeleton)
    if count < 1 or min(height, width) < 32 or seed < 0:  # noqa: PLR2004 - a figure needs some room
        raise InputError(
            f"no {count} generated people of {width}x{height} pixels with the seed {seed}",
            cure="Ask for 1 or more, pictures from 32 pixels on, and a seed from 0 on.",
        )
    figures = _Figures(seed, height, width)
    lacking = set(joints.joints) - figures.joints
    if lacking:
        raise InputError(f"generated people have no {', '.join(sorted(lacking))}", cure="Take coco-17 or crowdpose-14.")
    return _people_set(figures, count, joints)


def _people_set(figures: _Figures, count: int, joints: Skeleton) -> PeopleSet:
    keypoints = np.full((count, len(joints.joints), 3), 2.0)
    boxes = np.empty((count, 4))
    for index in range(count):
        body = figures.body(index + 1)
        keypoints[index, :, :2] = [body.joints[name] for name in joints.joints]
        boxes[index] = body.box
    ids = np.arange(1, count + 1)
    extents = boxes[:, 2:] - boxes[:, :2]
    records = {
        number: ImageRecord(number, f"{number:06d}", figures.width, figures.height, crowd_index=0.0)
        for number in ids.tolist()
    }
    return PeopleSet(
        name=f"generated-{count}-{figures.seed}",
        skeleton=joints,
        boxes=boxes,
        keypoints=keypoints,
        areas=extents.prod(axis=1) * 0.53,
        image_ids=ids,
        annotation_ids=ids,
        iscrowd=np.zeros(count, np.bool_),
        keypoint_counts=np.full(count, len(joints.joints)),
        images=records,
        stores=(figures,),
        split="generated",
    )


@dataclass(frozen=True)
class _Body:
    """One figure.

    Attributes:
        joints: name -> (x, y) in picture pixels.
        box: xyxy, around joints and drawn flesh.
        torso: pixels of a torso length.
        face: outline of the face, (P, 2).
    """

    joints: dict[str, NDArray[np.float64]]
    box: NDArray[np.float64]
    torso: float
    face: NDArray[np.float64]


@dataclass(frozen=True)
class _Figures:
    """A `PictureStore` that draws; the picture's number is its name."""

    seed: int
    height: int
    width: int

    @property
    def joints(self) -> set[str]:
        return {*_TRUNK, *(limb[0] for limb in _LIMBS)}

    def __contains__(self, name: str) -> bool:
        return name.isascii() and name.isdecimal()

    def read(self, name: str, height: int, width: int) -> Bgr:
        """See `PictureStore.read`."""
        if name not in self or (height, width) != (self.height, self.width):
            raise FrameError(f"there is no generated picture {name!r} of {width}x{height}", cure="Use the set's ids.")
        return self._drawn(int(name))

    def body(self, number: int) -> _Body:
        """The figure of a picture: a pose in torso lengths, turned, scaled and moved into the picture."""
        rng = np.random.default_rng([self.seed, number, 0])
        build = rng.normal(1.0, 0.06, size=2).clip(0.85, 1.15)
        places = {name: np.array(place) * build for name, place in _TRUNK.items()}
        angles: dict[str, float] = {}
        for joint, parent, length, rest, spread in _LIMBS:
            bend = angles.get(parent, 0.0)
            angles[joint] = bend + np.deg2rad(rest + rng.uniform(-spread, spread))
            reach = length * rng.normal(1.0, 0.07)
            places[joint] = places[parent] + reach * np.array([np.sin(angles[joint]), -np.cos(angles[joint])])
        turn = np.linspace(0, 2 * np.pi, 25)[:-1]
        face = (np.array(_FACE_CENTRE) + np.stack([np.cos(turn), np.sin(turn)], axis=-1) * _FACE_AXES) * build
        return self._placed(places, face, rng)

    def _placed(
        self, places: dict[str, NDArray[np.float64]], face: NDArray[np.float64], rng: np.random.Generator
    ) -> _Body:
        angle = np.deg2rad(rng.normal(0, 14))
        flip = np.array([[np.cos(angle), np.sin(angle)], [np.sin(angle), -np.cos(angle)]])
        points = np.concatenate([np.stack(list(places.values())), face]) @ flip.T
        low, high = points.min(axis=0) - 0.12, points.max(axis=0) + 0.12
        room = np.array([self.width, self.height]) * (1 - 2 * _MARGIN)
        torso = float((room / (high - low)).min() * rng.uniform(0.6, 1.0))
        free = np.array([self.width, self.height]) - (high - low) * torso
        corner = free * rng.uniform(0.15, 0.85, size=2) - 0.5
        points = (points - low) * torso + corner
        box = np.concatenate([corner, corner + (high - low) * torso])
        return _Body(dict(zip(places, points, strict=False)), box, torso, points[len(places) :])

    def _drawn(self, number: int) -> Bgr:
        cv2 = load_opencv("drawing generated people")
        rng = np.random.default_rng([self.seed, number, 1])
        canvas = _background(cv2, rng, self.height, self.width)
        _draw_body(cv2, canvas, self.body(number), rng)
        light = rng.uniform(0.6, 1.25)
        noise = rng.normal(0, rng.uniform(1, 8), size=canvas.shape)
        return np.clip(canvas * light + noise, 0, 255).astype(np.uint8)


def _background(cv2: Any, rng: np.random.Generator, height: int, width: int) -> Bgr:  # noqa: ANN401 - the lazy module
    """A smooth gradient with blobs and bars, some of them as thin as limbs."""
    corners = rng.integers(20, 236, size=(2, 2, 3)).astype(np.uint8)
    canvas: Bgr = np.ascontiguousarray(cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR))
    for _ in range(rng.integers(3, 9)):
        colour = tuple(rng.integers(0, 256, size=3).tolist())
        start, end = (tuple(rng.integers(-20, (width + 20, height + 20)).tolist()) for _ in range(2))
        if rng.random() < 0.5:  # noqa: PLR2004 - as many bars as blobs
            cv2.line(canvas, start, end, colour, int(rng.integers(1, max(2, width // 12))), cv2.LINE_AA)
        else:
            cv2.circle(canvas, start, int(rng.integers(2, max(3, width // 5))), colour, -1, cv2.LINE_AA)
    return canvas


def _draw_body(cv2: Any, canvas: Bgr, body: _Body, rng: np.random.Generator) -> None:  # noqa: ANN401
    skin = np.array([60, 90, 130]) + rng.uniform(0, 1) * np.array([110, 110, 110])
    shirt, trousers = rng.integers(0, 256, size=(2, 3))
    unit = body.torso
    trunk = ("left_shoulder", "right_shoulder", "right_hip", "left_hip")
    for joint, parent, *_ in _LIMBS[4:]:
        _capsule(cv2, canvas, body.joints[parent], body.joints[joint], 0.2 * unit, trousers)
    corners = np.rint(np.stack([body.joints[name] for name in trunk]) * 2**_SHIFT).astype(np.int32)
    cv2.fillConvexPoly(canvas, corners, _colour(shirt), cv2.LINE_AA, _SHIFT)
    for first, second in zip(trunk, (*trunk[1:], trunk[0]), strict=True):
        _capsule(cv2, canvas, body.joints[first], body.joints[second], 0.16 * unit, shirt)
    _capsule(cv2, canvas, body.joints["neck"], body.joints["nose"], 0.16 * unit, skin * 0.85)
    for joint, parent, *_ in _LIMBS[:4]:
        # Arms are a little lighter or darker than the trunk, so that one before it can be seen.
        _capsule(cv2, canvas, body.joints[parent], body.joints[joint], 0.15 * unit, shirt * 0.7 + 40)
    face = np.rint(body.face * 2**_SHIFT).astype(np.int32)
    cv2.fillConvexPoly(canvas, face, _colour(skin), cv2.LINE_AA, _SHIFT)
    for name, size, colour in (
        ("left_wrist", 0.1, skin), ("right_wrist", 0.1, skin), ("left_ankle", 0.12, skin * 0.4),
        ("right_ankle", 0.12, skin * 0.4), ("nose", 0.035, skin * 0.6), ("left_eye", 0.03, skin * 0.1),
        ("right_eye", 0.03, skin * 0.1), ("left_ear", 0.05, skin * 0.8), ("right_ear", 0.05, skin * 0.8),
    ):  # fmt: skip
        _capsule(cv2, canvas, body.joints[name], body.joints[name], 2 * size * unit, colour)


def _capsule(
    cv2: Any,  # noqa: ANN401
    canvas: Bgr,
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    thickness: float,
    colour: NDArray[np.floating] | NDArray[np.integer],
) -> None:
    """A thick line with round ends; OpenCV's line has whole pixels of thickness only, so the ends carry the rest."""
    places = [tuple(np.rint(point * 2**_SHIFT).astype(int).tolist()) for point in (start, end)]
    cv2.line(canvas, *places, _colour(colour), max(1, round(thickness)), cv2.LINE_AA, _SHIFT)
    for place in places:
        cv2.circle(canvas, place, round(thickness / 2 * 2**_SHIFT), _colour(colour), -1, cv2.LINE_AA, _SHIFT)


def _colour(values: NDArray[np.floating] | NDArray[np.integer]) -> tuple[int, ...]:
    return tuple(np.clip(values, 0, 255).astype(int).tolist())
