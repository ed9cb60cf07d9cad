"""The papers' own rows beside a score. Neither paper says whether its boxes are drawn or a detector's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from amfac_edge.declared.published import load_published

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from amfac_edge.accuracy.scoring import Protocol
    from amfac_edge.declared.recipe import Recipe

__all__ = ["BOX_SOURCE", "PaperRow", "paper_rows"]

BOX_SOURCE = "box source not stated"
"""What stands beside every row of the papers."""

_TABLES: dict[str, tuple[str, ...]] = {
    "coco": ("amfacpose-table1-coco", "eba-prnetcc-table1-coco"),
    "crowdpose": ("amfacpose-table3-crowdpose",),
    "pck": (),
}
_FURTHER: dict[str, tuple[str, ...]] = {
    "coco": ("eba-prnetcc-table4-backbone", "eba-prnetcc-table3-head", "amfacpose-table6-ablation")
}
_COLUMNS = {
    "AP": "ap", "AP50": "ap50", "AP75": "ap75", "APm": "ap_m", "APl": "ap_l", "AR": "ar", "APeasy": "ap_easy",
    "APmedium": "ap_medium", "APhard": "ap_hard",
}  # fmt: skip
_OURS = {"amfacpose": "AMFACPose", "eba-prnetcc": "EBA-PRNetCC"}


@dataclass(frozen=True)
class PaperRow:
    """A printed row.

    Attributes:
        label: model, backbone, input.
        table: where it is printed.
        metrics: fractions, under the names of `Score.metrics`.
        is_this_model: the recipe at hand is held against this row.
        note: what the recipe says of it: that another table contradicts it.
    """

    label: str
    table: str
    metrics: Mapping[str, float]
    is_this_model: bool
    note: str = ""


def paper_rows(protocol: Protocol, recipe: Recipe | None = None) -> tuple[PaperRow, ...]:
    """The rows of AMFACPose and EBA-PRNetCC in the papers' tables of that protocol's data set.

    Where none of them is the recipe's, the one of another table follows that is: an ablation's, or a smaller input's.
    """
    rows = [row for name in _TABLES[protocol] for row in _rows_of(name, recipe)]
    if not any(row.is_this_model for row in rows):
        further = (row for name in _FURTHER.get(protocol, ()) for row in _rows_of(name, recipe))
        rows += [row for row in further if row.is_this_model]
    return tuple(rows)


def _rows_of(name: str, recipe: Recipe | None) -> Iterator[PaperRow]:
    """The rows of a table's own network, its name in front of each."""
    family, ours = next(each for each in _OURS.items() if name.startswith(each[0]))
    # A row of Table 1 has the label that the same network has in Table 2.
    held = {_titled(row.row, ours) for row in recipe.published if row.table.startswith(family)} if recipe else set()
    notes = {_titled(row.row, ours): row.note for row in recipe.published if row.table == name} if recipe else {}
    table = load_published(name)
    names_others = not {"model", "method"}.isdisjoint(table.columns)
    for row in table.rows:
        if names_others and not row.label.startswith(ours):
            continue
        label = _titled(row.label, ours)
        numbers = {metric: row.number(column) for metric, column in _COLUMNS.items()}
        metrics = {metric: round(value / 100, 6) for metric, value in numbers.items() if value is not None}
        yield PaperRow(label, name, metrics, label in held, notes.get(label, ""))


def _titled(label: str, ours: str) -> str:
    return label if label.startswith(ours) else f"{ours} {label}"
