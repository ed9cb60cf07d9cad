"""`amfac-bench run --against TABLE`: a paper's printed figures beside those of this run."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from amfac_edge.children import ChildFailure, call_in_child
from amfac_edge.declared.published import load_published
from amfac_edge.declared.target import load_target, target_names
from amfac_edge.errors import AmfacError, InputError
from amfac_edge.files import file_bytes, json_value
from amfac_edge.performance.against import (
    EAGER_INFERENCE,
    TABLES,
    Cell,
    eager,
    figures_of,
    met,
    recipe_of,
    table4_cells,
)

if TYPE_CHECKING:
    from pathlib import Path

    from amfac_edge.declared.recipe import Recipe
    from amfac_edge.performance.receipts import Receipt

__all__ = [
    "against_json",
    "cells_against",
    "other_model",
    "print_against",
    "read_evaluation",
]

_COUNT = "amfac_edge.cli.bench_eager:count_network"
_COUNT_S = 120.0
_LIMIT = 16 << 20
# amfac-eval's names to those of the papers' tables.
_METRICS = {
    "AP": "ap",
    "AP50": "ap50",
    "AP75": "ap75",
    "APm": "ap_m",
    "APl": "ap_l",
    "AR": "ar",
    "APeasy": "ap_easy",
    "APmedium": "ap_medium",
    "APhard": "ap_hard",
}


def read_evaluation(path: Path) -> tuple[str | None, dict[str, float]]:
    """The model and the figures in percent of a result of `amfac-eval --json`, by the tables' column names.

    Raises:
        InputError: it is no such file.
    """
    try:
        value = json_value(file_bytes(path, limit=_LIMIT, what="evaluation result"))
    except (ValueError, RecursionError):
        value = None
    fields = value if isinstance(value, dict) else {}
    figures = {
        column: 100 * fields[name]
        for name, column in _METRICS.items()
        if isinstance(fields.get(name), int | float) and not isinstance(fields[name], bool)
    }
    if not figures:
        raise InputError(f"{path}: no result of amfac-eval", cure="amfac-eval FILE ... --json > result.json makes one.")
    details = fields.get("details")
    model = details.get("model") if isinstance(details, dict) else None
    return (model if isinstance(model, str) else None), figures


def other_model(evaluation: Path | None, model: str, measured: str | None) -> InputError:
    """Of a result that is of `model`, beside measurements of another."""
    return InputError(f"{evaluation}: it is of {model}, not of {measured}", cure="Give the result of this model.")


def cells_against(table: str, receipts: list[Receipt], evaluation: Path | None) -> list[tuple[str, tuple[Cell, ...]]]:
    """What is compared, eager PyTorch and engines or a model each, with its cells."""
    if table == "table4":
        kinds = {
            "eager PyTorch": [one for one in receipts if eager(one)],
            "engines": [one for one in receipts if not eager(one)],
        }
        return [(kind, table4_cells(runs)) for kind, runs in kinds.items() if runs]
    model, evaluated = read_evaluation(evaluation) if evaluation else (None, {})
    groups = []
    recipes = {recipe.name: recipe for receipt in receipts if (recipe := recipe_of(receipt))}
    for recipe in recipes.values():
        if model is not None and model != recipe.name:
            raise other_model(evaluation, model, recipe.name)
        runs = [receipt for receipt in receipts if receipt.conditions.recipe == recipe.name]
        groups.append(
            (recipe.name, figures_of(table, recipe, receipts=runs, counted=_counted(recipe), evaluated=evaluated))
        )
    return groups


def against_json(table: str, receipts: list[Receipt], evaluation: Path | None) -> dict[str, Any]:
    """The cells for a program."""
    groups = cells_against(table, receipts, evaluation)
    body: dict[str, Any] = {
        "table": table,
        "cells": [_cell_json(kind, cell) for kind, cells in groups for cell in cells],
    }
    if table == "table4":
        body["met"] = {kind: dict(zip(("measured_and_met", "of"), met(cells), strict=True)) for kind, cells in groups}
        body["inference"] = EAGER_INFERENCE
    return body


def print_against(table: str, receipts: list[Receipt], evaluation: Path | None) -> None:
    """The cells as tables for people."""
    for kind, cells in cells_against(table, receipts, evaluation):
        shown = [cell for cell in cells if table != "table4" or _of_models(cell, receipts)]
        print(f"\n{load_published(TABLES[table]).name}, printed beside {kind}")
        width = max((len(cell.row) for cell in shown), default=3)
        for cell in shown:
            ours = "-" if cell.ours is None else f"{cell.ours:.2f}"
            print(f"{cell.row:{width}} {cell.column:9} {cell.published:8.2f} {ours:>8}  {cell.verdict}".rstrip())
            for note in (cell.how, cell.mode, *cell.notes):
                if note:
                    print(f"{'':{width}} {note}")
        if not shown:
            print("the table has no row of this model")
        if table == "table4":
            reached, count = met(cells)
            print(f"met on {reached} of {count}; only measured cells count")
    if table == "table4":
        _print_place(receipts)
        print(EAGER_INFERENCE)


def _counted(recipe: Recipe) -> dict[str, float]:
    """Parameters and FLOPs; empty where torch isn't there to count them."""
    try:
        counted: dict[str, float] = call_in_child(_COUNT, timeout_s=_COUNT_S, recipe=recipe.name)
    except (ChildFailure, AmfacError):
        return {}
    return counted


def _of_models(cell: Cell, receipts: list[Receipt]) -> bool:
    recipes = [recipe for receipt in receipts if (recipe := recipe_of(receipt))]
    return any(cell.row.startswith(f"{row.row} ") for recipe in recipes for row in recipe.published)


def _print_place(receipts: list[Receipt]) -> None:
    devices = {str(row.values["device"]) for row in load_published(TABLES["table4"]).rows}
    for target in sorted({receipt.target or "no declared target" for receipt in receipts} - devices):
        title = load_target(target).title if target in target_names() else target
        print(f"this machine ({title}) is none of the table's devices, so none of its cells can be met here")


def _cell_json(kind: str, cell: Cell) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(json.dumps(asdict(cell)))
    return {"beside": kind, **fields, "verdict": cell.verdict, "measured": cell.ours is not None}
