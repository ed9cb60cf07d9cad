"""Charts show every sample, the slowest too, and stay within their view."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from amfac_edge.performance.report import report_picture, runs_of
from amfac_edge.performance.report.charts import distribution_chart, order_chart, range_chart, stage_chart

if TYPE_CHECKING:
    from collections.abc import Callable

    from amfac_edge.performance import Receipt
    from amfac_edge.performance.report import Run


def places(chart: str, name: str) -> list[float]:
    return [float(value) for value in re.findall(f' {name}="([^"]*)"', chart)]


def rectangles(chart: str, kind: str) -> list[tuple[float, float]]:
    """Left edge and height of each."""
    found = re.findall(f'<rect x="([^"]*)" y="[^"]*" width="[^"]*" height="([^"]*)" class="{kind}"', chart)
    return [(float(left), float(height)) for left, height in found]


@pytest.mark.parametrize(
    "samples",
    [[5.0], [5.0] * 700, [5.0] * 699 + [5000.0], [1e-6, 1e9], [float(1 + index) for index in range(30_000)]],
    ids=["one", "equal", "one slow", "far apart", "many"],
)
def test_all_charts_stay_within_their_view(make: Callable[..., Receipt], samples: list[float]) -> None:
    (run,) = runs_of([("a.json", make(series={"frame": samples}))])
    for chart in (
        distribution_chart(run.whole, run.statistics["frame"]),
        order_chart(run.whole),
        range_chart([run]),
    ):
        view = re.search(r'viewBox="0 0 360 (\d+)"', chart)
        assert view
        assert all(-1 <= x <= 361 for name in ("x", "x1", "x2") for x in places(chart, name))
        assert all(-1 <= y <= float(view[1]) + 1 for name in ("y", "y1", "y2") for y in places(chart, name))
        assert "nan" not in chart
        assert len(chart) < 60_000
    assert report_picture([run]).shape[2] == 3


def test_one_slow_sample_is_seen(make: Callable[..., Receipt]) -> None:
    (run,) = runs_of([("a.json", make(series={"frame": [5.0] * 9999 + [500.0]}))])
    (low, high) = rectangles(distribution_chart(run.whole, run.statistics["frame"]), "bar")
    assert (low[0], low[1]) == (8.0, 108.0)
    assert high[0] > 340
    assert high[1] == 1.5
    # ... and in its place in the order.
    tops = [float(y) for y in re.findall('y1="([^"]*)" y2="[^"]*" class="sample"', order_chart(run.whole))]
    assert tops.index(min(tops)) == len(tops) - 1


def test_percentiles_that_may_not_be_given_have_no_mark(make: Callable[..., Receipt]) -> None:
    (run,) = runs_of([("a.json", make(series={"frame": [5.0 + index for index in range(70)]}))])
    chart = distribution_chart(run.whole, run.statistics["frame"])
    assert ">median<" in chart
    assert ">p90<" in chart
    assert ">p95<" not in chart


def test_parts_fill_the_bar(run: Run) -> None:
    widths = places(stage_chart(run.stages_ms), "width")
    assert sum(widths) == pytest.approx(344, abs=0.01)
    assert widths[1] / 344 == pytest.approx(run.stages_ms["network"] / sum(run.stages_ms.values()), abs=1e-4)


def test_the_picture_has_a_panel_for_what_there_is(make: Callable[..., Receipt], run: Run) -> None:
    energy = {"frame": {"source": "s", "rails": [], "active_w": 2, "idle_w": 1, "joules_per_frame": 0.5}}
    (alone,) = runs_of([("a.json", make(series={"engine": [1.0, 2.0]}))])
    (powered,) = runs_of([("a.json", make(findings={"energy": energy}))])
    heights = [report_picture([one]).shape[0] for one in (alone, run, powered)]
    assert heights[0] < heights[1] < heights[2]
    many = runs_of([(f"{place}.json", make()) for place in range(20)])
    assert report_picture(many).shape[0] > 4 * heights[0]
