"""Costs of nodes against hand-computed ones."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from amfac_edge.graph.costs import layer_costs


def cost_of(node: NodeProto, x: list[int | str], weights: tuple[int, ...], y: list[int | str]) -> tuple[int, int]:
    constant = numpy_helper.from_array(np.zeros(weights, np.float32), "w")
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, y)],
        [constant],
    )
    (layer,) = layer_costs(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10))
    return layer.macs, layer.bytes


@pytest.mark.parametrize(
    ("node", "x", "weights", "y", "macs"),
    [
        (
            helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1]),
            [1, 3, 8, 6],
            (5, 3, 3, 3),
            [1, 5, 8, 6],
            240 * 27,
        ),
        (
            helper.make_node("Conv", ["x", "w"], ["y"], group=4, pads=[1, 1, 1, 1]),
            [1, 4, 8, 6],
            (4, 1, 3, 3),
            [1, 4, 8, 6],
            192 * 9,
        ),
        (
            helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], kernel_shape=[2, 2]),
            [1, 3, 4, 4],
            (3, 5, 2, 2),
            [1, 5, 8, 8],
            48 * 20,
        ),
        (helper.make_node("MatMul", ["x", "w"], ["y"]), [1, 17, 24], (24, 32), [1, 17, 32], 17 * 32 * 24),
        (helper.make_node("Gemm", ["x", "w"], ["y"]), [17, 24], (24, 32), [17, 32], 17 * 32 * 24),
        (helper.make_node("Gemm", ["x", "w"], ["y"], transA=1), [24, 17], (24, 32), [17, 32], 17 * 32 * 24),
        (helper.make_node("Add", ["x", "w"], ["y"]), [1, 17], (17,), [1, 17], 0),
        (helper.make_node("MatMul", ["x", "w"], ["y"]), ["N", 24], (24, 32), ["N", 32], 32 * 24),
    ],
)
def test_by_hand(node: NodeProto, x: list[int | str], weights: tuple[int, ...], y: list[int | str], macs: int) -> None:
    def size(shape: tuple[int | str, ...]) -> int:
        return int(np.prod([axis if isinstance(axis, int) else 1 for axis in shape]))

    # Input, weights and output, four bytes a number.
    assert cost_of(node, x, weights, y) == (macs, 4 * (size(tuple(x)) + size(weights) + size(tuple(y))))
