from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amfac_edge.drawing import Panel, Series, draw_curves
from amfac_edge.drawing.axes import fitted_axis
from amfac_edge.drawing.curves import FRAME, PALETTE
from amfac_edge.drawing.text import Pen
from amfac_edge.errors import InputError

if TYPE_CHECKING:
    from amfac_edge.keypoints import Bgr

pytest.importorskip("cv2")

PLOT = (101, 201)
NAN = float("nan")


def plotted(panel: Panel) -> Bgr:
    """What lies within the axes."""
    sheet = draw_curves([panel], plot=PLOT)
    inside: Bgr = sheet[area(sheet)]
    return inside


def area(sheet: Bgr) -> tuple[slice, slice]:
    """The axes' place: found by their frame's colour."""
    frame = (sheet == FRAME).all(axis=-1)
    rows, columns = np.flatnonzero(frame.sum(axis=1) > 150), np.flatnonzero(frame.sum(axis=0) > 80)
    found = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    assert tuple(each.stop - each.start for each in found) == PLOT
    return found


def places(picture: Bgr, colour: tuple[int, int, int]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Rows and columns that have nearly this colour; the edges of a line are blended with the paper."""
    rows, columns = np.nonzero(np.abs(picture.astype(int) - colour).max(axis=-1) < 60)
    return rows, columns


def test_a_straight_line_passes_where_arithmetic_says() -> None:
    panel = Panel("", [Series("", [0, 10], [2.5, 7.5])], x_range=(0, 10), y_range=(0, 10))
    rows, columns = places(plotted(panel), PALETTE[0])
    # y = 2.5 + x / 2 with 200 and 100 pixels for 10: row = 75 - column / 4. Two pixels wide, hence 1.5.
    assert np.abs(rows - (75 - columns / 4)).max() <= 1.5
    assert set(range(2, 199)) <= set(columns.tolist())


def test_each_series_has_its_colour_and_heights_are_rounded_outwards() -> None:
    panel = Panel("", [Series("", [1, 2], [0.12, 0.12]), Series("", [1, 2], [0.88, 0.88])])
    picture = plotted(panel)
    # From 0 to 1: 0.12 and 0.88 are 12 pixels off the ends.
    assert np.median(places(picture, PALETTE[0])[0]) == pytest.approx(88, abs=1)
    assert np.median(places(picture, PALETTE[1])[0]) == pytest.approx(12, abs=1)


def test_a_logarithmic_axis_has_decades_at_equal_distances() -> None:
    panel = Panel("", [Series("", [0, 1, 2, 3, 4], [1e-4, 1e-3, 1e-2, 0, 1], line=False)], log_y=True)
    rows, columns = places(plotted(panel), PALETTE[0])
    centres = {column: rows[np.abs(columns - column) <= 5].mean() for column in (50, 100, 200)}
    assert centres == pytest.approx({50: 75, 100: 50, 200: 0}, abs=2)  # half of the last dot is beyond
    assert not (np.abs(columns - 150) <= 5).any()  # 0 has no place
    axis = fitted_axis(np.array([1.3e-4, 0.4]), 201, log=True, widen=True)
    assert (axis.low, axis.high) == pytest.approx((1e-4, 0.5))
    assert [words for _, words in axis.ticks if words] == ["0.0001", "0.001", "0.01", "0.1"]
    assert sum(not words for _, words in axis.ticks) == 8 * 3 + 4  # 2 to 9 of three decades, 0.2 to 0.5


def test_a_gap_is_no_line_and_a_lone_point_is_a_dot() -> None:
    panel = Panel("", [Series("", range(9), [5, 5, NAN, 5, np.inf, 5, 5, 5, 5])], y_range=(0, 10))
    columns = set(places(plotted(panel), PALETTE[0])[1].tolist())
    assert {10, 75, 150, 190} <= columns  # 25 pixels a step; the lone point is the fourth
    assert not columns & set(range(32, 68))
    assert not columns & set(range(82, 118))


def test_a_band_is_shaded_and_ends_at_the_axes() -> None:
    panel = Panel("", [Series("", [0, 1], [5, 5], low=[3, 3], high=[7, 99])], y_range=(0, 10), y_label="h")
    bare = Panel("", [Series("", [0, 1], [5, 5])], y_range=(0, 10), y_label="h")
    sheet, without = (draw_curves([each], plot=PLOT) for each in (panel, bare))
    changed = (sheet != without).any(axis=-1)
    inside = changed[area(without)]
    assert inside[65, 1:].mean() > 0.9  # 3.5 is within the band, 2.5 is not
    assert not inside[75].any()
    assert inside[5, 190]
    rows, columns = (slice(each.start - 1, each.stop + 1) for each in area(without))
    assert changed[rows, columns].sum() == changed.sum()


def test_references_are_dashed() -> None:
    panel = Panel("", [Series("", [0], [0])], x_range=(0, 1), y_range=(0, 1), diagonal=True, levels=[0.75])
    picture = plotted(panel).astype(int)
    grey = picture.max(axis=-1) - picture.min(axis=-1) < 10
    light = grey & (picture.min(axis=-1) > 100)
    level = light[25, 5:145]
    assert 0.3 < level.mean() < 0.8
    diagonal = np.array([light[97 - column // 2 : 104 - column // 2, column].any() for column in range(10, 130)])
    assert 0.3 < diagonal.mean() < 0.9


def test_the_words_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(Pen, "write", lambda _self, _canvas, words, _x, _y: written.append(words))
    series = [Series("training", [1, 2, 3], [0.2, 0.6, 0.4]), Series("", [1], [0.3]), Series("never", [1], [NAN])]
    draw_curves([Panel("Loss of it", series, x_label="epoch", y_label="loss")], plot=(220, 200))
    assert [words for words in written if not words.replace(".", "").isdigit()] == [
        "Loss of it",
        "loss",
        "training",
        "epoch",
    ]
    assert written[3:9] == ["1", "2", "3", "0.2", "0.4", "0.6"]


def test_words_of_ticks_never_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(Pen, "write", lambda _self, _canvas, words, _x, _y: written.append(words))
    ticks = {float(index): f"long word {index}" for index in range(30)}
    draw_curves([Panel("", [Series("", range(30), range(30))], x_ticks=ticks)], plot=PLOT)
    assert 1 <= sum(words.startswith("long") for words in written) <= 4


def test_panels_stand_in_rows_on_shared_axes() -> None:
    panels = [Panel("a", [Series("", [1, 100], [0, 1])]), Panel("b", [Series("", [50], [1])])]
    one, two = draw_curves(panels, plot=PLOT, share_x=True), draw_curves([*panels, panels[0]], columns=2, plot=PLOT)
    assert two.shape == (one.shape[0], 2 * one.shape[1], 3)
    assert (two[two.shape[0] // 2 :, one.shape[1] :] == two[0, 0]).all()
    columns = places(one[one.shape[0] // 2 :], PALETTE[0])[1]
    apart = places(draw_curves(panels[:1], plot=PLOT), PALETTE[0])[1]
    # The lone point of the second panel stands at 50 of 1 to 100, not in the middle of its own range.
    assert columns.mean() == pytest.approx(apart.min() + 49 / 99 * 200, abs=2)


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.0, 1.0], ["0.0", "0.5", "1.0"]),
        ([0.13, 0.61], ["0.00", "0.25", "0.50", "0.75"]),
        ([-3.0, 9.0], ["-10", "0", "10"]),
        ([7.0, 7.0], ["6", "7", "8"]),
        ([0.0, 0.0], ["-1", "0", "1"]),
        ([1e-7, 2.4e-7], ["1e-07", "2e-07", "3e-07"]),
        ([1000001.0, 1000004.0], ["1000000", "1000002", "1000004"]),
        ([0.0, 3e6], ["0", "2e+06", "4e+06"]),
    ],
)
def test_ticks_are_round(values: list[float], ticks: list[str]) -> None:
    axis = fitted_axis(np.array(values), 180, widen=True)
    assert [words for _, words in axis.ticks] == ticks


def test_a_time_in_nanoseconds_has_an_axis() -> None:
    axis = fitted_axis(np.array([1.7e18]), 200, whole=True)
    assert axis.low < 1.7e18 < axis.high


@given(st.lists(st.floats(-1e90, 1e90), min_size=1, max_size=5), st.booleans(), st.booleans())
def test_any_numbers_have_an_axis(values: list[float], log: bool, widen: bool) -> None:  # noqa: FBT001
    numbers = np.abs(values) + 1e-90 if log else np.array(values)
    axis = fitted_axis(numbers, 200, log=log, widen=widen)
    assert axis.low < axis.high
    assert ((axis.places(numbers) >= -0.01) & (axis.places(numbers) <= 199.01)).all()
    words = [each for _, each in axis.ticks if each]
    assert len(set(words)) == len(words)
    assert log or 1 <= len(words) <= 8


@pytest.mark.parametrize(
    ("panel", "message"),
    [
        (Panel("p", []), r'"p" has no point with finite numbers\n'),
        (Panel("p", [Series("s", [], [])]), r"has no point"),
        (Panel("p", [Series("s", [1, NAN], [NAN, 1])]), r"has no point"),
        (Panel("p", [Series("s", [1], [0])], log_y=True), r"finite numbers above 0"),
        (Panel("p", [Series("s", [1, 2], [0])]), r'series "s": x of the shape \(2,\), y \(1,\)'),
        (Panel("p", [Series("s", [1], [0], low=[1, 2])]), r"band \(2,\) and \(1,\)"),
        (Panel("p", [Series("s", 1.0, 2.0)]), r"of the shape \(\)"),
        (Panel("p", [Series("s", [1], [1])] * 7), r"has 7 series, there are 6 colours"),
        (Panel("p", [Series("s", [1], [1])], y_range=(1, 1)), r"y from 1 to 1"),
        (Panel("p", [Series("s", [1], [1])], x_range=(NAN, 1)), r"x from nan to 1"),
        (Panel("p", [Series("s", [1], [1])], y_range=(0, 1), log_y=True), r"no end at 0"),
        (Panel("p", [Series("s", [1], [1])], diagonal=True, log_y=True), r"has no diagonal"),
    ],
)
def test_what_cant_be_drawn_is_named(panel: Panel, message: str) -> None:
    with pytest.raises(InputError, match=message):
        draw_curves([panel])


@pytest.mark.parametrize("options", [{"panels": []}, {"columns": 0}, {"plot": (30, 200)}, {"plot": (200, 70)}])
def test_a_chart_needs_a_panel_and_room(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"no chart of \d panels in \d columns"):
        draw_curves(**{"panels": [Panel("p", [Series("s", [1], [1])])], **options})
