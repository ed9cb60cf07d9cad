"""Explicit Q/DQ on a small network: what is quantised, from which ranges, with which scales, and what it computes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from amfac_edge.errors import InputError, ModelFileError
from amfac_edge.graph.half import element_types, half_graph
from amfac_edge.graph.half_rounding import rounded_twin
from amfac_edge.quantization.placement import Placement, default_placement, residual_inputs
from amfac_edge.quantization.qdq import quantised
from amfac_edge.quantization.ranges import METHODS, Ranges, calibrated_ranges, quantised_inputs
from amfac_edge.quantization.search import ranked, search_budget
from amfac_edge.sessions.raw_graph import RawGraph


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(8)


@pytest.fixture
def raw(random: np.random.Generator) -> onnx.ModelProto:
    """Two convolutions, a depthwise one, a transposed one, two kinds of gates, the maps of the joints, and a head."""

    def weights(*shape: int) -> np.ndarray:
        return (random.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    constants = {
        "w1": weights(8, 3, 3, 3), "w2": weights(8, 8, 1, 1), "wd": weights(8, 1, 3, 3), "wt": weights(8, 4, 2, 2),
        "wg": weights(4, 4, 1, 1), "ws": weights(4, 4, 3, 3), "wf": weights(2, 4, 1, 1),
        "shape": np.array([0, 2, -1], np.int64), "head": weights(64, 10),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["a"], name="stem", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Conv", ["b", "wd"], ["c"], name="depthwise", group=8, pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["c", "w2"], ["d"], name="pointwise"),
        helper.make_node("ConvTranspose", ["d", "wt"], ["e"], name="upwards", strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["e"], ["mean"], name="pool"),
        helper.make_node("Conv", ["mean", "wg"], ["gate"], name="channel_gate"),
        helper.make_node("Mul", ["e", "gate"], ["f"], name="gated"),
        helper.make_node("Conv", ["f", "ws"], ["g"], name="spatial_gate", pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["g"], ["h"], name="sigmoid"),
        helper.make_node("Mul", ["f", "h"], ["i"], name="refined"),
        helper.make_node("Conv", ["i", "wf"], ["maps"], name="maps"),
        helper.make_node("Reshape", ["maps", "shape"], ["flat"], name="flat"),
        helper.make_node("MatMul", ["flat", "head"], ["y"], name="head"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2, 10])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)


@pytest.fixture
def images(random: np.random.Generator) -> list[np.ndarray]:
    return [random.normal(size=(1, 3, 8, 8)).astype(np.float32) for _ in range(6)]


def run(model: onnx.ModelProto, images: list[np.ndarray]) -> np.ndarray:
    graph = RawGraph(model.SerializeToString(), name="test", optimised=False)
    return np.concatenate([graph.run({"image": image})[0] for image in images])


def test_work_is_quantised_and_heads_gates_and_depthwise_are_not(raw: onnx.ModelProto) -> None:
    placement = default_placement(raw)
    assert placement.nodes == ("stem", "pointwise", "upwards")
    whole = 3456 + 1152 + 1024 + 2048 + 16 + 9216 + 512 + 1280
    assert placement.mac_share(raw) == pytest.approx((3456 + 1024 + 2048) / whole)
    assert placement.without(["stem"]).nodes == ("pointwise", "upwards")
    with pytest.raises(InputError, match=r'no quantised node "pointwize"\n.*pointwise'):
        placement.without(["pointwize"])


def test_a_quantised_graph_is_refused(raw: onnx.ModelProto, images: list[np.ndarray]) -> None:
    placement = default_placement(raw)
    model = quantised(raw, calibrated_ranges(raw, placement, images), placement).model
    with pytest.raises(ModelFileError, match=r"quantised already: QuantizeLinear"):
        default_placement(model)


def test_ranges_are_those_of_the_inputs(raw: onnx.ModelProto, images: list[np.ndarray]) -> None:
    placement = default_placement(raw)
    assert quantised_inputs(raw, placement) == ("image", "c", "d")
    seen: list[int] = []
    found = calibrated_ranges(raw, placement, images, method="minmax", progress=seen.append)
    assert seen == [1, 2, 3, 4, 5, 6]
    assert found.largest["image"] == max(float(np.abs(image).max()) for image in images)
    for method in METHODS:
        other = calibrated_ranges(raw, placement, images, method=method).largest
        assert other.keys() == found.largest.keys()
        assert all(0 < other[name] <= found.largest[name] for name in other)


def test_a_percentile_leaves_out_what_is_rare() -> None:
    nodes = [helper.make_node("Conv", ["image", "w"], ["a"], name="conv"), helper.make_node("Relu", ["a"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 200, 200])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 200, 200])],
        [numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    image = np.linspace(0, 1, 40_000, dtype=np.float32).reshape(1, 1, 200, 200)
    image[0, 0, 0, 0] = 100.0
    found = calibrated_ranges(model, Placement(("conv",)), [image] * 3)
    # One value in 10,000 of those that are looked at is left out; a bin is 100 / 2048 wide.
    assert found.largest["image"] == pytest.approx(1.0, abs=0.06)
    assert calibrated_ranges(model, Placement(("conv",)), [image], method="minmax").largest["image"] == 100.0


def test_what_is_no_number_names_tensor_and_crop(raw: onnx.ModelProto, images: list[np.ndarray]) -> None:
    images[3][0, 0, 0, 0] = np.nan
    with pytest.raises(ModelFileError, match=r"tensor image has values that are no numbers on calibration crop 3"):
        calibrated_ranges(raw, default_placement(raw), images)
    with pytest.raises(InputError, match="no crops to calibrate with"):
        calibrated_ranges(raw, default_placement(raw), [])
    with pytest.raises(InputError, match='method "best"'):
        calibrated_ranges(raw, default_placement(raw), images, method="best")


def test_scales_reach_the_range_in_steps_that_float16_has(raw: onnx.ModelProto, images: list[np.ndarray]) -> None:
    placement = default_placement(raw)
    ranges = calibrated_ranges(raw, placement, images, method="minmax")
    made = quantised(raw, ranges, placement)
    onnx.checker.check_model(made.model, full_check=True)
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in made.model.graph.initializer}
    for name, largest in ranges.largest.items():
        scale = float(values[f"{name}/scale"])
        assert np.float16(scale) == scale
        assert largest <= 127 * scale <= largest * (1 + 2**-9)
    # One scale an output channel: the first axis of a convolution's weights, the second of a transposed one's.
    assert values["w1/scale0"].shape == (8,)
    assert values["wt/scale1"].shape == (4,)
    assert values["w1/int80"].dtype == np.int8
    assert "w1" not in values
    exact = numpy_helper.to_array(next(tensor for tensor in raw.graph.initializer if tensor.name == "w1"))
    again = values["w1/int80"] * values["w1/scale0"].reshape(-1, 1, 1, 1)
    assert np.abs(again - exact).max() <= values["w1/scale0"].max() / 2 * (1 + 1e-6)


def test_it_computes_nearly_the_same(raw: onnx.ModelProto, images: list[np.ndarray]) -> None:
    placement = default_placement(raw)
    ranges = calibrated_ranges(raw, placement, images, method="minmax")
    expected, found = run(raw, images), run(quantised(raw, ranges, placement).model, images)
    error = np.abs(found - expected).max() / np.ptp(expected)
    assert 0 < error < 0.05
    with pytest.raises(ModelFileError, match="no calibrated range of image"):
        quantised(raw, Ranges("minmax", 1, {}), placement)


def test_the_rest_becomes_float16(raw: onnx.ModelProto, images: list[np.ndarray]) -> None:
    placement = default_placement(raw)
    made = quantised(raw, calibrated_ranges(raw, placement, images, method="minmax"), placement)
    half = half_graph(made.model)
    onnx.checker.check_model(half, full_check=True)
    types = element_types(half)
    assert types["image/int8"] == types["w1/int80"] == TensorProto.INT8
    assert types["image/dq"] == types["w1/dq0"] == types["image/scale/half"] == TensorProto.FLOAT16
    expected, found = run(made.model, images), run(rounded_twin(half), images)
    # The scales are float16's already, so that the int8 values hardly differ; a step of one of them may.
    assert np.abs(found - expected).max() / np.ptp(expected) < 0.02


def test_the_search_gives_back_what_costs_most_for_its_work(raw: onnx.ModelProto, images: list[np.ndarray]) -> None:
    placement = default_placement(raw)
    ranges = calibrated_ranges(raw, placement, images, method="minmax")
    costs = {"stem": 4.0, "pointwise": 3.0, "upwards": 1.0}

    def loss(model: onnx.ModelProto) -> float:
        nodes = {node.name for node in model.graph.node if node.input and node.input[0].endswith("/dq")}
        return sum(cost for name, cost in costs.items() if name in nodes)

    ranking = ranked(raw, ranges, placement, loss)
    # 3 for 1,024 products are more than 4 for 3,456.
    assert [(each.node, each.loss, each.macs) for each in ranking] == [
        ("pointwise", 3.0, 1024), ("stem", 4.0, 3456), ("upwards", 1.0, 2048),
    ]  # fmt: skip
    whole = search_budget(raw, ranges, placement, loss, 8.0)
    assert (whole.placement, whole.within_budget, whole.ranking) == (placement, True, ())
    part = search_budget(raw, ranges, placement, loss, 5.0)
    assert (part.placement.nodes, part.within_budget) == (("stem", "upwards"), True)
    assert [point.given_back for point in part.curve] == [0, 1, 2]
    assert part.curve[1].loss == 5.0
    none = search_budget(raw, ranges, placement, loss, 0.5)
    assert (none.placement.nodes, none.within_budget) == (("upwards",), False)


def test_shortcuts_past_quantised_convolutions_are_quantised(random: np.random.Generator) -> None:
    """A ResNet's two kinds of blocks, and one whose branch ends in a gate; TensorRT fuses the first two additions."""

    def conv(source: str, result: str, name: str, size: int) -> onnx.NodeProto:
        weights[name] = (random.normal(size=(4, 4, size, size)) / 4).astype(np.float32)
        return helper.make_node("Conv", [source, name], [result], name=name, pads=[size // 2] * 4)

    weights = {"bias": np.ones((1, 4, 1, 1), np.float32)}
    nodes = [
        conv("image", "a", "first", 3),
        helper.make_node("Add", ["a", "image_more"], ["b"], name="identity"),
        conv("b", "c", "main", 3),
        conv("b", "d", "down", 1),
        helper.make_node("Add", ["d", "c"], ["e"], name="projection"),
        conv("e", "f", "branch", 3),
        helper.make_node("Sigmoid", ["f"], ["g"], name="sigmoid"),
        helper.make_node("Mul", ["f", "g"], ["h"], name="gate"),
        helper.make_node("Add", ["h", "e"], ["i"], name="gated"),
        conv("i", "j", "last", 1),
        helper.make_node("Add", ["j", "bias"], ["k"], name="constant"),
    ]
    nodes.insert(0, helper.make_node("Relu", ["image"], ["image_more"], name="relu"))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 4, 8, 8])],
        [helper.make_tensor_value_info("k", TensorProto.FLOAT, [1, 4, 8, 8])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    every = Placement(("first", "main", "down", "branch", "last"))
    assert residual_inputs(model, every) == {"identity": "image_more", "projection": "d"}
    # The ranges of all serve each part: what a part needs is among what the whole does.
    assert residual_inputs(model, Placement(("down",))) == {}
    assert quantised_inputs(model, every) == ("image", "b", "e", "i", "image_more", "d")
    pictures = [random.normal(size=(1, 4, 8, 8)).astype(np.float32) for _ in range(4)]
    ranges = calibrated_ranges(model, every, pictures, method="minmax")
    made = quantised(model, ranges, every).model
    onnx.checker.check_model(made, full_check=True)
    taken = {node.name: list(node.input) for node in made.graph.node}
    assert taken["identity"] == ["a", "image_more/dq"]
    assert taken["projection"] == ["d/dq", "c"]
    assert taken["gated"] == ["h", "e"]
    assert np.abs(run(made, pictures) - run(model, pictures)).max() / np.ptp(run(model, pictures)) < 0.05
    with pytest.raises(ModelFileError, match="no calibrated range of image_more"):
        quantised(model, Ranges("minmax", 1, {"image": 1.0}), Placement(("first",)))
