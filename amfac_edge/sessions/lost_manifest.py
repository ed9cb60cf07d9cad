"""What a plan is that has lost its manifest: by the name that amfac-export gave its engine, and by its tensors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from amfac_edge.artefact import BatchRange, Manifest, manifest_path
from amfac_edge.declared.recipe import load_recipe
from amfac_edge.errors import DeclaredError, ModelFileError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from amfac_edge.artefact import TensorSpec

__all__ = ["UNKNOWN", "manifest_of_engine", "no_manifest"]

UNKNOWN = "unknown"
_NAME = re.compile(r"amfac/1 (?P<recipe>[A-Za-z0-9._+-]+) (?P<onnx>[0-9a-f]{16})")


def no_manifest(path: Path, why: str = "") -> ModelFileError:
    """The error for a plan at `path` without its manifest; `why` its engine's name doesn't do either."""
    return ModelFileError(
        f"{path}: no {manifest_path(path).name} beside it, which says what the plan computes{why and f'; {why}'}",
        cure="Copy the plan and its .json, both from the same place.",
    )


def manifest_of_engine(
    path: Path,
    name: str,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    limits: Mapping[str, Sequence[Sequence[int]]],
) -> Manifest:
    """A manifest of what the engine itself tells; precision and target are "unknown".

    Args:
        path: of the plan.
        name: of the engine.
        inputs: of the engine.
        outputs: of the engine.
        limits: smallest, tuned-for and largest shape by input.

    Raises:
        ModelFileError: the name isn't amfac-export's, or its recipe is none that is declared here.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise no_manifest(path, f"and its engine's name {name[:80]!r} is not one of amfac-export")
    try:
        recipe = load_recipe(found["recipe"])
    except DeclaredError as error:
        raise no_manifest(path, f"and of its engine's recipe: {error.problem}") from error
    kind, people = ("frame", "affines") if "affines" in limits else ("crops", "crops")
    if people not in limits:
        raise no_manifest(path, f"and its inputs are {', '.join(limits)}, neither crops nor a frame")
    return Manifest(
        target=UNKNOWN,
        precision=UNKNOWN,
        input_kind=kind,
        batch=BatchRange(*(int(shape[0]) for shape in limits[people])),
        model=recipe,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        extra={"engine_name": name, "onnx_sha256_begins": found["onnx"]},
    )
