"""Passes over an ONNX graph: the same values, in the places that they are meant for and in no others."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from amfac_edge.graph.passes import mean_as_pooling, mish_for_cpu
from amfac_edge.sessions.raw_graph import RawGraph


def model(
    nodes: list[NodeProto], outputs: list[str], shape: list[int], constants: list[TensorProto] | None = None
) -> ModelProto:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)], values, constants or []
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)


def run(made: ModelProto, x: np.ndarray) -> list[np.ndarray]:
    return list(RawGraph(made.SerializeToString(), name="test").run({"x": x}))


OPERATOR = [helper.make_node("Mish", ["x"], ["y"])]
CHAIN = [
    helper.make_node("Softplus", ["x"], ["s"]),
    helper.make_node("Tanh", ["s"], ["t"]),
    helper.make_node("Mul", ["x", "t"], ["y"]),
]
REVERSED = [*CHAIN[:2], helper.make_node("Mul", ["t", "x"], ["y"])]
VALUES = np.concatenate([np.linspace(-100, 100, 4001), [0.0, 88.0, -88.0, 89.0, 1e4, -1e4, 3e38]]).astype(np.float32)


@pytest.mark.parametrize("nodes", [OPERATOR, CHAIN, REVERSED])
def test_mish_is_finite_and_within_its_bound(nodes: list[NodeProto]) -> None:
    made = model(nodes, ["y"], [len(VALUES)])
    assert mish_for_cpu(made) == 1
    assert {node.op_type for node in made.graph.node} == {"Exp", "Add", "Mul", "Div", "Sub"}
    (found,) = run(made, VALUES)
    exact = VALUES.astype(np.float64) * np.tanh(np.logaddexp(0, VALUES.astype(np.float64)))
    assert np.isfinite(found).all()
    # A few float32 steps of |x|: the last subtraction may cancel.
    assert (np.abs(found - exact) <= 4 * np.finfo(np.float32).eps * np.maximum(np.abs(VALUES), 1)).all()


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        (CHAIN, ["y", "t"]),
        (CHAIN, ["y", "s"]),
        ([*CHAIN[:2], helper.make_node("Mul", ["t", "t"], ["y"])], ["y"]),
        ([helper.make_node("Tanh", ["x"], ["t"]), helper.make_node("Mul", ["x", "t"], ["y"])], ["y"]),
        ([helper.make_node("Neg", ["x"], ["n"]), *CHAIN[:2], helper.make_node("Mul", ["n", "t"], ["y"])], ["y"]),
    ],
)
def test_what_only_looks_like_a_mish_stays(nodes: list[NodeProto], outputs: list[str]) -> None:
    made = model(nodes, outputs, [4])
    before = made.SerializeToString()
    assert mish_for_cpu(made) == 0
    assert made.SerializeToString() == before


def test_two_mishes_share_their_constant() -> None:
    made = model([*OPERATOR, helper.make_node("Mish", ["y"], ["z"])], ["z"], [8])
    assert mish_for_cpu(made) == 2
    assert len(made.graph.initializer) == 1
    x = np.linspace(-3, 3, 8, dtype=np.float32)
    once = x * np.tanh(np.logaddexp(0, x))
    np.testing.assert_allclose(run(made, x)[0], once * np.tanh(np.logaddexp(0, once)), atol=1e-6)


@pytest.mark.parametrize(
    ("axes", "keepdims", "changed"),
    [([2, 3], 1, 1), ([3, 2], 1, 1), ([-1, -2], 1, 1), ([2, 3], 0, 0), ([1, 2], 1, 0), ([2], 1, 0)],
)
def test_only_the_mean_over_the_plane_is_a_pooling(axes: list[int], keepdims: int, changed: int) -> None:
    constant = numpy_helper.from_array(np.array(axes, np.int64), "axes")
    node = helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=keepdims)
    made = model([node], ["y"], [2, 3, 5, 7], [constant])
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 7)).astype(np.float32)
    (before,) = run(made, x)
    assert mean_as_pooling(made) == changed
    (after,) = run(made, x)
    np.testing.assert_allclose(after, before, atol=1e-6)
    assert (made.graph.node[0].op_type == "GlobalAveragePool") == bool(changed)
