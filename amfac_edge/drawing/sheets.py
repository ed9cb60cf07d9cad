"""Many pictures on one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.drawing.text import Pen
from amfac_edge.errors import FrameError
from amfac_edge.keypoints import checked_frame, load_opencv

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amfac_edge.keypoints import Bgr

__all__ = ["contact_sheet"]

_PAPER = 40
_GAP = 6


def contact_sheet(images: Sequence[Bgr], columns: int, cell: tuple[int, int], titles: Sequence[str] = ()) -> Bgr:
    """The pictures in rows, each as large as its cell allows, with a title beneath.

    Args:
        images: uint8, each (H, W, 3) BGR or what else `checked_frame` takes; sizes may differ. At least one.
        columns: pictures in a row.
        cell: (height, width) of a picture's place, in pixels, without its title.
        titles: one for each picture, or none at all; one that is too long is cut off. ASCII.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        FrameError: no pictures, or something among them that is none, or another number of titles.
        MissingExtraError: OpenCV is not installed.
    """
    if not images or columns < 1 or min(cell) < 1 or (titles and len(titles) != len(images)):
        raise FrameError(
            f"no contact sheet of {len(images)} pictures in {columns} columns, cells {cell}, {len(titles)} titles",
            cure="It needs a picture, a column, cells of a pixel at least, and a title for each picture or none.",
        )
    cv2 = load_opencv("drawing")
    height, width = cell
    line = max(12, height // 14)
    pen = Pen(cv2, line)
    pitch = (height + _GAP + (round(1.5 * line) if titles else 0), width + _GAP)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    sheet = np.full((rows * pitch[0] + _GAP, columns * pitch[1] + _GAP, 3), _PAPER, np.uint8)
    for index, image in enumerate(images):
        top, left = _GAP + index // columns * pitch[0], _GAP + index % columns * pitch[1]
        fitted = _fitted(checked_frame(image), height, width)
        y, x = top + (height - fitted.shape[0]) // 2, left + (width - fitted.shape[1]) // 2
        sheet[y : y + fitted.shape[0], x : x + fitted.shape[1]] = fitted
        if titles:
            pen.write(sheet, pen.shortened(titles[index], width), left, top + height + round(1.1 * line))
    return sheet


def _fitted(image: Bgr, height: int, width: int) -> Bgr:
    cv2 = load_opencv("drawing")
    scale = min(height / image.shape[0], width / image.shape[1])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    resized: Bgr = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return resized
