"""The papers' comparing figures, drawn anew from their printed tables, with our own points beside them.

AMFACPose's Figure 7 and EBA-PRNetCC's Figure 5 set AP against parameters and FLOPs, AMFACPose's Figure 11 AP against
frames a second on an RTX 3060. What is ours is counted, measured or forecast, and named so. The paper doesn't print
where Figure 11's "sweet spot" ends; here it begins at `SWEET_SPOT`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amfac_edge.declared.published import TableRow, load_published
from amfac_edge.declared.recipe import load_recipe
from amfac_edge.declared.target import load_target
from amfac_edge.drawing import Panel, Series, draw_curves
from amfac_edge.performance.forecast import forecast_engine, subject_of_recipe
from amfac_edge.performance.forecast.calibrating import measured_engines
from amfac_edge.performance.forecast.recorded import recorded_eager
from amfac_edge.performance.paper_mode import throttling_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from amfac_edge.keypoints import Bgr
    from amfac_edge.performance.receipts import Receipt
    from amfac_edge.performance.samples import Measured

__all__ = ["FIGURES", "SWEET_SPOT", "complexity_figure", "eba_complexity_figure", "measured_on_card", "speed_figure"]

SWEET_SPOT = (60.0, 75.0)
"""Frames a second and AP that it begins at: a camera's rate, and the AP of the best heat-map rows of Table 2."""

_PLOT = (340, 520)
_CARD = "rtx-3060"
_SPEED_ROWS = {
    "UDP, HRNetV1, FastPose": ("UDP", "HRNetV1", "FastPose"),
    "IDPNet": ("IDPNet-Precision", "IDPNet-Balance", "IDPNet"),
    "AMFACPose as printed": ("AMFACPose",),
}
# The recipes that Table 5 prints: the crop's size follows from the AP.
_SPEED_RECIPES = ("amfacpose-r34-384x288", "amfacpose-r18-384x288")


def complexity_figure(_: Mapping[str, Measured] | None = None) -> Bgr:
    """AMFACPose's Figure 7: AP against parameters, and against GFLOPs, of its Table 2.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    rows = load_published("amfacpose-table2-complexity").rows
    groups = {
        name: [row for row in rows if row.values["family"] == name and row.values["model"] != "AMFACPose"]
        for name in ("heatmap", "regression", "coordinate")
    }
    groups["AMFACPose as printed"] = [row for row in rows if row.values["model"] == "AMFACPose"]
    return _complexity("AMFACPose, Figure 7", groups, "amfacpose-table2-complexity")


def eba_complexity_figure(_: Mapping[str, Measured] | None = None) -> Bgr:
    """EBA-PRNetCC's Figure 5: AP against parameters, and against GFLOPs, of its Table 2.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    rows = load_published("eba-prnetcc-table2-complexity").rows
    groups = {
        f"{name} as printed" if name == "EBA-PRNetCC" else name: [row for row in rows if row.values["method"] == name]
        for name in dict.fromkeys(str(row.values["method"]) for row in rows)
    }
    return _complexity("EBA-PRNetCC, Figure 5", groups, "eba-prnetcc-table2-complexity")


def speed_figure(measured: Mapping[str, Measured] | None = None) -> Bgr:
    """AMFACPose's Figure 11: AP against frames a second on an RTX 3060, of its Table 5.

    Args:
        measured: FP16 engines that were measured on such a card, by recipe; they replace the forecasts.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    measured = measured or {}
    rows = load_published("amfacpose-table5-rtx3060").rows
    series = [
        _scatter(name, [row for row in rows if row.values["model"] in models], "fps")
        for name, models in _SPEED_ROWS.items()
    ]
    target = load_target(_CARD)
    ours: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for name in _SPEED_RECIPES:
        ap = load_recipe(name).published[0].ap or 0.0
        if name in measured:
            ours[True].append((measured[name].statistics.per_second, ap))
        else:
            fps = 1e3 / forecast_engine(subject_of_recipe(name), target, precision="fp16").mid_ms
            ours[False].append((fps, ap))
    for was_measured, points in ours.items():
        if points:
            word = "measured" if was_measured else "forecast, not measured"
            fps_of, ap_of = ([point[place] for point in points] for place in (0, 1))
            series.append(Series(f"our FP16 engine, {word}", fps_of, ap_of, line=False))
    every = [row.number("fps") or 0.0 for row in rows] + [fps for points in ours.values() for fps, _ in points]
    fastest = 1.05 * max(every)
    fps, ap = SWEET_SPOT
    zone = Series("sweet spot", [fps, fastest], [ap, ap], low=[ap, ap], high=[78.0, 78.0])
    title = f"AMFACPose, Figure 11: RTX 3060 (sweet spot: {fps:g} fps and AP {ap:g} on)"
    panel = Panel(title, [*series, zone], "frames a second", "AP", x_range=(0, fastest), y_range=(67, 78))
    return draw_curves([panel], plot=(380, 900))


def measured_on_card(receipts: Sequence[Receipt]) -> dict[str, Measured]:
    """What `speed_figure` takes of receipts: FP16 engines of one crop on an RTX 3060 at its pace, by recipe."""
    return {
        recipe: measured
        for (recipe, precision), measured in measured_engines(
            [receipt for receipt in receipts if receipt.target == _CARD and not throttling_of(receipt)]
        ).items()
        if precision == "fp16"
    }


FIGURES: Mapping[str, Callable[[Mapping[str, Measured] | None], Bgr]] = {
    "amfacpose-figure7": complexity_figure,
    "eba-prnetcc-figure5": eba_complexity_figure,
    "amfacpose-figure11": speed_figure,
}
"""By the file's stem."""


def _complexity(title: str, groups: Mapping[str, Sequence[TableRow]], table: str) -> Bgr:
    ours = {
        name: claim.ap
        for name in recorded_eager()
        for claim in load_recipe(name).published
        if claim.table == table and claim.ap is not None
    }
    costs = [recorded_eager()[name] for name in ours]
    panels = []
    for column, label, counted in (
        ("params_m", "parameters, millions", [cost.parameters / 1e6 for cost in costs]),
        ("gflops", "GFLOPs, as the paper counts them", [cost.macs / 1e9 for cost in costs]),
    ):
        series = [_scatter(name, rows, column) for name, rows in groups.items()]
        series.append(Series("ours, counted", counted, list(ours.values()), line=False))
        farthest = 1.05 * max(row.number(column) or 0.0 for rows in groups.values() for row in rows)
        panels.append(Panel(title, series, label, "AP as printed", x_range=(0, farthest)))
    return draw_curves(panels, columns=2, plot=_PLOT)


def _scatter(name: str, rows: Sequence[TableRow], column: str) -> Series:
    """Its rows as dots; those of the paper's own model joined, since ours lie on top of them."""
    points = sorted((row.number(column) or 0.0, row.number("ap") or 0.0) for row in rows)
    x, y = ([point[place] for point in points] for place in (0, 1))
    return Series(name, x, y, line=name.endswith("as printed"), dots=True)
