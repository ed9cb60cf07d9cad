"""A float32 graph as a typed float16 one: precision lies in the graph, where every builder and every checker sees it.

What is known to compute well in float16 becomes float16; the rest stays float32 between casts, as an island: the last
linear layer before each output (rounding its logits moves joints), operators whose intermediate values overflow or
cancel, and whatever the caller names. Inputs and outputs keep their types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper, shape_inference

from amfac_edge.errors import ModelFileError
from amfac_edge.graph.onnx_values import constant_values

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from onnx import GraphProto, ModelProto

__all__ = ["HALF_LARGEST", "element_types", "half_graph", "heads", "island_names"]

HALF_LARGEST = float(np.finfo(np.float16).max)

_LINEAR = ("MatMul", "Gemm", "Conv", "ConvTranspose")
# Everything else stays float32: Exp, Log, Pow, Softmax and norms overflow or cancel in float16, and of an operator that
# isn't listed nobody has shown that TensorRT takes it in float16.
_HALF_OPERATORS = frozenset(
    (
        *_LINEAR, "Abs", "Add", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "DepthToSpace",
        "DequantizeLinear", "Div", "Expand", "Flatten", "Gather", "GlobalAveragePool", "GlobalMaxPool", "HardSigmoid",
        "HardSwish", "Identity", "LeakyRelu", "Max", "MaxPool", "Min", "Mish", "Mul", "Neg", "PRelu", "Pad",
        "QuantizeLinear", "ReduceMax", "ReduceMean", "ReduceSum", "Relu", "Reshape", "Resize", "Sigmoid", "Slice",
        "Softplus", "SpaceToDepth", "Split", "Squeeze", "Sub", "Tanh", "Tile", "Transpose", "Unsqueeze", "Where",
    )
)  # fmt: skip
_NOT_COMPUTING = frozenset(("Cast", "Constant"))
_JUDGING = frozenset(("ArgMax", "ArgMin", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "NonZero"))
# Inputs that ONNX has in float32 whatever the data's type: the region and the scales of a Resize.
_ALWAYS_FLOAT32 = {"Resize": (1, 2)}


def half_graph(model: ModelProto, *, keep: Collection[str] = ()) -> ModelProto:
    """A copy of `model` that computes in float16 outside of islands.

    Args:
        model: a checked graph of float32; its inputs and outputs keep their types.
        keep: names of tensors that must stay float32: what computes them and what takes them is an island.

    Raises:
        ModelFileError: it has control flow, whose inner graphs see tensors that would change their type.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _Conversion(copy, frozenset(keep)).run()
    return copy


def heads(graph: GraphProto) -> set[int]:
    """The positions of the last linear layer before each output, and of what follows it."""
    producers = {name: position for position, node in enumerate(graph.node) for name in node.output}
    found: set[int] = set()
    waiting = [output.name for output in graph.output]
    while waiting:
        position = producers.get(waiting.pop())
        if position is None or position in found:
            continue
        found.add(position)
        if graph.node[position].op_type not in _LINEAR:
            waiting += graph.node[position].input
    return found


def island_names(model: ModelProto) -> tuple[str, ...]:
    """The nodes of a typed graph that compute in float32: they give it, or like an argmax judge by it."""
    types = element_types(model)
    return tuple(
        node.name or node.output[0]
        for node in model.graph.node
        if node.op_type not in _NOT_COMPUTING
        and (
            types.get(node.output[0]) == TensorProto.FLOAT
            or (node.op_type in _JUDGING and types.get(node.input[0]) == TensorProto.FLOAT)
        )
    )


def element_types(model: ModelProto) -> dict[str, int]:
    """The element type (`TensorProto.FLOAT`, ...) of every tensor by name, as far as inference finds it."""
    graph = shape_inference.infer_shapes(model).graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        types[value.name] = value.type.tensor_type.elem_type
    return types


class _Conversion:
    """One conversion in place."""

    def __init__(self, model: ModelProto, keep: frozenset[str]) -> None:
        for node in model.graph.node:
            if any(attribute.type == onnx.AttributeProto.GRAPH for attribute in node.attribute):
                raise ModelFileError(
                    f"{node.op_type} (node {node.name or node.output[0]}) holds a graph of its own, which can't be "
                    "written in float16",
                    cure="Give --precision fp32, or export the network without control flow.",
                )
        self._graph = model.graph
        self._constants = {
            name: value for name, value in constant_values(model.graph).items() if value.dtype == np.float32
        }
        self._types = element_types(model)
        self._half = self._half_nodes(keep)
        self._half_tensors = {
            name
            for position in self._half
            for name in self._graph.node[position].output
            if self._types.get(name) == TensorProto.FLOAT
        }
        self._made: set[str] = set()

    def run(self) -> None:
        nodes: list[NodeProto] = []
        for position, node in enumerate(self._graph.node):
            if node.op_type == "Constant" and node.output[0] in self._constants:
                continue
            nodes += self._fed(node, half=position in self._half)
            nodes.append(node)
        self._store_constants(nodes)
        del self._graph.node[:], self._graph.value_info[:]
        self._graph.node.extend(nodes)

    def _half_nodes(self, keep: frozenset[str]) -> set[int]:
        outputs = {output.name for output in self._graph.output}
        islands = heads(self._graph)
        return {
            position
            for position, node in enumerate(self._graph.node)
            if node.op_type in _HALF_OPERATORS
            and position not in islands
            and self._computes(node)
            and not outputs & set(node.output)
            and not keep & {*node.input, *node.output}
            and all(np.abs(values).max(initial=0) <= HALF_LARGEST for values in self._weights(node))
        }

    def _computes(self, node: NodeProto) -> bool:
        """Whether `node` works in floats: it gives some, or takes them with a scale of theirs."""
        return node.op_type == "QuantizeLinear" or any(
            self._types.get(name) == TensorProto.FLOAT for name in node.output
        )

    def _weights(self, node: NodeProto) -> Iterator[np.ndarray]:
        return (self._constants[name] for name in node.input if name in self._constants)

    def _fed(self, node: NodeProto, *, half: bool) -> Iterator[NodeProto]:
        """Give `node` inputs of the type that it computes in; yield the casts which that takes."""
        computes = self._computes(node)
        for index, name in enumerate(node.input):
            if self._types.get(name) != TensorProto.FLOAT and name not in self._constants:
                continue
            wants_half = half and index not in _ALWAYS_FLOAT32.get(node.op_type, ())
            is_half = name in self._half_tensors
            if name in self._constants:
                if wants_half:
                    node.input[index] = name + _HALF
            elif is_half != wants_half and (half or computes):
                node.input[index] = name + (_HALF if wants_half else _FLOAT)
                yield from self._cast(name, node.input[index], to_half=wants_half)
        if half and node.op_type == "Cast":
            node.attribute[0].i = TensorProto.FLOAT16

    def _cast(self, source: str, result: str, *, to_half: bool) -> Iterator[NodeProto]:
        if result not in self._made:
            self._made.add(result)
            to = TensorProto.FLOAT16 if to_half else TensorProto.FLOAT
            yield helper.make_node("Cast", [source], [result], name=f"amfac/cast/{result}", to=to)

    def _store_constants(self, nodes: list[NodeProto]) -> None:
        """Each constant in the types that it is used in, once."""
        used = {name for node in nodes for name in node.input} | {output.name for output in self._graph.output}
        others = [tensor for tensor in self._graph.initializer if tensor.name not in self._constants]
        del self._graph.initializer[:]
        self._graph.initializer.extend(others)
        for name, values in self._constants.items():
            if name in used:
                self._graph.initializer.append(numpy_helper.from_array(values, name))
            if name + _HALF in used:
                self._graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), name + _HALF))


_HALF, _FLOAT = "/half", "/float"
