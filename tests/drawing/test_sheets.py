from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from amfac_edge.drawing import contact_sheet, justified_places, picture_table, with_caption
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


def test_justified_rows_are_full_and_keep_every_shape() -> None:
    sizes = [(480, 640), (640, 480), (427, 640), (640, 640), (375, 500), (640, 427), (480, 640)]
    places = justified_places(sizes, 1000, 200, gap=4)
    assert len(places) == len(sizes)
    rows: dict[int, list[tuple[int, int, int, int]]] = {}
    for (height, width), place in zip(sizes, places, strict=True):
        rows.setdefault(place[0], []).append(place)
        assert place[3] / place[2] == pytest.approx(width / height, abs=0.02)
    bottom = 0
    for top, row in rows.items():
        assert top == bottom
        assert (row[0][1], row[-1][1] + row[-1][3]) == (0, 1000)
        assert all(one[1] + one[3] + 4 == other[1] for one, other in itertools.pairwise(row))
        assert len({place[2] for place in row}) == 1
        assert 100 < row[0][2] < 300
        bottom = top + row[0][2] + 4


def test_a_lonely_picture_is_no_wall() -> None:
    ((top, left, height, width),) = justified_places([(100, 200)], 2000, 200)
    assert (top, left, height, width) == (0, 0, 300, 600)


def test_a_table_has_its_pictures_in_their_columns_and_words_around_them() -> None:
    rows = [[plain(RED), plain(GREEN)], [plain(BLUE), plain(RED)]]
    table = picture_table(rows, ["a", "bb"], ["first", "second"])
    found = {}
    for colour in (GREEN, BLUE):
        places = np.argwhere((table == colour).all(axis=-1))
        assert len(places) == 30 * 40
        found[colour] = places[0]
    assert found[GREEN][0] < found[BLUE][0]
    assert found[BLUE][1] < found[GREEN][1]
    assert table[: found[GREEN][0]].max() > 150
    assert table[found[BLUE][0] + 30 :].min(axis=-1).max() > 150


@pytest.mark.parametrize(
    ("headings", "notes", "second"),
    [(["a"], ["x"], RED), (["a", "b"], [], RED), (["a", "b"], ["x"], None)],
)
def test_a_table_that_does_not_fit_together_is_refused(
    headings: list[str], notes: list[str], second: tuple[int, int, int] | None
) -> None:
    row = [plain(RED), plain(second) if second else plain(RED, 5, 5)]
    with pytest.raises(FrameError, match=r"no table of 1 rows under .* headings"):
        picture_table([row], headings, notes)


def test_a_caption_stands_beneath_in_lines() -> None:
    sheet = plain(RED, 50, 300)
    short, long = with_caption(sheet, "few words"), with_caption(sheet, "many words " * 20)
    assert (short[:50] == sheet).all()
    assert 50 < len(short) < len(long)
    assert long[-40:].max() > 150
