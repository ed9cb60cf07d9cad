"""What is forecast: a network's kernels, from an artefact's manifest or, for the papers' networks, as recorded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.artefact import Manifest, manifest_path, read_manifest
from amfac_edge.artefact.identify import CHECKPOINT_SUFFIXES
from amfac_edge.errors import InputError, near_names, typed
from amfac_edge.performance.forecast.kernels import Kernel, fused_kernels, plain_kernels
from amfac_edge.performance.forecast.recorded import recorded_eager, recorded_kernels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amfac_edge.declared.target import Target

__all__ = ["Subject", "subject_of", "subject_of_manifest", "subject_of_recipe"]

_ARTEFACTS = (".onnx", ".plan")
_TIMES = {"fp32": 1.0, "fp16": 2.0, "int8": 2.0}


@dataclass(frozen=True)
class Subject:
    """One network.

    Attributes:
        name: of the file, or of the recipe.
        recipe: name of its recipe, where it has one.
        kernels: by form: "gpu" as a TensorRT engine runs them, "cpu" as ONNX Runtime does.
        weight_bytes: of its weights in float32.
        precision: of the file; None for a recipe.
        made_for: kind of target that the file was made for, "gpu" or "cpu"; None for a recipe, which has both.
    """

    name: str
    recipe: str
    kernels: Mapping[str, tuple[Kernel, ...]]
    weight_bytes: int
    precision: str | None = None
    made_for: str | None = None

    def remarks(self, target: Target) -> tuple[str, ...]:
        """What to know of a forecast for `target`."""
        form = "cpu" if target.kind == "cpu" else "gpu"
        if self.made_for in (None, form):
            return ()
        return (f"the file was made for a {self.made_for.upper()}: an export for {target.name} has other nodes",)


def subject_of(name: str) -> Subject:
    """The subject of an artefact's path or of a recipe's name.

    Raises:
        ModelFileError: the artefact or its manifest can't be read.
        InputError: neither an artefact nor a recorded recipe.
    """
    path = Path(name)
    if path.suffix.lower() in CHECKPOINT_SUFFIXES:
        raise InputError(
            f"{path}: a forecast is of an artefact or of a recipe, and this is a checkpoint",
            cure=f"amfac-info {typed(path)} names its recipe; amfac-bench choose takes the checkpoint itself.",
        )
    if path.suffix in _ARTEFACTS:
        if not path.is_file():
            raise InputError(f"{path}: no such file", cure="Give an artefact of amfac-export, or a recipe's name.")
        if not manifest_path(path).is_file():
            raise InputError(
                f"{path}: a forecast needs the costs of its layers, which {manifest_path(path).name} beside it holds",
                cure="Copy the artefact together with its .json, or export the model again.",
            )
        return subject_of_manifest(read_manifest(path), path.name, path.stat().st_size)
    return subject_of_recipe(name)


def subject_of_recipe(name: str) -> Subject:
    """The subject of a recorded recipe."""
    recorded = recorded_kernels()
    names = [recipe for recipe, form in recorded if form == "gpu"]
    if name not in names:
        near = near_names(name, names)
        raise InputError(
            f'"{name}" is neither an artefact nor a network whose costs are recorded',
            cure=f"{near}{'' if near.endswith('?') else '.'} Of another model give the ONNX that amfac-export writes.",
        )
    kernels = {form: recorded[name, form] for form in ("gpu", "cpu")}
    return Subject(name, name, kernels, recorded_eager()[name].weight_bytes)


def subject_of_manifest(manifest: Manifest, name: str, size: int) -> Subject:
    """The subject of an artefact.

    Args:
        manifest: its own; the layers in it are all that is read of the network.
        name: of the file.
        size: of the file in bytes, which are mostly weights.

    Raises:
        InputError: the manifest has no layers.
    """
    if not manifest.layers:
        raise InputError(
            f"{name}: its manifest has no layer costs", cure="Export it again with amfac-export of this version."
        )
    kernels = {"gpu": fused_kernels(manifest.layers), "cpu": plain_kernels(manifest.layers)}
    made_for = "cpu" if manifest.target == "cpu" else "gpu"
    weights = round(size * _TIMES.get(manifest.precision, 1.0))
    return Subject(name, manifest.name, kernels, weights, manifest.precision, made_for)
