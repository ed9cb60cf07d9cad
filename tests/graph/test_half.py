"""Typed float16: which nodes become it, where the casts are, and that the twin rounds as float16 does."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from amfac_edge.errors import ModelFileError
from amfac_edge.graph.half import element_types, half_graph, heads, island_names
from amfac_edge.graph.half_rounding import largest_values, rounded_twin
from amfac_edge.graph.halving import halved
from amfac_edge.sessions.raw_graph import RawGraph


def made(
    nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], shape: list[Any], out: list[Any]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.fixture
def network(random: np.random.Generator) -> onnx.ModelProto:
    """Conv, Relu, Resize, a division that is used twice, and a linear head with its bias."""
    weights = {
        "w": random.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "scales": np.array([1, 1, 0.5, 0.5], np.float32),
        "shape": np.array([0, -1], np.int64),
        "head": random.normal(size=(16, 5)).astype(np.float32),
        "bias": random.normal(size=5).astype(np.float32),
        "three": np.float32(3).reshape(1),
    }
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("Resize", ["r", "", "scales"], ["s"], name="resize"),
        helper.make_node("Div", ["s", "three"], ["d"], name="div"),
        helper.make_node("Exp", ["d"], ["e"], name="exp"),
        helper.make_node("Add", ["d", "e"], ["a"], name="add"),
        helper.make_node("Reshape", ["a", "shape"], ["f"], name="flat"),
        helper.make_node("MatMul", ["f", "head"], ["m"], name="linear"),
        helper.make_node("Add", ["m", "bias"], ["y"], name="bias_add"),
    ]
    return made(nodes, weights, ["N", 3, 4, 4], ["N", 5])


def test_islands_are_the_head_and_what_overflows(network: onnx.ModelProto) -> None:
    half = half_graph(network)
    onnx.checker.check_model(half, full_check=True)
    assert set(island_names(half)) == {"exp", "linear", "bias_add"}
    types = element_types(half)
    assert {types[name] for name in ("c", "r", "s", "d", "a", "f")} == {TensorProto.FLOAT16}
    assert {types[name] for name in ("image", "e", "m", "y")} == {TensorProto.FLOAT}
    # The input once, `d` into the island, `e` out of it, and the head's input.
    assert sum(node.op_type == "Cast" for node in half.graph.node) == 4
    weights = {tensor.name: tensor.data_type for tensor in half.graph.initializer}
    assert weights["w/half"] == TensorProto.FLOAT16
    assert "w" not in weights
    # ONNX has a Resize's scales in float32 whatever it resizes.
    assert weights["scales"] == weights["head"] == weights["bias"] == TensorProto.FLOAT
    assert [node.op_type for node in network.graph.node].count("Cast") == 0


def test_a_tensor_can_be_kept(network: onnx.ModelProto) -> None:
    kept = half_graph(network, keep=["r"])
    assert set(island_names(kept)) == {"relu", "resize", "exp", "linear", "bias_add"}
    onnx.checker.check_model(kept, full_check=True)


def test_weights_beyond_float16_stay_float32(network: onnx.ModelProto) -> None:
    large = next(tensor for tensor in network.graph.initializer if tensor.name == "w")
    large.CopyFrom(numpy_helper.from_array(np.full((4, 3, 3, 3), 65520, np.float32), "w"))
    assert "conv" in island_names(half_graph(network))


def test_values_beyond_a_quarter_of_float16_stay_float32(network: onnx.ModelProto, random: np.random.Generator) -> None:
    quiet = random.uniform(0, 1, (2, 3, 4, 4)).astype(np.float32)
    assert halved(network, quiet).kept == {}
    loud = quiet.copy()
    loud[1] *= 4000
    found = halved(network, loud)
    assert {"c", "r"} <= set(found.kept)
    # The Exp is infinite there: float32's largest stands for it, which JSON can hold.
    assert found.largest == found.kept["e"] == float(np.finfo(np.float32).max)
    assert {"conv", "relu", "resize"} <= set(island_names(found.model))


def test_a_heads_linear_layer_with_what_follows() -> None:
    nodes = [
        helper.make_node("Gemm", ["image", "w"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["r"]),
        helper.make_node("Gemm", ["r", "w"], ["out"]),
        helper.make_node("Transpose", ["out"], ["t"]),
        helper.make_node("Identity", ["t"], ["y"]),
    ]
    model = made(nodes, {"w": np.eye(4, dtype=np.float32)}, [4, 4], [4, 4])
    assert heads(model.graph) == {2, 3, 4}


def test_control_flow_is_refused(network: onnx.ModelProto) -> None:
    inner = helper.make_graph([], "inner", [], [])
    network.graph.node.append(helper.make_node("If", ["c"], ["z"], name="choice", then_branch=inner, else_branch=inner))
    with pytest.raises(ModelFileError, match=r"If \(node choice\) holds a graph of its own"):
        half_graph(network)


def test_the_largest_values_are_those_of_the_tensors(network: onnx.ModelProto, random: np.random.Generator) -> None:
    images = random.normal(size=(3, 3, 4, 4)).astype(np.float32)
    found = largest_values(network, images)
    expected = RawGraph(network.SerializeToString(), name="whole").run({"image": images})[0]
    assert found["y"] == pytest.approx(np.abs(expected).max(), rel=1e-5)
    assert found["r"] <= found["c"]


def test_the_twin_rounds_every_float16_result(random: np.random.Generator) -> None:
    """y = (x / 3) * 7 + x in float16, done by hand in NumPy's float16: each operator exact, then rounded once."""
    nodes = [
        helper.make_node("Div", ["image", "three"], ["third"]),
        helper.make_node("Mul", ["third", "seven"], ["more"]),
        helper.make_node("Add", ["more", "image"], ["sum"]),
        helper.make_node("Identity", ["sum"], ["y"]),
    ]
    constants = {"three": np.float32(3.0007), "seven": np.float32(7.0003)}
    model = made(nodes, constants, [4096], [4096])
    # Down to float16's subnormal numbers, and within its range.
    values = (random.normal(size=4096) * np.exp(random.normal(size=4096) * 4)).clip(-2000, 2000).astype(np.float32)
    half = _all_half(model)
    found = RawGraph(rounded_twin(half).SerializeToString(), name="twin").run({"image": values})[0]
    x = values.astype(np.float16)
    third = (x.astype(np.float32) / np.float16(3.0007).astype(np.float32)).astype(np.float16)
    more = (third.astype(np.float32) * np.float16(7.0003).astype(np.float32)).astype(np.float16)
    expected = (more.astype(np.float32) + x.astype(np.float32)).astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(found, expected)
    # And this is what makes the twin necessary: the runtime itself skips the rounding between operators.
    flattered = RawGraph(half.SerializeToString(), name="half").run({"image": values})[0]
    assert np.any(flattered != expected)


def _all_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """`half_graph` of a graph without a head: its output is cast back."""
    model.graph.node.append(helper.make_node("MatMul", ["y", "one"], ["z"]))
    model.graph.initializer.append(numpy_helper.from_array(np.eye(1, dtype=np.float32), "one"))
    model.graph.node[3].CopyFrom(helper.make_node("Reshape", ["sum", "column"], ["y"]))
    model.graph.initializer.append(numpy_helper.from_array(np.array([-1, 1], np.int64), "column"))
    model.graph.node.append(helper.make_node("Reshape", ["z", "row"], ["out"]))
    model.graph.initializer.append(numpy_helper.from_array(np.array([-1], np.int64), "row"))
    model.graph.output[0].name = "out"
    return half_graph(model)
