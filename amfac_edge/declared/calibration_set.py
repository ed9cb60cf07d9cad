"""Calibration sets: `calib/<name>.toml` says which people the ranges of an INT8 graph come from, and who judges it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from amfac_edge.declared.library import declared_names, declared_path
from amfac_edge.declared.reading import read_toml, reading
from amfac_edge.errors import DeclaredError
from amfac_edge.files import atomic_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from amfac_edge.declared.reading import Table
    from amfac_edge.declared.recipe import CropRule

__all__ = [
    "Augmentation",
    "CalibrationSet",
    "CalibrationSource",
    "calibration_set_names",
    "crop_form",
    "load_calibration_set",
    "pin_digest",
]

_SCHEMA = "amfac-calibration/1"
_USUAL_PADDING = 1.25
_DIGEST = re.compile(r"[0-9a-f]{64}")
_KINDS = ("annotations", "video", "images", "generated")
_SURE = 0.5
_FURTHEST, _LEAST_GAIN, _MOST_GAIN = 0.5, 0.2, 5.0


@dataclass(frozen=True)
class CalibrationSource:
    """Where people come from.

    Attributes:
        kind: "annotations" (JSON and pictures; the table has more of it, which the data's reader reads), "images"
            (without annotations), "video" or "generated" (drawn, without any file).
        path: the JSON, the folder or tar of pictures, or the video; of generated people, the table.
        boxes: a JSON of who is in the pictures or the video; None takes each as one person who fills it.
        min_score: of a box that is used; a detector's doubtful ones show no people.
        every: of a video, which frames are taken: each n-th one.
    """

    kind: Literal["annotations", "images", "video", "generated"]
    path: Path
    boxes: Path | None = None
    min_score: float = _SURE
    every: int = 1


@dataclass(frozen=True)
class Augmentation:
    """How boxes and light vary for those who calibrate, never for those who judge.

    Attributes:
        shift: a box moves by at most this part of its sides, either way.
        scale: (least, most) by which its sides are multiplied.
        brightness: (least, most) by which the crop's values are multiplied.
    """

    shift: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    brightness: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class CalibrationSet:
    """A declared set.

    Attributes:
        name: of its file.
        title: in a sentence.
        count: people to calibrate with.
        held_out: people to judge the result by, on other pictures.
        seed: of the choice.
        source: where they come from.
        augmentation: of those who calibrate.
        digests: by `crop_form`, the SHA-256 that the chosen crops must have; empty where nothing is pinned.
        table: the TOML.
        folder: that its paths are relative to.
    """

    name: str
    title: str
    count: int
    held_out: int
    seed: int
    source: CalibrationSource
    augmentation: Augmentation
    table: Path
    folder: Path
    digests: Mapping[str, str] = field(default_factory=dict, hash=False)


def calibration_set_names() -> list[str]:
    """Of the sets that this package declares, sorted."""
    return declared_names("calib")


def load_calibration_set(name: str, *, data: Path | None = None) -> CalibrationSet:
    """Read a declared set, or a TOML of the user's own.

    Args:
        name: of the set, or the path of a TOML.
        data: the folder that the set's paths are relative to; None for the TOML's own.

    Raises:
        DeclaredError: no such set, or a faulty file (all faults, with key paths).
    """
    path = declared_path("calib", name, noun="calibration set")
    folder = data or path.parent
    with reading(read_toml(path), where=str(path)) as table:
        table.text("schema", choices=(_SCHEMA,))
        return CalibrationSet(
            name=path.stem,
            title=table.text("title"),
            count=table.integer("count", minimum=16),
            held_out=table.integer("held_out", minimum=16),
            seed=table.integer("seed", minimum=0),
            source=_source(table.table("source"), path, folder),
            augmentation=_augmentation(table.table("augmentation", required=False)),
            digests=_digests(table.table("digest", required=False)),
            table=path,
            folder=folder,
        )


def crop_form(rule: CropRule) -> str:
    """What crops of a recipe are called where their digest is pinned: "384x288", with what is not usual after it."""
    padding = "" if rule.padding == _USUAL_PADDING else f"-padding-{rule.padding:g}"
    return f"{rule.height}x{rule.width}{padding}{'' if rule.pixel_centres else '-corner'}"


def pin_digest(path: Path, form: str, digest: str) -> None:
    """Write the digest of a set's crops into its TOML, in the place of one of that form; the rest stays as it is.

    Args:
        path: of the TOML.
        form: of `crop_form`.
        digest: SHA-256 in hex.

    Raises:
        OutputError: the TOML can't be written to.
        DeclaredError: its digests are written in a way that can't be changed line by line.
    """
    text, line = path.read_text(encoding="utf-8"), f'"{form}" = "{digest}"'
    here = re.compile(rf'^"{re.escape(form)}"[ \t]*=.*$', re.MULTILINE)
    head = re.compile(r"^\[digest\].*$", re.MULTILINE)
    if here.search(text):
        text = here.sub(line, text, count=1)
    elif head.search(text):
        text = head.sub(f"[digest]\n{line}", text, count=1)
    else:
        text = f"{text.rstrip()}\n\n[digest]\n{line}\n"
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
        try:
            pinned = load_calibration_set(str(temporary)).digests.get(form)
        except DeclaredError:
            pinned = None
        if pinned != digest:
            raise DeclaredError(
                f"{path}: its digests are not written line by line, one to a key",
                cure=f"Write it yourself, below [digest]: {line}",
            )


def _source(table: Table, path: Path, folder: Path) -> CalibrationSource:
    kind = next((key for key in _KINDS if key in table), "")
    if kind == "annotations":
        annotations = table.text("annotations")
        # The reader of data tables says what else is right and wrong with it.
        table.rest()
        return CalibrationSource("annotations", folder / annotations)
    if kind in {"images", "video"}:
        boxes = table.text("boxes", default="")
        return CalibrationSource(
            "images" if kind == "images" else "video",
            folder / table.text(kind),
            folder / boxes if boxes else None,
            table.number("min_score", default=_SURE, minimum=0.0, maximum=1.0) if boxes else _SURE,
            table.integer("every", default=1, minimum=1) if kind == "video" else 1,
        )
    if not table.flag("generated", default=False):
        table.fault("", "names no people: give annotations (a JSON), images, video, or generated = true")
    return CalibrationSource("generated", path)


def _augmentation(table: Table) -> Augmentation:
    return Augmentation(
        shift=table.number("shift", default=0.0, minimum=0.0, maximum=_FURTHEST),
        scale=_range(table, "scale"),
        brightness=_range(table, "brightness"),
    )


def _range(table: Table, key: str) -> tuple[float, float]:
    least, most = table.numbers(key, count=2, default=(1.0, 1.0))
    if not _LEAST_GAIN <= least <= most <= _MOST_GAIN:
        table.fault(key, f"[{least:g}, {most:g}] is no range within {_LEAST_GAIN:g} and {_MOST_GAIN:g}")
    return least, most


def _digests(table: Table) -> dict[str, str]:
    found = {}
    for form in table.keys():  # noqa: SIM118 - a Table is no mapping
        found[form] = table.text(form)
        if not _DIGEST.fullmatch(found[form]):
            table.fault(form, "expected a SHA-256: 64 digits from 0 to f")
    return found
