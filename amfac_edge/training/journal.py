"""What a training writes for people to read: log.csv, log.json and curves.png in its folder, whole at every moment."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from amfac_edge.drawing import write_picture
from amfac_edge.drawing.curves import Panel, Series, draw_curves
from amfac_edge.files import json_bytes, write_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["LOG_CSV", "LOG_JSON", "LOG_PICTURE", "write_journal"]

LOG_CSV, LOG_JSON, LOG_PICTURE = "log.csv", "log.json", "curves.png"
_SCHEMA = "amfac-training-log/1"
_SCORES = ("AP", "AP50", "AP75", "PCK", "PCKbody")


def write_journal(folder: Path, settings: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> None:
    """Write the three files anew, each atomically.

    Args:
        folder: of the training.
        settings: what it was told.
        history: a record for each finished epoch: `epoch` (from 1), `loss` (mean over its batches), `lr` (at its end),
            `seconds`, `crops_per_second`, `left_out` (pictures), and the scores of the epochs that were scored.

    Raises:
        OutputError: the disk is full, or the place can't be written to.
    """
    names = list(dict.fromkeys(name for record in history for name in record))
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, names)
    writer.writeheader()
    writer.writerows(history)
    write_bytes(folder / LOG_CSV, table.getvalue().encode())
    log = {"schema": _SCHEMA, "settings": dict(settings), "epochs": [dict(record) for record in history]}
    write_bytes(folder / LOG_JSON, json_bytes(log))
    if history:
        write_picture(folder / LOG_PICTURE, draw_curves(_panels(settings, history)))


def _panels(settings: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> list[Panel]:
    """Loss, scores (where there are some) and learning rate, one above the other."""
    epochs = [record["epoch"] for record in history]
    title = f"{settings['recipe']['name']}: {len(history)} of {settings['recipe']['training']['epochs']} epochs"
    panels = [Panel(title, [Series("", epochs, [record["loss"] for record in history])], "", "loss")]
    names = [name for name in _SCORES if any(name in record for record in history)]
    if names:
        curves = [
            Series(name, epochs, [record.get(name, float("nan")) for record in history], dots=True) for name in names
        ]
        panels.append(Panel("held-out people", curves, "", "score"))
    rates = Series("", epochs, [record["lr"] for record in history])
    panels.append(Panel("", [rates], "epoch", "learning rate", log_y=True))
    return panels
