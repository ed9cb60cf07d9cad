"""The papers' printed figures beside ours, cell by cell; a cell counts as met only where it was measured.

Table 4 prints milliseconds and frames a second of AMFACPose on five devices and doesn't say what they include. Time
follows the number of operators on its cards and half of the memory's bandwidth on its boards, as eager FP32 PyTorch
does and no TensorRT engine: that it is eager is an inference. So the eager run is what may reproduce it, and an engine
what beats it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from amfac_edge.artefact.manifest_reading import manifest_from_json
from amfac_edge.declared.published import load_published
from amfac_edge.declared.recipe import load_recipe, recipe_names
from amfac_edge.declared.target import load_target, target_names
from amfac_edge.errors import AmfacError
from amfac_edge.performance.paper_mode import COUNTED_PRECISIONS, declared_mode, in_papers_mode, throttling_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from amfac_edge.declared.published import TableRow
    from amfac_edge.declared.recipe import Recipe
    from amfac_edge.performance.receipts import Receipt

__all__ = [
    "EAGER_INFERENCE",
    "TABLES",
    "Cell",
    "counts_for",
    "eager",
    "figures_of",
    "met",
    "recipe_of",
    "table4_cells",
]

TABLES = {
    "table1": "amfacpose-table1-coco",
    "table2": "amfacpose-table2-complexity",
    "table3": "amfacpose-table3-crowdpose",
    "table4": "amfacpose-table4-devices",
    "table5": "amfacpose-table5-rtx3060",
    "table6": "amfacpose-table6-ablation",
}
EAGER_INFERENCE = (
    "That Table 4 was measured in eager FP32 PyTorch is an inference from its twenty figures; the paper doesn't say."
)
_TABLE4 = TABLES["table4"]
_TABLE5_DEVICE = "rtx-3060"
# The printed ms and fps of one row differ by more than rounding where their product is off 1000 by this share.
_INCONSISTENT = 0.005
# What Table 4 is held against, and a whole frame, which stands beside it: the paper names no boundary.
_NETWORKS, _FRAMES = ("engine", "eager"), ("frame", "eager_frame")


@dataclass(frozen=True)
class Cell:
    """One printed figure.

    Attributes:
        row: of the table, "AMFACPose ResNet34 384x288 orin-nx-8".
        column: "ms", "fps", "ap", "params_m", "gflops".
        published: as printed.
        ours: measured, counted or evaluated; None where there is nothing of ours.
        how: where ours comes from; empty where there is nothing.
        factor: of times and speeds, how many times as fast ours is; None otherwise.
        mode: of a measured cell, the power mode it was found in beside the paper's probable one; empty where there are
            no modes.
        counts: whether it may count as met: found in that mode, not throttled, by eager PyTorch in FP32 or an engine in
            FP16 or INT8; another one is shown all the same.
        notes: what a reader should know of the printed figure, or of ours.
    """

    row: str
    column: str
    published: float
    ours: float | None = None
    how: str = ""
    factor: float | None = None
    mode: str = ""
    counts: bool = True
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """A few words: "4.90x faster", "not measured", "as printed", ..."""
        if self.ours is None:
            return "not measured" if self.column in {"ms", "fps"} else "nothing to compare"
        if self.factor is not None:
            return f"{self.factor:.2f}x faster" if self.factor >= 1 else f"{1 / self.factor:.2f}x slower"
        return f"{self.ours - self.published:+.2f}"


def eager(receipt: Receipt) -> bool:
    """Whether a receipt is of eager PyTorch, and not of an engine."""
    return "eager" in receipt.series


def counts_for(receipt: Receipt) -> tuple[str, str, str] | None:
    """The recipe, device and column of Table 4 that a receipt counts for: "eager", "fp16" or "int8"; None for none."""
    recipe, device = recipe_of(receipt), receipt.target or ""
    if recipe is None or receipt.conditions.people != 1 or not _counts(receipt):
        return None
    if not any(_is_of(receipt, row, device) for row in load_published(_TABLE4).rows if row.values["device"] == device):
        return None
    return recipe.name, device, "eager" if eager(receipt) else receipt.conditions.precision


def table4_cells(receipts: Iterable[Receipt]) -> tuple[Cell, ...]:
    """The twenty cells of Table 4, each with the fastest receipt for it: same model, same device, one person.

    One that counts (`Cell.counts`) goes before one that doesn't, however fast that is. Of eager runs and engines only
    one kind should be handed in (`eager`): they answer different questions.
    """
    runs = [receipt for receipt in receipts if receipt.conditions.people == 1]
    return tuple(_table4_cell(row, runs) for row in load_published(_TABLE4).rows)


def met(cells: Sequence[Cell]) -> tuple[int, int]:
    """How many cells are met by something measured that counts, of how many."""
    return sum(cell.factor is not None and cell.factor >= 1 and cell.counts for cell in cells), len(cells)


def figures_of(
    table: str,
    recipe: Recipe,
    *,
    receipts: Sequence[Receipt] = (),
    counted: Mapping[str, float] | None = None,
    evaluated: Mapping[str, float] | None = None,
) -> tuple[Cell, ...]:
    """The printed figures of a recipe's rows in one of the tables but the fourth, beside ours.

    Args:
        table: a key of `TABLES`.
        recipe: whose rows.
        receipts: for the frames a second of Table 5.
        counted: "params_m" and "gflops" of the network.
        evaluated: by the tables' own columns ("ap", "ap50", ...), in percent.
    """
    cells = []
    for row in _rows_of(table, recipe):
        for column in load_published(TABLES[table]).columns:
            printed = row.number(column)
            if printed is None or column.startswith("input_"):
                continue
            if column == "fps":
                cells.append(_fps_cell(row, printed, recipe, receipts))
            elif counted and column in counted:
                cells.append(Cell(row.label, column, printed, counted[column], "counted"))
            else:
                ours = (evaluated or {}).get(column)
                cells.append(Cell(row.label, column, printed, ours, "evaluated" if ours is not None else ""))
    return tuple(cells)


def recipe_of(receipt: Receipt) -> Recipe | None:
    """The recipe of what was measured, with the papers' rows if it is a declared one; None where nothing tells it."""
    name = receipt.conditions.recipe
    declared = load_recipe(name) if name in recipe_names() else None
    if receipt.manifest is None:
        return declared
    try:
        found = manifest_from_json(dict(receipt.manifest), where="the manifest of the receipt").recipe
    except AmfacError:
        return None
    # An artefact carries no rows of papers; one that only borrows a declared name has none.
    return declared if declared is not None and declared.as_json() == found.as_json() else found


def _table4_cell(row: TableRow, runs: Sequence[Receipt]) -> Cell:
    printed = row.number("ms")
    assert printed is not None
    device = str(row.values["device"])
    notes = _inconsistency(row)
    fitting = [(receipt, _mean_ms(receipt, _NETWORKS)) for receipt in runs if _is_of(receipt, row, device)]
    best = min(fitting, key=lambda pair: (not _counts(pair[0]), pair[1]), default=None)
    if best is None:
        return Cell(row.label, "ms", printed, notes=notes)
    receipt, ms = best
    conditions = receipt.conditions
    if throttled := throttling_of(receipt):
        notes += (f"throttled: {'; '.join(throttled)}: not counted",)
    if not _is_counted_precision(receipt):
        notes += (f"{conditions.precision}: shown, not counted",)
    whole = _mean_ms(receipt, _FRAMES)
    how = f"measured {conditions.precision} with {conditions.engine}: the network's mean; a whole frame {whole:.2f} ms"
    return Cell(row.label, "ms", printed, ms, how, printed / ms, _mode(device, receipt), _counts(receipt), notes)


def _counts(receipt: Receipt) -> bool:
    return in_papers_mode(receipt) and not throttling_of(receipt) and _is_counted_precision(receipt)


def _is_counted_precision(receipt: Receipt) -> bool:
    precision = receipt.conditions.precision
    return precision == "fp32" if eager(receipt) else precision in COUNTED_PRECISIONS


def _fps_cell(row: TableRow, printed: float, recipe: Recipe, receipts: Sequence[Receipt]) -> Cell:
    size = f"{recipe.crop.height}x{recipe.crop.width}"
    notes: tuple[str, ...] = (f"the table prints no input size; ours is {size}",)
    fitting = [
        (receipt, 1e3 / _mean_ms(receipt, _NETWORKS))
        for receipt in receipts
        if receipt.target == _TABLE5_DEVICE and receipt.conditions.people == 1 and _is_complete(receipt)
    ]
    if not fitting:
        return Cell(row.label, "fps", printed, notes=(*notes, "only a GeForce RTX 3060 can be held against it"))
    receipt, best = max(fitting, key=lambda pair: (not throttling_of(pair[0]), pair[1]))
    if throttled := throttling_of(receipt):
        notes += (f"throttled: {'; '.join(throttled)}",)
    return Cell(row.label, "fps", printed, best, "measured, the network's mean", best / printed, notes=notes)


def _rows_of(table: str, recipe: Recipe) -> list[TableRow]:
    """The recipe's rows: those that its file names, and those of other tables that have the same label or its start."""
    named = {(row.table, row.row) for row in recipe.published}
    labels = {row for _, row in named}
    rows = load_published(TABLES[table]).rows
    exact = [row for row in rows if (TABLES[table], row.label) in named or row.label in labels]
    if table != "table5":
        return exact
    # Table 5 prints no size: its AP says which of a backbone's rows is meant.
    return [
        row
        for row in rows
        if any(label.startswith(f"{row.label} ") for label in labels)
        and row.number("ap") in {published.ap for published in recipe.published}
    ]


def _is_of(receipt: Receipt, row: TableRow, device: str) -> bool:
    recipe = recipe_of(receipt)
    if recipe is None or receipt.target != device or not _is_complete(receipt):
        return False
    return any(row.label == f"{published.row} {device}" for published in recipe.published)


def _is_complete(receipt: Receipt) -> bool:
    """Whether the network and a whole frame were timed; those of other people's engines name their series otherwise."""
    return all(any(name in receipt.series for name in names) for names in (_NETWORKS, _FRAMES))


def _mean_ms(receipt: Receipt, names: Sequence[str]) -> float:
    return next(receipt.series[name] for name in names if name in receipt.series).statistics.mean


def _mode(device: str, receipt: Receipt) -> str:
    """The mode beside the paper's probable one."""
    target = load_target(device) if device in target_names() else None
    if target is None or target.kind != "jetson":
        return ""
    probable, found = target.paper_mode, declared_mode(receipt)
    if found is None:
        return f"mode unknown; the paper's is probably {probable}"
    return f"{found}, probably the paper's" if found == probable else f"{found}; the paper's is probably {probable}"


def _inconsistency(row: TableRow) -> tuple[str, ...]:
    ms, fps = row.number("ms"), row.number("fps")
    if ms is None or fps is None or abs(ms * fps / 1e3 - 1) <= _INCONSISTENT:
        return ()
    return (f"the table prints {fps:.2f} fps beside {ms:.2f} ms, which are {1e3 / ms:.2f} fps",)
