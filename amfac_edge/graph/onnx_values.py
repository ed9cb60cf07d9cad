"""Small readings of an ONNX graph that several passes share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx
from onnx import numpy_helper

if TYPE_CHECKING:
    import numpy as np
    from onnx import GraphProto, ModelProto, NodeProto

__all__ = ["DTYPES", "attribute", "constant_values", "opset_of", "shape_of", "without_nodes"]

DTYPES: dict[int, str] = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.FLOAT16: "float16",
    onnx.TensorProto.UINT8: "uint8",
    onnx.TensorProto.INT8: "int8",
    onnx.TensorProto.INT32: "int32",
    onnx.TensorProto.INT64: "int64",
    onnx.TensorProto.BOOL: "bool",
    onnx.TensorProto.DOUBLE: "float64",
}


def opset_of(model: ModelProto) -> int:
    """The version of the standard operator set that the model imports, 0 where it imports none."""
    return next((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), 0)


def shape_of(value: onnx.ValueInfoProto) -> tuple[int | str, ...]:
    """The shape of an input or output, with a string for a dynamic axis."""
    return tuple(
        axis.dim_value if axis.HasField("dim_value") else axis.dim_param or "?"
        for axis in value.type.tensor_type.shape.dim
    )


def constant_values(graph: GraphProto) -> dict[str, np.ndarray]:
    """All constants by name: initialisers and the outputs of Constant nodes."""
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            values[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return values


def attribute(node: NodeProto, name: str, default: Any) -> Any:  # noqa: ANN401 - whatever ONNX keeps there
    """An attribute of a node, or `default` where it has none of that name."""
    found = next((entry for entry in node.attribute if entry.name == name), None)
    return default if found is None else onnx.helper.get_attribute_value(found)


def without_nodes(graph: GraphProto, removed: set[int], added: dict[int, list[NodeProto]]) -> None:
    """Rewrite a graph's node list in place: leave out the positions `removed`, put `added` in at theirs."""
    nodes: list[NodeProto] = []
    for position, node in enumerate(graph.node):
        nodes += added.get(position, [])
        if position not in removed:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
