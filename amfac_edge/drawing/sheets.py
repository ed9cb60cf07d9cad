"""Many pictures on one."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.drawing.text import Pen
from amfac_edge.errors import FrameError
from amfac_edge.keypoints import checked_frame, load_opencv

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amfac_edge.keypoints import Bgr

__all__ = ["contact_sheet", "justified_places", "picture_table", "with_caption"]

_PAPER = 40
_GAP = 6
_TALLEST = 1.5
_LINE, _SMALL_LINE = 18, 15


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


def justified_places(
    sizes: Sequence[tuple[int, int]], width: int, height: int, gap: int = _GAP
) -> list[tuple[int, int, int, int]]:
    """Places for pictures in rows, in their order and uncropped; each row is as wide as the sheet.

    Args:
        sizes: (height, width) of each picture; at least one.
        width: of all places together, in pixels.
        height: the height that rows are to be near. A row is never higher than 1.5 times this; one that would have to
            be is narrower than the sheet instead.
        gap: between two pictures.

    Returns:
        (top, left, height, width) of each picture.
    """
    shapes = [size[1] / size[0] for size in sizes]
    # The break before each picture that makes the rows up to there most even: least[i] is for the first i pictures.
    least, first = [0.0], [0]
    for end in range(1, len(shapes) + 1):
        costs = [
            least[start] + np.log(_row_height(shapes[start:end], width, gap) / height) ** 2 for start in range(end)
        ]
        first.append(int(np.argmin(costs)))
        least.append(min(costs))
    ends = [len(shapes)]
    while ends[-1]:
        ends.append(first[ends[-1]])
    places, top = [], 0
    for start, end in zip(ends[:0:-1], ends[-2::-1], strict=True):
        tall = _row_height(shapes[start:end], width, gap)
        row = max(1, round(min(tall, _TALLEST * height)))
        edges = [round(sum(shapes[start:each]) * min(tall, _TALLEST * height)) for each in range(start, end + 1)]
        for index, (left, right) in enumerate(itertools.pairwise(edges)):
            places.append((top, left + index * gap, row, max(1, right - left)))
        top += row + gap
    return places


def _row_height(shapes: Sequence[float], width: int, gap: int) -> float:
    return max(1.0, (width - gap * (len(shapes) - 1)) / sum(shapes))


def picture_table(rows: Sequence[Sequence[Bgr]], headings: Sequence[str], notes: Sequence[str]) -> Bgr:
    """Pictures in columns with headings, a line of words beneath each row.

    Args:
        rows: uint8 (H, W, 3) BGR each, all of one size; as many in each row as there are headings.
        headings: ASCII, one for each column; one that is too long is cut off.
        notes: ASCII, one for each row.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        FrameError: no row, or rows, headings and notes that don't go together.
        MissingExtraError: OpenCV is not installed.
    """
    shapes = {picture.shape for row in rows for picture in row}
    if len(shapes) != 1 or {len(row) for row in rows} != {len(headings)} or len(notes) != len(rows):
        raise FrameError(
            f"no table of {len(rows)} rows under {len(headings)} headings with {len(notes)} notes and pictures of "
            f"{len(shapes)} sizes",
            cure="It needs a row, a picture of one size for each heading, and a note for each row.",
        )
    cv2 = load_opencv("drawing")
    ((height, width, _),) = shapes
    head, note = Pen(cv2, _LINE), Pen(cv2, _SMALL_LINE)
    pitch = height + 2 * _LINE + _GAP
    sheet = np.full((2 * _LINE + len(rows) * pitch, len(headings) * (width + _GAP) + _GAP, 3), _PAPER, np.uint8)
    lefts = [_GAP + column * (width + _GAP) for column in range(len(headings))]
    for left, words in zip(lefts, headings, strict=True):
        head.write(sheet, head.shortened(words, width), left, round(1.3 * _LINE))
    for top, row, words in zip(range(2 * _LINE, len(sheet), pitch), rows, notes, strict=False):
        for left, picture in zip(lefts, row, strict=True):
            sheet[top : top + height, left : left + width] = picture
        note.write(sheet, note.shortened(words, sheet.shape[1] - 2 * _GAP), _GAP, top + height + round(1.2 * _LINE))
    return sheet


def with_caption(sheet: Bgr, caption: str) -> Bgr:
    """The sheet with a caption beneath, broken into lines at spaces.

    Args:
        sheet: (H, W, 3) uint8 BGR.
        caption: ASCII.

    Returns:
        (H + lines, W, 3) uint8 BGR, a new array.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    pen = Pen(load_opencv("drawing"), max(_SMALL_LINE, sheet.shape[1] // 110))
    lines = pen.broken(caption, sheet.shape[1] - 4 * _GAP)
    pitch = round(1.5 * pen.line)
    strip = np.full((len(lines) * pitch + 3 * _GAP, sheet.shape[1], 3), _PAPER, np.uint8)
    for index, words in enumerate(lines):
        pen.write(strip, words, 2 * _GAP, _GAP + (index + 1) * pitch - pen.line // 4)
    return np.concatenate([sheet, strip])
