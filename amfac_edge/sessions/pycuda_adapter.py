"""CUDA by pycuda: the driver's functions as classes, in a context of one's own or in one that the caller hands in.

pycuda has no CUDA graphs, so work is enqueued call by call.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from time import sleep
from typing import TYPE_CHECKING, Any

import numpy as np

from amfac_edge.errors import MachineError, MissingExtraError
from amfac_edge.sessions.cuda import Buffer, CudaFaults, capturing, primary_context
from amfac_edge.sessions.warp_kernel import compiled_by_nvrtc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from amfac_edge.sessions.cuda import CudaGraph

__all__ = ["PycudaDevice", "PycudaStream", "PycudaTimer"]

_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING; pycuda takes the number
# pycuda tells an error by the driver's words only.
_NAMES = {
    "out of memory": "cudaErrorMemoryAllocation",
    "invalid argument": "cudaErrorInvalidValue",
    "no CUDA-capable device is detected": "cudaErrorNoDevice",
    "CUDA driver version is insufficient for CUDA runtime version": "cudaErrorInsufficientDriver",
    "initialization error": "cudaErrorInitializationError",
    "not initialized": "cudaErrorInitializationError",
    "invalid device context": "cudaErrorDeviceUninitialized",
    "device-side assert triggered": "cudaErrorAssert",
    "context is destroyed": "cudaErrorContextIsDestroyed",
    "uncorrectable ECC error encountered": "cudaErrorECCUncorrectable",
    "hardware stack error": "cudaErrorHardwareStackError",
    "an illegal memory access was encountered": "cudaErrorIllegalAddress",
    "an illegal instruction was encountered": "cudaErrorIllegalInstruction",
    "operation not supported on global/shared address space": "cudaErrorInvalidAddressSpace",
    "invalid program counter": "cudaErrorInvalidPc",
    "unspecified launch failure": "cudaErrorLaunchFailure",
    "the launch timed out and was terminated": "cudaErrorLaunchTimeout",
    "misaligned address": "cudaErrorMisalignedAddress",
    "unknown error": "cudaErrorUnknown",
}


class PycudaDevice(CudaFaults):
    """A `CudaDevice`, and a `KernelDevice`.

    Args:
        context: a `pycuda.driver.Context` of the caller's; None for the GPU's primary one.
        capabilities: see `open_device`.

    Raises:
        MissingExtraError: pycuda isn't installed.
        MachineError: CUDA doesn't work here.
    """

    has_graphs = False

    def __init__(self, context: Any = None, capabilities: Sequence[str] = ()) -> None:  # noqa: ANN401 - pycuda's own
        self.driver, version = _driver()
        self.library = f"pycuda {version}"
        # pycuda's functions take its own streams only; here they are by their handles.
        self.streams: dict[int, Any] = {}
        with self.translated():
            self._context = self._primary(capabilities) if context is None else context
        with self.current(), self.translated():
            device = self.driver.Context.get_device()
            self.name = str(device.name())
            self.compute_capability = _capability(device)
            number = self.driver.get_driver_version()
            self.driver_version = f"{number // 1000}.{number % 1000 // 10}"
            self.integrated = bool(device.get_attribute(self.driver.device_attribute.INTEGRATED))

    def _primary(self, capabilities: Sequence[str]) -> Any:  # noqa: ANN401 - pycuda's own
        self.driver.init()
        devices = [self.driver.Device(ordinal) for ordinal in range(self.driver.Device.count())]
        if not devices:
            raise self.failure("Device.count", "cudaErrorNoDevice", "no CUDA-capable device is detected")
        fitting = (ordinal for ordinal, device in enumerate(devices) if _capability(device) in capabilities)
        ordinal = next(fitting, 0)
        return primary_context(self.driver, ordinal, devices[ordinal].retain_primary_context)

    @contextmanager
    def current(self) -> Iterator[None]:
        """See `CudaDevice.current`."""
        with self.translated():
            self._context.push()
        try:
            yield
        finally:
            # In a lost context this fails too, and what ended it is the error to be told.
            with suppress(self.driver.Error):
                self.driver.Context.pop()

    def device_buffer(self, size: int) -> Buffer:
        """See `CudaDevice.device_buffer`."""
        with self.translated():
            memory = self.driver.mem_alloc(size)
            return Buffer(size, int(memory), None, memory)

    def host_buffer(self, size: int, *, mapped: bool) -> Buffer:
        """See `CudaDevice.host_buffer`."""
        flags = self.driver.host_alloc_flags.DEVICEMAP if mapped else 0
        with self.translated():
            array = self.driver.pagelocked_empty(size, np.uint8, mem_flags=flags)
            array[:] = 0
            try:
                address = int(array.base.get_device_pointer()) if mapped else 0
            except self.driver.Error:
                array.base.free()
                raise
        return Buffer(size, address, array, array.base)

    def free(self, buffer: Buffer) -> None:
        """See `CudaDevice.free`."""
        if not self.lost:
            with self.translated():
                buffer.handle.free()

    def stream(self, *, spinning: bool) -> PycudaStream:
        """See `CudaDevice.stream`."""
        with self.translated():
            return PycudaStream(self, spinning=spinning)

    def finish(self, stream: int) -> None:
        """See `CudaDevice.finish`; pycuda takes no stream of others, so all of the context's is waited for."""
        del stream
        with capturing, self.translated():
            self.driver.Context.synchronize()

    def close(self) -> None:
        """See `CudaDevice.close`."""

    def compile(self, source: bytes, compute_capability: str) -> bytes:
        """See `KernelDevice.compile`: by NVRTC where cuda-python is there, else by pycuda's own way, nvcc."""
        try:
            return compiled_by_nvrtc(source, compute_capability)
        except MissingExtraError:
            from pycuda import compiler
        architecture = f"sm_{compute_capability.replace('.', '')}"
        try:
            return bytes(compiler.compile(source.decode(), arch=architecture, no_extern_c=True))
        except Exception as error:  # CompileError, ExecError and OSError share no base class
            raise MachineError(
                f"pycuda's compiler refuses the crop kernel: {str(error).partition(chr(10))[0][:300]}",
                cure="Use crops on the CPU, the default, or an artefact of --input frame.",
            ) from error

    def load(self, code: bytes, function: str) -> Any:  # noqa: ANN401 - the library's own handle
        """See `KernelDevice.load`."""
        with self.translated():
            return self.driver.module_from_buffer(code).get_function(function)

    def launch(
        self,
        function: Any,  # noqa: ANN401 - the library's own handle
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: Sequence[np.generic],
        stream: int,
    ) -> None:
        """See `KernelDevice.launch`."""
        with self.translated():
            function(*arguments, grid=grid, block=block, stream=self.streams[stream] if stream else None)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn pycuda's errors, "cuMemAlloc failed: out of memory", into ours."""
        try:
            yield
        except self.driver.Error as error:
            call, _, words = str(error).partition(" failed: ")
            text = words.partition(" - ")[0]
            raise self.failure(call, _NAMES.get(text, "an error of CUDA's driver"), text or call) from error


class PycudaStream:
    """A `CudaStream`."""

    def __init__(self, device: PycudaDevice, *, spinning: bool) -> None:
        driver = device.driver
        self._device, self._spinning = device, spinning
        self._stream: Any = driver.Stream(_NON_BLOCKING)
        self.handle = int(self._stream.handle)
        flags = driver.event_flags.DISABLE_TIMING | (0 if spinning else driver.event_flags.BLOCKING_SYNC)
        self._event: Any = None
        try:
            self._event = driver.Event(flags)
        except driver.Error:
            self._stream = None
            raise
        device.streams[self.handle] = self._stream

    def copy(self, target: Buffer, source: Buffer, size: int) -> None:
        """See `CudaStream.copy`."""
        driver = self._device.driver
        with self._device.translated():
            if target.address and source.address:
                driver.memcpy_dtod_async(target.address, source.address, size, self._stream)
            elif source.array is not None:
                driver.memcpy_htod_async(target.address, source.array[:size], self._stream)
            elif target.array is not None:
                driver.memcpy_dtoh_async(target.array[:size], source.address, self._stream)

    def wait(self) -> None:
        """See `CudaStream.wait`."""
        with self._device.translated():
            self._event.record(self._stream)
            if self._spinning:
                query = self._event.query
                while not query():
                    sleep(0)  # pycuda asks without letting go of Python's lock, which other threads may want
            self._event.synchronize()

    def timer(self, moments: int) -> PycudaTimer:
        """See `CudaStream.timer`."""
        return PycudaTimer(self._device, self._stream, moments)

    def capture(self, enqueue: Callable[[], None]) -> CudaGraph:
        """See `CudaStream.capture`; pycuda can't."""
        del enqueue
        raise MachineError("pycuda has no CUDA graphs", cure='Take cuda="cuda-python", where it is installed.')

    def close(self) -> None:
        """See `CudaStream.close`."""
        self._device.streams.pop(self.handle, None)
        # The last reference frees them, which takes a current context: now, not whenever Python gets to it.
        self._stream = self._event = None


class PycudaTimer:
    """A `CudaTimer`."""

    def __init__(self, device: PycudaDevice, stream: Any, moments: int) -> None:  # noqa: ANN401 - pycuda's own
        self._device, self._stream = device, stream
        with device.translated():
            self._events: list[Any] = [device.driver.Event() for _ in range(moments)]

    def mark(self, number: int) -> None:
        """See `CudaTimer.mark`."""
        with self._device.translated():
            self._events[number].record(self._stream)

    def milliseconds(self, first: int, second: int) -> float:
        """See `CudaTimer.milliseconds`."""
        with self._device.translated():
            return float(self._events[second].time_since(self._events[first]))

    def close(self) -> None:
        """See `CudaTimer.close`; the last references free the events, which takes a current context."""
        self._events = []
        self._stream = None


def _capability(device: Any) -> str:  # noqa: ANN401 - pycuda's own
    major, minor = device.compute_capability()
    return f"{major}.{minor}"


def _driver() -> tuple[Any, str]:
    """Pycuda's driver module and its version."""
    try:
        import pycuda
        from pycuda import driver
    except ModuleNotFoundError as error:
        raise MissingExtraError.of("pycuda", "pycuda", use='running a plan with cuda="pycuda"') from error
    except (ImportError, OSError) as error:
        raise MachineError(
            f"pycuda is installed, and doesn't load: {str(error).partition(chr(10))[0]}",
            cure="amfac-doctor  # says what this machine lacks",
        ) from error
    return driver, str(getattr(pycuda, "VERSION_TEXT", "of a version that it does not tell"))
