"""Cutting a graph at tensors of its inside: what lies before them, what they hold, and what is left over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

from amfac_edge.graph.onnx_values import without_nodes
from amfac_edge.sessions.raw_graph import RawGraph

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from onnx import GraphProto, ModelProto

__all__ = ["LINEAR", "behind", "prune", "rename", "tail", "with_outputs"]

LINEAR = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def tail(graph: GraphProto, name: str) -> list[str]:
    """The tensors between the last linear layers and tensor `name`, in the graph's order; `name` is the last."""
    producers = {output: node for node in graph.node for output in node.output}
    found: set[str] = set()
    waiting = [name]
    while waiting:
        node = producers.get(waiting.pop())
        if node is None or not found.isdisjoint(node.output):
            continue
        found.update(node.output)
        if node.op_type not in LINEAR:
            waiting += node.input
    return [output for node in graph.node for output in node.output if output in found]


def behind(graph: GraphProto, operator: str) -> set[str]:
    """All tensors that depend on a node of the kind `operator`."""
    found: set[str] = set()
    for node in graph.node:  # producers come before consumers
        if node.op_type == operator or not found.isdisjoint(node.input):
            found.update(node.output)
    return found


def with_outputs(model: ModelProto, names: Collection[str], *, where: str) -> RawGraph:
    """The graph, unoptimised and ready to run, with the tensors `names` as its only outputs, in this order."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    # Without a type: ONNX Runtime infers it.
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return RawGraph(probe.SerializeToString(), name=where, optimised=False)


def prune(graph: GraphProto, outputs: Collection[str]) -> None:
    """Take out, in place, every node and initialiser that none of the tensors `outputs` needs."""
    needed = set(outputs)
    dead: set[int] = set()
    for position in reversed(range(len(graph.node))):
        node = graph.node[position]
        if needed.isdisjoint(node.output):
            dead.add(position)
        else:
            needed.update(node.input)
    without_nodes(graph, dead, {})
    kept = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def rename(graph: GraphProto, names: Mapping[str, str]) -> None:
    """Give tensors other names, in place; the graph's inputs and outputs keep theirs."""
    for node in graph.node:
        for role in (node.input, node.output):
            role[:] = [names.get(name, name) for name in role]
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
