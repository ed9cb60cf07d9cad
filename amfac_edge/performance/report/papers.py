"""The papers' printed figures on the page, beside what was measured and what is forecast."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amfac_edge.performance.against import EAGER_INFERENCE, Cell, eager, table4_cells
from amfac_edge.performance.forecast.forecasts import RANGES
from amfac_edge.performance.forecast.table4 import COLUMNS, ENGINES, Table4Cell, cells_met, measured_for_table4
from amfac_edge.performance.forecast.table4 import table4_cells as forecast_cells
from amfac_edge.performance.report.figures import figure, tag
from amfac_edge.performance.report.markup import Html, element, joined, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from amfac_edge.performance.receipts import Receipt

__all__ = ["other_tables", "table4"]

_HEADS = {"eager": "eager PyTorch", "fp16": "FP16 engine", "int8": "INT8 engine"}


def table4(receipts: Sequence[Receipt]) -> Html:
    """The twenty cells: paper, eager, FP16, INT8; each of ours measured or forecast."""
    cells = forecast_cells(measured_for_table4(receipts))
    rows = []
    for cell in cells:
        shown = [cell.measured.get(name) or cell.forecast.get(name) for name in COLUMNS]
        figures = ["-" if value is None else figure(value) for value in shown]
        rows.append(
            [
                cell.label.partition(" ")[2],
                cell.title,
                f"{cell.paper_ms:.2f}",
                _verdict(cell),
                *figures,
            ]
        )
    measured = sum(bool(cell.measured) for cell in cells)
    heads = ["model", "device", "paper, ms", "verdict", *(_HEADS[name] for name in COLUMNS)]
    return element(
        "section",
        element("h2", "Against the paper: Table 4 of AMFACPose"),
        element(
            "p",
            f"Met on {cells_met(cells)} of {len(cells)}: only engines that were measured on the table's devices count, "
            f"and of these receipts {measured or 'none'} of the cells {'has' if measured == 1 else 'have'} something ",
            tag("measured"),
            ". What is ",
            tag("forecast"),
            f" was run by nobody: {'; '.join(RANGES.values())}.",
        ),
        table(heads, rows, label="Table 4 of AMFACPose"),
        element("p", EAGER_INFERENCE),
        *_verdicts(receipts),
    )


def other_tables(groups: Mapping[str, Sequence[tuple[str, Sequence[Cell]]]]) -> list[Html]:
    """The rest of the papers' tables.

    Args:
        groups: by table, the model and its cells.
    """
    sections = []
    for name, models in groups.items():
        rows = [
            [
                cell.row,
                model,
                cell.column,
                f"{cell.published:.2f}",
                "-" if cell.ours is None else f"{cell.ours:.2f}",
                joined([cell.how]),
                cell.verdict,
                "; ".join(cell.notes),
            ]
            for model, cells in models
            for cell in cells
        ]
        heads = ["row", "model", "column", "printed", "ours", "how", "verdict", "notes"]
        body = table(heads, rows, label=name) if rows else element("p", "The table has no row of these models.")
        sections.append(element("section", element("h2", f"Against the paper: {name}"), body))
    return sections


def _verdict(cell: Table4Cell) -> str:
    if not set(ENGINES) & set(cell.measured):
        return "not measured"
    return "met" if cell.met else "missed"


def _verdicts(receipts: Sequence[Receipt]) -> list[Html]:
    """What was measured on the table's devices, with its mode; and what is odd about the printed cells."""
    kinds = {
        "eager PyTorch": [one for one in receipts if eager(one)],
        "engines": [one for one in receipts if not eager(one)],
    }
    lines: dict[str, None] = {}
    for kind, runs in kinds.items():
        for cell in table4_cells(runs):
            if cell.ours is not None:
                told = "; ".join(part for part in (cell.how, cell.mode) if part)
                lines[f"{cell.row}, {kind}: {cell.ours:.2f} ms, {cell.verdict} ({told})"] = None
            lines.update(dict.fromkeys(f"{cell.row}: {note}" for note in cell.notes))
    return [element("ul", *(element("li", line) for line in lines))] if lines else []
