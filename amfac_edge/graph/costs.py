"""What each node of a graph costs at batch 1: for the manifest, where the forecast reads it."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np
from onnx import numpy_helper, shape_inference

from amfac_edge.artefact import LayerCost
from amfac_edge.graph.onnx_values import DTYPES, attribute

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, ValueInfoProto

    Shape = tuple[int, ...]

__all__ = ["layer_costs"]

_FREE = ("Constant", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze")
# By the names that `frame_graph` gives the axes.
_FRAME_SIDES = {"frame_height": 1080, "frame_width": 1920}


def layer_costs(model: ModelProto) -> tuple[LayerCost, ...]:
    """One `LayerCost` a node that computes or moves something.

    Multiply-accumulates are those of convolutions and matrix products, as in the papers' figures; bytes are all inputs,
    outputs and weights of the node, each counted once. A dynamic axis counts as 1, a frame's as those of 1920x1080.
    """
    inferred = shape_inference.infer_shapes(model, data_prop=True)
    tensors = _tensors(inferred)
    return tuple(_cost(node, tensors) for node in inferred.graph.node if node.op_type not in _FREE)


def _tensors(model: ModelProto) -> dict[str, tuple[Shape, str]]:
    graph = model.graph
    known = {value.name: _described(value) for value in [*graph.input, *graph.output, *graph.value_info]}
    known |= {
        tensor.name: (tuple(tensor.dims), DTYPES.get(tensor.data_type, "float32")) for tensor in graph.initializer
    }
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            values = numpy_helper.to_array(node.attribute[0].t)
            known[node.output[0]] = (values.shape, values.dtype.name)
    return known


def _described(value: ValueInfoProto) -> tuple[Shape, str]:
    tensor = value.type.tensor_type
    shape = tuple(
        axis.dim_value if axis.dim_value > 0 else _FRAME_SIDES.get(axis.dim_param, 1) for axis in tensor.shape.dim
    )
    return shape, DTYPES.get(tensor.elem_type, "float32")


def _cost(node: NodeProto, tensors: dict[str, tuple[Shape, str]]) -> LayerCost:
    unknown: tuple[Shape, str] = ((0,), "float32")
    inputs = [tensors.get(name, unknown) for name in dict.fromkeys(node.input) if name]
    outputs = [tensors.get(name, unknown) for name in node.output if name]
    size = sum(prod(shape) * np.dtype(dtype).itemsize for shape, dtype in inputs + outputs)
    macs = _macs(node, [shape for shape, _ in inputs], outputs[0][0])
    return LayerCost(node.name or node.output[0], node.op_type, macs, size, outputs[0][1])


def _macs(node: NodeProto, inputs: list[Shape], output: Shape) -> int:
    if node.op_type == "Conv":
        return prod(output) * prod(inputs[1][1:])
    if node.op_type == "ConvTranspose":
        return prod(inputs[0]) * prod(inputs[1][1:])
    if node.op_type == "MatMul":
        return prod(output) * inputs[0][-1]
    if node.op_type == "Gemm":
        return prod(output) * inputs[0][0 if attribute(node, "transA", 0) else 1]
    return 0
