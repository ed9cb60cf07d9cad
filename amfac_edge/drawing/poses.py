"""People on a picture: limbs coloured by side, joints, boxes.

Letters: N people, K joints. The person's left is orange, the right is blue, what is neither is green: the sides differ
for colour-blind eyes too, and a dark rim parts them from any background.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from amfac_edge.drawing.text import Pen, draw_note
from amfac_edge.keypoints import checked_frame, load_opencv

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from amfac_edge.keypoints import Bgr, Skeleton

__all__ = ["draw_poses"]

_Colour = tuple[int, int, int]
_LEFT: _Colour = (30, 140, 255)
_RIGHT: _Colour = (255, 160, 30)
_MIDDLE: _Colour = (110, 220, 110)
_RIM: _Colour = (25, 25, 25)
_BOX: _Colour = (225, 225, 225)

# OpenCV draws at 1/16 pixel; places beyond this are off every picture, and its integers must not overflow.
_SHIFT = 4
_FARTHEST = 1e6
_SMALLEST_JOINT = 1.8
# Height of a label's line in a picture of 640 x 480.
_LABEL_LINE = 14
# OpenCV's own circle is a square below a radius of 3 pixels.
_CIRCLE = np.stack([trigonometric(np.linspace(0, 2 * np.pi, 25)[:-1]) for trigonometric in (np.cos, np.sin)], axis=-1)


def draw_poses(  # noqa: PLR0913 - a picture, four arrays of people, and how they look
    image: Bgr,
    keypoints: NDArray[np.floating],
    scores: NDArray[np.floating],
    boxes: NDArray[np.floating],
    skeleton: Skeleton,
    *,
    min_score: float,
    note: str = "",
    outlined: bool = True,
    labels: Sequence[str] = (),
) -> Bgr:
    """A copy of the picture with people drawn on it. Lines grow with the picture and thin out on small people.

    Args:
        image: (H, W, 3) uint8 BGR, or what else `checked_frame` takes.
        keypoints: (N, K, 2) x, y in pixels of the picture; a joint that is not finite is left out.
        scores: (N, K); a joint below `min_score` is left out, with its limbs.
        boxes: (N, 4) xyxy.
        skeleton: of the K joints.
        min_score: the lowest score that is drawn.
        note: written on a strip at the bottom where it is not empty.
        outlined: whether the boxes are drawn too.
        labels: N short words, ASCII, each at the upper left corner of its box; none where there are none.

    Returns:
        (H, W, 3) uint8 BGR, a new array.

    Raises:
        FrameError: the picture is none.
        MissingExtraError: OpenCV is not installed.
    """
    cv2 = load_opencv("drawing")
    canvas = checked_frame(image).copy()
    unit = _unit(canvas)
    for box in boxes if outlined else ():
        corners = [_place(box[:2]), _place(box[2:])]
        cv2.rectangle(canvas, *corners, _BOX, max(1, round(unit)), cv2.LINE_AA, _SHIFT)
    sides = [_side(name) for name in skeleton.joints]
    for joints, joint_scores, box in zip(keypoints, scores, boxes, strict=True):
        visible = (joint_scores >= min_score) & (np.abs(joints) < _FARTHEST).all(axis=-1)
        width = _line_width(box, unit)
        _draw_limbs(cv2, canvas, joints, visible, skeleton.limbs, sides, width)
        _draw_joints(cv2, canvas, joints, visible, sides, width)
    _draw_labels(cv2, canvas, boxes, labels, unit)
    return draw_note(canvas, note) if note else canvas


def _draw_labels(
    cv2: Any,  # noqa: ANN401 - the lazy module
    canvas: Bgr,
    boxes: NDArray[np.floating],
    labels: Sequence[str],
    unit: float,
) -> None:
    pen = Pen(cv2, round(_LABEL_LINE * unit))
    height, width = canvas.shape[:2]
    for box, words in zip(boxes, labels, strict=False):
        x, y = np.clip(np.nan_to_num(np.asarray(box[:2], dtype=np.float64)), 0, (width, height)).astype(int).tolist()
        across, down = pen.width(words) + pen.line // 2, round(pen.line * 1.25)
        left, top = max(0, min(x, width - across)), max(0, min(y, height - down))
        plate = canvas[top : top + down, left : left + across]
        plate //= 4
        pen.write(canvas, words, left + pen.line // 4, top + pen.line)


def _unit(image: Bgr) -> float:
    """One pixel of a picture of 640 x 480, in pixels of this one."""
    return max(1.0, min(image.shape[:2]) / 480)


def _line_width(box: NDArray[np.floating], unit: float) -> int:
    x1, y1, x2, y2 = np.clip(np.nan_to_num(np.asarray(box, dtype=np.float64)), -_FARTHEST, _FARTHEST)
    return round(float(np.clip(max(x2 - x1, y2 - y1) / 90, unit, 4 * unit)))


def _side(joint: str) -> _Colour:
    return _LEFT if joint.startswith("left_") else _RIGHT if joint.startswith("right_") else _MIDDLE


def _draw_limbs(
    cv2: Any,  # noqa: ANN401 - the lazy module
    canvas: Bgr,
    joints: NDArray[np.floating],
    visible: NDArray[np.bool_],
    limbs: tuple[tuple[int, int], ...],
    sides: list[_Colour],
    width: int,
) -> None:
    shown = [(start, end) for start, end in limbs if visible[start] and visible[end]]
    # All rims come before all colours: where limbs meet, no rim cuts through a neighbour.
    for rim in (True, False):
        for start, end in shown:
            colour = _RIM if rim else _limb_colour(sides[start], sides[end])
            thickness = width + 2 * _rim_width(width) if rim else width
            cv2.line(canvas, _place(joints[start]), _place(joints[end]), colour, thickness, cv2.LINE_AA, _SHIFT)


def _draw_joints(
    cv2: Any,  # noqa: ANN401 - the lazy module
    canvas: Bgr,
    joints: NDArray[np.floating],
    visible: NDArray[np.bool_],
    sides: list[_Colour],
    width: int,
) -> None:
    radius = max(_SMALLEST_JOINT, width * 1.2)
    for joint in np.flatnonzero(visible):
        for colour, size in ((_RIM, radius + _rim_width(width)), (sides[joint], radius)):
            disc = np.rint((np.clip(joints[joint], -_FARTHEST, _FARTHEST) + size * _CIRCLE) * 2**_SHIFT)
            cv2.fillConvexPoly(canvas, disc.astype(np.int32), colour, cv2.LINE_AA, _SHIFT)


def _rim_width(width: int) -> int:
    return max(1, round(width / 3))


def _limb_colour(start: _Colour, end: _Colour) -> _Colour:
    """A limb has the side of its joints; one between the sides is in the middle, one to the middle keeps its side."""
    if start == _MIDDLE:
        return end
    return start if end in {start, _MIDDLE} else _MIDDLE


def _place(point: NDArray[np.floating]) -> tuple[int, int]:
    x, y = np.clip(np.nan_to_num(np.asarray(point, dtype=np.float64)), -_FARTHEST, _FARTHEST) * 2**_SHIFT
    return round(float(x)), round(float(y))
