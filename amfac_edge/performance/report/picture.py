"""The report as one picture: all that is in it was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.drawing import Panel, Series, draw_curves
from amfac_edge.drawing.curves import PALETTE
from amfac_edge.performance import percentile
from amfac_edge.performance.report.runs import STAGES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amfac_edge.keypoints import Bgr
    from amfac_edge.performance.report.runs import Run

__all__ = ["report_picture"]

_PLOT = (240, 860)
_LONGEST = 40
_POINTS = 201
_WIDE_RATIO = 20.0
_LEAST_J = 1e-3


def report_picture(runs: Sequence[Run]) -> Bgr:
    """Latency by share of the samples, then the parts of a frame, then energy where some was read.

    Args:
        runs: at least one.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    several = len(PALETTE)
    panels = [_shares(runs[start : start + several]) for start in range(0, len(runs), several)]
    ticks = {float(run.place): str(run.place) for run in runs}
    span = (0.5, len(runs) + 0.5)
    staged = [run for run in runs if run.stages_ms]
    if staged:
        places = [run.place for run in staged]
        series = [
            Series(name, places, [run.stages_ms[name] for run in staged], line=False, dots=True) for name in STAGES
        ]
        title = "Parts of a frame, measured (mean)"
        panels.append(Panel(title, series, "receipt", "ms", log_y=True, x_range=span, x_ticks=ticks))
    joules = {run.place: run.power[0].joules_per_frame for run in runs if run.power}
    if joules:
        energy = Series("", list(joules), list(joules.values()), line=False, dots=True)
        title = "Energy of a frame above rest, measured"
        panels.append(
            Panel(
                title,
                [energy],
                "receipt",
                "joules",
                x_range=span,
                y_range=(0, 1.1 * max(*joules.values(), _LEAST_J)),
                x_ticks=ticks,
            )
        )
    return draw_curves(panels, plot=_PLOT)


def _shares(runs: Sequence[Run]) -> Panel:
    """Milliseconds within which a share of the samples were done: the distribution, lying on its side."""
    shares = np.linspace(0, 100, _POINTS)
    series = [
        Series(_ascii(run.name), shares, [percentile(ascending, share) for share in shares])
        for run in runs
        for ascending in [sorted(run.whole.samples_ms)]
    ]
    ends = [min(min(run.whole.samples_ms) for run in runs), max(max(run.whole.samples_ms) for run in runs)]
    boundaries = ", ".join(dict.fromkeys(_ascii(run.whole.boundary) for run in runs))
    return Panel(
        f"Latency, measured: {boundaries}",
        series,
        "% of the samples that were at most as slow",
        "ms",
        log_y=ends[1] > _WIDE_RATIO * ends[0],
        x_range=(0, 100),
    )


def _ascii(text: str) -> str:
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text[:_LONGEST])
