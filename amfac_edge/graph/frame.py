"""The frame form of an artefact: it takes a whole frame and affines, cuts the crops itself and answers in frame pixels.

`frame` uint8 (Hf,Wf,3) BGR of any size and `affines` float32 (N,2,3), crop pixels to frame pixels as
`keypoints.crop_affines` makes them, become `keypoints` float32 (N,K,2) in frame pixels and `scores` float32 (N,K).

The people's sampling grids are stacked along the rows, so that one GridSample over one image serves all of them. What
TensorRT asks for: uint8 goes straight into Cast; image and grid are float32 whatever the network is; the affine is
made of multiplications and additions, since a MatMul may run in TF32; and GridSample is the one of opsets 16 to 19,
whose mode `bilinear` every parser reads as it is meant. Samples are blended with black outside the frame and rounded
to integers, as OpenCV's warp does it: the network gets the crops that it would get from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import NodeProto, TensorProto, helper

from amfac_edge.errors import ModelFileError
from amfac_edge.graph.contract import CROP_KEYPOINTS, KEYPOINTS_OUTPUT, RawParts, decoded, normalisation
from amfac_edge.graph.onnx_values import opset_of
from amfac_edge.graph.passes import has_misread_sampling
from amfac_edge.graph.writing import GraphWriter

if TYPE_CHECKING:
    from onnx import ModelProto

    from amfac_edge.declared.recipe import CropRule, Recipe
    from amfac_edge.keypoints import ScoreCalibration

__all__ = ["AFFINES_INPUT", "FRAME_INPUT", "SAMPLED_CROPS", "frame_graph"]

FRAME_INPUT = "frame"
AFFINES_INPUT = "affines"
_PREFIX = GraphWriter.prefix
# float32 (N,3,H,W) BGR, integers from 0 to 255: what the graph cut out.
SAMPLED_CROPS = f"{_PREFIX}crop_planes"
# The opsets that have a GridSample whose mode is called "bilinear".
_OPSETS = range(16, 20)


def frame_graph(raw: ModelProto, recipe: Recipe, calibration: ScoreCalibration | None = None) -> ModelProto:
    """A copy of `raw` that takes whole frames.

    Args:
        raw: one float32 input (N,3,H,W), two outputs of logits (N,K,W·k), (N,K,H·k), in this order.
        recipe: gives the crop, mean, std, temperature and the bins' convention.
        calibration: of the score; its temperature takes the place of the recipe's.

    Raises:
        ModelFileError: `raw` has other inputs or outputs than that, or an opset without such a GridSample.
    """
    opset = opset_of(raw)
    if opset not in _OPSETS:
        raise ModelFileError(
            f"its opset {opset} has no bilinear GridSample that every TensorRT reads rightly",
            cure=f"Export it with opset {_OPSETS[0]} to {_OPSETS[-1]} where it is from, or use --input crops.",
        )
    parts = RawParts.of(raw)
    writer = parts.writer
    scale, shift = normalisation(recipe)
    before = [
        *_coefficients(writer),
        *_grid(writer, recipe.crop),
        *_sampled(writer, recipe.crop),
        *writer.network_input(SAMPLED_CROPS, parts.image, scale=scale, shift=shift, rgb=True),
    ]
    after = [*decoded(writer, parts.logits, recipe, calibration), *_frame_keypoints(writer)]
    inputs = [
        helper.make_tensor_value_info(FRAME_INPUT, TensorProto.UINT8, ["frame_height", "frame_width", 3]),
        helper.make_tensor_value_info(AFFINES_INPUT, TensorProto.FLOAT, [parts.batch, 2, 3]),
    ]
    model = parts.surrounded(before, after, inputs)
    if has_misread_sampling(model):
        message = "a GridSample that TensorRT's parsers misread"
        raise AssertionError(message)
    return model


def _coefficient(row: int, column: int) -> str:
    """(N,1,1): one number of each affine."""
    return f"{_PREFIX}affine/{row}{column}"


def _coefficients(writer: GraphWriter) -> list[NodeProto]:
    flat = f"{_PREFIX}affine/flat"
    shape = writer.constant("affine/shape", np.array([-1, 6, 1], np.int64))
    picked = [
        writer.node(
            "Gather",
            [flat, writer.constant(f"affine/place{place}", np.array([place], np.int64))],
            _coefficient(*divmod(place, 3)),
            axis=1,
        )
        for place in range(6)
    ]
    return [writer.node("Reshape", [AFFINES_INPUT, shape], flat), *picked]


def _grid(writer: GraphWriter, crop: CropRule) -> list[NodeProto]:
    """Where each crop pixel (N,H,W) lies in the frame, as float32 (N,H,W,2) in frame pixels."""
    columns = writer.constant("crop/columns", np.arange(crop.width, dtype=np.float32).reshape(1, 1, -1))
    rows = writer.constant("crop/rows", np.arange(crop.height, dtype=np.float32).reshape(1, -1, 1))
    last = writer.constant("grid/last_axis", np.array([3], np.int64))
    nodes, axes = [], []
    for axis in range(2):
        by_column, by_row, from_row, place, single = (
            f"{_PREFIX}grid/{'xy'[axis]}/{name}" for name in ("by_column", "by_row", "from_row", "place", "single")
        )
        nodes += [
            writer.node("Mul", [_coefficient(axis, 0), columns], by_column),
            writer.node("Mul", [_coefficient(axis, 1), rows], by_row),
            writer.node("Add", [by_row, _coefficient(axis, 2)], from_row),
            writer.node("Add", [from_row, by_column], place),
            writer.node("Unsqueeze", [place, last], single),
        ]
        axes.append(single)
    return [*nodes, writer.node("Concat", axes, f"{_PREFIX}grid/places", axis=3)]


def _sampled(writer: GraphWriter, crop: CropRule) -> list[NodeProto]:
    """The crops (N,3,H,W), by one GridSample of batch 1 whose rows are those of all people.

    A pixel x of W lies at (2x + 1 - W) / W where GridSample doesn't align corners.
    """
    names = ("pixels", "planes", "image", "shape", "sides", "size", "twice", "above", "centred", "normal", "grid")
    pixels, planes, image, shape, sides, size, twice, above, centred, normal, grid = (
        f"{_PREFIX}frame/{name}" for name in names
    )
    sampled, apart, people = (f"{_PREFIX}sampled/{name}" for name in ("rows", "apart", "people"))
    first = writer.constant("frame/first_axis", np.array([0], np.int64))
    width_height = writer.constant("frame/width_height", np.array([1, 0], np.int64))
    one = writer.constant("frame/one", np.ones(1, np.float32))
    stacked = writer.constant("grid/shape", np.array([1, -1, crop.width, 2], np.int64))
    per_person = writer.constant("sampled/shape", np.array([3, -1, crop.height, crop.width], np.int64))
    places = f"{_PREFIX}grid/places"
    return [
        writer.node("Cast", [FRAME_INPUT], pixels, to=TensorProto.FLOAT),
        writer.node("Transpose", [pixels], planes, perm=[2, 0, 1]),
        writer.node("Unsqueeze", [planes, first], image),
        writer.node("Shape", [pixels], shape),
        writer.node("Gather", [shape, width_height], sides, axis=0),
        writer.node("Cast", [sides], size, to=TensorProto.FLOAT),
        writer.node("Sub", [size, one], above),
        writer.node("Add", [places, places], twice),
        writer.node("Sub", [twice, above], centred),
        writer.node("Div", [centred, size], normal),
        writer.node("Reshape", [normal, stacked], grid),
        writer.node("GridSample", [image, grid], sampled, mode="bilinear", padding_mode="zeros", align_corners=0),
        writer.node("Reshape", [sampled, per_person], apart),
        writer.node("Transpose", [apart], people, perm=[1, 0, 2, 3]),
        writer.node("Round", [people], SAMPLED_CROPS),
    ]


def _frame_keypoints(writer: GraphWriter) -> list[NodeProto]:
    """`keypoints` (N,K,2) in frame pixels: those of the crops through their affines."""
    x, y = CROP_KEYPOINTS
    nodes, axes = [], []
    for axis in range(2):
        by_x, by_y, turned, placed = (
            f"{_PREFIX}keypoint/{'xy'[axis]}/{name}" for name in ("by_x", "by_y", "turned", "placed")
        )
        nodes += [
            writer.node("Mul", [x, _coefficient(axis, 0)], by_x),
            writer.node("Mul", [y, _coefficient(axis, 1)], by_y),
            writer.node("Add", [by_x, by_y], turned),
            writer.node("Add", [turned, _coefficient(axis, 2)], placed),
        ]
        axes.append(placed)
    return [*nodes, writer.node("Concat", axes, KEYPOINTS_OUTPUT, axis=2)]
