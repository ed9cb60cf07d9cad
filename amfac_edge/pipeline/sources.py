"""What an export starts from: a checkpoint of ours, or anybody's SimCC ONNX. Both become one `Source`.

Letters: N crops, K joints, H x W the crop, k bins a pixel.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from amfac_edge.artefact import TENSORRT_8_OPSET, manifest_from_metadata
from amfac_edge.declared.recipe import load_recipe
from amfac_edge.errors import InputError, ModelFileError
from amfac_edge.files import sha256_of
from amfac_edge.graph.checking import checked_model
from amfac_edge.graph.exporting import onnx_from_network
from amfac_edge.graph.foreign import foreign_recipe, raw_simcc_graph
from amfac_edge.graph.onnx_values import opset_of, shape_of
from amfac_edge.graph.rewrites import deployable
from amfac_edge.networks import load_checkpoint
from amfac_edge.sessions.raw_graph import RawGraph

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from onnx import ModelProto
    from torch import nn

    from amfac_edge.artefact import BatchRange
    from amfac_edge.declared.recipe import Recipe
    from amfac_edge.keypoints import ScoreCalibration

    Logits = tuple[NDArray[np.float32], NDArray[np.float32]]

__all__ = ["Model", "Source", "in_batches", "read_source"]


class Model(Protocol):
    """What the pipeline asks of a source's network, wherever it is from."""

    def raw_graph(self, batch: BatchRange, opset: int) -> ModelProto:
        """The graph `image` (N,3,H,W) -> x logits, y logits."""
        ...

    def logits(self, images: NDArray[np.float32]) -> Logits:
        """The reference: (N,3,H,W) normalised RGB -> (N,K,W·k), (N,K,H·k), computed without any rewrite."""
        ...


@dataclass(frozen=True)
class Source:
    """A model to export.

    Attributes:
        path: of the file.
        recipe: of the model.
        model: its network.
        digests: SHA-256 of the file, under "checkpoint" or "source".
        trained: what is known of its weights.
        score_calibration: of its scores, where somebody fitted one.
        remarks: sentences for the user: what was assumed.
    """

    path: Path
    recipe: Recipe
    model: Model
    digests: dict[str, str]
    trained: bool | None
    score_calibration: ScoreCalibration | None = None
    remarks: tuple[str, ...] = ()


def read_source(path: Path, *, recipe: str | None = None, key_map: Path | None = None) -> Source:
    """Read a checkpoint (.pth, .pt, .safetensors, ...) or an ONNX file (.onnx).

    Args:
        path: of the file.
        recipe: name or TOML of the recipe, where the file doesn't say it or says another one.
        key_map: TOML that renames a checkpoint's keys.

    Raises:
        AmfacError: the file, the recipe or the key map can't be used; see `load_checkpoint`, `checked_model`.
    """
    stated = load_recipe(recipe) if recipe is not None else None
    if path.suffix.lower() == ".onnx":
        if key_map is not None:
            raise InputError(
                f"{path}: a key map renames a checkpoint's keys, an ONNX has none", cure="Leave --key-map out."
            )
        return _onnx_source(path, stated)
    loaded = load_checkpoint(path, recipe=stated, key_map=key_map)
    remark = f"recipe {loaded.recipe.name}, from the {loaded.metadata['recipe_from']}"
    model = _TorchModel(loaded.network, loaded.recipe)
    digests = {"checkpoint": loaded.sha256}
    return Source(path, loaded.recipe, model, digests, loaded.trained, loaded.score_calibration, (remark,))


def _onnx_source(path: Path, stated: Recipe | None) -> Source:
    model = checked_model(path)
    manifest = manifest_from_metadata({entry.key: entry.value for entry in model.metadata_props}, where=str(path))
    if manifest is not None and manifest.input_kind != "raw":
        raise ModelFileError(
            f"{path}: this is an artefact of amfac-export already (target {manifest.target}, {manifest.precision})",
            cure="Export the checkpoint that it was made from, or its raw twin (--raw-logits).",
        )
    raw = raw_simcc_graph(model, where=str(path))
    remarks: tuple[str, ...]
    trained, calibration = (manifest.trained, manifest.score_calibration) if manifest else (None, None)
    if manifest is None:
        recipe = foreign_recipe(raw, stated, name=path.stem, where=str(path))
        remarks = _assumptions(recipe, opset_of(raw)) if stated is None else (f"recipe {recipe.name}, as given",)
    elif stated is None:
        recipe, remarks = manifest.recipe, (f"recipe {manifest.recipe.name}, from the file",)
    else:
        foreign_recipe(raw, stated, name=path.stem, where=str(path))  # refuses one of other sizes or joints
        recipe, remarks = stated, (f"recipe {stated.name}, as given; the file says {manifest.recipe.name}",)
        if calibration is not None and _scored_by(stated) != _scored_by(manifest.recipe):
            calibration, remarks = None, (*remarks, "its score was calibrated for that one, and is not any more")
    return Source(path, recipe, _OnnxModel(raw, path), {"source": sha256_of(path)}, trained, calibration, remarks)


def _scored_by(recipe: Recipe) -> tuple[object, ...]:
    """What a calibrated score depends on besides the weights; its temperature is its own."""
    return recipe.skeleton, recipe.crop, recipe.bins, recipe.mean, recipe.std


def _assumptions(recipe: Recipe, opset: int) -> tuple[str, ...]:
    crop = recipe.crop
    found = f"a SimCC network from elsewhere: {crop.height}x{crop.width}, {recipe.skeleton}, opset {opset}"
    assumed = (
        f"assumed, since an ONNX doesn't say it: RGB, ImageNet mean and std, padding {crop.padding:g}, MMPose's crop, "
        f"bins at b/{recipe.split_ratio:g}, T = {recipe.temperature:g}; --recipe FILE.toml says otherwise"
    )
    return found, assumed


class _TorchModel:
    def __init__(self, network: nn.Module, recipe: Recipe) -> None:
        self._network = network
        self._recipe = recipe
        self._deployable: nn.Module | None = None

    def raw_graph(self, batch: BatchRange, opset: int) -> ModelProto:
        if self._deployable is None:
            self._deployable = deployable(self._network, self._recipe.crop.height, self._recipe.crop.width)
        return onnx_from_network(self._deployable, self._recipe, batch=batch, opset=opset)

    def logits(self, images: NDArray[np.float32]) -> Logits:
        with torch.inference_mode():
            parts = [self._network(torch.from_numpy(image[None])) for image in images]
        x, y = (torch.cat(axis).numpy() for axis in zip(*parts, strict=True))
        return x, y


class _OnnxModel:
    def __init__(self, raw: ModelProto, path: Path) -> None:
        self._raw = raw
        self._path = path
        self._reference: RawGraph | None = None

    def raw_graph(self, batch: BatchRange, opset: int) -> ModelProto:
        """The graph as it is, at its own opset; only a dynamic batch axis is given its size."""
        found = opset_of(self._raw)
        if opset == TENSORRT_8_OPSET < found:
            raise InputError(
                f"{self._path}: opset {found} can't become {opset}", cure="Export it at that opset where it is from."
            )
        model = copy.deepcopy(self._raw)
        axis = shape_of(model.graph.input[0])[0]
        if isinstance(axis, int) and not (batch.is_fixed and batch.minimum == axis):
            raise InputError(f"{self._path}: its batch is fixed at {axis}, not {batch}", cure=f"Give --batch {axis}.")
        if isinstance(axis, str):
            for value in (*model.graph.input, *model.graph.output):
                first = value.type.tensor_type.shape.dim[0]
                first.Clear()
                if batch.is_fixed:
                    first.dim_value = batch.minimum
                else:
                    first.dim_param = "N"
            del model.graph.value_info[:]
        return model

    def logits(self, images: NDArray[np.float32]) -> Logits:
        if self._reference is None:
            # Without optimisation: the reference is the file as it was written.
            self._reference = RawGraph(self._raw.SerializeToString(), name=str(self._path), optimised=False)
        name = self._raw.graph.input[0].name
        size = shape_of(self._raw.graph.input[0])[0]
        parts = [self._reference.run({name: part}) for part in in_batches(images, size if isinstance(size, int) else 1)]
        x, y = (np.concatenate(axis)[: len(images)] for axis in zip(*parts, strict=True))
        return x, y


def in_batches(images: NDArray[np.generic], size: int) -> Iterator[NDArray[np.generic]]:
    """Parts of exactly `size` of an array (N, ...); the last one is filled up with repetitions of its last entry."""
    for start in range(0, len(images), size):
        part = images[start : start + size]
        yield np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])
