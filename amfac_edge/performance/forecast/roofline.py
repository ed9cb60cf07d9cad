"""Roofline: a kernel takes as long as its bytes, its arithmetic or its launch, whichever is longest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from amfac_edge.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from amfac_edge.declared.target import Target
    from amfac_edge.performance.forecast.kernels import Kernel

__all__ = ["PRECISIONS", "Attained", "Load", "Peaks", "Shares", "peaks_of", "time_ms"]

PRECISIONS = ("fp32", "fp16", "int8")
"""Precisions of an engine."""

# Bytes of a tensor beside its float32 ones: of a layer with multiply-accumulates, of any other (INT8 leaves gates,
# pooling and element-wise chains in FP16, half of whose tensors INT8 layers read or write).
_WIDTHS = {"fp32": (1.0, 1.0), "fp16": (0.5, 0.5), "int8": (0.25, 0.375)}
# Fewer multiply-accumulates a value than this: a depthwise convolution, or one of a few channels; tensor cores idle.
_DIRECT_BELOW = 13.0


class Peaks(NamedTuple):
    """Of a machine in one mode and precision: GB/s, GMAC/s."""

    bandwidth_gbs: float
    gmacs: float


class Attained(NamedTuple):
    """What an engine attains of the peaks: two shares, the shortest kernel in microseconds, and a run's own ms."""

    bandwidth: float
    compute: float
    launch_us: float
    host_ms: float


class Shares(NamedTuple):
    """Of what `Attained.compute` attains: by kernels of little arithmetic a byte, and by all in float32.

    Depthwise convolutions leave tensor cores idle; float32 leaves them out, and CUDA cores are easier to keep busy.
    """

    direct: float
    fp32: float


@dataclass(frozen=True)
class Load:
    """Kernels of one engine, ready to be timed.

    Attributes:
        gigabytes: (P,) of each kernel.
        gmacs: (P,) of each.
        direct: (P,) whether the kernel is one of little arithmetic a byte.
        counts: (P,) how many of each.
        fp32: whether they compute in float32.
    """

    gigabytes: NDArray[np.float64]
    gmacs: NDArray[np.float64]
    direct: NDArray[np.bool_]
    counts: NDArray[np.float64]
    fp32: bool

    @classmethod
    def of(cls, kernels: Sequence[Kernel], precision: str, *, batch: int = 1, weights: int = 0) -> Load:
        """The load of `batch` crops a run; `weights` are the float32 bytes that all crops share."""
        full = np.array([kernel.bytes for kernel in kernels], np.float64)
        macs = np.array([kernel.macs for kernel in kernels], np.float64)
        counts = np.array([kernel.count for kernel in kernels], np.float64)
        shared = min(weights / max(float((full * counts)[macs > 0].sum()), 1.0), 1.0)
        grown = np.where(macs > 0, batch - (batch - 1) * shared, batch)
        product, other = _WIDTHS[precision]
        values = np.maximum(full / 4, 1)
        return cls(
            gigabytes=full * grown * np.where(macs > 0, product, other) / 1e9,
            gmacs=macs * batch / 1e9,
            direct=macs / values < _DIRECT_BELOW,
            counts=counts,
            fp32=precision == "fp32",
        )


def peaks_of(target: Target, mode: str | None, precision: str) -> Peaks:
    """The peaks of `target` in its power mode.

    Raises:
        InputError: the target declares none that is needed.
    """
    tera = {"fp32": target.fp32_tflops, "fp16": target.fp16_dense_tflops, "int8": target.int8_dense_tops}
    operations, bandwidth = tera[precision](mode), target.bandwidth_gbs(mode)
    if operations is None or bandwidth is None:
        raise InputError(
            f"{target.name}{f' in {mode}' if mode else ''}: its clocks, cores or bandwidth aren't known, so there is "
            "nothing to forecast from",
            cure="Give another target or mode, or a TOML of your own that has gpu.clock_mhz, gpu.fp16_ops and memory.",
        )
    return Peaks(bandwidth, operations * 1e3 / 2)


def time_ms(load: Load, peaks: Peaks, attained: Attained, shares: Shares) -> tuple[float, dict[str, float]]:
    """Milliseconds of one run, and the share of them that each limit binds.

    Args:
        load: the engine's kernels.
        peaks: of the machine.
        attained: of them.
        shares: of `attained.compute`.
    """
    moving = load.gigabytes / (peaks.bandwidth_gbs * attained.bandwidth) * 1e3
    share = np.where(load.direct, shares.direct, 1.0) * (shares.fp32 if load.fp32 else 1.0)
    rate = peaks.gmacs * attained.compute * share
    computing = load.gmacs / rate * 1e3
    launching = np.full_like(moving, attained.launch_us / 1e3)
    every = np.stack([moving, computing, launching])
    binding, longest = every.argmax(axis=0), every.max(axis=0) * load.counts
    total = float(longest.sum()) + attained.host_ms
    names = ("bandwidth", "compute", "launches")
    binds = {name: float(longest[binding == place].sum()) / total for place, name in enumerate(names)}
    return total, binds | {"host": attained.host_ms / total}
