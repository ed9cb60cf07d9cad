"""What is fused, on layers whose kernels are known by hand."""

from __future__ import annotations

from amfac_edge.artefact import LayerCost
from amfac_edge.performance.forecast.kernels import Kernel, fused_kernels, plain_kernels


def layer(op: str, size: int, macs: int = 0, name: str = "", dtype: str = "float32") -> LayerCost:
    return LayerCost(name or op.lower(), op, macs, size, dtype)


def test_an_activation_is_computed_within_the_convolution_before_it() -> None:
    layers = [layer("Conv", 300, 9), layer("Mish", 200), layer("Conv", 300, 9), layer("Mish", 200)]
    assert fused_kernels(layers) == (Kernel("Conv", 9, 300, 2),)


def test_a_chain_over_one_tensor_reads_and_writes_it_once() -> None:
    # A gate (tensor, mask, tensor), a residual (two tensors, one), Mish: read x, mask and residual, write one.
    layers = [layer("ReduceMean", 101), layer("Mul", 201), layer("Add", 300), layer("Mish", 200)]
    assert fused_kernels(layers) == (Kernel("ReduceMean", 0, 101), Kernel("Mul+Add+Mish", 0, 301))


def test_a_small_tensor_is_no_part_of_the_chain() -> None:
    layers = [layer("ReduceMean", 101), layer("Mul", 3), layer("Mul", 300)]
    assert [kernel.bytes for kernel in fused_kernels(layers)] == [101, 3, 300]


def test_a_gate_is_a_kernel_and_a_swish_is_none() -> None:
    gate = [layer("Conv", 300, 9), layer("Sigmoid", 200, name="node_sigmoid"), layer("Mul", 300, name="node_mul")]
    swish = [layer("Conv", 300, 9), layer("Sigmoid", 200, name="/stem/act/S"), layer("Mul", 300, name="/stem/act/M")]
    assert [kernel.name for kernel in fused_kernels(gate)] == ["Conv", "Mul"]
    assert [kernel.name for kernel in fused_kernels(swish)] == ["Conv"]


def test_half_precision_is_counted_as_its_float32_twin() -> None:
    halves = [layer("Conv", 150, 9, dtype="float16"), layer("Add", 150, dtype="float16")]
    assert fused_kernels(halves) == fused_kernels([layer("Conv", 300, 9), layer("Add", 300)])


def test_rounding_to_int8_is_no_kernel() -> None:
    layers = [layer("QuantizeLinear", 5), layer("DequantizeLinear", 5), layer("Conv", 300, 9)]
    assert fused_kernels(layers) == (Kernel("Conv", 9, 300),)


def test_a_cpu_runs_what_a_gpu_fuses() -> None:
    layers = [layer("Conv", 300, 9), layer("Relu", 200), layer("Conv", 300, 9), layer("Exp", 200), layer("Add", 300)]
    assert [kernel.name for kernel in plain_kernels(layers)] == ["Conv", "Exp", "Add"]
