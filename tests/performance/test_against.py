"""Printed figures beside ours: a cell is met by a measurement on the very device, and by nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from amfac_edge.declared.recipe import load_recipe
from amfac_edge.performance import Conditions, Measured, Receipt
from amfac_edge.performance.against import figures_of, met, table4_cells

RECIPE = load_recipe("amfacpose-r18-384x288")
ROW = "AMFACPose ResNet18 384x288 orin-nx-8"
CONDITIONS = Conditions(
    processor="ARM Cortex-A78AE",
    engine="tensorrt 10.3.0",
    provider="Orin",
    threads=1,
    spinning=False,
    artefact="a.plan",
    sha256="ab" * 32,
    recipe=RECIPE.name,
    precision="fp16",
    frame="1920x1080",
    people=1,
    governor=None,
    versions={},
)


def taken(ms: float, boundary: str = "engine", people: int = 1, **changes: Any) -> Receipt:  # noqa: ANN401 - of any field
    conditions = dataclasses.replace(CONDITIONS, people=people)
    frame = {"engine": "frame", "eager": "eager_frame"}.get(boundary)
    series = {boundary: Measured(boundary, (ms, ms), conditions)}
    if frame:
        series[frame] = Measured(frame, (ms + 1, ms + 1), conditions)
    fields: dict[str, Any] = {"target": "orin-nx-8", "power_mode": "MAXN", **changes}
    return Receipt("2026-11-28T12:00:00Z", ("amfac-bench",), conditions, series, **fields)


def cell_of(*receipts: Receipt) -> Any:  # noqa: ANN401 - a Cell
    return next(cell for cell in table4_cells(receipts) if cell.row == ROW)


def test_nothing_measured_meets_nothing() -> None:
    cells = table4_cells([])
    assert met(cells) == (0, 20)
    assert {cell.verdict for cell in cells} == {"not measured"}


def test_a_measured_cell_is_met_where_it_is_faster() -> None:
    cells = table4_cells([taken(6.61)])
    assert met(cells) == (1, 20)
    cell = cell_of(taken(6.61))
    assert (cell.published, cell.ours, cell.factor) == (33.05, 6.61, pytest.approx(5.0))
    assert cell.verdict == "5.00x faster"
    assert cell.how == "measured fp16 with tensorrt 10.3.0: the network's mean; a whole frame 7.61 ms"
    assert cell_of(taken(66.1)).verdict == "2.00x slower"
    assert met(table4_cells([taken(66.1)])) == (0, 20)


@pytest.mark.parametrize(
    "receipt",
    [
        taken(1.0, target="orin-nano-8"),
        taken(1.0, target="cpu"),
        taken(1.0, target=None),
        taken(1.0, people=5),
        taken(1.0, boundary="crop"),
    ],
    ids=["other board", "cpu", "unknown machine", "five people", "another boundary"],
)
def test_what_is_of_something_else_does_not_count(receipt: Receipt) -> None:
    assert cell_of(receipt).ours is None


def test_the_fastest_of_several_stands_in_the_cell() -> None:
    assert cell_of(taken(9.0), taken(7.0), taken(8.0)).ours == 7.0


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("MAXN", "MAXN, probably the paper's"),
        ("20W", "20W; the paper's is probably MAXN"),
        (None, "mode unknown; the paper's is probably MAXN"),
    ],
)
def test_the_mode_stands_beside_the_papers_probable_one(mode: str | None, told: str) -> None:
    receipt = taken(7.0, power_mode=mode)
    assert cell_of(receipt).mode == told
    # In another mode it is shown, and meets nothing.
    assert met(table4_cells([receipt])) == (int(mode == "MAXN"), 20)


def test_the_inconsistent_cell_is_noted_and_no_other() -> None:
    noted = {cell.row: cell.notes for cell in table4_cells([]) if cell.notes}
    assert noted == {ROW: ("the table prints 29.89 fps beside 33.05 ms, which are 30.26 fps",)}


def test_a_throttled_figure_says_so() -> None:
    cell = cell_of(taken(7.0, findings={"throttling": ["2 under-voltage events (oc1)"]}))
    assert "throttled: 2 under-voltage events (oc1): not counted" in cell.notes


def test_an_eager_run_stands_in_by_its_network() -> None:
    assert cell_of(taken(34.0, boundary="eager")).ours == 34.0


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("table1", {"ap": 73.1, "ap50": 91.6, "ap75": 79.5, "ap_m": 70.3, "ap_l": 78.0, "ar": 76.0}),
        ("table2", {"ap": 73.1, "params_m": 2.5, "gflops": 3.2}),
        ("table3", {}),
        ("table5", {"ap": 73.1, "fps": 148.1}),
        ("table6", {}),
    ],
)
def test_the_other_tables_hold_the_rows_of_the_recipe(table: str, columns: dict[str, float]) -> None:
    assert {cell.column: cell.published for cell in figures_of(table, RECIPE)} == columns


def test_what_was_counted_and_evaluated_stands_beside_them() -> None:
    cells = figures_of("table2", RECIPE, counted={"params_m": 2.53, "gflops": 3.24}, evaluated={"ap": 72.6})
    assert {cell.column: (cell.ours, cell.how, cell.verdict) for cell in cells} == {
        "ap": (72.6, "evaluated", "-0.50"),
        "params_m": (2.53, "counted", "+0.03"),
        "gflops": (3.24, "counted", "+0.04"),
    }
    (fps,) = (cell for cell in figures_of("table5", RECIPE, receipts=[taken(5.0)]) if cell.column == "fps")
    assert (fps.ours, fps.verdict) == (None, "not measured")
    (fps,) = (
        cell for cell in figures_of("table5", RECIPE, receipts=[taken(5.0, target="rtx-3060")]) if cell.column == "fps"
    )
    assert fps.ours == pytest.approx(200.0)
    assert fps.factor == pytest.approx(200 / 148.1)


def test_a_throttled_run_is_the_last_one_for_fps_and_is_named() -> None:
    slow, throttled = taken(8.0, target="rtx-3060"), taken(5.0, target="rtx-3060", findings={"throttling": ["hot"]})
    for receipts, fps, notes in (([throttled, slow], 125.0, ()), ([throttled], 200.0, ("throttled: hot",))):
        (cell,) = (each for each in figures_of("table5", RECIPE, receipts=receipts) if each.column == "fps")
        assert cell.ours == pytest.approx(fps)
        assert cell.notes[1:] == notes


def test_another_boundary_is_no_fps_either() -> None:
    receipts = [taken(5.0, target="rtx-3060", boundary="network")]
    (fps,) = (cell for cell in figures_of("table5", RECIPE, receipts=receipts) if cell.column == "fps")
    assert fps.ours is None
