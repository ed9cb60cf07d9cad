"""Nodes and constants of our own, written into a graph that may be anybody's, at the opset of that graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["GraphWriter"]

# From these opsets on, the axes of a reduction are an input instead of an attribute.
_AXES_INPUT_SINCE = {"ReduceSum": 13, "ReduceMax": 18}


class GraphWriter:
    """Makes nodes and constants with names of our own prefix.

    Args:
        opset: of the graph that they are for.

    Attributes:
        constants: those that were made, to be added to the graph's initialisers.
    """

    prefix: ClassVar[str] = "amfac/"

    def __init__(self, opset: int) -> None:
        self._opset = opset
        self.constants: list[TensorProto] = []

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Make a constant, a scalar or an array of any size; the result is its name in the graph."""
        self.constants.append(numpy_helper.from_array(value, self.prefix + name))
        return self.prefix + name

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> NodeProto:  # noqa: ANN401 - as ONNX has them
        """A node with one output."""
        return helper.make_node(op, inputs, [output], name=self.prefix + op.lower() + "/" + output, **attributes)

    def reduce(self, op: str, source: str, output: str, *, keepdims: int) -> NodeProto:
        """A reduction over the last axis of (N,K,bins)."""
        if self._opset < _AXES_INPUT_SINCE[op]:
            return self.node(op, [source], output, axes=[2], keepdims=keepdims)
        axes = self.constant(f"axes/{output}", np.array([2], np.int64))
        return self.node(op, [source, axes], output, keepdims=keepdims)

    def columns(self, source: str, output: str, start: int, end: int) -> list[NodeProto]:
        """Columns [start, end) of the last axis of (N,A,columns)."""
        places = [
            self.constant(f"columns/{name}/{place}", np.array([place], np.int64))
            for name, place in ((f"{output}/first", start), (f"{output}/last", end), (f"{output}/axis", 2))
        ]
        return [self.node("Slice", [source, *places], output)]

    def planes_from_pixels(
        self, pixels: str, image: str, *, scale: NDArray[np.float64], shift: NDArray[np.float64], rgb: bool
    ) -> list[NodeProto]:
        """From `pixels` uint8 (N,H,W,3) BGR to `image` float32 (N,3,H,W): times `scale`, plus `shift`.

        uint8 goes straight into Cast, since TensorRT takes it nowhere else. A step that would change nothing is left
        out.

        Args:
            pixels: name of the graph's input.
            image: name of what the network takes.
            scale: (3,) for each channel, in the order of the network.
            shift: (3,) the same.
            rgb: whether the network takes RGB, else BGR.
        """
        cast, planes = (self.prefix + name for name in ("pixels", "planes"))
        nodes = [
            self.node("Cast", [pixels], cast, to=TensorProto.FLOAT),
            self.node("Transpose", [cast], planes, perm=[0, 3, 1, 2]),
            *self.network_input(planes, image, scale=scale, shift=shift, rgb=rgb),
        ]
        nodes[-1].output[0] = image
        return nodes

    def network_input(
        self, planes: str, image: str, *, scale: NDArray[np.float64], shift: NDArray[np.float64], rgb: bool
    ) -> list[NodeProto]:
        """From `planes` float32 (N,3,H,W) BGR, 0 to 255, to `image`, as `planes_from_pixels`; maybe no node."""
        ordered, scaled = (self.prefix + name for name in ("rgb_planes", "scaled"))
        nodes: list[NodeProto] = []
        if rgb:
            order = self.constant("rgb", np.array([2, 1, 0], np.int64))
            nodes.append(self.node("Gather", [planes, order], ordered, axis=1))
        if (scale != 1).any():
            factor = self.constant("scale", scale.astype(np.float32).reshape(1, 3, 1, 1))
            nodes.append(self.node("Mul", [nodes[-1].output[0] if nodes else planes, factor], scaled))
        if shift.any():
            offset = self.constant("shift", shift.astype(np.float32).reshape(1, 3, 1, 1))
            nodes.append(self.node("Add", [nodes[-1].output[0] if nodes else planes, offset], image))
        if nodes:
            nodes[-1].output[0] = image
        return nodes
