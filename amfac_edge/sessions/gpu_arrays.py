"""Arrays that lie on the GPU already: PyTorch, CuPy, Numba and others hand them over by `__cuda_array_interface__`.

The interface is described in Numba's documentation ("CUDA Array Interface", version 3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

from amfac_edge.errors import InputError

__all__ = ["ANY_STREAM", "GpuArray", "OnGpu", "gpu_array", "on_gpu"]

ANY_STREAM = -1
"""In place of a stream's handle: whichever it is."""

# Before it, arrays had no way to say in which stream they are made; PyTorch's still have none.
_VERSION_WITH_STREAMS = 3


class OnGpu(Protocol):
    """An array of any library that lies on the GPU."""

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class GpuArray:
    """uint8 memory of the GPU, C-contiguous.

    Attributes:
        address: of the first element.
        shape: of the array.
        stream: what was enqueued there must be done before it is read; None for nothing, ANY_STREAM where the array
            doesn't say.
    """

    address: int
    shape: tuple[int, ...]
    stream: int | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> GpuArray:
        start, stop, _ = rows.indices(len(self))
        row = math.prod(self.shape[1:])
        return replace(self, address=self.address + start * row, shape=(max(0, stop - start), *self.shape[1:]))

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return math.prod(self.shape)


def on_gpu(array: object) -> OnGpu | None:
    """The array if it lies on the GPU; None for any other, a tensor of the CPU too."""
    # isinstance with a protocol may look at the class, and PyTorch's has the attribute for tensors of the CPU too.
    return cast("OnGpu", array) if hasattr(array, "__cuda_array_interface__") else None


def gpu_array(array: OnGpu, *, what: str, shape: tuple[int | None, ...]) -> GpuArray:
    """What an array on the GPU says of itself.

    Args:
        array: of any library.
        what: for the message, "crops".
        shape: that it must have, None for a side of any length.

    Raises:
        InputError: another shape or dtype, or rows that don't lie one behind the other.
    """
    interface = array.__cuda_array_interface__
    found = tuple(int(side) for side in interface["shape"])
    strides = interface.get("strides")
    contiguous = strides is None or tuple(strides) == tuple(math.prod(found[axis + 1 :]) for axis in range(len(found)))
    fits = len(found) == len(shape) and all(
        side >= 1 and wanted in {None, side} for side, wanted in zip(found, shape, strict=False)
    )
    if interface["typestr"] not in {"|u1", "<u1", "=u1"} or not contiguous or not fits:
        layout = "" if contiguous else ", not contiguous"
        sides = ", ".join("any" if side is None else str(side) for side in shape)
        raise InputError(
            f"the {what} on the GPU: dtype {interface['typestr']}, shape {found}{layout}",
            cure=f"Give contiguous uint8 of shape ({sides}), BGR.",
        )
    stream = interface.get("stream") if interface.get("version", 0) >= _VERSION_WITH_STREAMS else ANY_STREAM
    return GpuArray(int(interface["data"][0]), found, stream)
