"""The artefact's contract around any raw SimCC graph.

Before: `crops` uint8 (N,H,W,3) BGR as OpenCV gives it -> normalised RGB (N,3,H,W). After: logits -> `keypoints` float32
(N,K,2) in crop pixels, `scores` float32 (N,K) in [0,1], calibrated where the checkpoint says how. uint8 goes straight
into Cast, since TensorRT takes it nowhere else, and the whole of both parts is float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper

from amfac_edge.errors import ModelFileError
from amfac_edge.graph.onnx_values import opset_of, shape_of
from amfac_edge.graph.writing import GraphWriter
from amfac_edge.keypoints import SCORE_MARGIN

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto, ValueInfoProto

    from amfac_edge.declared.recipe import Recipe
    from amfac_edge.keypoints import ScoreCalibration

__all__ = [
    "CROPS_INPUT",
    "CROP_KEYPOINTS",
    "KEYPOINTS_OUTPUT",
    "SCORES_OUTPUT",
    "RawParts",
    "crop_graph",
    "decoded",
    "normalisation",
]

CROPS_INPUT = "crops"
KEYPOINTS_OUTPUT = "keypoints"
SCORES_OUTPUT = "scores"
_PREFIX = GraphWriter.prefix
# x and y, float32 (N,K,1) each, in crop pixels.
CROP_KEYPOINTS = (f"{_PREFIX}x/keypoint", f"{_PREFIX}y/keypoint")


def crop_graph(raw: ModelProto, recipe: Recipe, calibration: ScoreCalibration | None = None) -> ModelProto:
    """A copy of `raw` with pre- and post-processing around it.

    Args:
        raw: one float32 input (N,3,H,W), two outputs of logits (N,K,W·k), (N,K,H·k), in this order.
        recipe: gives mean, std, temperature and the bins' convention.
        calibration: of the score; its temperature takes the place of the recipe's.

    Raises:
        ModelFileError: `raw` has other inputs or outputs than that.
    """
    parts = RawParts.of(raw)
    writer, crop = parts.writer, recipe.crop
    scale, shift = normalisation(recipe)
    before = writer.planes_from_pixels(CROPS_INPUT, parts.image, scale=scale, shift=shift, rgb=True)
    after = [
        *decoded(writer, parts.logits, recipe, calibration),
        writer.node("Concat", list(CROP_KEYPOINTS), KEYPOINTS_OUTPUT, axis=2),
    ]
    shape = [parts.batch, crop.height, crop.width, 3]
    return parts.surrounded(before, after, [helper.make_tensor_value_info(CROPS_INPUT, TensorProto.UINT8, shape)])


@dataclass(frozen=True)
class RawParts:
    """A copy of a raw graph, to be given other inputs and outputs.

    Attributes:
        model: the copy.
        writer: of nodes for it.
        image: name of its input.
        logits: names of its outputs, x and y.
        batch: N, a number or the axis' name.
        joints: K.
    """

    model: ModelProto
    writer: GraphWriter
    image: str
    logits: tuple[str, str]
    batch: int | str
    joints: int | str

    @classmethod
    def of(cls, raw: ModelProto) -> RawParts:
        """Those of `raw`.

        Raises:
            ModelFileError: it has other inputs or outputs than a raw SimCC graph.
        """
        model = onnx.ModelProto()
        model.CopyFrom(raw)
        graph = model.graph
        if len(graph.input) != 1 or len(graph.output) != 2:  # noqa: PLR2004 - x and y
            raise ModelFileError(
                f"{len(graph.input)} inputs and {len(graph.output)} outputs are not those of a raw SimCC graph",
                cure="It must take one image and give simcc_x and simcc_y.",
            )
        x, y = (output.name for output in graph.output)
        batch, joints = shape_of(graph.input[0])[0], shape_of(graph.output[0])[1]
        return cls(model, GraphWriter(opset_of(model)), graph.input[0].name, (x, y), batch, joints)

    def surrounded(self, before: list[NodeProto], after: list[NodeProto], inputs: list[ValueInfoProto]) -> ModelProto:
        """The model with nodes before and after its own, `inputs`, and the artefact's outputs."""
        graph = self.model.graph
        nodes = [*before, *graph.node, *after]
        del graph.node[:], graph.input[:], graph.output[:]
        graph.node.extend(nodes)
        graph.initializer.extend(self.writer.constants)
        graph.input.extend(inputs)
        for name, shape in (
            (KEYPOINTS_OUTPUT, [self.batch, self.joints, 2]),
            (SCORES_OUTPUT, [self.batch, self.joints]),
        ):
            graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return self.model


def normalisation(recipe: Recipe) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scale and shift (3,) RGB that make of a pixel in 0..255 what the network takes."""
    mean, std = np.array(recipe.mean, np.float64), np.array(recipe.std, np.float64)
    return 1 / (255 * std), -mean / std


def decoded(
    writer: GraphWriter, logits: tuple[str, str], recipe: Recipe, calibration: ScoreCalibration | None
) -> list[NodeProto]:
    """From logits to the tensors `CROP_KEYPOINTS` and `scores`.

    That is: argmax and softmax maximum of each axis; the bins' centres in crop pixels; the smaller of the two maxima.
    """
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
