"""A parsed network before it is built: the types that it computes in, how it samples, and what must stay float32."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["keep_in_float32", "parsed_types", "wrong_sampling"]

_TYPE_NAMES = {"half": "float16", "float": "float32"}
_MULTIPLYING = ("convolution", "deconvolution", "matrix_multiply")
# What the parser writes into a layer's metadata: the node that it was made of. Seen with TensorRT-RTX 1.7.
_NODE = re.compile(r"\[ONNX Layer: (.*)\]")


def parsed_types(network: Any) -> dict[str, dict[str, int]]:  # noqa: ANN401 - TensorRT's own
    """Of the layers that multiply, how many give which type: {"convolution": {"float16": 99}}.

    In a strongly typed network this is what the builder must keep to, and it needs no GPU to be known.
    """
    found: dict[str, dict[str, int]] = {}
    for layer in _layers(network):
        kind = layer.type.name.lower()
        if kind in _MULTIPLYING:
            of_kind = found.setdefault(kind, {})
            name = _type_name(layer.get_output(0))
            of_kind[name] = of_kind.get(name, 0) + 1
    return found


def wrong_sampling(trt: Any, network: Any) -> str | None:  # noqa: ANN401 - as above
    """The first layer that samples a frame otherwise than linearly, None for none.

    Parsers were seen to read a name of the mode that they don't know as "nearest", without a word
    (https://github.com/NVIDIA/TensorRT/issues/4646).
    """
    for layer in _layers(network):
        if layer.type.name == "GRID_SAMPLE":
            # The bindings give the base class of it alone.
            layer.__class__ = trt.IGridSampleLayer
            mode = layer.interpolation_mode.name
            if mode != "LINEAR":
                return f"{layer.name} samples by {mode}"
    return None


def keep_in_float32(trt: Any, network: Any, config: Any, nodes: Collection[str]) -> int:  # noqa: ANN401 - as above
    """Hold what was made of the named nodes to float32, in a network whose types the builder chooses.

    A node becomes several layers: a Gemm is a product and a sum. The first has its name, all have it in their metadata
    where the parser writes any.

    Returns:
        How many layers were held.
    """
    wanted, held = frozenset(nodes), 0
    for layer in _layers(network):
        found = _NODE.fullmatch(layer.metadata)
        if (found[1] if found else layer.name) not in wanted:
            continue
        layer.precision = trt.DataType.FLOAT
        for index in range(layer.num_outputs):
            # An argmax gives integers beside its values: they stay what they are.
            if _type_name(layer.get_output(index)) in _TYPE_NAMES.values():
                layer.set_output_type(index, trt.DataType.FLOAT)
        held += 1
    if held:
        config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
    return held


def _layers(network: Any) -> Iterator[Any]:  # noqa: ANN401 - as above
    return (network.get_layer(index) for index in range(network.num_layers))


def _type_name(tensor: Any) -> str:  # noqa: ANN401 - as above
    name = str(tensor.dtype.name).lower()
    return _TYPE_NAMES.get(name, name)
