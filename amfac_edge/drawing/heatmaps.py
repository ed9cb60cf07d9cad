"""Values of a plane as colours over a picture: from dark to bright, or blue below 0 and red above it.

Letters: H, W of a picture; h, w of a map that covers it evenly, so that one value lies over H/h x W/w pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.drawing.text import Pen
from amfac_edge.keypoints import load_opencv

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from amfac_edge.keypoints import Bgr

__all__ = ["colour_bar", "difference_picture", "heat_picture"]

_COLOUR_WEIGHT = 0.65
_PICTURE_WEIGHT = 0.75
# BGR; the two differ for colour-blind eyes too.
_BELOW, _ABOVE = (255.0, 120.0, 20.0), (30.0, 30.0, 255.0)
_PAPER, _MIDDLE_GREY = 40, 110
_BAR, _LINE = 16, 15


def heat_picture(picture: Bgr, values: NDArray[np.floating], low: float, high: float) -> Bgr:
    """The picture in grey under the map's colours, of the map "inferno".

    Args:
        picture: (H, W, 3) uint8 BGR.
        values: (h, w); between two of them the colours run evenly.
        low: what is black, and whatever is below it.
        high: what is bright yellow, and whatever is above it; above `low`.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    cv2 = load_opencv("drawing")
    parts = np.clip((_spread(picture, values) - low) / (high - low), 0, 1)
    colours = cv2.applyColorMap(np.rint(parts * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return _mixed(_grey(picture), colours.astype(np.float64), np.full(parts.shape, _COLOUR_WEIGHT))


def difference_picture(picture: Bgr, values: NDArray[np.floating], most: float) -> Bgr:
    """The picture in grey, tinted where the values are not 0: red above, blue below.

    Args:
        picture: (H, W, 3) uint8 BGR.
        values: (h, w).
        most: the size of a value, above 0, at which the tint is full.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    parts = np.clip(_spread(picture, values) / most, -1, 1)
    tints = np.where(parts[..., None] < 0, _BELOW, _ABOVE)
    return _mixed(_grey(picture), tints, np.abs(parts))


def colour_bar(width: int, low: float, high: float, title: str, *, difference: bool = False) -> Bgr:
    """The legend of one of the two: the colours over mid-grey, three numbers, and what they are of.

    Args:
        width: in pixels.
        low: the value at the left end.
        high: the value at the right end.
        title: ASCII; cut off where it is too long.
        difference: for `difference_picture` with `most` = `high` = -`low`.

    Returns:
        (H, `width`, 3) uint8 BGR.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    pen = Pen(load_opencv("drawing"), _LINE)
    strip = np.full((_BAR + 4 * _LINE, width, 3), _PAPER, np.uint8)
    ramp = np.linspace(low, high, width)[None].repeat(_BAR, axis=0)
    grey = np.full((_BAR, width, 3), _MIDDLE_GREY, np.uint8)
    top = round(1.6 * _LINE)
    bar = difference_picture(grey, ramp, high) if difference else heat_picture(grey, ramp, low, high)
    strip[top : top + _BAR] = bar
    pen.write(strip, pen.shortened(title, width), 0, round(1.1 * _LINE))
    for place, value in ((0.0, low), (0.5, (low + high) / 2), (1.0, high)):
        words = f"{value:+.3g}" if difference and value else f"{value:.3g}"
        left = round((width - pen.width(words)) * place)
        pen.write(strip, words, left, top + _BAR + round(1.3 * _LINE))
    return strip


def _spread(picture: Bgr, values: NDArray[np.floating]) -> NDArray[np.float64]:
    """The map at the size of the picture, bilinear, the values at the middles of what they cover."""
    cv2 = load_opencv("drawing")
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(cv2.resize(values.astype(np.float64), size, interpolation=cv2.INTER_LINEAR))


def _grey(picture: Bgr) -> NDArray[np.float64]:
    """(H, W, 3), by BT.601's weights, a little darker than it is."""
    grey = picture @ np.array([0.114, 0.587, 0.299], np.float64)
    return np.repeat(_PICTURE_WEIGHT * grey[..., None], 3, axis=2).astype(np.float64, copy=False)


def _mixed(under: NDArray[np.float64], over: NDArray[np.float64], weights: NDArray[np.float64]) -> Bgr:
    part = weights[..., None]
    return np.rint((1 - part) * under + part * over).astype(np.uint8)
