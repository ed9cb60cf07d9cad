"""One array's memory on both sides: what the CPU writes or reads, and what the GPU does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from amfac_edge.errors import MachineError
from amfac_edge.sessions.cuda import Buffer
from amfac_edge.sessions.gpu_arrays import GpuArray

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from amfac_edge.sessions.cuda import CudaDevice, CudaStream

__all__ = ["Port"]


@dataclass(frozen=True, eq=False)
class Port:
    """Memory for arrays of one dtype up to a size: `host` is the CPU's, `gpu` the GPU's, one and the same if mapped."""

    dtype: np.dtype[Any]
    host: Buffer
    gpu: Buffer

    @classmethod
    def allocated(cls, device: CudaDevice, dtype: str, count: int) -> Port:
        """Memory for `count` elements; mapped where GPU and CPU share theirs.

        Raises:
            MachineError: memory is used up; nothing is left of it.
        """
        kind = np.dtype(dtype)
        size, mapped = count * kind.itemsize, device.integrated
        host = device.host_buffer(size, mapped=mapped)
        if mapped:
            return cls(kind, host, host)
        try:
            return cls(kind, host, device.device_buffer(size))
        except MachineError:
            device.free(host)
            raise

    @property
    def is_mapped(self) -> bool:
        """Whether nothing needs to be copied."""
        return self.host is self.gpu

    def view(self, shape: tuple[int, ...]) -> NDArray[Any]:
        """The CPU's side as an array (M, ...) of that shape and the port's dtype, from the first byte on."""
        assert self.host.array is not None
        size = math.prod(shape) * self.dtype.itemsize
        return self.host.array[:size].view(self.dtype).reshape(shape)

    def send(
        self, device: CudaDevice, stream: CudaStream, values: NDArray[Any] | GpuArray, rows: int | None = None
    ) -> None:
        """Write an array, and enqueue its copy to the GPU.

        Args:
            device: whose context is current.
            stream: for the copy.
            values: (M, ...) of the port's dtype. Of an array on the GPU the copy is within the GPU, and it must stay as
                it is until the stream has passed.
            rows: how many the GPU is to see, M at least; those that `values` lack are of an earlier call. None for M.
        """
        if isinstance(values, GpuArray):
            if values.stream is not None:
                device.finish(values.stream)
            stream.copy(self.gpu, Buffer(values.nbytes, values.address), values.nbytes)
            return
        view = self.view((len(values) if rows is None else rows, *values.shape[1:]))
        view[: len(values)] = values
        if not self.is_mapped:
            stream.copy(self.gpu, self.host, view.nbytes)

    def free(self, device: CudaDevice) -> None:
        """Give both sides back."""
        device.free(self.gpu)
        if not self.is_mapped:
            device.free(self.host)
