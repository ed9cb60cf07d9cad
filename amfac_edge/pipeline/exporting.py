"""The stages of an export, in order: raw graph in the target's form, simplification, contract, parity, files.

The last one before the files is the parity gate, so that what is written has been compared with the network that it was
made from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.artefact import (
    FP32,
    INT8,
    OPSETS,
    BatchRange,
    Manifest,
    chosen_precision,
    manifest_path,
    takes_both_forms,
)
from amfac_edge.artefact.trial import trial_bytes
from amfac_edge.compiler.forms import FLAG_FORM_FILE, TRIAL_FILE
from amfac_edge.errors import InputError
from amfac_edge.files import writable_folder
from amfac_edge.graph.costs import layer_costs
from amfac_edge.graph.halving import half_facts
from amfac_edge.graph.onnx_values import opset_of
from amfac_edge.graph.parity import check_parity
from amfac_edge.pipeline.frame_parity import check_sampling
from amfac_edge.pipeline.int8_people import int8_people
from amfac_edge.pipeline.preparing import FRAME, Form, Prepared, prepare
from amfac_edge.pipeline.quantizing import check_int8
from amfac_edge.pipeline.search_report import write_search
from amfac_edge.pipeline.writing import finished_artefact, tensor_spec, tool_versions, version_of, write_artefact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto

    from amfac_edge.declared.target import Target
    from amfac_edge.graph.parity import Parity
    from amfac_edge.graph.simplifying import Simplification
    from amfac_edge.pipeline.quantizing import Int8Request
    from amfac_edge.pipeline.sources import Source

__all__ = ["STAGES", "ExportRequest", "Exported", "export_artefacts", "form_of", "stage_count"]

_REFERENCE = "the network itself, FP32, without rewrites"
STAGES = ("graph", "simplification", "parity", "files")


@dataclass(frozen=True)
class ExportRequest:
    """What is asked of an export besides its source and target.

    Attributes:
        out: folder for the artefacts.
        precision: "fp32", "fp16" or "int8"; None for each target's own.
        batch: persons in one call; None for the target's default.
        opset: 19, or 17 for TensorRT 8.6.
        raw_logits: also write the raw twin (`image` -> `simcc_x`, `simcc_y`).
        crops: real crops (N,H,W,3) uint8 BGR for the parity gate, besides the generated ones.
        input_kind: "crops"; or "frame": the graph takes whole frames and cuts the crops out itself.
        int8: what INT8 is made from and may cost; needed for it.
        say: called with a line of what takes long within a stage.
    """

    out: Path
    precision: str | None = None
    batch: BatchRange | None = None
    opset: int = OPSETS[0]
    raw_logits: bool = False
    crops: Sequence[NDArray[np.uint8]] = field(default_factory=list)
    input_kind: str = "crops"
    int8: Int8Request | None = None
    say: Callable[[str], None] = lambda _: None


@dataclass(frozen=True)
class Exported:
    """An artefact that was written.

    Attributes:
        path: of the artefact; its manifest lies beside it.
        manifest: what it is.
        raw_path: of the raw twin, None where none was asked for.
        simplification: what the simplifier changed.
        beside: what the machine that builds its plan gets with it, by name: a trial, and where TensorRT there takes
            FP16 in two forms, the graph in the other one with its manifest. Empty for the CPU.
    """

    path: Path
    manifest: Manifest
    raw_path: Path | None
    simplification: Simplification
    beside: Mapping[str, bytes] = field(default_factory=dict)


def stage_count(targets: Sequence[Target], request: ExportRequest) -> int:
    """How many lines `export_artefacts` says for these."""
    return len(STAGES[:-1]) * len({form_of(target, request) for target in targets}) + len(targets)


def export_artefacts(
    source: Source, targets: Sequence[Target], request: ExportRequest, *, stage: Callable[[str], None]
) -> list[Exported]:
    """Export `source` for each of `targets`; those that take the same graph share it, and all share INT8's people.

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
    people = cache(partial(int8_people, source, say=request.say))
    prepared: dict[Form, Prepared] = {}
    exported = []
    for target, form in zip(targets, forms, strict=True):
        if form not in prepared:
            prepared[form] = prepare(
                source, form, request.crops, name=target.name, stage=stage, say=request.say, people=people
            )
        exported.append(_export(source, target, request, prepared[form], stage))
    return exported


def form_of(target: Target, request: ExportRequest) -> Form:
    """Which graph `target` gets.

    Raises:
        InputError: a precision that this version can't write.
    """
    batch = request.batch or BatchRange.parse(target.default_batch)
    precision = chosen_precision(request.precision, target)
    int8 = request.int8 if precision == INT8 else None
    if precision == INT8:
        _check_int8(request)
    for_cpu = target.kind == "cpu"
    return Form(batch, precision, request.opset, for_cpu=for_cpu, input_kind=request.input_kind, int8=int8)


def _check_int8(request: ExportRequest) -> None:
    if request.int8 is None:
        raise InputError(
            "INT8 is calibrated with pictures of people, never with noise, and no set was named",
            cure="--calib generated-people, or better a TOML of your own pictures: docs/quantization.md has one.",
        )
    if request.opset != OPSETS[0]:
        raise InputError(
            f"INT8 needs opset {OPSETS[0]}, for scales in float16, and --opset is {request.opset}",
            cure="Leave --opset out, or take FP16.",
        )


def _export(
    source: Source, target: Target, request: ExportRequest, prepared: Prepared, stage: Callable[[str], None]
) -> Exported:
    form = prepared.form
    name = f"{source.path.stem}.{target.name}.{form.precision}"
    if str(form.batch) != target.default_batch:
        name += f".b{str(form.batch).replace(':', '-')}"
    path = request.out / (f"{name}.frame.onnx" if form.input_kind == FRAME else f"{name}.onnx")
    if prepared.sampling is not None:
        check_sampling(prepared.sampling, name=path.name)
    check_parity(prepared.parity, source.recipe, name=path.name)
    if prepared.full_parity is not None:
        check_parity(prepared.full_parity, source.recipe, name=f"{path.name}, before its conversion")
    if prepared.int8:
        write_search(prepared.int8, path)
        check_int8(prepared.int8, name=path.name)
    stage(f"{target.name}: writing {path}")
    described = _Description(source, target, prepared)
    raw_path = request.out / f"{name}.raw.onnx" if request.raw_logits else None
    if raw_path is not None:
        write_artefact(prepared.raw, raw_path, described.of(prepared.raw, "raw"))
    manifest = write_artefact(prepared.model, path, described.of(prepared.model, form.input_kind))
    return Exported(path, manifest, raw_path, prepared.simplification, described.beside() if target.gpu else {})


@dataclass(frozen=True)
class _Description:
    """What the manifests of one export say."""

    source: Source
    target: Target
    prepared: Prepared

    def of(self, model: ModelProto, input_kind: str) -> Manifest:
        """The manifest of `model`, without its own digest."""
        prepared = self.prepared
        half = half_facts(prepared.half, model, layer_costs(model)) if prepared.half else {}
        rounded = ", every float16 result rounded" if half else ""
        more: dict[str, object] = {"half": half} if half else {}
        if prepared.int8:
            more["int8"] = dict(prepared.int8)
            rounded = ", every float16 result rounded"
        return self._manifest(model, prepared.form.precision, input_kind, prepared.parity, rounded, more)

    def beside(self) -> dict[str, bytes]:
        """See `Exported.beside`."""
        prepared = self.prepared
        files = {} if prepared.trial is None else {TRIAL_FILE: trial_bytes(prepared.trial)}
        both = any(takes_both_forms(stack.tensorrt) for stack in self.target.stacks)
        if both and prepared.full is not None and prepared.full_parity is not None:
            manifest = self._manifest(prepared.full, FP32, prepared.form.input_kind, prepared.full_parity)
            content, manifest = finished_artefact(prepared.full, manifest)
            files |= {FLAG_FORM_FILE: content, manifest_path(Path(FLAG_FORM_FILE)).name: manifest.as_bytes()}
        return files

    def _manifest(
        self,
        model: ModelProto,
        precision: str,
        input_kind: str,
        parity: Parity,
        rounded: str = "",
        more: Mapping[str, object] | None = None,
    ) -> Manifest:
        source, prepared = self.source, self.prepared
        return Manifest(
            target=self.target.name,
            precision=precision,
            input_kind=input_kind,
            batch=prepared.form.batch,
            model=source.recipe,
            inputs=tuple(map(tensor_spec, model.graph.input)),
            outputs=tuple(map(tensor_spec, model.graph.output)),
            digests={**source.digests, **_calibration_digest(prepared)},
            versions=tool_versions(),
            parity=parity.as_json()
            | ({"sampling": prepared.sampling.as_json()} if input_kind == FRAME and prepared.sampling else {})
            | {
                "reference": "its own quantised graph; `int8` has the network's" if prepared.int8 else _REFERENCE,
                "engine": f"onnxruntime {version_of('onnxruntime')}, CPU{rounded}",
            },
            layers=layer_costs(model),
            trained=source.trained,
            score_calibration=source.score_calibration,
            extra={
                "opset": opset_of(model),
                "simplification": prepared.simplification.as_json(),
                **(more or {}),
            },
        )


def _calibration_digest(prepared: Prepared) -> dict[str, str]:
    return {"calibration": prepared.int8["calibration"]["crops_sha256"]} if prepared.int8 else {}
