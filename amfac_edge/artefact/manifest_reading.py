"""Manifests are read: from the file beside an artefact, and from the metadata inside an ONNX."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from amfac_edge.artefact.detector_facts import DetectorFacts, detector_facts_from_json
from amfac_edge.artefact.manifest import (
    DETECTOR,
    METADATA_CALIBRATION,
    METADATA_DETECTOR,
    METADATA_RECIPE,
    POSE,
    SCHEMA,
    BatchRange,
    LayerCost,
    Manifest,
    TensorSpec,
)
from amfac_edge.artefact.plan_facts import read_plan_facts
from amfac_edge.declared.reading import Table, reading
from amfac_edge.declared.recipe import Recipe, recipe_from_json
from amfac_edge.errors import AmfacError, InputError, ModelFileError
from amfac_edge.files import file_bytes, json_value, sha256_of
from amfac_edge.keypoints import SCORE_CALIBRATION_KEY, ScoreCalibration, score_calibration_from_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = [
    "check_digest",
    "manifest_beside",
    "manifest_from_json",
    "manifest_from_metadata",
    "manifest_path",
    "read_artefact",
    "read_manifest",
]

_SIZE_LIMIT = 16 << 20
_INPUT_KINDS = ("crops", "frame", "raw", "images")
_REEXPORT = "Export the model again with amfac-export."


def manifest_path(artefact: Path) -> Path:
    """Where the manifest of `artefact` lies: the same name with .json behind it."""
    return artefact.with_name(artefact.name + ".json")


def read_manifest(artefact: Path) -> Manifest:
    """Read the manifest beside `artefact` and check that it describes this very file.

    Raises:
        ModelFileError: absent, unreadable, of a newer schema, or the file's digest differs from the recorded one.
    """
    manifest = manifest_beside(artefact)
    check_digest(artefact, manifest, sha256_of(artefact) if artefact.is_file() else "no file")
    return manifest


def read_artefact(artefact: Path) -> tuple[bytes, Manifest]:
    """Read an artefact and its manifest; the bytes are those whose digest was checked, whatever becomes of the file.

    Raises:
        ModelFileError: as `read_manifest`.
    """
    manifest = manifest_beside(artefact)
    try:
        content = artefact.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{artefact}: can't be read: {error.strerror or error}", cure=_REEXPORT) from error
    check_digest(artefact, manifest, sha256_of(content))
    return content, manifest


def manifest_beside(artefact: Path) -> Manifest:
    """Read the manifest beside `artefact`, whatever that file may be by now: `check_digest` tells.

    Raises:
        ModelFileError: absent, unreadable or of a newer schema.
    """
    path = manifest_path(artefact)
    try:
        data = json_value(file_bytes(path, limit=_SIZE_LIMIT, what="manifest"))
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path}: not JSON: {error}", cure=_REEXPORT) from error
    except InputError as error:
        raise ModelFileError(error.problem, cure=_REEXPORT) from error
    return manifest_from_json(data, where=str(path))


def check_digest(artefact: Path, manifest: Manifest, found: str) -> None:
    """Check the SHA-256 that was found of `artefact` against its manifest.

    Raises:
        ModelFileError: they differ.
    """
    recorded = manifest.digests.get("artefact", "")
    if recorded != found:
        raise ModelFileError(
            f"{artefact}: its SHA-256 is {found[:16]}…, its manifest says {recorded[:16] or 'none'}…: "
            "one of the two was replaced",
            cure="Copy the artefact together with its .json once more, or export the model again.",
        )


def manifest_from_json(data: object, *, where: str) -> Manifest:
    """Read a manifest's JSON.

    Raises:
        ModelFileError: another schema, or faults (all of them, with key paths).
    """
    _check_schema(data.get("schema") if isinstance(data, dict) else None, where)
    try:
        with reading(data, where=where) as table:
            return _manifest(table)
    except AmfacError as error:
        raise ModelFileError(error.problem, cure=_REEXPORT) from error


def manifest_from_metadata(metadata: Mapping[str, str], *, where: str) -> Manifest | None:
    """What an ONNX says of itself without its manifest, or None where it isn't one of ours.

    Raises:
        ModelFileError: the metadata are ours but faulty.
    """
    key = METADATA_RECIPE if METADATA_RECIPE in metadata else METADATA_DETECTOR
    if key not in metadata:
        return None
    _check_schema(metadata.get("amfac.schema"), where)
    try:
        read: Callable[..., Recipe | DetectorFacts] = (
            recipe_from_json if key == METADATA_RECIPE else detector_facts_from_json
        )
        return Manifest(
            target=metadata.get("amfac.target", "unknown"),
            precision=metadata.get("amfac.precision", "unknown"),
            input_kind=metadata.get("amfac.input_kind", "crops"),
            batch=BatchRange.parse(metadata.get("amfac.batch", "1")),
            model=read(json.loads(metadata[key]), where=f"{where}: {key}"),
            inputs=(),
            outputs=(),
            digests={"checkpoint": metadata.get("amfac.checkpoint_sha256", "")},
            versions={"amfac-edge": metadata.get("amfac.version", "")},
            trained={"true": True, "false": False}.get(metadata.get("amfac.trained", "")),
            score_calibration=_calibration(json.loads(metadata.get(METADATA_CALIBRATION, "null")), where),
        )
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{where}: its metadata {key} is not JSON: {error}", cure=_REEXPORT) from error
    except AmfacError as error:
        raise ModelFileError(error.problem, cure=_REEXPORT) from error


def _check_schema(schema: object, where: str) -> None:
    if schema != SCHEMA:
        raise ModelFileError(
            f"{where}: schema {json.dumps(schema, default=str)[:60]} is not {SCHEMA}",
            cure="Use the amfac-edge version that wrote it, or export the model again.",
        )


def _manifest(table: Table) -> Manifest:
    table.ignore("schema", "crop", "letterbox", "score")
    return Manifest(
        target=table.text("target"),
        precision=table.text("precision"),
        input_kind=table.text("input_kind", choices=_INPUT_KINDS),
        batch=BatchRange.parse(table.text("batch") or "1"),
        model=_model(table),
        inputs=tuple(_tensor(tensor) for tensor in table.tables("inputs")),
        outputs=tuple(_tensor(tensor) for tensor in table.tables("outputs")),
        digests=_texts(table.table("digests")),
        versions=_texts(table.table("versions", required=False)),
        parity=_object(table.raw("parity")),
        layers=_layers(table),
        trained=table.flag("trained") if table.raw("trained") is not None else None,
        score_calibration=_calibration(table.raw(SCORE_CALIBRATION_KEY)),
        plan=read_plan_facts(table.table("plan")) if table.raw("plan") is not None else None,
        extra=table.rest(),
    )


def _model(table: Table) -> Recipe | DetectorFacts:
    # A manifest from before there were detectors doesn't say what it describes.
    kind = table.raw("kind") if "kind" in table else POSE
    if kind == DETECTOR:
        return detector_facts_from_json(table.raw(DETECTOR), where=DETECTOR)
    if kind != POSE:
        raise InputError(
            f"kind: {json.dumps(kind, default=str)[:60]} is none of {POSE}, {DETECTOR}", cure="Use a newer version."
        )
    return recipe_from_json(table.raw("recipe"), where="recipe")


def _tensor(table: Table) -> TensorSpec:
    shape = table.raw("shape")
    axes = tuple(axis for axis in shape if isinstance(axis, int | str)) if isinstance(shape, list) else ()
    return TensorSpec(table.text("name"), table.text("dtype"), axes)


def _calibration(data: object, where: str = "") -> ScoreCalibration | None:
    if data is None:
        return None
    return score_calibration_from_json(
        data, where=f"{where}: {SCORE_CALIBRATION_KEY}" if where else SCORE_CALIBRATION_KEY
    )


def _texts(table: Table) -> dict[str, str]:
    return {key: table.text(key) for key in table.keys()}  # noqa: SIM118 - a Table is no mapping


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _layers(table: Table) -> tuple[LayerCost, ...]:
    rows: Any = table.raw("layers")
    if rows is None:
        return ()
    try:
        return tuple(
            LayerCost(str(name), str(op), int(macs), int(size), str(dtype)) for name, op, macs, size, dtype in rows
        )
    except (TypeError, ValueError):
        table.fault("layers", "expected rows of [name, op, macs, bytes, dtype]")
        return ()
