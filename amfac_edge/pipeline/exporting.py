"""The stages of an export, in order: raw graph, target's form, contract, simplification, parity, files.

The last one before the files is the parity gate, so that what is written has been compared with the network that it was
made from.
"""

from __future__ import annotations

import itertools
import platform
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from amfac_edge.artefact import OPSETS, PRECISION, BatchRange, Manifest, TensorSpec, check_precision, manifest_path
from amfac_edge.files import atomic_files, sha256_of, writable_folder
from amfac_edge.graph.contract import crop_graph
from amfac_edge.graph.costs import layer_costs
from amfac_edge.graph.exporting import IR_VERSION
from amfac_edge.graph.onnx_values import DTYPES, opset_of, shape_of
from amfac_edge.graph.parity import Parity, check_parity, compare, generated_crops, normalised
from amfac_edge.graph.passes import mean_as_pooling, mish_for_cpu
from amfac_edge.graph.simplifying import simplified
from amfac_edge.pipeline.sources import in_batches
from amfac_edge.sessions.raw_graph import RawGraph

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from onnx import ModelProto, ValueInfoProto

    from amfac_edge.declared.target import Target
    from amfac_edge.graph.simplifying import Simplification
    from amfac_edge.pipeline.sources import Source

__all__ = ["STAGES", "ExportRequest", "Exported", "export_artefacts"]

STAGES = ("graph", "simplification", "parity", "files")
_GENERATED_CROPS = 8


@dataclass(frozen=True)
class ExportRequest:
    """What is asked of an export besides its source and target.

    Attributes:
        out: folder for the artefacts.
        precision: "fp32", or None for it; others are refused in this version.
        batch: persons in one call; None for the target's default.
        opset: 19, or 17 for TensorRT 8.6.
        raw_logits: also write the raw twin (`image` -> `simcc_x`, `simcc_y`).
        crops: real crops (N,H,W,3) uint8 BGR for the parity gate, besides the generated ones.
    """

    out: Path
    precision: str | None = None
    batch: BatchRange | None = None
    opset: int = OPSETS[0]
    raw_logits: bool = False
    crops: Sequence[NDArray[np.uint8]] = field(default_factory=list)


@dataclass(frozen=True)
class Exported:
    """An artefact that was written.

    Attributes:
        path: of the artefact; its manifest lies beside it.
        manifest: what it is.
        raw_path: of the raw twin, None where none was asked for.
        simplification: what the simplifier changed.
    """

    path: Path
    manifest: Manifest
    raw_path: Path | None
    simplification: Simplification


def export_artefacts(
    source: Source, targets: Sequence[Target], request: ExportRequest, *, stage: Callable[[str], None]
) -> list[Exported]:
    """Export `source` for each of `targets`.

    Args:
        source: of `read_source`.
        targets: at least one.
        request: the rest of what is asked.
        stage: called with a line at the start of each of the four `STAGES` of each target.

    Raises:
        GateError: parity doesn't hold; nothing was written for that target.
        InputError: a precision or batch that can't be.
        OutputError: the folder can't be written to.
    """
    check_precision(request.precision)
    writable_folder(request.out)
    return [_export(source, target, request, stage) for target in targets]


def _export(source: Source, target: Target, request: ExportRequest, stage: Callable[[str], None]) -> Exported:
    batch = request.batch or BatchRange.parse(target.default_batch)
    stage(f"{target.name}: the graph of {source.recipe.name}, batch {batch}")
    raw = source.model.raw_graph(batch, request.opset)
    raw.ir_version = min(raw.ir_version, IR_VERSION)
    if target.kind == "cpu":
        mish_for_cpu(raw)
        mean_as_pooling(raw)
    stage(f"{target.name}: simplifying with onnxsim, in a process of its own")
    model, simplification = simplified(crop_graph(raw, source.recipe, source.score_calibration))
    stage(f"{target.name}: parity with the network itself")
    parity = _parity(source, raw, model, request.crops)
    name = f"{source.path.stem}.{target.name}.{PRECISION}"
    if str(batch) != target.default_batch:
        name += f".b{str(batch).replace(':', '-')}"
    path = request.out / f"{name}.onnx"
    check_parity(parity, source.recipe, name=path.name)
    stage(f"{target.name}: writing {path}")
    evidence = parity.as_json() | {
        "reference": "the network itself, FP32, without rewrites",
        "engine": f"onnxruntime {_version('onnxruntime')}, CPU",
    }
    described = _Description(source, target, batch, evidence, simplification)
    raw_path = request.out / f"{name}.raw.onnx" if request.raw_logits else None
    if raw_path is not None:
        _write(raw, raw_path, described, "raw")
    return Exported(path, _write(model, path, described, "crops"), raw_path, simplification)


def _parity(source: Source, raw: ModelProto, model: ModelProto, crops: Sequence[NDArray[np.uint8]]) -> Parity:
    recipe = source.recipe
    pictures = np.concatenate([generated_crops(recipe, _GENERATED_CROPS), *(crop[None] for crop in crops)])
    images = normalised(pictures, recipe)
    raw_logits = _outputs(raw, images)
    keypoints, scores = _outputs(model, pictures)
    reference, found = source.model.logits(images), (raw_logits[0], raw_logits[1])
    return compare(recipe, reference, found, (keypoints, scores), source.score_calibration)


def _outputs(model: ModelProto, values: NDArray[Any]) -> list[NDArray[np.float32]]:
    """The outputs of a graph with one input for N values, in batches that it takes."""
    size = shape_of(model.graph.input[0])[0]
    graph = RawGraph(model.SerializeToString(), name="the exported graph")
    name = model.graph.input[0].name
    # A dynamic batch is run with different sizes, to see that it is one.
    parts = in_batches(values, size) if isinstance(size, int) else _uneven(values)
    results = [graph.run({name: part}) for part in parts]
    return [np.concatenate(column)[: len(values)] for column in zip(*results, strict=True)]


def _uneven(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    start = 0
    for size in itertools.cycle((1, 3, 2)):
        if start >= len(values):
            return
        yield values[start : start + size]
        start += size


@dataclass(frozen=True)
class _Description:
    source: Source
    target: Target
    batch: BatchRange
    parity: dict[str, Any]
    simplification: Simplification


def _write(model: ModelProto, path: Path, described: _Description, input_kind: str) -> Manifest:
    """Write the artefact and its manifest as a pair."""
    source = described.source
    facts = {
        "target": described.target.name,
        "precision": PRECISION,
        "input_kind": input_kind,
        "batch": described.batch,
        "model": source.recipe,
        "inputs": tuple(_tensor(value) for value in model.graph.input),
        "outputs": tuple(_tensor(value) for value in model.graph.output),
        "versions": _versions(),
        "parity": described.parity,
        "layers": layer_costs(model),
        "trained": source.trained,
        "score_calibration": source.score_calibration,
        "extra": {"opset": opset_of(model), **_simplification(described, input_kind)},
    }
    inside = Manifest(**facts, digests=source.digests)  # type: ignore[arg-type]
    model.graph.name = f"amfac {source.recipe.name}"
    model.producer_name, model.producer_version = "amfac-edge", inside.versions["amfac-edge"]
    onnx.helper.set_model_props(model, inside.metadata())
    content = model.SerializeToString(deterministic=True)
    manifest = Manifest(**facts, digests={**source.digests, "artefact": sha256_of(content)})  # type: ignore[arg-type]
    # The manifest first: a crash between the two renames leaves a digest that doesn't match, never a lone artefact.
    with atomic_files(manifest_path(path), path) as (manifest_part, part):
        part.write_bytes(content)
        manifest_part.write_bytes(manifest.as_bytes())
    return manifest


def _simplification(described: _Description, input_kind: str) -> dict[str, Any]:
    return {"simplification": described.simplification.as_json()} if input_kind == "crops" else {}


def _tensor(value: ValueInfoProto) -> TensorSpec:
    return TensorSpec(value.name, DTYPES[value.type.tensor_type.elem_type], shape_of(value))


def _versions() -> dict[str, str]:
    names = ("amfac-edge", "torch", "onnx", "onnxscript", "onnxsim", "onnxruntime", "numpy")
    return {"python": platform.python_version()} | {name: _version(name) for name in names}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
