"""Explicit Q/DQ: a graph that says in itself what computes in INT8, so that every runtime and builder does the same.

Symmetric, one scale a tensor for activations, one an output channel for weights, which are stored in INT8; no bias is
quantised, since TensorRT takes none. Scales are values that float16 has, so that the graph may become one of float16
without another rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper

from amfac_edge.errors import ModelFileError
from amfac_edge.graph.onnx_values import attribute
from amfac_edge.quantization.placement import residual_inputs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from onnx import GraphProto, ModelProto

    from amfac_edge.quantization.placement import Placement
    from amfac_edge.quantization.ranges import Ranges

__all__ = ["Quantised", "quantised"]

_LEVELS = 127.0
_QUANTISED, _DEQUANTISED, _SCALE = "/int8", "/dq", "/scale"


@dataclass(frozen=True)
class Quantised:
    """A graph with Q/DQ.

    Attributes:
        model: float32 between quantised nodes.
        placement: what is quantised in it.
        mac_share: part of its multiply-accumulates between DQ and Q.
    """

    model: ModelProto
    placement: Placement
    mac_share: float


def quantised(raw: ModelProto, ranges: Ranges, placement: Placement) -> Quantised:
    """A copy of `raw` in which the nodes of `placement` take quantised values and weights.

    Args:
        raw: float32 raw graph with weights as initialisers.
        ranges: of at least the tensors that these nodes take.
        placement: of its nodes.

    Raises:
        ModelFileError: a range is missing, or weights are shared in a way that can't be quantised.
    """
    model = onnx.ModelProto()
    model.CopyFrom(raw)
    graph = model.graph
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    inside = set(placement.nodes)
    shortcuts = residual_inputs(raw, placement)
    nodes: list[NodeProto] = []
    made: set[str] = set()
    for node in graph.node:
        if node.name in inside:
            nodes += _activation(graph, node, 0, ranges, made)
            nodes += _weights(graph, node, weights, made)
        if node.name in shortcuts:
            nodes += _activation(graph, node, list(node.input).index(shortcuts[node.name]), ranges, made)
        nodes.append(node)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)
    return Quantised(model, placement, placement.mac_share(raw))


def _activation(graph: GraphProto, node: NodeProto, place: int, ranges: Ranges, made: set[str]) -> Iterator[NodeProto]:
    """Q and DQ before the input of `node` at `place`; one pair a tensor, whoever takes it."""
    name = node.input[place]
    if name not in ranges.largest:
        raise ModelFileError(f"no calibrated range of {name}", cure="Calibrate again, for this very graph.")
    if name not in made:
        made.add(name)
        scale = _scale(np.array(ranges.largest[name]))
        yield from _pair(graph, name, scale, zero=np.array(0, np.int8))
    node.input[place] = name + _DEQUANTISED


def _pair(graph: GraphProto, name: str, scale: NDArray[np.float32], zero: NDArray[np.int8]) -> Iterator[NodeProto]:
    graph.initializer.append(numpy_helper.from_array(scale, name + _SCALE))
    graph.initializer.append(numpy_helper.from_array(zero, name + _SCALE + "/zero"))
    parameters = [name + _SCALE, name + _SCALE + "/zero"]
    yield helper.make_node("QuantizeLinear", [name, *parameters], [name + _QUANTISED], name=f"amfac/q/{name}")
    yield helper.make_node(
        "DequantizeLinear", [name + _QUANTISED, *parameters], [name + _DEQUANTISED], name=f"amfac/dq/{name}"
    )


def _weights(
    graph: GraphProto, node: NodeProto, weights: dict[str, NDArray[np.float32]], made: set[str]
) -> Iterator[NodeProto]:
    """INT8 weights and their DQ, one scale an output channel."""
    name = node.input[1]
    axis = _channel_axis(node)
    result = f"{name}{_DEQUANTISED}{axis}"
    if result not in made:
        made.add(result)
        values = weights[name]
        others = tuple(each for each in range(values.ndim) if each != axis)
        largest = np.abs(values).max(axis=others, keepdims=True)
        scale = _scale(largest)
        stored = np.clip(np.rint(values / scale), -_LEVELS, _LEVELS).astype(np.int8)
        graph.initializer.append(numpy_helper.from_array(stored, f"{name}{_QUANTISED}{axis}"))
        graph.initializer.append(numpy_helper.from_array(scale.reshape(-1), f"{name}{_SCALE}{axis}"))
        zero = np.zeros(scale.size, np.int8)
        graph.initializer.append(numpy_helper.from_array(zero, f"{name}{_SCALE}{axis}/zero"))
        parameters = [f"{name}{_SCALE}{axis}", f"{name}{_SCALE}{axis}/zero"]
        yield helper.make_node(
            "DequantizeLinear", [f"{name}{_QUANTISED}{axis}", *parameters], [result], name=f"amfac/dq/{name}", axis=axis
        )
    node.input[1] = result


def _scale(largest: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """A step of which 127 reach `largest`, as float16 has it: the next one up, so that nothing is cut off.

    What is smaller than float16's smallest step has that one: a channel whose weights are all below it is zeros.
    """
    exact = largest.astype(np.float64) / _LEVELS
    rounded = exact.astype(np.float16)
    up = np.where(rounded < exact, np.nextafter(rounded, np.float16(np.inf)), rounded)
    return np.maximum(up, np.finfo(np.float16).smallest_subnormal).astype(np.float32)


def _channel_axis(node: NodeProto) -> int:
    """Of the output channels: the second axis of a transposed convolution's weights, the first of a convolution's."""
    if node.op_type != "ConvTranspose":
        return 0
    if int(attribute(node, "group", 1)) != 1:
        raise ModelFileError(
            f"node {node.name}: a grouped transposed convolution has no axis for its output channels",
            cure="Leave it out of what is quantised.",
        )
    return 1
