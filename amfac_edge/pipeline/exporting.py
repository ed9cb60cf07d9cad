"""The stages of an export, in order: raw graph in the target's form, simplification, contract, parity, files.

The last one before the files is the parity gate, so that what is written has been compared with the network that it was
made from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from amfac_edge.artefact import OPSETS, BatchRange, Manifest, chosen_precision
from amfac_edge.files import writable_folder
from amfac_edge.graph.costs import layer_costs
from amfac_edge.graph.halving import half_facts
from amfac_edge.graph.onnx_values import opset_of
from amfac_edge.graph.parity import check_parity
from amfac_edge.pipeline.preparing import Form, Prepared, prepare
from amfac_edge.pipeline.writing import tensor_spec, tool_versions, version_of, write_artefact

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto

    from amfac_edge.declared.target import Target
    from amfac_edge.graph.simplifying import Simplification
    from amfac_edge.pipeline.sources import Source

__all__ = ["STAGES", "ExportRequest", "Exported", "export_artefacts", "form_of", "stage_count"]

STAGES = ("graph", "simplification", "parity", "files")


@dataclass(frozen=True)
class ExportRequest:
    """What is asked of an export besides its source and target.

    Attributes:
        out: folder for the artefacts.
        precision: "fp32" or "fp16"; None for each target's own.
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


def stage_count(targets: Sequence[Target], request: ExportRequest) -> int:
    """How many lines `export_artefacts` says for these."""
    return len(STAGES[:-1]) * len({form_of(target, request) for target in targets}) + len(targets)


def export_artefacts(
    source: Source, targets: Sequence[Target], request: ExportRequest, *, stage: Callable[[str], None]
) -> list[Exported]:
    """Export `source` for each of `targets`; those that take the same graph share it.

    Args:
        source: of `read_source`.
        targets: at least one.
        request: the rest of what is asked.
        stage: called with a line at the start of each of the `STAGES`, `stage_count` times.

    Raises:
        GateError: parity doesn't hold; nothing was written for that target.
        InputError: a precision or batch that can't be.
        OutputError: the folder can't be written to.
    """
    forms = [form_of(target, request) for target in targets]
    writable_folder(request.out)
    prepared: dict[Form, Prepared] = {}
    exported = []
    for target, form in zip(targets, forms, strict=True):
        if form not in prepared:
            prepared[form] = prepare(source, form, request.crops, name=target.name, stage=stage)
        exported.append(_export(source, target, request, prepared[form], stage))
    return exported


def form_of(target: Target, request: ExportRequest) -> Form:
    """Which graph `target` gets.

    Raises:
        InputError: a precision that this version can't write.
    """
    batch = request.batch or BatchRange.parse(target.default_batch)
    return Form(batch, chosen_precision(request.precision, target), request.opset, for_cpu=target.kind == "cpu")


def _export(
    source: Source, target: Target, request: ExportRequest, prepared: Prepared, stage: Callable[[str], None]
) -> Exported:
    form = prepared.form
    name = f"{source.path.stem}.{target.name}.{form.precision}"
    if str(form.batch) != target.default_batch:
        name += f".b{str(form.batch).replace(':', '-')}"
    path = request.out / f"{name}.onnx"
    check_parity(prepared.parity, source.recipe, name=path.name)
    stage(f"{target.name}: writing {path}")
    rounded = ", every float16 result rounded" if prepared.half else ""
    evidence = prepared.parity.as_json() | {
        "reference": "the network itself, FP32, without rewrites",
        "engine": f"onnxruntime {version_of('onnxruntime')}, CPU{rounded}",
    }
    described = _Description(source, target, prepared, evidence)
    raw_path = request.out / f"{name}.raw.onnx" if request.raw_logits else None
    if raw_path is not None:
        _write(prepared.raw, raw_path, described, "raw")
    return Exported(path, _write(prepared.model, path, described, "crops"), raw_path, prepared.simplification)


@dataclass(frozen=True)
class _Description:
    source: Source
    target: Target
    prepared: Prepared
    parity: dict[str, Any]


def _write(model: ModelProto, path: Path, described: _Description, input_kind: str) -> Manifest:
    """Write the artefact and its manifest as a pair."""
    source, prepared = described.source, described.prepared
    layers = layer_costs(model)
    manifest = Manifest(
        target=described.target.name,
        precision=prepared.form.precision,
        input_kind=input_kind,
        batch=prepared.form.batch,
        model=source.recipe,
        inputs=tuple(map(tensor_spec, model.graph.input)),
        outputs=tuple(map(tensor_spec, model.graph.output)),
        digests=source.digests,
        versions=tool_versions(),
        parity=described.parity,
        layers=layers,
        trained=source.trained,
        score_calibration=source.score_calibration,
        extra={
            "opset": opset_of(model),
            "simplification": prepared.simplification.as_json(),
            **({"half": half_facts(prepared.half, model, layers)} if prepared.half else {}),
        },
    )
    return write_artefact(model, path, manifest)
