"""From a manifest's layers to the kernels that an engine runs: what it fuses, and what each kernel then costs.

A manifest says what each node costs, not which node feeds which; so this reads the nodes in their order, in which a
node stands behind what it takes. TensorRT computes one-input functions (activations, casts) within the convolution or
product before them, and chains of element-wise nodes over one tensor in one kernel that reads and writes it once. ONNX
Runtime on a CPU runs nearly every node as a kernel of its own.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from amfac_edge.artefact import LayerCost

__all__ = ["Kernel", "fused_kernels", "plain_kernels"]

_UNARY = frozenset((
    "Abs", "Cast", "Ceil", "Clip", "Elu", "Erf", "Exp", "Floor", "HardSigmoid", "HardSwish", "LeakyRelu", "Log", "Mish",
    "Neg", "Reciprocal", "Relu", "Round", "Sigmoid", "Softplus", "Sqrt", "Swish", "Tanh",
))  # fmt: skip
_BINARY = frozenset(("Add", "Div", "Max", "Min", "Mul", "Pow", "PRelu", "Sub", "Where"))
# ONNX Runtime's own fusions of a convolution.
_PLAIN_UNARY = frozenset(("Clip", "HardSigmoid", "LeakyRelu", "Relu", "Sigmoid", "Tanh"))
# They say how a tensor is rounded; the engine does it where the tensor is written or read.
_ROUNDING = frozenset(("DequantizeLinear", "QuantizeLinear"))
# Two tensors of one chain differ by less than this in size (a mask or a bias beside a whole tensor doesn't).
_ONE_SIZE = 3.0


@dataclass(frozen=True)
class Kernel:
    """`count` kernels of one cost at batch 1: operators, multiply-accumulates, bytes read and written in float32."""

    name: str
    macs: int
    bytes: int
    count: int = 1


def fused_kernels(layers: Sequence[LayerCost]) -> tuple[Kernel, ...]:
    """The kernels of a TensorRT engine made of `layers`; equal ones are counted together."""
    kernels: list[tuple[str, int, float]] = []
    # Whether the last kernel is one that takes an activation in; the size of the tensor that its chain is over.
    open_product, chain = False, 0.0
    previous: LayerCost | None = None
    for layer in layers:
        if layer.op in _ROUNDING:
            continue
        size = _full_bytes(layer)
        absorbed = open_product and (layer.op in _UNARY or _is_swish(previous, layer))
        previous = layer
        if absorbed:
            continue
        open_product = layer.macs > 0
        if layer.op not in _UNARY | _BINARY:
            kernels.append((layer.op, layer.macs, size))
            chain = 0.0
            continue
        tensor = size / (2 if layer.op in _UNARY else 3)
        if chain and 1 / _ONE_SIZE <= tensor / chain <= _ONE_SIZE:
            name, _, before = kernels[-1]
            chain = max(chain, tensor)
            kernels[-1] = (f"{name}+{layer.op}", 0, max(before + size - 2 * chain, before))
        else:
            chain = tensor
            kernels.append((layer.op, 0, size))
    return _counted(kernels)


def plain_kernels(layers: Sequence[LayerCost]) -> tuple[Kernel, ...]:
    """The kernels of ONNX Runtime on a CPU: every layer but an activation right behind a convolution."""
    kernels: list[tuple[str, int, float]] = []
    convolution = False
    for layer in layers:
        if not (convolution and layer.op in _PLAIN_UNARY):
            kernels.append((layer.op, layer.macs, _full_bytes(layer)))
        convolution = layer.op == "Conv"
    return _counted(kernels)


def _full_bytes(layer: LayerCost) -> int:
    """Its bytes, were they float32."""
    return layer.bytes * (2 if layer.dtype == "float16" else 1)


def _is_swish(before: LayerCost | None, layer: LayerCost) -> bool:
    """Whether `layer` is the product of x * sigmoid(x): exporters name both by the module that they come from."""
    if before is None or (before.op, layer.op) != ("Sigmoid", "Mul"):
        return False
    scope = layer.name.rpartition("/")[0]
    return bool(scope) and scope == before.name.rpartition("/")[0]


def _counted(kernels: Iterable[tuple[str, int, float]]) -> tuple[Kernel, ...]:
    counts = Counter((name, macs, round(size)) for name, macs, size in kernels)
    return tuple(Kernel(*cost, count) for cost, count in counts.items())
