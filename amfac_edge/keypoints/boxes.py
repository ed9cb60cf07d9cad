"""Boxes of people: xyxy in frame pixels, in the coordinates of the keypoints (integers are pixel centres).

A box's centre is the mean of its corners and its extents are their differences. So a frame of W x H pixels reaches from
-0.5 to W - 0.5 and from -0.5 to H - 0.5. COCO's x, y, width, height are taken as x, y, x + width, y + height, as every
evaluator of that data set does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from amfac_edge.errors import FrameError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["PeopleBoxes", "checked_boxes"]

# Outside these a crop's coordinates leave what OpenCV's arithmetic and a float32 affine can hold.
_FARTHEST = 1e6
_SMALLEST = 1e-3
_EDGE = -0.5

_SHAPE_CURE = "Give a list of boxes [[x1, y1, x2, y2], ...] in frame pixels; [] where nobody is."


class PeopleBoxes(NamedTuple):
    """The people of one frame: (N, 4) float64 boxes, xyxy in frame pixels, and their (N,) float64 scores in 0..1."""

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]

    @classmethod
    def nobody(cls) -> PeopleBoxes:
        """No people."""
        return cls(np.zeros((0, 4)), np.zeros(0))


def checked_boxes(boxes: ArrayLike, frame_height: int, frame_width: int) -> NDArray[np.float64]:
    """Boxes that can be cropped, as an array of their own.

    Args:
        boxes: (N, 4) xyxy in frame pixels, a list or an array of numbers; N may be 0. A box may reach out of the frame.
        frame_height: of the frame, in pixels.
        frame_width: of the frame, in pixels.

    Returns:
        (N, 4) float64, a copy.

    Raises:
        FrameError: another shape; or a box with NaN or infinity, with its corners the wrong way round, without area, or
            wholly outside the frame. The message has its index and its values.
    """
    try:
        array = np.array(boxes, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise FrameError(f"the boxes are no array of numbers: {error}", cure=_SHAPE_CURE) from error
    if array.shape == (0,):
        return array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4:  # noqa: PLR2004 - N boxes of four numbers
        raise FrameError(f"the boxes have shape {array.shape}, not (N, 4)", cure=_SHAPE_CURE)
    right, bottom = frame_width + _EDGE, frame_height + _EDGE
    # For the few boxes of a frame, plain floats are faster than vectorised comparisons; NaN fails each of them.
    for index, (x1, y1, x2, y2) in enumerate(array.tolist()):
        if not (
            x2 - x1 >= _SMALLEST
            and y2 - y1 >= _SMALLEST
            and -_FARTHEST <= x1 < right
            and -_FARTHEST <= y1 < bottom
            and _EDGE < x2 <= _FARTHEST
            and _EDGE < y2 <= _FARTHEST
        ):
            raise _fault(index, (x1, y1, x2, y2), frame_height, frame_width)
    return array


def _fault(index: int, box: tuple[float, float, float, float], frame_height: int, frame_width: int) -> FrameError:
    x1, y1, x2, y2 = box
    name = f"box {index} ({x1:g}, {y1:g}, {x2:g}, {y2:g})"
    if not all(np.isfinite(box)):
        return FrameError(
            f"{name} has a value that is not finite", cure="Drop boxes of failed detections before this call."
        )
    if x2 < x1 or y2 < y1:
        return FrameError(
            f"{name} has its corners the wrong way round",
            cure="Boxes are x1, y1, x2, y2; COCO's x, y, width, height become x, y, x + width, y + height.",
        )
    if x2 - x1 < _SMALLEST or y2 - y1 < _SMALLEST:
        return FrameError(f"{name} has no area", cure=f"Drop boxes with a side below {_SMALLEST:g} pixels.")
    if max(map(abs, box)) > _FARTHEST:
        return FrameError(
            f"{name} reaches beyond {_FARTHEST:,.0f} pixels", cure="Boxes are in frame pixels: check the scale."
        )
    return FrameError(
        f"{name} lies outside the frame of {frame_width}x{frame_height} pixels",
        cure="Boxes are in pixels of this very frame, not of a resized one and not in 0..1.",
    )
