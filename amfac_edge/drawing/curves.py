"""Line charts: panels with axes, named series, bands and references, on one picture.

Letters: P points of a series. What is drawn lies in a plot of a fixed size; titles, names and ticks lie around it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from amfac_edge.drawing.axes import Axis, fitted_axis
from amfac_edge.drawing.text import Pen
from amfac_edge.errors import InputError
from amfac_edge.keypoints import load_opencv

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from amfac_edge.keypoints import Bgr

__all__ = ["FRAME", "PALETTE", "Panel", "Series", "draw_curves"]

PALETTE = ((86, 180, 255), (255, 190, 90), (110, 220, 110), (190, 150, 230), (120, 235, 245), (110, 110, 240))
"""BGR of the series, in their order; they differ for colour-blind eyes too."""
FRAME = (120, 120, 120)
"""BGR of the line around a plot."""

_PAPER, _GRID, _REFERENCE = (40, 40, 40), (66, 66, 66), (150, 150, 150)
_LINE = 17
_LEFT, _RIGHT, _TICK = 84, 28, 5
_ROW = 24
_DOT = 4
_OVERHANG = 6
_SHIFT = 4
_FARTHEST, _FARTHEST_VALUE, _NEAREST_VALUE = 1e6, 1e100, 1e-100
_DASHES = 12
_BAND_WEIGHT = 0.3
_SWATCH, _GAP = 18, 22


@dataclass(frozen=True, eq=False)
class Series:
    """One curve. A point that is not finite, or that its axis can't show (0 on a logarithmic one), is a gap.

    Attributes:
        name: in the legend; ASCII. Empty for none.
        x: (P,).
        y: (P,).
        low: (P,) lower edge of a band around the curve, with `high`.
        high: (P,) its upper edge.
        line: whether the points are joined.
        dots: whether each point has a dot; a point between two gaps always has one.
    """

    name: str
    x: ArrayLike
    y: ArrayLike
    low: ArrayLike | None = None
    high: ArrayLike | None = None
    line: bool = True
    dots: bool = False


@dataclass(frozen=True, eq=False)
class Panel:
    """One plot.

    Attributes:
        title: above it; ASCII, as all words of a panel.
        series: at least one, with at least one point among them that can be shown; at most as many as `PALETTE` has.
        x_label: below it.
        y_label: above the vertical axis.
        log_y: whether the vertical axis is logarithmic.
        x_range: lowest and highest x; None for those of the points.
        y_range: the same of y; None for round numbers around the points.
        x_ticks: words at places of the horizontal axis; None for round numbers.
        diagonal: whether y = x is drawn as a reference.
        levels: heights at which a reference is drawn.
    """

    title: str
    series: Sequence[Series]
    x_label: str = ""
    y_label: str = ""
    log_y: bool = False
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    x_ticks: Mapping[float, str] | None = None
    diagonal: bool = False
    levels: Sequence[float] = ()


def draw_curves(
    panels: Sequence[Panel], *, columns: int = 1, plot: tuple[int, int] = (220, 640), share_x: bool = False
) -> Bgr:
    """The panels on one picture, in rows.

    Args:
        panels: at least one.
        columns: panels in a row.
        plot: (height, width) of what lies within each panel's axes, in pixels; at least 40 x 80.
        share_x: whether all panels have the same horizontal range, the widest of theirs.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        InputError: no panel, or one that can't be drawn: no point, arrays of different lengths, too many series, a
            range that is empty or not above 0 on a logarithmic axis, a diagonal beside one.
        MissingExtraError: OpenCV is not installed.
    """
    if not panels or columns < 1 or plot[0] < 40 or plot[1] < 80:  # noqa: PLR2004 - what words and ticks need
        raise InputError(
            f"no chart of {len(panels)} panels in {columns} columns with plots of {plot[0]}x{plot[1]} pixels",
            cure="It needs a panel, a column, and plots of 40x80 pixels at least.",
        )
    cv2 = load_opencv("drawing")
    contents = [_content(panel) for panel in panels]
    reach = None
    if share_x:
        every = np.concatenate([curve.x[np.isfinite(curve.y)] for content in contents for curve in content])
        reach = (float(every.min()), float(every.max()))
    drawn = [_panel(cv2, panel, curves, plot, reach) for panel, curves in zip(panels, contents, strict=True)]
    rows = [drawn[start : start + columns] for start in range(0, len(drawn), columns)]
    return np.concatenate([_row(row, len(rows[0])) for row in rows])


class _Curve(NamedTuple):
    """A series' points; what its axis can't show is NaN in y, low and high."""

    series: Series
    colour: tuple[int, int, int]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def _content(panel: Panel) -> list[_Curve]:
    _check_ranges(panel)
    if len(panel.series) > len(PALETTE):
        raise InputError(
            f'"{panel.title}" has {len(panel.series)} series, there are {len(PALETTE)} colours',
            cure="Draw them in several panels.",
        )
    curves = [_curve(panel, *each) for each in zip(panel.series, PALETTE, strict=False)]
    shown = [curve for curve in curves if np.isfinite(curve.y).any()]
    if not shown:
        raise InputError(
            f'"{panel.title}" has no point with finite numbers{" above 0" if panel.log_y else ""}',
            cure="Give it one point at least.",
        )
    return shown


def _check_ranges(panel: Panel) -> None:
    for name, ends in (("x", panel.x_range), ("y", panel.y_range)):
        if ends is not None and not -_FARTHEST_VALUE < ends[0] < ends[1] < _FARTHEST_VALUE:
            raise InputError(
                f'"{panel.title}": {name} from {ends[0]:g} to {ends[1]:g}', cure="Give the lower end first."
            )
    if panel.log_y and (panel.diagonal or (panel.y_range is not None and panel.y_range[0] <= 0)):
        raise InputError(
            f'"{panel.title}": a logarithmic axis has no diagonal, and no end at 0 or below',
            cure="Give another range, or a linear axis.",
        )


def _curve(panel: Panel, series: Series, colour: tuple[int, int, int]) -> _Curve:
    x, y = (np.asarray(values, np.float64) for values in (series.x, series.y))
    low, high = (y if edge is None else np.asarray(edge, np.float64) for edge in (series.low, series.high))
    if x.ndim != 1 or {x.shape} != {y.shape, low.shape, high.shape}:
        raise InputError(
            f'"{panel.title}", series "{series.name}": x of the shape {x.shape}, y {y.shape}, band {low.shape} and '
            f"{high.shape}",
            cure="Give one number of each for every point.",
        )
    known = np.abs(x) < _FARTHEST_VALUE
    y, low, high = (_shown(values[known], log=panel.log_y) for values in (y, low, high))
    return _Curve(series, colour, x[known], y, low, high)


def _shown(values: NDArray[np.float64], *, log: bool) -> NDArray[np.float64]:
    possible = np.abs(values) < _FARTHEST_VALUE
    return np.where(possible & (values > _NEAREST_VALUE) if log else possible, values, np.nan)


def _panel(
    cv2: Any,  # noqa: ANN401 - the lazy module
    panel: Panel,
    curves: list[_Curve],
    plot: tuple[int, int],
    reach: tuple[float, float] | None,
) -> Bgr:
    height, width = plot
    places = np.concatenate([curve.x[np.isfinite(curve.y)] for curve in curves])
    heights = [values for curve in curves for values in (curve.y, curve.low, curve.high)]
    levels = _shown(np.array(panel.levels, np.float64), log=panel.log_y)
    x_axis = fitted_axis(
        places, width, fixed=panel.x_range or reach, words=panel.x_ticks, whole=(places % 1 == 0).all()
    )
    y_axis = fitted_axis(
        np.concatenate([*heights, levels]),
        height,
        fixed=panel.y_range,
        log=panel.log_y,
        widen=True,
    )
    pen = Pen(cv2, _LINE)
    legend = _legend(pen, panel, curves, _LEFT + width)
    top = _ROW // 2 + _ROW * (1 + len(legend))
    sheet = np.full((top + height + _ROW * (3 if panel.x_label else 2), _LEFT + width + _RIGHT, 3), _PAPER, np.uint8)
    _write_head(cv2, sheet, pen, panel, legend)
    _draw_axes(cv2, sheet, pen, (top, height, width), (x_axis, y_axis))
    pen.write(sheet, panel.x_label, _LEFT + (width - pen.width(panel.x_label)) // 2, top + height + 2 * _ROW)
    # A line on the border of the plot is drawn whole; what is farther outside is cut off.
    area = sheet[top - _OVERHANG : top + height + _OVERHANG, _LEFT - _OVERHANG : _LEFT + width + _OVERHANG]
    canvas = _Canvas(cv2, area, x_axis, y_axis)
    if panel.diagonal:
        canvas.diagonal()
    for level in levels[np.isfinite(levels)]:
        canvas.level(float(level))
    for curve in curves:
        canvas.band(curve)
    for curve in curves:
        canvas.curve(curve)
    return sheet


_Words = list[tuple[tuple[int, int, int] | None, str, int]]


def _legend(pen: Pen, panel: Panel, curves: list[_Curve], width: int) -> list[_Words]:
    """Rows of (colour, words, left): first the vertical axis' own label, the names from the axis on."""
    rows: list[_Words] = [[(None, panel.y_label, _GAP // 2)]] if panel.y_label else []
    left = max(_LEFT, _GAP // 2 + pen.width(panel.y_label) + _GAP if rows else 0)
    for curve in curves:
        if not curve.series.name:
            continue
        words = pen.shortened(curve.series.name, width - _LEFT - _SWATCH - _GAP)
        room = _SWATCH + _GAP // 3 + pen.width(words)
        if not rows or left + room > width:
            rows.append([])
            left = _LEFT
        rows[-1].append((curve.colour, words, left))
        left += room + _GAP
    return rows


def _write_head(cv2: Any, sheet: Bgr, pen: Pen, panel: Panel, legend: list[_Words]) -> None:  # noqa: ANN401 - the lazy module
    pen.write(sheet, panel.title, _LEFT, _ROW)
    for row, entries in enumerate(legend, start=2):
        for colour, words, left in entries:
            start = left
            if colour is not None:
                middle = row * _ROW - _LINE // 3
                cv2.line(sheet, (left, middle), (left + _SWATCH, middle), colour, 3)
                start += _SWATCH + _GAP // 3
            pen.write(sheet, words, start, row * _ROW)


def _draw_axes(
    cv2: Any,  # noqa: ANN401 - the lazy module
    sheet: Bgr,
    pen: Pen,
    plot: tuple[int, int, int],
    axes: tuple[Axis, Axis],
) -> None:
    top, height, width = plot
    right, bottom = _LEFT + width - 1, top + height - 1
    x_axis, y_axis = axes
    columns, rows = (np.rint(axis.places(np.array([value for value, _ in axis.ticks]))).astype(int) for axis in axes)
    written = 0
    for column, (_, words) in zip(columns.tolist(), x_axis.ticks, strict=True):
        x = _LEFT + column
        if not _LEFT <= x <= right:
            continue
        cv2.line(sheet, (x, top), (x, bottom + _TICK), _GRID, 1)
        start = x - pen.width(words) // 2
        if start >= written:
            pen.write(sheet, words, start, bottom + _ROW)
            written = start + pen.width(words) + _GAP // 3
    for row, (_, words) in zip(rows.tolist(), y_axis.ticks, strict=True):
        y = bottom - row
        if top <= y <= bottom:
            cv2.line(sheet, (_LEFT - _TICK * bool(words), y), (right, y), _GRID, 1)
            pen.write(sheet, words, _LEFT - _TICK - 4 - pen.width(words), y + _LINE // 3)
    cv2.rectangle(sheet, (_LEFT, top), (right, bottom), FRAME, 1)


def _row(sheets: list[Bgr], columns: int) -> Bgr:
    """Side by side, the lower edges at one height."""
    height, width = max(sheet.shape[0] for sheet in sheets), sheets[0].shape[1]
    row = np.full((height, columns * width, 3), _PAPER, np.uint8)
    for column, sheet in enumerate(sheets):
        row[height - sheet.shape[0] :, column * width : (column + 1) * width] = sheet
    return row


class _Canvas:
    """The part of a sheet within the axes, and a little around it."""

    def __init__(self, cv2: Any, area: Bgr, x_axis: Axis, y_axis: Axis) -> None:  # noqa: ANN401 - the lazy module
        self._cv2 = cv2
        self._area = area
        self._x, self._y = x_axis, y_axis

    def diagonal(self) -> None:
        ends = np.clip(np.array([self._x.low, self._x.high]), self._y.low, self._y.high)
        self._dashed(self._points(ends, ends))

    def level(self, height: float) -> None:
        self._dashed(self._points(np.array([self._x.low, self._x.high]), np.full(2, height)))

    def band(self, curve: _Curve) -> None:
        if curve.series.low is None and curve.series.high is None:
            return
        layer = self._area.copy()
        for run in _runs(curve.low + curve.high):
            edges = [
                self._points(curve.x[run], np.clip(edge[run], self._y.low, self._y.high))
                for edge in (curve.low, curve.high)
            ]
            self._cv2.fillPoly(
                layer, [np.concatenate([edges[0], edges[1][::-1]])], curve.colour, self._cv2.LINE_AA, _SHIFT
            )
        self._cv2.addWeighted(layer, _BAND_WEIGHT, self._area, 1 - _BAND_WEIGHT, 0, dst=self._area)

    def curve(self, curve: _Curve) -> None:
        for run in _runs(curve.y):
            points = self._points(curve.x[run], curve.y[run])
            if curve.series.line and len(points) > 1:
                self._cv2.polylines(self._area, [points], False, curve.colour, 2, self._cv2.LINE_AA, _SHIFT)  # noqa: FBT003 - OpenCV's own order
            if curve.series.dots or not curve.series.line or len(points) == 1:
                for place in points.tolist():
                    self._cv2.circle(self._area, place, _DOT << _SHIFT, curve.colour, -1, self._cv2.LINE_AA, _SHIFT)

    def _points(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.int32]:
        """(P, 2) in sixteenths of a pixel of the area."""
        columns = self._x.places(x) + _OVERHANG
        rows = self._y.length - 1 - self._y.places(y) + _OVERHANG
        places = np.clip(np.stack([columns, rows], axis=-1), -_FARTHEST, _FARTHEST)
        return np.rint(places * 2**_SHIFT).astype(np.int32)

    def _dashed(self, ends: NDArray[np.int32]) -> None:
        """A line of dashes and gaps of six pixels, from the first of (2, 2) to the second."""
        length = float(np.hypot(*(ends[1] - ends[0]))) / 2**_SHIFT
        parts = np.linspace(0, 1, 2 * max(1, round(length / _DASHES)))[:, None]
        places = np.rint(ends[0] + (ends[1] - ends[0]) * parts).astype(np.int32).tolist()
        for start, end in zip(places[::2], places[1::2], strict=True):
            self._cv2.line(self._area, start, end, _REFERENCE, 1, self._cv2.LINE_AA, _SHIFT)


def _runs(values: NDArray[np.float64]) -> list[slice]:
    """The stretches without NaN."""
    known = np.concatenate([[False], np.isfinite(values), [False]])
    edges = np.flatnonzero(known[1:] != known[:-1]).tolist()
    return [slice(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True)]
