"""The papers' printed tables (`bench/published/*.csv`) as frozen rows.

One file holds one table, one line one printed row, in the paper's own units: AP in percent, parameters in millions,
GFLOPs as multiply-accumulates, latency in milliseconds a frame, power in watts as the paper labels the board. An empty
cell is a figure that the paper does not print.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.declared.library import declared_folder
from amfac_edge.errors import AmfacError, DeclaredError, near_names
from amfac_edge.files import file_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PublishedTable", "TableRow", "load_published", "published_names"]

_SIZE_LIMIT = 1 << 20
_GROUPS = ("family", "representation")
_REQUIRED = ("input_height", "input_width")
_WORDS = (*_GROUPS, "model", "method", "variant", "head", "backbone", "device")


@dataclass(frozen=True)
class TableRow:
    """One printed row.

    Attributes:
        line: of the CSV file, counted from 1.
        values: column name to text, number, or None where the paper prints nothing.
    """

    line: int
    values: Mapping[str, str | float | None]

    @property
    def label(self) -> str:
        """What names the row, without the groups of models: "AMFACPose ResNet34 384x288 orin-nx-8"."""
        words = []
        for column, value in self.values.items():
            if column == "input_height":
                words.append(f"{value:g}x{self.values['input_width']:g}")
            elif column in _WORDS and column not in _GROUPS and value:
                words.append(str(value))
        return " ".join(words)

    def number(self, column: str) -> float | None:
        """The number in `column`, None where the paper prints none (or the table has no such column)."""
        value = self.values.get(column)
        return value if isinstance(value, float) else None


@dataclass(frozen=True)
class PublishedTable:
    """One printed table; its name is its file's stem."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]

    def row(self, label: str) -> TableRow:
        """The row with that label.

        Raises:
            DeclaredError: there is none; the message has the near ones.
        """
        for row in self.rows:
            if row.label == label:
                return row
        raise DeclaredError(f'{self.name}: no row "{label}"', cure=near_names(label, (row.label for row in self.rows)))


def published_names() -> list[str]:
    """The names of the papers' tables, sorted."""
    return sorted(path.stem for path in (declared_folder("bench") / "published").glob("*.csv"))


def load_published(name: str | Path) -> PublishedTable:
    """The table of a declared name ("amfacpose-table4-devices"), or of a CSV file of the same form.

    Raises:
        DeclaredError: no such table, or a faulty file (all its faults, each with its line).
    """
    path = Path(name) if str(name).endswith(".csv") else declared_folder("bench") / "published" / f"{name}.csv"
    if not path.is_file():
        raise DeclaredError(f'unknown published table "{name}"', cure=near_names(str(name), published_names()))
    columns, *lines = _cells(path)
    faults = _header_faults(columns)
    rows = [_row(columns, number, cells, faults) for number, cells in enumerate(lines, start=2)]
    faults = faults or _repeated(rows)
    if faults:
        listed = "".join(f"\n  {fault}" for fault in faults)
        raise DeclaredError(f"{path}: not a published table:{listed}", cure="Mend the lines named above.")
    return PublishedTable(path.stem, columns, tuple(rows))


def _cells(path: Path) -> list[tuple[str, ...]]:
    try:
        text = file_bytes(path, limit=_SIZE_LIMIT, what="CSV file").decode()
        return [tuple(cells) for cells in csv.reader(text.splitlines())] or [()]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DeclaredError(f"{path}: not CSV text: {error}", cure="Save the table as UTF-8 CSV.") from error
    except AmfacError as error:
        raise DeclaredError(error.problem, cure=error.cure) from error


def _header_faults(columns: tuple[str, ...]) -> list[str]:
    faults = [
        f'line 1: the column "{column}" comes twice' for column in sorted(set(columns)) if columns.count(column) > 1
    ]
    if not set(columns) & set(_WORDS):
        faults.append(f"line 1: none of the columns {', '.join(_WORDS)} is there to name the rows")
    if ("input_height" in columns) != ("input_width" in columns):
        faults.append("line 1: input_height and input_width go together")
    return faults


def _repeated(rows: list[TableRow]) -> list[str]:
    labels = [row.label for row in rows]
    repeated = [row for row in rows if labels.count(row.label) > 1]
    return [f'line {row.line}: "{row.label}" names more than one row' for row in repeated]


def _row(columns: tuple[str, ...], line: int, cells: tuple[str, ...], faults: list[str]) -> TableRow:
    if len(cells) != len(columns):
        faults.append(f"line {line}: {len(cells)} cells under {len(columns)} columns")
    values: dict[str, str | float | None] = {}
    for column, cell in zip(columns, cells, strict=False):
        values[column] = cell or None
        if column in _WORDS or not (cell or column in _REQUIRED):
            continue
        values[column] = number = _number(cell)
        if number is None:
            faults.append(f'line {line}: {column}: expected a number, got "{cell}"')
    return TableRow(line, values)


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
