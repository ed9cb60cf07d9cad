"""Cutting graphs: what lies behind the last convolutions, what depends on an operator, what is left over."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from amfac_edge.graph.cutting import behind, prune, rename, tail, with_outputs


def chain() -> onnx.ModelProto:
    """x -> Conv a -> Relu b -> Abs c -> output; b -> Neg d -> TopK e, f; b -> Exp unused."""
    weights = numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "weights")
    spare = numpy_helper.from_array(np.ones(3, np.float32), "spare")
    one = numpy_helper.from_array(np.array([1], np.int64), "one")
    nodes = [
        helper.make_node("Conv", ["x", "weights"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Abs", ["b"], ["c"]),
        helper.make_node("Neg", ["b"], ["d"]),
        helper.make_node("TopK", ["d", "one"], ["e", "f"]),
        helper.make_node("Exp", ["b"], ["unused"]),
        helper.make_node("Add", ["unused", "spare"], ["also_unused"]),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 2, 3]) for name in ("x", "c")]
    graph = helper.make_graph(nodes, "chain", values[:1], values[1:], [weights, spare, one])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_the_tail_ends_with_the_convolution() -> None:
    assert tail(chain().graph, "c") == ["a", "b", "c"]
    assert tail(chain().graph, "f") == ["a", "b", "d", "e", "f"]
    assert tail(chain().graph, "weights") == []


def test_what_depends_on_an_operator() -> None:
    assert behind(chain().graph, "TopK") == {"e", "f"}
    assert behind(chain().graph, "Relu") == {"b", "c", "d", "e", "f", "unused", "also_unused"}
    assert behind(chain().graph, "Loop") == set()


def test_pruning_keeps_what_is_needed_and_nothing_else() -> None:
    graph = chain().graph
    prune(graph, {"c"})
    assert [node.op_type for node in graph.node] == ["Conv", "Relu", "Abs"]
    assert [tensor.name for tensor in graph.initializer] == ["weights"]


def test_other_names_compute_the_same() -> None:
    model = chain()
    rename(model.graph, {"a": "first", "weights": "kernel"})
    onnx.checker.check_model(model)
    assert model.graph.node[0].input[1] == "kernel"
    image = np.array([[[[1, -2, 3], [4, 5, -6]]]], np.float32)
    first, last = with_outputs(model, ["first", "c"], where="x").run({"x": image})
    np.testing.assert_array_equal(first, image)
    np.testing.assert_array_equal(last, np.maximum(image, 0))
