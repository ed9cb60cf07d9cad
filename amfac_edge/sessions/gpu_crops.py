"""Crops that the GPU cuts out of a frame, straight into the memory that an engine reads them from.

Nobody has seen it run on a GPU; crops on the CPU are the default until a board has shown that this is faster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from amfac_edge.sessions.gpu_arrays import GpuArray
from amfac_edge.sessions.ports import Port
from amfac_edge.sessions.warp_kernel import DeviceFrame, WarpKernel

if TYPE_CHECKING:
    from contextlib import ExitStack

    import numpy as np
    from numpy.typing import NDArray

    from amfac_edge.sessions.cuda import CudaDevice, CudaStream
    from amfac_edge.sessions.warp_kernel import KernelDevice

__all__ = ["GpuCrops"]


class GpuCrops:
    """The crop kernel with memory for frames and affines.

    Args:
        device: whose context is current, here and in every call.
        stream: that everything is enqueued in.
        people: the largest batch.
        resources: frees what is allocated.

    Raises:
        MachineError: the kernel can't be compiled here, or memory is used up.
        MissingExtraError: there is no adapter for the compiler.
    """

    def __init__(self, device: CudaDevice, stream: CudaStream, people: int, resources: ExitStack) -> None:
        self._device, self._stream = device, stream
        self._affines = Port.allocated(device, "float32", people * 6)
        self._port: Port | None = None
        self._frame: DeviceFrame | None = None
        self._kernel: WarpKernel | None = None
        try:
            self._kernel = WarpKernel(cast("KernelDevice", device))
        except BaseException:
            self._free()
            raise
        resources.callback(self._free)

    def take_frame(self, frame_bgr: NDArray[np.uint8] | GpuArray) -> None:
        """The frame to cut from: (Hf, Wf, 3) uint8 BGR or (Hf, Wf, 4) BGRA or BGRx, on the host or on the GPU."""
        height, width, channels = frame_bgr.shape
        if isinstance(frame_bgr, GpuArray):
            if frame_bgr.stream is not None:
                self._device.finish(frame_bgr.stream)
            address = frame_bgr.address
        else:
            address = self._sent(frame_bgr)
        self._frame = DeviceFrame(address, height, width, channels, width * channels)

    def cut(self, affines: NDArray[np.float32], crops: int, height: int, width: int) -> None:
        """Enqueue the crops of N people.

        Args:
            affines: (N, 2, 3) float32, crop pixels to frame pixels.
            crops: address of uint8 (N, height, width, 3) BGR.
            height: of a crop, in pixels.
            width: of a crop.
        """
        assert self._frame is not None
        assert self._kernel is not None
        self._affines.send(self._device, self._stream, affines)
        shape = (len(affines), height, width)
        self._kernel.enqueue(self._frame, self._affines.gpu.address, crops, shape, self._stream.handle)

    def _sent(self, frame_bgr: NDArray[np.uint8]) -> int:
        """The address of the frame's copy; memory grows to the largest frame that came."""
        if self._port is None or self._port.gpu.size < frame_bgr.nbytes:
            port, self._port = self._port, None
            if port is not None:
                port.free(self._device)
            self._port = Port.allocated(self._device, "uint8", frame_bgr.nbytes)
        self._port.send(self._device, self._stream, frame_bgr)
        return self._port.gpu.address

    def _free(self) -> None:
        self._kernel = None  # pycuda unloads it with the last reference
        self._affines.free(self._device)
        if self._port is not None:
            self._port.free(self._device)
