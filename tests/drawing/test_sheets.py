from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from amfac_edge.drawing import contact_sheet
from amfac_edge.errors import FrameError

pytest.importorskip("cv2")

RED, GREEN, BLUE = (0, 0, 255), (0, 255, 0), (255, 0, 0)


def plain(colour: tuple[int, int, int], height: int = 30, width: int = 40) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.full((height, width, 3), colour, np.uint8)


def test_pictures_fill_rows_from_the_left() -> None:
    sheet = contact_sheet([plain(RED), plain(GREEN), plain(BLUE)], columns=2, cell=(60, 80))
    assert sheet.shape == (2 * 66 + 6, 2 * 86 + 6, 3)
    for (row, column), colour in {(0, 0): RED, (0, 1): GREEN, (1, 0): BLUE}.items():
        top, left = 6 + row * 66, 6 + column * 86
        assert (sheet[top : top + 60, left : left + 80] == colour).all()
    assert (sheet[6 + 66 :, 6 + 86 :] == 40).all()


def test_a_picture_keeps_its_shape_and_stands_in_the_middle_of_its_cell() -> None:
    sheet = contact_sheet([plain(RED, 100, 20)], columns=1, cell=(50, 50))
    red = (sheet == RED).all(axis=-1)
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (6, 55, 26, 35)


def test_fewer_pictures_than_columns_make_a_narrow_sheet() -> None:
    assert contact_sheet([plain(RED)], columns=5, cell=(60, 80)).shape == (72, 92, 3)


def test_titles_stand_beneath_and_are_cut_where_they_are_too_long() -> None:
    sheet = contact_sheet([plain(RED), plain(RED)], columns=2, cell=(60, 80), titles=["a", "a very long title indeed"])
    left, right = sheet[66:, :86], sheet[66:, 86:]
    assert sheet.shape[0] > 72
    assert left.min(axis=-1).max() > 150
    assert right.min(axis=-1).max() > 150
    assert (sheet[:, -6:] == 40).all()


def test_a_picture_of_one_pixel_has_a_cell() -> None:
    assert (contact_sheet([plain(RED, 1, 1)], columns=1, cell=(10, 10))[6:16, 6:16] == RED).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": []}, r"no contact sheet of 0 pictures"),
        ({"columns": 0}, r"in 0 columns"),
        ({"cell": (0, 9)}, r"cells \(0, 9\)"),
        ({"titles": ["a", "b"]}, r"of 1 pictures .* 2 titles\n.*a title for each picture or none"),
        ({"images": [np.zeros((3, 3), np.float32)]}, r"dtype float32"),
    ],
)
def test_what_makes_no_sheet_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(FrameError, match=message):
        contact_sheet(**{"images": [plain(RED)], "columns": 1, "cell": (9, 9), **options})
