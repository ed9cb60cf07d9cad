"""Which nodes of a raw graph compute in INT8.

Convolutions and transposed convolutions that do real work: not the heads and the convolution before them, whose values
decide between neighbouring bins; not the attention gates, which work on maps of one pixel or end in a sigmoid; not
depthwise convolutions, which are bound by memory, and which TensorRT has run slower in INT8 than in FP16
(NVIDIA/TensorRT#4529).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnx import shape_inference

from amfac_edge.errors import InputError, ModelFileError, near_names
from amfac_edge.graph.costs import layer_costs
from amfac_edge.graph.half import heads
from amfac_edge.graph.onnx_values import attribute, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnx import ModelProto, NodeProto

__all__ = ["QUANTISED_OPERATORS", "Placement", "default_placement", "residual_inputs"]

QUANTISED_OPERATORS = ("Conv", "ConvTranspose")
_Q_OPERATORS = ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger")


@dataclass(frozen=True)
class Placement:
    """The nodes that are quantised, in the graph's order.

    Attributes:
        nodes: by name.
    """

    nodes: tuple[str, ...]

    def without(self, names: Iterable[str]) -> Placement:
        """The same less `names`.

        Raises:
            InputError: one that isn't in it.
        """
        left_out = set(names)
        for name in sorted(left_out - set(self.nodes)):
            raise InputError(f'no quantised node "{name}"', cure=near_names(name, list(self.nodes)))
        return Placement(tuple(name for name in self.nodes if name not in left_out))

    def mac_share(self, model: ModelProto) -> float:
        """The part of the multiply-accumulates of `model` that is quantised."""
        costs = layer_costs(model)
        inside = set(self.nodes)
        return sum(layer.macs for layer in costs if layer.name in inside) / sum(layer.macs for layer in costs)


def default_placement(raw: ModelProto) -> Placement:
    """What is quantised where nobody says otherwise.

    Args:
        raw: a float32 raw graph with named nodes, simplified, of whatever network.

    Raises:
        ModelFileError: it is quantised already.
    """
    graph = raw.graph
    for node in graph.node:
        if node.op_type in _Q_OPERATORS:
            raise ModelFileError(
                f"it is quantised already: {node.op_type} (node {node.name or node.output[0]})",
                cure="Give the float32 graph, or the checkpoint.",
            )
    # The head's hidden layers sit on flat features; what is at issue here is the last convolution before them.
    kept = heads(graph) | _last_convolutions(raw)
    sizes = {value.name: shape_of(value) for value in shape_inference.infer_shapes(raw).graph.value_info}
    constants = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    gates = _feed_sigmoids(raw)
    return Placement(
        tuple(
            node.name
            for position, node in enumerate(graph.node)
            if node.op_type in QUANTISED_OPERATORS
            and position not in kept
            and position not in gates
            and node.input[1] in constants
            and not _is_depthwise(node, constants[node.input[1]])
            and not _is_one_pixel(sizes.get(node.output[0], ()))
        )
    )


def residual_inputs(raw: ModelProto, placement: Placement) -> dict[str, str]:
    """What is quantised on the way past a quantised convolution: the shortcut's tensor, by the Add that it goes into.

    TensorRT computes a convolution and the addition after it as one INT8 layer where the other summand is quantised as
    well. A summand that a gate has just scaled (Mul) is none: gates stay out, and in a network whose residual branches
    all end in one (SE, DGCB, bridge attention) there is nothing of this.

    Args:
        raw: float32 raw graph.
        placement: of its nodes.
    """
    inside = set(placement.nodes)
    producers = {name: node for node in raw.graph.node for name in node.output}
    consumers = Counter(name for node in raw.graph.node for name in node.input)
    work = {layer.name: layer.macs for layer in layer_costs(raw)}
    found = {}
    for node in raw.graph.node:
        summands = [producers[name] for name in node.input if name in producers] if node.op_type == "Add" else []
        convolutions = [one for one in summands if one.op_type in QUANTISED_OPERATORS and consumers[one.output[0]] == 1]
        if len(summands) < len(node.input) or not convolutions:
            continue
        # Of two, the one that works more is computed with the addition; the other is the shortcut.
        fused = max(convolutions, key=lambda one: work[one.name])
        other = next(one for one in summands if one is not fused)
        if fused.name in inside and other.op_type != "Mul":
            found[node.name] = next(name for name in node.input if name in other.output)
    return found


def _is_depthwise(node: NodeProto, weights: tuple[int, ...]) -> bool:
    group = int(attribute(node, "group", 1))
    # A transposed convolution has its input channels first, and the output channels of one group second.
    channels = weights[0] // group if node.op_type == "ConvTranspose" else weights[1]
    return group > 1 and channels == 1


def _is_one_pixel(shape: tuple[int | str, ...]) -> bool:
    return tuple(shape[2:]) == (1, 1)


def _feed_sigmoids(raw: ModelProto) -> set[int]:
    """The positions of convolutions whose result goes into sigmoids alone."""
    consumers: dict[str, list[str]] = {}
    for node in raw.graph.node:
        for name in node.input:
            consumers.setdefault(name, []).append(node.op_type)
    return {
        position
        for position, node in enumerate(raw.graph.node)
        if node.op_type in QUANTISED_OPERATORS and set(consumers.get(node.output[0], [])) == {"Sigmoid"}
    }


def _last_convolutions(raw: ModelProto) -> set[int]:
    """The positions of the convolutions whose maps the heads read: one map a joint."""
    producers = {name: position for position, node in enumerate(raw.graph.node) for name in node.output}
    found: set[int] = set()
    seen: set[int] = set()
    waiting = [name for position in heads(raw.graph) for name in raw.graph.node[position].input]
    while waiting:
        position = producers.get(waiting.pop())
        if position is None or position in seen:
            continue
        seen.add(position)
        node = raw.graph.node[position]
        if node.op_type in QUANTISED_OPERATORS:
            found.add(position)
        else:
            waiting += node.input
    return found
