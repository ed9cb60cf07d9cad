"""Table 4 beside ours: nothing forecast counts as met, and neither kind stands in the other's column."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from amfac_edge.performance import Conditions, Measured, Receipt, against
from amfac_edge.performance.forecast import eager
from amfac_edge.performance.forecast.eager import eager_cells, forecast_left_out
from amfac_edge.performance.forecast.table4 import (
    Table4Cell,
    cells_met,
    markdown_table,
    measured_for_table4,
    table4_cells,
)

ROOT = Path(__file__).resolve().parents[3]
CONDITIONS = Conditions(
    processor="a board",
    engine="tensorrt 10.3.0",
    provider="TensorRT",
    threads=1,
    spinning=False,
    artefact="model.plan",
    sha256="0" * 64,
    recipe="amfacpose-r34-384x288",
    precision="fp16",
    frame="1920x1080",
    people=1,
    governor=None,
    versions={},
)


def measured(*samples: float) -> Measured:
    return Measured("frame", samples, CONDITIONS)


def test_every_printed_cell_is_there_with_three_forecasts() -> None:
    cells = table4_cells()
    assert len(cells) == 20
    assert all(set(cell.forecast) == {"eager", "fp16", "int8"} for cell in cells)
    assert cells_met(cells) == 0
    assert not any(cell.measured for cell in cells)
    assert "Met on 0 of 20" in markdown_table(cells)


def test_the_eager_forecast_has_not_seen_its_cell() -> None:
    (cell,) = (
        cell for cell in table4_cells() if (cell.recipe, cell.device) == ("amfacpose-r34-384x288", "orin-nano-8")
    )
    assert cell.forecast["eager"].basis[0] == "fitted to the 3 other cells of its device in Table 4"
    assert cell.forecast["eager"].mid_ms != pytest.approx(cell.paper_ms, rel=1e-4)


def test_the_range_beside_a_printed_figure_has_not_seen_it_either(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = eager_cells()
    plain = forecast_left_out(cells[0])
    changed = dataclasses.replace(cells[0], ms=cells[0].ms * 1.3)
    monkeypatch.setattr(eager, "eager_cells", lambda: (changed, *cells[1:]))
    assert forecast_left_out(changed) == plain
    # Another device's figures say how sure it is; those of another kind don't.
    for device, moves in (("orin-nx-8", True), ("rtx-3060", False)):
        others = tuple(
            dataclasses.replace(cell, ms=cell.ms * 1.3)
            if (cell.device, cell.recipe) == (device, cells[0].recipe)
            else cell
            for cell in cells
        )
        monkeypatch.setattr(eager, "eager_cells", lambda others=others: others)
        assert (forecast_left_out(cells[0]).high_ms > plain.high_ms) is moves


def test_the_texts_say_what_the_table_does() -> None:
    cells = table4_cells()
    assert markdown_table(cells) in (ROOT / "README.md").read_text()
    within = sum(each.low_ms <= cell.paper_ms <= each.high_ms for cell in cells for each in [cell.forecast["eager"]])
    assert f"of the twenty printed figures {within} lie within" in (ROOT / "docs" / "forecast.md").read_text()


def test_a_measurement_takes_its_forecasts_place_and_alone_counts() -> None:
    key = ("amfacpose-r34-384x288", "orin-nano-8", "fp16")
    fast, slow = (table4_cells({key: measured(ms)}) for ms in (20.0, 70.0))
    assert (cells_met(fast), cells_met(slow)) == (1, 0)
    assert "**20.00 measured**" in markdown_table(fast)
    assert "Met on 1 of 20: an engine was measured for 1 of them." in markdown_table(fast)
    # Eager PyTorch reproduces the paper; it beats nothing.
    assert cells_met(table4_cells({(*key[:2], "eager"): measured(20.0)})) == 0


def test_neither_kind_stands_in_the_others_column() -> None:
    cell = table4_cells()[0]
    with pytest.raises(TypeError, match="a Forecast is nothing measured"):
        Table4Cell("m", "r", "d", "t", 1.0, {}, {"fp16": cell.forecast["fp16"]})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="a Measured is nothing forecast"):
        Table4Cell("m", "r", "d", "t", 1.0, {"fp16": measured(1.0)})  # type: ignore[dict-item]


_WHOLE = {"engine": "frame", "eager": "eager_frame"}


def receipt(series: str = "engine", ms: float = 20.0, **changes: Any) -> Receipt:  # noqa: ANN401 - of any field
    facts = {field.name for field in dataclasses.fields(Conditions)} & set(changes)
    conditions = dataclasses.replace(CONDITIONS, **{name: changes.pop(name) for name in facts})
    taken = Receipt(
        taken="2026-11-28T12:00:00Z",
        command=("amfac-bench",),
        conditions=conditions,
        series={name: Measured(name, (ms,), conditions) for name in (series, _WHOLE.get(series)) if name},
        target="orin-nano-8",
        power_mode="15W",
    )
    return dataclasses.replace(taken, **changes)


def test_receipts_fill_the_cells_that_they_are_of() -> None:
    eager = receipt("eager", 68.0, precision="fp32")
    found = measured_for_table4([receipt(ms=21.0), receipt(), eager])
    assert {key[2]: measured.samples_ms for key, measured in found.items()} == {"fp16": (20.0,), "eager": (68.0,)}
    assert cells_met(table4_cells(found)) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"target": "cpu"},
        {"target": None},
        {"power_mode": "7W"},
        {"power_mode": None},
        {"people": 5},
        {"recipe": "amfacpose-r18-128x128"},
        {"precision": "fp32"},
        {"findings": {"throttling": ["power cap"]}},
        {"machine": {"jetson": {"super_configuration": True}}},  # that board's 15W is 15W-super
        {"series": "frame"},
        {"series": "eager"},  # of FP16
    ],
)
def test_a_receipt_of_something_else_fills_none(changes: dict[str, Any]) -> None:
    assert measured_for_table4([receipt(**changes)]) == {}


FASTER = {"target": "orin-nx-8", "power_mode": "MAXN"}


@pytest.mark.parametrize(
    ("receipts", "count"),
    [
        ([{**FASTER}], 1),
        ([{**FASTER, "precision": "int8"}], 1),
        ([{**FASTER, "precision": "fp32"}], 0),
        ([{"target": "rtx-3060", "power_mode": None, "ms": 5.0}], 1),
        ([{**FASTER, "findings": {"throttling": ["power cap"]}}], 0),
        ([{**FASTER}, {**FASTER, "power_mode": "MAXN_SUPER", "ms": 9.0}], 1),
        ([{**FASTER}, {**FASTER, "ms": 9.0, "findings": {"throttling": ["power cap"]}}], 1),
        ([{**FASTER, "ms": 60.0}], 0),
        ([{**FASTER, "manifest": {"recipe": "only borrows the name"}}], 0),
        ([{**FASTER, "people": 5}], 0),
        ([{"power_mode": "15W", "machine": {"jetson": {"super_configuration": True}}}], 0),
        ([{"power_mode": "15W", "machine": {"jetson": {"super_configuration": False}}}], 1),
    ],
)
def test_every_command_counts_the_same(receipts: list[dict[str, Any]], count: int) -> None:
    made = [receipt(**changes) for changes in receipts]
    assert cells_met(table4_cells(measured_for_table4(made))) == count
    assert against.met(against.table4_cells(made)) == (count, 20)
