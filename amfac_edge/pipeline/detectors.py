"""Person detectors on their way from anybody's ONNX to artefacts: the same stages as for poses, with their own gate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.artefact import (
    BOXES_OUTPUT,
    FP16,
    FP32,
    PERSON_SCORES_OUTPUT,
    TENSORRT_8_OPSET,
    BatchRange,
    DetectorFacts,
    Manifest,
    manifest_from_metadata,
    manifest_path,
    takes_both_forms,
)
from amfac_edge.artefact.detector_facts import outputs_of_detector
from amfac_edge.artefact.manifest import METADATA_DETECTOR
from amfac_edge.artefact.onnx_header import read_onnx_header
from amfac_edge.artefact.trial import trial_bytes
from amfac_edge.compiler.forms import FLAG_FORM_FILE, TRIAL_FILE
from amfac_edge.errors import AmfacError, InputError, ModelFileError
from amfac_edge.files import sha256_of, writable_folder
from amfac_edge.graph.checking import checked_model
from amfac_edge.graph.costs import layer_costs
from amfac_edge.graph.cutting import with_outputs
from amfac_edge.graph.detector_parity import (
    People,
    check_decoding,
    check_detector_parity,
    compare_detectors,
    detector_trial,
)
from amfac_edge.graph.detectors import detector_graph, detector_network, normalised_images, with_pixels
from amfac_edge.graph.exporting import IR_VERSION
from amfac_edge.graph.half_rounding import rounded_twin
from amfac_edge.graph.halving import half_facts, halved
from amfac_edge.graph.onnx_values import opset_of, shape_of
from amfac_edge.graph.parity import generated_pictures
from amfac_edge.graph.simplifying import simplified
from amfac_edge.pipeline.exporting import Exported, form_of
from amfac_edge.pipeline.preparing import outputs_of
from amfac_edge.pipeline.sources import in_batches
from amfac_edge.pipeline.writing import finished_artefact, tensor_spec, tool_versions, version_of, write_artefact

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from onnx import ModelProto

    from amfac_edge.artefact.trial import Trial
    from amfac_edge.declared.target import Target
    from amfac_edge.graph.detector_parity import Candidates, DetectorParity
    from amfac_edge.graph.detectors import DetectorNetwork
    from amfac_edge.graph.halving import Halved
    from amfac_edge.graph.simplifying import Simplification
    from amfac_edge.pipeline.exporting import ExportRequest
    from amfac_edge.pipeline.preparing import Form

__all__ = ["DetectorSource", "export_detector", "is_detector", "read_detector"]

_GENERATED, _TRIAL_PICTURES = 8, 4
_SUPPRESSED_OUTPUTS = ("dets", "labels")


@dataclass(frozen=True)
class DetectorSource:
    """A detector to export.

    Attributes:
        path: of the file.
        network: what was found in it.
        digests: SHA-256 of the file, under "source".
    """

    path: Path
    network: DetectorNetwork
    digests: dict[str, str]

    @property
    def facts(self) -> DetectorFacts:
        """What the detector is."""
        return self.network.facts


def is_detector(path: Path) -> bool:
    """Whether a file has the outputs of a detector: a look at its header, without onnx; false where it has none."""
    if path.suffix.lower() != ".onnx":
        return False
    try:
        header = read_onnx_header(path)
    except AmfacError:
        return False  # whoever reads it in earnest says what is wrong with it
    names, shapes = [tensor.name for tensor in header.outputs], [tensor.shape for tensor in header.outputs]
    return outputs_of_detector(names, shapes) or METADATA_DETECTOR in header.metadata


def read_detector(path: Path, *, size: tuple[int, int] | None = None) -> DetectorSource:
    """Read a detector's ONNX.

    Args:
        path: of the file.
        size: H and W for one whose input has dynamic sides, see `detector_network`.

    Raises:
        AmfacError: the file can't be used; see `checked_model`, `detector_network`.
    """
    ours = manifest_from_metadata(read_onnx_header(path).metadata, where=str(path))
    if ours is not None:
        raise ModelFileError(
            f"{path}: this is an artefact of amfac-export already (target {ours.target}, {ours.precision})",
            cure="Export the ONNX that it was made from.",
        )
    model = checked_model(path, trial="amfac_edge.graph.detectors:try_detector", size=size)
    network = detector_network(model, name=path.stem, where=str(path), size=size)
    return DetectorSource(path, network, {"source": sha256_of(path)})


@dataclass(frozen=True)
class _Prepared:
    form: Form
    model: ModelProto
    simplification: Simplification
    half: Halved | None
    parity: DetectorParity
    trial: Trial
    full: ModelProto | None
    full_parity: DetectorParity | None


def export_detector(
    source: DetectorSource, targets: Sequence[Target], request: ExportRequest, *, stage: Callable[[str], None]
) -> list[Exported]:
    """Export a detector for each of `targets`; those that take the same graph share it.

    Args:
        source: of `read_detector`.
        targets: at least one.
        request: the rest of what is asked, with a batch: pictures in one call; its crops are letterboxed pictures
            (H,W,3).
        stage: called with a line at the start of each stage, as often as `stage_count` says.

    Raises:
        GateError: parity doesn't hold; nothing was written for that target.
        InputError: a precision, batch or opset that can't be.
        OutputError: the folder can't be written to.
    """
    forms = [form_of(target, request) for target in targets]
    for form in forms:
        _check_form(source, form)
    writable_folder(request.out)
    prepared: dict[Form, _Prepared] = {}
    exported = []
    for target, form in zip(targets, forms, strict=True):
        if form not in prepared:
            prepared[form] = _prepare(source, form, request.crops, name=target.name, stage=stage)
        exported.append(_export(source, target, request, prepared[form], stage))
    return exported


def _check_form(source: DetectorSource, form: Form) -> None:
    model = source.network.model
    axis, found = shape_of(model.graph.input[0])[0], opset_of(model)
    if isinstance(axis, int) and not (form.batch.is_fixed and form.batch.minimum == axis):
        raise InputError(
            f"{source.path}: its batch is fixed at {axis}, not {form.batch}",
            cure=f"Give --batch {axis}, or export it with a dynamic batch where it is from.",
        )
    if form.opset == TENSORRT_8_OPSET < found:
        raise InputError(
            f"{source.path}: opset {found} can't become {form.opset}", cure="Export it at that opset where it is from."
        )


def _prepare(
    source: DetectorSource, form: Form, real: Sequence[NDArray[np.uint8]], *, name: str, stage: Callable[[str], None]
) -> _Prepared:
    facts, batch = source.facts, form.batch
    stage(f"{name}: the graph of {facts.name}, {form.precision.upper()}, batch {batch}")
    pictures = np.concatenate(
        [generated_pictures(facts.height, facts.width, _GENERATED), *(picture[None] for picture in real)]
    )
    core = detector_graph(source.network, batch.minimum if batch.is_fixed else "N")
    core.ir_version = min(core.ir_version, IR_VERSION)
    stage(f"{name}: simplifying with onnxsim, in a process of its own")
    core, simplification = simplified(core)
    half = halved(core, normalised_images(pictures, facts)) if form.precision == FP16 else None
    full = with_pixels(core, facts)
    stage(f"{name}: parity with the network as it came")
    reference, people = _reference(source, pictures)
    check_decoding(reference, facts, where=str(source.path))
    parity = compare_detectors(facts, reference, _candidates(full, pictures), people)
    few = pictures[:_TRIAL_PICTURES]
    trial = detector_trial(facts, few, (reference[0][: len(few)], reference[1][: len(few)]))
    if half is None:
        return _Prepared(form, full, simplification, None, parity, trial, None, None)
    model = with_pixels(half.model, facts)
    # ONNX Runtime alone would compute float16 in float32 on this CPU.
    found = _candidates(rounded_twin(model), pictures)
    half_parity = compare_detectors(facts, reference, found, people, precision=FP16)
    return _Prepared(form, model, simplification, half, half_parity, trial, full, parity)


def _candidates(model: ModelProto, pictures: NDArray[np.uint8]) -> Candidates:
    names = [value.name for value in model.graph.output]
    found = dict(zip(names, outputs_of(model, pictures), strict=True))
    return found[BOXES_OUTPUT], found[PERSON_SCORES_OUTPUT]


def _reference(source: DetectorSource, pictures: NDArray[np.uint8]) -> tuple[Candidates, list[People] | None]:
    """What the network as it came says of `pictures`: candidates, decoded by hand, and people, if it suppresses."""
    network, facts = source.network, source.facts
    outputs = {value.name for value in network.model.graph.output}
    suppressed = _SUPPRESSED_OUTPUTS if outputs.issuperset(_SUPPRESSED_OUTPUTS) else ()
    engine = with_outputs(network.model, [*network.heads.tensors, *suppressed], where=str(source.path))
    image = network.model.graph.input[0]
    axis = shape_of(image)[0]
    size = axis if isinstance(axis, int) else 1
    boxes, scores, people = [], [], []
    for part in in_batches(normalised_images(pictures, facts), size):
        values = engine.run({image.name: part})
        part_boxes, part_scores = network.heads.by_hand(values[: len(network.heads.tensors)])
        boxes.append(part_boxes)
        scores.append(part_scores[..., facts.class_index])
        if suppressed:
            people += [_people(source, *picture) for picture in zip(*values[-2:], part_scores, strict=True)]
    count = len(pictures)
    return (np.concatenate(boxes)[:count], np.concatenate(scores)[:count]), people[:count] if suppressed else None


def _people(
    source: DetectorSource, rows: NDArray[np.float32], labels: NDArray[np.integer], scores: NDArray[np.float64]
) -> People:
    """The people in one picture's `dets` (n,5), `labels` (n,); fewer than asked for are followed by rows of zeros.

    There may be more where all rows are full, or where more of the `scores` (A,C) than it chose from were high enough.
    """
    facts = source.facts
    is_one = rows[:, 4] > facts.score_threshold
    people = rows[is_one & (labels == facts.class_index)]
    above = int((scores.max(axis=-1) > facts.score_threshold).sum())
    is_cut = (len(rows) and is_one.all()) or above > source.network.heads.chosen
    return People(people[:, :4], people[:, 4], is_cut=bool(is_cut))


def _export(
    source: DetectorSource, target: Target, request: ExportRequest, prepared: _Prepared, stage: Callable[[str], None]
) -> Exported:
    form, model = prepared.form, prepared.model
    several = "" if form.batch == BatchRange(1, 1, 1) else f".b{str(form.batch).replace(':', '-')}"
    path = request.out / f"{source.path.stem}.{target.name}.{form.precision}{several}.onnx"
    check_detector_parity(prepared.parity, name=path.name)
    if prepared.full_parity is not None:
        check_detector_parity(prepared.full_parity, name=f"{path.name}, before its conversion")
    stage(f"{target.name}: writing {path}")
    manifest = write_artefact(model, path, _manifest(source, target, prepared, model, form.precision, prepared.parity))
    beside = _beside(source, target, prepared) if target.gpu else {}
    return Exported(path, manifest, None, prepared.simplification, beside)


def _beside(source: DetectorSource, target: Target, prepared: _Prepared) -> dict[str, bytes]:
    """See `Exported.beside`."""
    files = {TRIAL_FILE: trial_bytes(prepared.trial)}
    both = any(takes_both_forms(stack.tensorrt) for stack in target.stacks)
    if both and prepared.full is not None and prepared.full_parity is not None:
        described = _manifest(source, target, prepared, prepared.full, FP32, prepared.full_parity)
        content, manifest = finished_artefact(prepared.full, described)
        files |= {FLAG_FORM_FILE: content, manifest_path(Path(FLAG_FORM_FILE)).name: manifest.as_bytes()}
    return files


def _manifest(
    source: DetectorSource,
    target: Target,
    prepared: _Prepared,
    model: ModelProto,
    precision: str,
    parity: DetectorParity,
) -> Manifest:
    """What is known of `model`, but for its own digest."""
    layers = layer_costs(model)
    half = prepared.half if precision == FP16 else None
    rounded = ", every float16 result rounded" if half else ""
    return Manifest(
        target=target.name,
        precision=precision,
        input_kind="images",
        batch=prepared.form.batch,
        model=source.facts,
        inputs=tuple(map(tensor_spec, model.graph.input)),
        outputs=tuple(map(tensor_spec, model.graph.output)),
        digests=source.digests,
        versions=tool_versions(),
        parity=parity.as_json()
        | {
            "reference": "the network as it came, FP32, with its own suppression if it has one",
            "engine": f"onnxruntime {version_of('onnxruntime')}, CPU{rounded}",
        },
        layers=layers,
        extra={
            "opset": opset_of(model),
            "simplification": prepared.simplification.as_json(),
            **({"half": half_facts(half, model, layers)} if half else {}),
        },
    )
