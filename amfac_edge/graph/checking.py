"""Is this ONNX file what it says it is? Asked before any other tool sees a file from outside.

The simplifiers and viewers of this field accept missing initialisers, wrong dimensions, NaN weights and even empty
files, and rewrite them silently. Here each is one clear error. The whole check runs in a child process with limits,
since the protobuf and ONNX libraries are native code.
"""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import numpy_helper

from amfac_edge.children import ChildFailure, call_in_child
from amfac_edge.errors import ModelFileError
from amfac_edge.files import file_bytes
from amfac_edge.graph.onnx_values import opset_of, shape_of
from amfac_edge.graph.passes import has_misread_sampling
from amfac_edge.sessions.raw_graph import RawGraph

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx import GraphProto, ModelProto, TensorProto

__all__ = ["checked_model", "load_checked"]

# protobuf's own limit; a model above it keeps its weights outside the file, which is refused below.
_SIZE_LIMIT = (1 << 31) - 1
_MOST_NODES = 20_000
_LOOPS = ("Loop", "Scan")
_OPSETS = range(11, 24)
_NEWEST_IR = 13
_LARGEST_PICTURE = 3 * 4096 * 4096
_SECONDS = 120.0
_MEMORY = 6 << 30
_REEXPORT = "Export the model again from its source; this file can't be used."


def checked_model(path: Path, *, timeout_s: float = _SECONDS, trial: str = "", **arguments: object) -> ModelProto:
    """Read the ONNX file at `path` after checking it, in a child process, as `load_checked` does.

    Args:
        path: of the file.
        timeout_s: limit for the child.
        trial: "package.module:name" of a function that does in that child what the caller is going to do here; it is
            called with the model, `where` and `arguments`.
        **arguments: for it.

    Raises:
        ModelFileError: what `load_checked` found, or the child's death (a crash of native code, time, memory).
        AmfacError: what the trial found.
    """
    try:
        call_in_child(
            f"{__name__}:_checked_quietly",
            timeout_s=timeout_s,
            memory_bytes=_MEMORY,
            path=str(path),
            trial=trial,
            arguments=arguments,
        )
    except ChildFailure as failure:
        raise ModelFileError(
            f"{path}: the check, in a process of its own, did not survive this file: {failure.reason}", cure=_REEXPORT
        ) from failure
    # Only a file that parsed there is parsed here.
    return onnx.load_from_string(file_bytes(path, limit=_SIZE_LIMIT, what="ONNX file"))


def load_checked(path: Path) -> ModelProto:
    """Read an ONNX file and check it in this process.

    Raises:
        ModelFileError: absent, empty, truncated, not protobuf, weights outside the file, an unsupported opset or IR
            version, too many nodes, a cycle, missing or mis-sized initialisers, NaN or infinite weights, shapes that
            contradict each other, or a graph that ONNX Runtime can't load or run.
    """
    content = file_bytes(path, limit=_SIZE_LIMIT, what="ONNX file")
    model = _parsed(content, path)
    _check_versions(model, path)
    _check_nodes(model.graph, path)
    for graph in _graphs(model.graph):
        for tensor in _tensors(graph):
            _check_tensor(tensor, path)
    _check_structure(model, path)
    _run_once(RawGraph(content, name=str(path), optimised=False, threads=1), model)
    return model


def _checked_quietly(path: str, trial: str, arguments: dict[str, Any]) -> bool:
    model = load_checked(Path(path))
    if trial:
        module, _, name = trial.partition(":")
        getattr(importlib.import_module(module), name)(model, where=path, **arguments)
    return True


def _run_once(graph: RawGraph, model: ModelProto) -> None:
    """Run it on grey, where its input says how large that is: kernels, too, can be crashed by what a file holds."""
    initialisers = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in initialisers]
    if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        return
    batch, *sides = shape_of(inputs[0]) or ("?",)
    shape = [side for side in (batch if isinstance(batch, int) else 1, *sides) if isinstance(side, int)]
    if len(shape) == 1 + len(sides) and 0 < math.prod(shape) <= _LARGEST_PICTURE:
        graph.run({inputs[0].name: np.full(shape, 0.5, np.float32)})


def _parsed(content: bytes, path: Path) -> ModelProto:
    if not content:
        raise ModelFileError(f"{path}: the ONNX file is empty (0 bytes)", cure=_REEXPORT)
    try:
        model = onnx.load_from_string(content)
    except Exception as error:  # protobuf's own exception types differ between its implementations
        raise ModelFileError(f"{path}: not an ONNX file, or a truncated one: {error}", cure=_REEXPORT) from error
    if not model.graph.node or not model.graph.output:
        raise ModelFileError(
            f"{path}: not an ONNX model: {len(model.graph.node)} nodes, {len(model.graph.output)} outputs",
            cure=_REEXPORT,
        )
    return model


def _check_versions(model: ModelProto, path: Path) -> None:
    opset = opset_of(model)
    if opset not in _OPSETS or has_misread_sampling(model):
        why = "reads its GridSample wrongly on older TensorRT" if opset in _OPSETS else "is not supported"
        raise ModelFileError(
            f"{path}: opset {opset} {why} (supported: {_OPSETS.start} to {_OPSETS.stop - 1})",
            cure="Export the model again at opset 19.",
        )
    if model.ir_version > _NEWEST_IR:
        raise ModelFileError(
            f"{path}: IR version {model.ir_version} is newer than {_NEWEST_IR}", cure="Export it again."
        )


def _check_nodes(graph: GraphProto, path: Path) -> None:
    nodes = [node for inner in _graphs(graph) for node in inner.node]
    if len(nodes) > _MOST_NODES:
        raise ModelFileError(
            f"{path}: {len(nodes):,} nodes, more than the {_MOST_NODES:,} that any pose network has", cure=_REEXPORT
        )
    loop = next((node for node in nodes if node.op_type in _LOOPS), None)
    if loop is not None:
        raise ModelFileError(
            f"{path}: node {loop.name or loop.op_type} is a {loop.op_type}, which may never end",
            cure="Export the model without it; no pose network needs one.",
        )


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph and all graphs inside its nodes (the branches of an If)."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t


def _check_tensor(tensor: TensorProto, path: Path) -> None:
    name = tensor.name or "a constant"
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        places = {entry.key: entry.value for entry in tensor.external_data}
        raise ModelFileError(
            f"{path}: the weights of {name} lie outside the file ({places.get('location', 'nowhere')})",
            cure="Save the model with its weights inside (onnx.save_model(..., save_as_external_data=False)).",
        )
    try:
        values = numpy_helper.to_array(tensor)
    except Exception as error:  # a wrong length shows as different exceptions in different versions of onnx
        raise ModelFileError(
            f"{path}: the weights of {name} don't have the size of their shape {list(tensor.dims)}: {error}",
            cure=_REEXPORT,
        ) from error
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        bad = int(np.count_nonzero(~np.isfinite(values)))
        raise ModelFileError(
            f"{path}: {bad} of the weights of {name} are NaN or infinite", cure="Train or convert it again."
        )


def _check_structure(model: ModelProto, path: Path) -> None:
    _check_sources(model.graph, path)
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # onnx raises several unrelated types here
        line = " ".join(str(error).split())[:300]
        raise ModelFileError(f"{path}: the graph contradicts itself: {line}", cure=_REEXPORT) from error


def _check_sources(graph: GraphProto, path: Path) -> None:
    """Every input of every node must come from before it: else it is missing, or part of a cycle."""
    known = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer} | {""}
    made = {output for node in graph.node for output in node.output}
    for node in graph.node:
        for name in node.input:
            if name in known:
                continue
            if name in made:
                problem = f"node {node.name or node.op_type} needs {name}, which is made only after it: a cycle"
            else:
                problem = (
                    f"node {node.name or node.op_type} needs {name}, which nothing makes: an initialiser is missing"
                )
            raise ModelFileError(f"{path}: {problem}", cure=_REEXPORT)
        known |= set(node.output)
