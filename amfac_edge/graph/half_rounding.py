"""How a typed float16 graph computes where float16 is really float16.

ONNX Runtime's CPU provider computes float16 operators in float32 and drops the casts between them, so that it flatters
every float16 graph. `rounded_twin` is a float32 graph that rounds each result to float16 instead, and `largest_values`
tells how far each tensor goes before anything is converted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from amfac_edge.graph.half import element_types
from amfac_edge.sessions.raw_graph import RawGraph

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from onnx import ModelProto

__all__ = ["largest_values", "rounded_twin"]

# What only moves or selects values gives nothing that needs rounding.
_EXACT = frozenset(
    (
        "Cast", "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "GlobalMaxPool", "Identity", "Max", "MaxPool",
        "Min", "Neg", "Abs", "Pad", "ReduceMax", "Relu", "Reshape", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile",
        "Transpose", "Unsqueeze", "Where",
    )
)  # fmt: skip
_EXTREMES = ("ReduceMax", "ReduceMin")


def rounded_twin(model: ModelProto) -> ModelProto:
    """A float32 graph whose every result that `model` has in float16 is rounded to float16, to nearest even.

    Sums within one operator are float32's, as on a tensor core that accumulates in float32. A builder that fuses
    operators rounds less often, so that this is the more careful of the two.

    Args:
        model: a typed graph, of `half_graph`.
    """
    twin = onnx.ModelProto()
    twin.CopyFrom(model)
    types = element_types(model)
    graph = twin.graph
    nodes: list[NodeProto] = []
    for node in graph.node:
        halves = [name for name in node.output if types.get(name) == TensorProto.FLOAT16]
        nodes += _rounded(node, halves)
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    return twin


def _rounded(node: NodeProto, halves: list[str]) -> Iterator[NodeProto]:
    is_cast = node.op_type == "Cast"
    if not halves or (node.op_type in _EXACT and not is_cast):
        yield node
        return
    for index, name in enumerate(node.output):
        if name in halves:
            node.output[index] = f"{name}/exact"
    if is_cast:
        node.attribute[0].i = TensorProto.FLOAT
    yield node
    for name in halves:
        # ONNX Runtime keeps a pair of casts that the graph itself states.
        yield helper.make_node("Cast", [f"{name}/exact"], [f"{name}/rounded"], to=TensorProto.FLOAT16)
        yield helper.make_node("Cast", [f"{name}/rounded"], [name], to=TensorProto.FLOAT)


def largest_values(model: ModelProto, images: NDArray[np.float32]) -> dict[str, float]:
    """The largest absolute value of each float32 tensor between the nodes of `model`, over `images`.

    What is infinite or no number counts as float32's largest.

    Args:
        model: a float32 graph with one input.
        images: (N,...) float32, one run each (or filled up by repetition where the batch is fixed).
    """
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    graph = probe.graph
    types = element_types(model)
    names = [name for node in graph.node for name in node.output if types.get(name) == TensorProto.FLOAT]
    del graph.output[:]
    # The last first: in this order alone ONNX Runtime runs them right behind their tensor, and doesn't keep
    # every tensor to the end (1.9 GB in place of 0.8 at 384x288).
    for index in reversed(range(len(names))):
        graph.node.extend(_extremes(names[index], index))
    for index in range(len(names)):
        for operator in _EXTREMES:
            graph.output.append(helper.make_tensor_value_info(f"amfac/{operator}/{index}", TensorProto.FLOAT, []))
    engine = RawGraph(probe.SerializeToString(), name="the graph's ranges")
    source = graph.input[0]
    size = source.type.tensor_type.shape.dim[0].dim_value or 1
    top = np.zeros(len(names))
    for image in images:
        found = engine.run({source.name: np.repeat(image[None], size, axis=0)})
        top = np.maximum(top, np.abs(np.array(found, np.float64)).reshape(-1, 2).max(axis=1))
    largest = float(np.finfo(np.float32).max)
    return dict(zip(names, np.nan_to_num(top, nan=largest, posinf=largest).tolist(), strict=True))


def _extremes(name: str, index: int) -> Iterator[NodeProto]:
    for operator in _EXTREMES:
        yield helper.make_node(operator, [name], [f"amfac/{operator}/{index}"], keepdims=0)
