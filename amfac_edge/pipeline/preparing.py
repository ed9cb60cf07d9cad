"""The graph that targets get: raw graph, target's form, simplification, precision, contract; and its parity.

Targets that take the same form share one `Prepared`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from amfac_edge.artefact import FP16, FP32, INT8, BatchRange
from amfac_edge.datasets import generated_people
from amfac_edge.graph.contract import crop_graph
from amfac_edge.graph.frame import AFFINES_INPUT, FRAME_INPUT, frame_graph
from amfac_edge.graph.half_rounding import rounded_twin
from amfac_edge.graph.halving import Halved, halved
from amfac_edge.graph.onnx_values import shape_of
from amfac_edge.graph.parity import INT8_TRIAL, Parity, budget_for, compare, generated_crops, normalised, trial_of
from amfac_edge.pipeline.frame_parity import Sampling, compare_sampling, montage
from amfac_edge.pipeline.int8_ranges import raw_graph
from amfac_edge.pipeline.quantizing import Int8Request, quantised_graph
from amfac_edge.pipeline.sources import in_batches
from amfac_edge.quantization.people import crops_of
from amfac_edge.sessions.raw_graph import RawGraph

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from onnx import ModelProto

    from amfac_edge.artefact.trial import Trial
    from amfac_edge.declared.calibration_set import CalibrationSet
    from amfac_edge.graph.parity import Budget
    from amfac_edge.graph.simplifying import Simplification
    from amfac_edge.pipeline.int8_people import Int8People
    from amfac_edge.pipeline.sources import Source

__all__ = ["FRAME", "Form", "Prepared", "outputs_of", "prepare"]

FRAME = "frame"
_GENERATED_CROPS = 8
_TRIAL_CROPS = 16


@dataclass(frozen=True)
class Form:
    """What two targets must have in common to take the same graph.

    Attributes:
        batch: persons in one call.
        precision: "fp32", "fp16" or "int8".
        opset: 19, or 17 for TensorRT 8.6.
        for_cpu: written as ONNX Runtime's CPU provider computes it fastest.
        input_kind: "crops", or "frame" to cut them out in the graph.
        int8: what INT8 is made from; None for another precision.
    """

    batch: BatchRange
    precision: str
    opset: int
    for_cpu: bool
    input_kind: str = "crops"
    int8: Int8Request | None = None


@dataclass(frozen=True)
class Prepared:
    """A graph in its form.

    Attributes:
        form: which.
        raw: `image` -> logits.
        model: `crops`, or `frame` and `affines` -> `keypoints`, `scores`.
        simplification: what onnxsim changed in the raw graph.
        half: what was converted to float16; None in FP32.
        parity: with the network itself; whoever writes the graph checks it.
        full: `model` before it was converted to float16; None in FP32.
        full_parity: its own.
        trial: what a plan of it is tried with; None of untrained weights in INT8, whose joints rounding decides.
        sampling: how a frame graph cuts out its crops; None where it takes crops.
        int8: the evidence of INT8's gate; empty in another precision.
    """

    form: Form
    raw: ModelProto
    model: ModelProto
    simplification: Simplification
    half: Halved | None
    parity: Parity
    full: ModelProto | None
    full_parity: Parity | None
    trial: Trial | None
    sampling: Sampling | None = None
    int8: Mapping[str, Any] = field(default_factory=dict)


def prepare(
    source: Source,
    form: Form,
    crops: Sequence[NDArray[np.uint8]],
    *,
    name: str,
    stage: Callable[[str], None],
    say: Callable[[str], None],
    people: Callable[[CalibrationSet], Int8People],
) -> Prepared:
    """Make the graph of `source` in `form`, and compare it with the network.

    Args:
        source: of `read_source`.
        form: of the graph.
        crops: real crops (H,W,3) uint8 BGR for the parity gate, besides the generated ones.
        name: of the target, for the lines.
        stage: called with a line at the start of each of the three steps.
        say: called with a line of what takes long within one.
        people: of a calibration set; asked for those of `form.int8`.
    """
    recipe = source.recipe
    stage(f"{name}: the graph of {recipe.name}, {form.precision.upper()}, batch {form.batch}")
    pictures = np.concatenate([generated_crops(recipe, _GENERATED_CROPS), *(crop[None] for crop in crops)])
    raw, simplification = raw_graph(
        source, form.batch, form.opset, for_cpu=form.for_cpu, stage=lambda line: stage(f"{name}: {line}")
    )
    int8: Mapping[str, Any] = {}
    if form.int8 is not None:
        chosen = people(form.int8.calibration)
        made = quantised_graph(source, raw, form.int8, chosen, half=not form.for_cpu, say=say)
        raw, int8 = made.model, made.evidence
    half = halved(raw, normalised(pictures, recipe)) if form.precision == FP16 else None
    full_raw, raw = raw, half.model if half else raw
    stage(f"{name}: parity with the network itself")
    comparison = _Comparison(source, pictures)
    around = frame_graph if form.input_kind == FRAME else crop_graph
    model = around(raw, recipe, source.score_calibration)
    full = around(full_raw, recipe, source.score_calibration) if half else None
    return Prepared(
        form,
        raw,
        model,
        simplification,
        half,
        comparison.of(raw, model, form.precision),
        full,
        comparison.of(full_raw, full, FP32) if full else None,
        comparison.trial(raw, form.precision),
        comparison.sampling(raw, model, form.precision) if form.input_kind == FRAME else None,
        int8,
    )


class _Comparison:
    """A network's answers to pictures, and how far others are from them."""

    def __init__(self, source: Source, pictures: NDArray[np.uint8]) -> None:
        self._source = source
        self._pictures = pictures
        self._images = normalised(pictures, source.recipe)
        self._reference = source.model.logits(self._images)

    def of(self, raw: ModelProto, model: ModelProto, precision: str) -> Parity:
        recipe, calibration = self._source.recipe, self._source.score_calibration
        if precision != FP32:
            # ONNX Runtime alone would compute it in float32 on this CPU.
            raw, model = rounded_twin(raw), rounded_twin(model)
        x, y = outputs_of(raw, self._images)
        keypoints, scores = outputs_of(model, self._pictures)
        # What INT8 costs its own gate has judged; what is left to see is that the artefact gives what its graph does.
        reference = (x, y) if precision == INT8 else self._reference
        return compare(recipe, reference, (x, y), (keypoints, scores), calibration, self._budget(precision))

    def trial(self, raw: ModelProto, precision: str) -> Trial | None:
        recipe, calibration = self._source.recipe, self._source.score_calibration
        if precision == INT8:
            if self._source.trained is False:
                return None
            # Of noise, which the ranges are not of, rounding decides most joints.
            crops = np.stack(list(crops_of(generated_people(_TRIAL_CROPS, 0), recipe)))
            x, y = outputs_of(rounded_twin(raw), normalised(crops, recipe))
            return trial_of(recipe, crops, (x, y), INT8_TRIAL, calibration)
        # A kit stays small: of many real crops, the first few after the generated ones.
        crops = self._pictures[:_TRIAL_CROPS]
        x, y = (logits[:_TRIAL_CROPS] for logits in self._reference)
        return trial_of(recipe, crops, (x, y), self._budget(precision), calibration)

    def sampling(self, raw: ModelProto, model: ModelProto, precision: str) -> Sampling:
        if precision != FP32:
            model = rounded_twin(model)
        # As in `of`: an INT8 graph's own joints are what other crops are compared by.
        logits = partial(outputs_of, rounded_twin(raw)) if precision == INT8 else None
        return compare_sampling(self._source, model, self._budget(precision), logits)

    def _budget(self, precision: str) -> Budget:
        return budget_for(precision, self._source.recipe, trained=self._source.trained)


def outputs_of(model: ModelProto, values: NDArray[Any]) -> list[NDArray[np.float32]]:
    """The outputs of a graph for values (N, ...), in batches that it takes.

    A frame graph gets crops one below the other, and its keypoints are those of the crops.
    """
    takes_frames = model.graph.input[0].name == FRAME_INPUT
    size = shape_of(model.graph.input[1 if takes_frames else 0])[0]
    graph = RawGraph(model.SerializeToString(), name="the exported graph")
    # A dynamic batch is run with different sizes, to see that it is one.
    parts = in_batches(values, size) if isinstance(size, int) else _uneven(values)
    name = model.graph.input[0].name
    results = [_of_montage(graph, part) if takes_frames else graph.run({name: part}) for part in parts]
    return [np.concatenate(column)[: len(values)] for column in zip(*results, strict=True)]


def _of_montage(graph: RawGraph, crops: NDArray[Any]) -> list[NDArray[np.float32]]:
    frame, affines = montage(crops)
    keypoints, scores = graph.run({FRAME_INPUT: frame, AFFINES_INPUT: affines.astype(np.float32)})
    return [(keypoints - affines[:, None, :, 2]).astype(np.float32), scores]


def _uneven(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    start = 0
    for size in itertools.cycle((1, 2)):
        if start >= len(values):
            return
        yield values[start : start + size]
        start += size
