"""Charts as SVG, whose colours follow the page: light and dark, and large enough on a phone.

Coordinates are of a view 360 wide. P points.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from amfac_edge.drawing.axes import Axis, fitted_axis
from amfac_edge.performance.report.markup import Html, cut, element

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from amfac_edge.performance.report.runs import Run
    from amfac_edge.performance.samples import Measured, Statistics

__all__ = ["distribution_chart", "order_chart", "range_chart", "stage_chart"]

_WIDTH = 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 352, 24, 132
_BINS = 48
_MOST_POINTS = 344
_ROW = 32
_WIDE_RATIO = 5.0
_TICKS = 8
_LABEL = 38


def range_chart(runs: Sequence[Run]) -> Html:
    """A row a run: from the fastest sample to the slowest, the middle half thick, a mark at the median."""
    samples = [np.asarray(run.whole.samples_ms, np.float64) for run in runs]
    axis = _axis(np.concatenate([[values.min(), values.max()] for values in samples]), zero=True)
    bottom = _ROW * len(runs) + 4
    parts = _ticks(axis, 0, bottom)
    for row, (run, values) in enumerate(zip(runs, samples, strict=True)):
        low, first, median, third, high = _places(axis, np.percentile(values, [0, 25, 50, 75, 100])).tolist()
        y = row * _ROW + 24
        parts += [
            element("text", cut(run.name, _LABEL), x=_LEFT, y=row * _ROW + 13, class_="label"),
            element("text", f"{np.median(values):.4g} ms", x=_RIGHT, y=row * _ROW + 13, class_="label end"),
            element("line", x1=low, x2=high, y1=y, y2=y, class_="reach"),
            element("rect", x=first, y=y - 4, width=max(third - first, 1.5), height=8, class_="half"),
            element("line", x1=median, x2=median, y1=y - 6, y2=y + 6, class_="median"),
        ]
    return _svg(bottom + 34, "latency of each run: fastest, middle half, median, slowest", parts)


def distribution_chart(measured: Measured, statistics: Statistics) -> Html:
    """How many samples took how long; every sample is in it, however slow."""
    values = np.asarray(measured.samples_ms, np.float64)
    axis = _axis(values)
    places = np.clip(_places(axis, values), _LEFT, _RIGHT)
    counts, edges = np.histogram(places, bins=_BINS, range=(_LEFT, _RIGHT))
    highest = int(counts.max())
    width = float(edges[1] - edges[0])
    parts = _ticks(axis, _TOP, _BOTTOM)
    for count, edge in zip(counts.tolist(), edges.tolist(), strict=False):
        if count:
            # One sample alone is still seen.
            height = max((_BOTTOM - _TOP) * count / highest, 1.5)
            parts.append(element("rect", x=edge, y=_BOTTOM - height, width=width - 0.7, height=height, class_="bar"))
    marks = {"median": statistics.median, "p90": statistics.p90, "p95": statistics.p95, "p99": statistics.p99}
    known = {name: value for name, value in marks.items() if value is not None}
    written = float("-inf")
    for name, place in zip(known, _places(axis, np.array(list(known.values()))).tolist(), strict=True):
        parts.append(element("line", x1=place, x2=place, y1=_TOP - 4, y2=_BOTTOM, class_="mark"))
        half = 4.0 * len(name)
        middle = min(max(place, _LEFT + half), _RIGHT - half)
        if middle - half > written:
            parts.append(element("text", name, x=middle, y=_TOP - 9, class_="middle"))
            written = middle + half
    return _svg(_BOTTOM + 34, f"distribution of {len(values)} samples of {measured.boundary}", parts)


def order_chart(measured: Measured) -> Html:
    """The samples in the order they were taken; of many, the slowest and the fastest of each stretch."""
    values = np.asarray(measured.samples_ms, np.float64)
    axis = _axis(values, length=_BOTTOM - _TOP)
    heights = _BOTTOM - axis.places(values)
    stretches = np.array_split(np.arange(len(values)), min(len(values), _MOST_POINTS))
    pitch = (_RIGHT - _LEFT) / len(stretches)
    parts = [
        element("line", x1=_LEFT, x2=_RIGHT, y1=_BOTTOM, y2=_BOTTOM, class_="grid"),
        element("text", f"{values.max():.4g} ms", x=_LEFT, y=_TOP - 9),
        element("text", f"{values.min():.4g} ms at the foot", x=_LEFT, y=_BOTTOM + 15),
        element("text", f"{len(values)} samples, first to last", x=_RIGHT, y=_BOTTOM + 15, class_="end"),
    ]
    for place, stretch in enumerate(stretches):
        x = _LEFT + (place + 0.5) * pitch
        top, foot = float(heights[stretch].min()), float(heights[stretch].max())
        parts.append(element("line", x1=x, x2=x, y1=top - 1, y2=foot + 1, class_="sample"))
    return _svg(_BOTTOM + 24, f"{len(values)} samples of {measured.boundary} in their order", parts)


def stage_chart(stages: Mapping[str, float]) -> Html:
    """One bar, split into the parts of a frame."""
    whole, left = sum(stages.values()), float(_LEFT)
    parts = []
    for place, value in enumerate(stages.values()):
        width = (_RIGHT - _LEFT) * value / whole
        parts.append(element("rect", x=left, y=4, width=width, height=22, class_=f"stage{place}"))
        left += width
    return _svg(30, "parts of a frame: " + ", ".join(f"{name} {value:.3g} ms" for name, value in stages.items()), parts)


def _axis(values: np.ndarray[Any, np.dtype[np.float64]], *, length: int = _RIGHT - _LEFT, zero: bool = False) -> Axis:
    """Linear where the values are near each other, logarithmic where some are many times as large as others."""
    log = float(values.max()) > _WIDE_RATIO * float(values.min())
    reached = np.append(values, 0.0) if zero and not log else values
    return fitted_axis(reached, length, log=log, widen=zero)


def _places(axis: Axis, values: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return _LEFT + axis.places(values)


def _ticks(axis: Axis, top: int, bottom: int) -> list[Html]:
    """Grid lines, their numbers and the unit."""
    parts = []
    named = [tick for tick in axis.ticks if tick[1]]
    named = named[:: max(1, -(-len(named) // _TICKS))]
    written = float("-inf")
    for value, words in named:
        place = float(_places(axis, np.array([value]))[0])
        parts.append(element("line", x1=place, x2=place, y1=top, y2=bottom, class_="grid"))
        half = 3.6 * len(words)
        middle = min(max(place, _LEFT + half), _RIGHT - half)
        if middle - half > written:
            parts.append(element("text", words, x=middle, y=bottom + 15, class_="middle"))
            written = middle + half + 4
    unit = "ms, logarithmic" if axis.log else "ms"
    return [*parts, element("text", unit, x=_RIGHT, y=bottom + 30, class_="end")]


def _svg(height: float, label: str, parts: Sequence[Html]) -> Html:
    return element("svg", *parts, viewBox=f"0 0 {_WIDTH} {height:g}", role="img", aria_label=label)
