"""The frame graph around a made network: what it cuts out, what it answers, and how it is written for TensorRT."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from amfac_edge.errors import ModelFileError
from amfac_edge.graph.contract import crop_graph
from amfac_edge.graph.costs import layer_costs
from amfac_edge.graph.frame import SAMPLED_CROPS, frame_graph
from amfac_edge.graph.passes import has_misread_sampling
from amfac_edge.keypoints import crop_affines, exact_crop, transform_points, warp_crops
from amfac_edge.sessions.raw_graph import RawGraph

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

    from amfac_edge.declared.recipe import Recipe

JOINTS = 3


def raw_network(recipe: Recipe, opset: int = 19, batch: int | str = "N") -> onnx.ModelProto:
    """Logits by column and row: sums of the image's planes over the other axis, two bins a pixel."""
    height, width = recipe.crop.height, recipe.crop.width
    nodes, bins = [], {"x": width, "y": height}
    for axis in "xy":
        nodes += [
            helper.make_node("ReduceSum", ["image", f"across_{axis}"], [f"sum_{axis}"], keepdims=0),
            helper.make_node("Mul", [f"sum_{axis}", "small"], [f"scaled_{axis}"]),
            helper.make_node("MatMul", [f"scaled_{axis}", f"spread_{axis}"], [f"simcc_{axis}"]),
        ]
    constants: dict[str, np.ndarray] = {
        "across_x": np.array([2], np.int64),
        "across_y": np.array([3], np.int64),
        "small": np.array(0.05, np.float32),
        **{f"spread_{axis}": np.kron(np.eye(size), [[1, 0.5]]).astype(np.float32) for axis, size in bins.items()},
    }
    outputs = [
        helper.make_tensor_value_info(f"simcc_{axis}", TensorProto.FLOAT, [batch, JOINTS, 2 * size])
        for axis, size in bins.items()
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, height, width])
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "sums", [image], outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.fixture(scope="module")
def recipe(markers: ModuleType) -> Recipe:
    # The bins' convention and the temperature are other than the default ones.
    return dataclasses.replace(markers.RECIPE, bin_centres=False, temperature=1.7)


@pytest.fixture(scope="module", params=[17, 19])
def graphs(request: pytest.FixtureRequest, recipe: Recipe) -> tuple[RawGraph, RawGraph]:
    """The crop graph, and the frame graph with the crops that it cuts out as a third output."""
    raw = raw_network(recipe, request.param)
    crops, frame = crop_graph(raw, recipe), frame_graph(raw, recipe)
    for model in (crops, frame):
        onnx.checker.check_model(model, full_check=True)
    frame.graph.output.append(helper.make_tensor_value_info(SAMPLED_CROPS, TensorProto.FLOAT, None))
    return tuple(RawGraph(model.SerializeToString(), name="made") for model in (crops, frame))  # type: ignore[return-value]


def scene(height: int, width: int, recipe: Recipe, *, turned: bool) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """White noise, and affines of boxes in it, across its border and around it, upright or turned."""
    rng = np.random.default_rng(height)
    frame = rng.integers(0, 256, (height, width, 3), np.uint8)
    parts = np.array([[0.2, 0.2, 0.7, 0.8], [-0.2, -0.1, 0.4, 0.5], [0.7, 0.6, 1.3, 1.1], [-0.5, -0.5, 1.5, 1.5]])
    boxes = parts * [width, height, width, height]
    return frame, crop_affines(boxes, recipe.crop, np.array([0.3, -2.0, 1.2, 3.0]) if turned else None)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (64, 90), (270, 480), (1080, 1920)])
def test_crops_are_the_exact_ones_and_joints_are_the_crop_graphs(
    graphs: tuple[RawGraph, RawGraph], recipe: Recipe, size: tuple[int, int], *, turned: bool
) -> None:
    crop_form, frame_form = graphs
    frame, affines = scene(*size, recipe, turned=turned)
    keypoints, scores, planes = frame_form.run({"frame": frame, "affines": affines.astype(np.float32)})
    crops = planes.transpose(0, 2, 3, 1)
    exact = np.stack([exact_crop(frame, affine, recipe.crop.height, recipe.crop.width) for affine in affines])
    # A place passes five float32 roundings of up to 2^-24 of twice a side; from pixel to pixel it's 255 levels.
    off = 255 * 5 * 2 * sum(size) * 2.0**-24
    assert np.abs(crops - exact).max() <= 0.5 + off
    assert np.array_equal(crops, np.rint(crops))
    # Of these very crops the crop graph finds the same, in crop pixels.
    expected, expected_scores = crop_form.run({"crops": crops.astype(np.uint8)})
    assert expected.std() > 1  # or it would be no test of the affine
    np.testing.assert_allclose(keypoints, transform_points(expected, affines), atol=8 * sum(size) * 2.0**-24)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-5)


def test_opencvs_crops_are_the_same_within_its_own_rounding(graphs: tuple[RawGraph, RawGraph], recipe: Recipe) -> None:
    frame, affines = scene(270, 480, recipe, turned=True)
    planes = graphs[1].run({"frame": frame, "affines": affines.astype(np.float32)})[2]
    warped = np.empty((4, recipe.crop.height, recipe.crop.width, 3), np.uint8)
    warp_crops(frame, affines, warped)
    # OpenCV 4 samples on a grid of 1/32 pixel.
    bound = 1 if int(cv2.__version__.partition(".")[0]) >= 5 else 8
    assert np.abs(planes.transpose(0, 2, 3, 1) - warped).max() <= bound


def test_it_is_written_as_tensorrt_takes_it(recipe: Recipe) -> None:
    model = frame_graph(raw_network(recipe), recipe)
    takes_uint8 = [node.op_type for node in model.graph.node if "frame" in node.input]
    assert takes_uint8 == ["Cast"]
    own = [node for node in model.graph.node if node.name.startswith("amfac/")]
    assert not {node.op_type for node in own} & {"MatMul", "Gemm", "Einsum"}
    samplers = [node for node in own if node.op_type == "GridSample"]
    assert len(samplers) == 1
    mode = next(entry.s for entry in samplers[0].attribute if entry.name == "mode")
    assert mode == b"bilinear"
    assert not has_misread_sampling(model)


def test_a_fixed_batch_stays_fixed(recipe: Recipe) -> None:
    model = frame_graph(raw_network(recipe, batch=2), recipe)
    shapes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {
        "frame": ["frame_height", "frame_width", 3],
        "affines": [2, 2, 3],
        "keypoints": [2, JOINTS, 2],
        "scores": [2, JOINTS],
    }


@pytest.mark.parametrize("opset", [15, 20])
def test_an_opset_whose_sampling_is_misread_is_refused(recipe: Recipe, opset: int) -> None:
    with pytest.raises(ModelFileError, match=rf"opset {opset} has no bilinear GridSample"):
        frame_graph(raw_network(recipe, opset), recipe)


def test_the_cost_of_casting_a_frame_is_counted_at_1080p(recipe: Recipe) -> None:
    costs = {layer.name: layer for layer in layer_costs(frame_graph(raw_network(recipe), recipe))}
    cast = next(cost for name, cost in costs.items() if name.endswith("frame/pixels"))
    assert cast.bytes == 1080 * 1920 * 3 * (1 + 4)
