"""The papers' own rows beside a score. Neither paper says whether its boxes are drawn or a detector's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from amfac_edge.declared.published import load_published

if TYPE_CHECKING:
    from collections.abc import Mapping

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
_COLUMNS = {
    "AP": "ap", "AP50": "ap50", "AP75": "ap75", "APm": "ap_m", "APl": "ap_l", "AR": "ar", "APeasy": "ap_easy",
    "APmedium": "ap_medium", "APhard": "ap_hard",
}  # fmt: skip
_OURS = ("AMFACPose", "EBA-PRNetCC")


@dataclass(frozen=True)
class PaperRow:
    """A printed row.

    Attributes:
        label: model, backbone, input.
        table: where it is printed.
        metrics: fractions, under the names of `Score.metrics`.
        is_this_model: the recipe at hand is held against this row.
    """

    label: str
    table: str
    metrics: Mapping[str, float]
    is_this_model: bool


def paper_rows(protocol: Protocol, recipe: Recipe | None = None) -> tuple[PaperRow, ...]:
    """The rows of AMFACPose and EBA-PRNetCC in the papers' tables of that protocol's data set."""
    held = {row.row for row in recipe.published} if recipe else set()
    rows = []
    for name in _TABLES[protocol]:
        for row in load_published(name).rows:
            if row.label.startswith(_OURS):
                numbers = {metric: row.number(column) for metric, column in _COLUMNS.items()}
                metrics = {metric: round(value / 100, 6) for metric, value in numbers.items() if value is not None}
                rows.append(PaperRow(row.label, name, metrics, row.label in held))
    return tuple(rows)
