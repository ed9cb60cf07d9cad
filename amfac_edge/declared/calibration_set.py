"""Calibration sets: `calib/<name>.toml` says which people the ranges of an INT8 graph come from, and who judges it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from amfac_edge.declared.library import declared_path
from amfac_edge.declared.reading import read_toml, reading

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CalibrationSet", "load_calibration_set"]

_SCHEMA = "amfac-calibration/1"


@dataclass(frozen=True)
class CalibrationSet:
    """A declared set.

    Attributes:
        name: of its file.
        title: in a sentence.
        count: people to calibrate with.
        held_out: people to judge the result by, on other pictures.
        seed: of the choice.
        generated: drawn people, which need no file.
        table: the TOML, whose `[source]` is a data table; for a set that isn't generated.
    """

    name: str
    title: str
    count: int
    held_out: int
    seed: int
    generated: bool
    table: Path


def load_calibration_set(name: str) -> CalibrationSet:
    """Read a declared set, or a TOML of the user's own.

    Raises:
        DeclaredError: no such set, or a faulty file (all faults, with key paths).
    """
    path = declared_path("calib", name, noun="calibration set")
    with reading(read_toml(path), where=str(path)) as table:
        table.text("schema", choices=(_SCHEMA,))
        # Of any other source, the data table's reader says what it must have.
        source = table.raw("source")
        generated = isinstance(source, dict) and source.get("generated") is True
        if generated:
            table.table("source").ignore("generated")
        found = CalibrationSet(
            name=path.stem,
            title=table.text("title"),
            count=table.integer("count", minimum=16),
            held_out=table.integer("held_out", minimum=16),
            seed=table.integer("seed", minimum=0),
            generated=generated,
            table=path,
        )
        if not generated:
            table.rest()
    return found
