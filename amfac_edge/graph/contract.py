"""The artefact's contract around any raw SimCC graph.

Before: `crops` uint8 (N,H,W,3) BGR as OpenCV gives it -> normalised RGB (N,3,H,W). After: logits -> `keypoints` float32
(N,K,2) in crop pixels, `scores` float32 (N,K) in [0,1], calibrated where the checkpoint says how. uint8 goes straight
into Cast, since TensorRT takes it nowhere else, and the whole of both parts is float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper

from amfac_edge.errors import ModelFileError
from amfac_edge.graph.onnx_values import opset_of, shape_of
from amfac_edge.graph.writing import GraphWriter
from amfac_edge.keypoints import SCORE_MARGIN

if TYPE_CHECKING:
    from onnx import ModelProto

    from amfac_edge.declared.recipe import Recipe
    from amfac_edge.keypoints import ScoreCalibration

__all__ = ["CROPS_INPUT", "KEYPOINTS_OUTPUT", "SCORES_OUTPUT", "crop_graph"]

CROPS_INPUT = "crops"
KEYPOINTS_OUTPUT = "keypoints"
SCORES_OUTPUT = "scores"
_PREFIX = GraphWriter.prefix


def crop_graph(raw: ModelProto, recipe: Recipe, calibration: ScoreCalibration | None = None) -> ModelProto:
    """A copy of `raw` with pre- and post-processing around it.

    Args:
        raw: one float32 input (N,3,H,W), two outputs of logits (N,K,W·k), (N,K,H·k), in this order.
        recipe: gives mean, std, temperature and the bins' convention.
        calibration: of the score; its temperature takes the place of the recipe's.

    Raises:
        ModelFileError: `raw` has other inputs or outputs than that.
    """
    model = onnx.ModelProto()
    model.CopyFrom(raw)
    graph = model.graph
    if len(graph.input) != 1 or len(graph.output) != 2:  # noqa: PLR2004 - x and y
        raise ModelFileError(
            f"{len(graph.input)} inputs and {len(graph.output)} outputs are not those of a raw SimCC graph",
            cure="It must take one image and give simcc_x and simcc_y.",
        )
    writer = GraphWriter(opset_of(model))
    image = graph.input[0].name
    batch = shape_of(graph.input[0])[0]
    joints = shape_of(graph.output[0])[1]
    before = _before(writer, image, recipe)
    after = _after(writer, (graph.output[0].name, graph.output[1].name), recipe, calibration)
    nodes = [*before, *graph.node, *after]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.initializer.extend(writer.constants)
    crop = recipe.crop
    graph.input.append(
        helper.make_tensor_value_info(CROPS_INPUT, TensorProto.UINT8, [batch, crop.height, crop.width, 3])
    )
    graph.output.append(helper.make_tensor_value_info(KEYPOINTS_OUTPUT, TensorProto.FLOAT, [batch, joints, 2]))
    graph.output.append(helper.make_tensor_value_info(SCORES_OUTPUT, TensorProto.FLOAT, [batch, joints]))
    return model


def _before(writer: GraphWriter, image: str, recipe: Recipe) -> list[NodeProto]:
    mean, std = np.array(recipe.mean, np.float64), np.array(recipe.std, np.float64)
    return writer.planes_from_pixels(CROPS_INPUT, image, scale=1 / (255 * std), shift=-mean / std, rgb=True)


def _after(
    writer: GraphWriter, logits: tuple[str, str], recipe: Recipe, calibration: ScoreCalibration | None
) -> list[NodeProto]:
    """The argmax and softmax maximum of each axis; their centre in crop pixels; the smaller of the two maxima."""
    temperature = calibration.temperature if calibration else recipe.temperature
    offset = 0.5 / recipe.split_ratio - 0.5 if recipe.bin_centres else 0.0
    per_bin = writer.constant("pixels_per_bin", np.float32(1 / recipe.split_ratio).reshape(1))
    first = writer.constant("first_pixel", np.float32(offset).reshape(1))
    inverse_temperature = writer.constant("inverse_temperature", np.float32(1 / temperature).reshape(1))
    one = writer.constant("certainty", np.ones(1, np.float32))
    nodes: list[NodeProto] = []
    for axis, source in zip("xy", logits, strict=True):
        tempered, top, below, exponential, total, bins, place, pixel = (
            f"{_PREFIX}{axis}/{name}" for name in ("tempered", "top", "below", "exp", "sum", "bin", "place", "pixel")
        )
        nodes += [
            writer.node("Mul", [source, inverse_temperature], tempered),
            writer.reduce("ReduceMax", tempered, top, keepdims=1),
            writer.node("Sub", [tempered, top], below),
            writer.node("Exp", [below], exponential),
            writer.reduce("ReduceSum", exponential, total, keepdims=0),
            writer.node("Div", [one, total], f"{_PREFIX}{axis}/score"),
            writer.node("ArgMax", [source], bins, axis=2, keepdims=1),
            writer.node("Cast", [bins], place, to=TensorProto.FLOAT),
            writer.node("Mul", [place, per_bin], pixel),
            writer.node("Add", [pixel, first], f"{_PREFIX}{axis}/keypoint"),
        ]
    return [
        *nodes,
        writer.node("Concat", [f"{_PREFIX}x/keypoint", f"{_PREFIX}y/keypoint"], KEYPOINTS_OUTPUT, axis=2),
        *_score(writer, [f"{_PREFIX}x/score", f"{_PREFIX}y/score"], calibration),
    ]


def _score(writer: GraphWriter, axes: list[str], calibration: ScoreCalibration | None) -> list[NodeProto]:
    """The smaller of two scores (N,K), and its calibration: sigmoid(a (log s - log(1 - s)) + b)."""
    if calibration is None:
        return [writer.node("Min", axes, SCORES_OUTPUT)]
    low, high = (np.array(end, np.float32) for end in (SCORE_MARGIN, 1 - SCORE_MARGIN))
    ends = [writer.constant("score/low", low), writer.constant("score/high", high)]
    slope = writer.constant("score/slope", np.float32(calibration.slope).reshape(1))
    intercept = writer.constant("score/intercept", np.float32(calibration.intercept).reshape(1))
    one = writer.constant("score/one", np.ones(1, np.float32))
    plain, kept, rest, log, log_rest, logit, steep, moved = (
        f"{_PREFIX}score/{name}" for name in ("plain", "kept", "rest", "log", "log_rest", "logit", "steep", "moved")
    )
    return [
        writer.node("Min", axes, plain),
        writer.node("Clip", [plain, *ends], kept),
        writer.node("Sub", [one, kept], rest),
        writer.node("Log", [kept], log),
        writer.node("Log", [rest], log_rest),
        writer.node("Sub", [log, log_rest], logit),
        writer.node("Mul", [logit, slope], steep),
        writer.node("Add", [steep, intercept], moved),
        writer.node("Sigmoid", [moved], SCORES_OUTPUT),
    ]
