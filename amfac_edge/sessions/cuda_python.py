"""CUDA by cuda-python: NVIDIA's bindings, whose functions return tuples that begin with an error.

Everything happens in the primary context of one GPU, which is what CUDA's runtime, TensorRT and most libraries use. It
is pushed before and popped after, so a thread that has a context of its own keeps it.
"""

from __future__ import annotations

import ctypes
import importlib
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from amfac_edge.errors import MachineError, MissingExtraError
from amfac_edge.sessions.cuda import Buffer, CudaFaults, capturing, primary_context
from amfac_edge.sessions.gpu_arrays import ANY_STREAM
from amfac_edge.sessions.warp_kernel import compiled_by_nvrtc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["CudaPythonDevice", "CudaPythonGraph", "CudaPythonStream", "CudaPythonTimer"]

# Where cuda-python has its modules, from 12.6 on and before.
_PLACES = (("cuda.bindings.runtime", "cuda.bindings.driver"), ("cuda.cudart", "cuda.cuda"))
_FIRST_WITHOUT_LOCK = (12, 9, 1)


class CudaPythonDevice(CudaFaults):
    """A `CudaDevice`, and a `KernelDevice`.

    Args:
        capabilities: see `open_device`.

    Raises:
        MissingExtraError: cuda-python isn't installed.
        MachineError: CUDA doesn't work here.
    """

    has_graphs = True

    def __init__(self, capabilities: Sequence[str] = ()) -> None:
        self.runtime, self._driver, version = _modules()
        self.library = f"cuda-python {version}"
        if _holds_python(version):
            told = f"{self.library} stops all threads of Python while it waits for the GPU; 12.9.1 and later don't"
            self.notes = (f"{told} (JetPack 6 may refuse them)",)
        try:
            self._drive("cuInit", 0)
        except RuntimeError as error:  # the driver's library isn't there at all
            text = str(error).partition("\n")[0]
            raise self.failure("cuInit", "cudaErrorInsufficientDriver", text) from None
        ordinals = range(self._drive("cuDeviceGetCount"))
        found = {ordinal: self._capability(self._drive("cuDeviceGet", ordinal)) for ordinal in ordinals}
        if not found:
            raise self.failure("cuDeviceGetCount", "cudaErrorNoDevice", "no CUDA-capable device is detected")
        fitting = (ordinal for ordinal, capability in found.items() if capability in capabilities)
        ordinal = next(fitting, 0)
        self._device = self._drive("cuDeviceGet", ordinal)
        self.compute_capability = found[ordinal]
        self.name = _text(self._drive("cuDeviceGetName", 256, self._device))
        version_number = self._drive("cuDriverGetVersion")
        self.driver_version = f"{version_number // 1000}.{version_number % 1000 // 10}"
        attribute = self._driver.CUdevice_attribute
        self.integrated = bool(
            self._drive("cuDeviceGetAttribute", attribute.CU_DEVICE_ATTRIBUTE_INTEGRATED, self._device)
        )
        self._modules: list[Any] = []
        self._context = primary_context(
            self._driver, ordinal, lambda: self._drive("cuDevicePrimaryCtxRetain", self._device)
        )

    @contextmanager
    def current(self) -> Iterator[None]:
        """See `CudaDevice.current`."""
        self._drive("cuCtxPushCurrent", self._context)
        try:
            yield
        finally:
            self._driver.cuCtxPopCurrent()

    def device_buffer(self, size: int) -> Buffer:
        """See `CudaDevice.device_buffer`."""
        return Buffer(size, int(self.call("cudaMalloc", size)))

    def host_buffer(self, size: int, *, mapped: bool) -> Buffer:
        """See `CudaDevice.host_buffer`."""
        flags = self.runtime.cudaHostAllocMapped if mapped else self.runtime.cudaHostAllocDefault
        place = int(self.call("cudaHostAlloc", size, flags))
        try:
            address = int(self.call("cudaHostGetDevicePointer", place, 0)) if mapped else 0
        except MachineError:
            self.call("cudaFreeHost", place)
            raise
        array = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(place))
        array[:] = 0
        return Buffer(size, address, array, place)

    def free(self, buffer: Buffer) -> None:
        """See `CudaDevice.free`."""
        if self.lost:
            return
        if buffer.array is None:
            self.call("cudaFree", buffer.address)
        else:
            self.call("cudaFreeHost", buffer.handle)

    def stream(self, *, spinning: bool) -> CudaPythonStream:
        """See `CudaDevice.stream`."""
        return CudaPythonStream(self, spinning=spinning)

    def finish(self, stream: int) -> None:
        """See `CudaDevice.finish`."""
        if stream == ANY_STREAM:
            with capturing:
                self.call("cudaDeviceSynchronize")
        else:
            self.call("cudaStreamSynchronize", stream)

    def close(self) -> None:
        """See `CudaDevice.close`."""
        if self._modules and not self.lost:
            with self.current():
                while self._modules:
                    self._driver.cuModuleUnload(self._modules.pop())

    def compile(self, source: bytes, compute_capability: str) -> bytes:
        """See `KernelDevice.compile`."""
        return compiled_by_nvrtc(source, compute_capability)

    def load(self, code: bytes, function: str) -> Any:  # noqa: ANN401 - the library's own handle
        """See `KernelDevice.load`."""
        module = self._drive("cuModuleLoadData", code)
        self._modules.append(module)
        return self._drive("cuModuleGetFunction", module, function.encode())

    def launch(
        self,
        function: Any,  # noqa: ANN401 - the library's own handle
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: Sequence[np.generic],
        stream: int,
    ) -> None:
        """See `KernelDevice.launch`."""
        cells = [np.array([argument]) for argument in arguments]
        places = np.array([cell.ctypes.data for cell in cells], np.uint64)
        self._drive("cuLaunchKernel", function, *grid, *block, 0, stream, places.ctypes.data, 0)

    def call(self, name: str, *arguments: Any) -> Any:  # noqa: ANN401 - a module without types
        """What a function of CUDA's runtime gives.

        Raises:
            MachineError: it failed.
        """
        error, *results = getattr(self.runtime, name)(*arguments)
        if error:
            raise self.failure(name, error.name, _text(self.runtime.cudaGetErrorString(error)[1]))
        return results[0] if results else None

    def _drive(self, name: str, *arguments: Any) -> Any:  # noqa: ANN401 - as above
        """The same of the driver, whose errors have names of their own."""
        error, *results = getattr(self._driver, name)(*arguments)
        if error:
            raise self.failure(name, _name(self.runtime.cudaError_t, error), error.name)
        return results[0] if results else None

    def _capability(self, device: Any) -> str:  # noqa: ANN401 - as above
        attribute = self._driver.CUdevice_attribute
        major, minor = (
            self._drive(
                "cuDeviceGetAttribute", getattr(attribute, f"CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_{part}"), device
            )
            for part in ("MAJOR", "MINOR")
        )
        return f"{major}.{minor}"


class CudaPythonStream:
    """A `CudaStream`."""

    def __init__(self, device: CudaPythonDevice, *, spinning: bool) -> None:
        self._device, self._spinning = device, spinning
        runtime = device.runtime
        self._not_ready = runtime.cudaError_t.cudaErrorNotReady
        kinds = runtime.cudaMemcpyKind
        self._in, self._out = kinds.cudaMemcpyHostToDevice, kinds.cudaMemcpyDeviceToHost
        self._within = kinds.cudaMemcpyDeviceToDevice
        self._stream = device.call("cudaStreamCreateWithFlags", runtime.cudaStreamNonBlocking)
        self.handle = int(self._stream)
        flags = runtime.cudaEventDisableTiming | (0 if spinning else runtime.cudaEventBlockingSync)
        try:
            self._event = device.call("cudaEventCreateWithFlags", flags)
        except MachineError:
            device.call("cudaStreamDestroy", self._stream)
            raise

    def copy(self, target: Buffer, source: Buffer, size: int) -> None:
        """See `CudaStream.copy`."""
        kind = self._within if target.address and source.address else self._in if target.address else self._out
        self._device.call(
            "cudaMemcpyAsync",
            target.address or target.handle,
            source.address or source.handle,
            size,
            kind,
            self._stream,
        )

    def wait(self) -> None:
        """See `CudaStream.wait`."""
        self._device.call("cudaEventRecord", self._event, self._stream)
        if self._spinning:
            query, not_ready = self._device.runtime.cudaEventQuery, self._not_ready
            while query(self._event)[0] == not_ready:
                pass
        self._device.call("cudaEventSynchronize", self._event)

    def timer(self, moments: int) -> CudaPythonTimer:
        """See `CudaStream.timer`."""
        return CudaPythonTimer(self._device, self._stream, moments)

    def capture(self, enqueue: Callable[[], None]) -> CudaPythonGraph:
        """See `CudaStream.capture`."""
        with capturing:
            return self._captured(enqueue)

    def _captured(self, enqueue: Callable[[], None]) -> CudaPythonGraph:
        # What other threads do to the GPU meanwhile must neither be captured nor fail.
        mode = self._device.runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._device.call("cudaStreamBeginCapture", self._stream, mode)
        runtime = self._device.runtime
        try:
            enqueue()
        except BaseException:
            # Ends the capture; what it gave, if anything, is of no use.
            error, graph = runtime.cudaStreamEndCapture(self._stream)
            if not error:
                runtime.cudaGraphDestroy(graph)
            raise
        graph = self._device.call("cudaStreamEndCapture", self._stream)
        try:
            return CudaPythonGraph(self._device, self._device.call("cudaGraphInstantiate", graph, 0), self._stream)
        finally:
            runtime.cudaGraphDestroy(graph)

    def close(self) -> None:
        """See `CudaStream.close`."""
        if not self._device.lost:
            self._device.call("cudaEventDestroy", self._event)
            self._device.call("cudaStreamDestroy", self._stream)


class CudaPythonTimer:
    """A `CudaTimer`."""

    def __init__(self, device: CudaPythonDevice, stream: Any, moments: int) -> None:  # noqa: ANN401 - the library's own
        self._device, self._stream = device, stream
        self._events: list[Any] = []
        try:
            for _ in range(moments):
                self._events.append(device.call("cudaEventCreateWithFlags", 0))
        except MachineError:
            self.close()
            raise

    def mark(self, number: int) -> None:
        """See `CudaTimer.mark`."""
        self._device.call("cudaEventRecord", self._events[number], self._stream)

    def milliseconds(self, first: int, second: int) -> float:
        """See `CudaTimer.milliseconds`."""
        return float(self._device.call("cudaEventElapsedTime", self._events[first], self._events[second]))

    def close(self) -> None:
        """See `CudaTimer.close`."""
        while self._events:
            event = self._events.pop()
            if not self._device.lost:
                self._device.call("cudaEventDestroy", event)


class CudaPythonGraph:
    """A `CudaGraph`."""

    def __init__(self, device: CudaPythonDevice, graph: Any, stream: Any) -> None:  # noqa: ANN401 - the library's own
        self._device, self._graph, self._stream = device, graph, stream

    def launch(self) -> None:
        """See `CudaGraph.launch`."""
        self._device.call("cudaGraphLaunch", self._graph, self._stream)

    def close(self) -> None:
        """See `CudaGraph.close`."""
        if not self._device.lost:
            self._device.call("cudaGraphExecDestroy", self._graph)


def _modules() -> tuple[Any, Any, str]:
    """CUDA's runtime, its driver, and the version of the bindings."""
    for runtime, driver in _PLACES:
        try:
            modules = importlib.import_module(runtime), importlib.import_module(driver)
        except ModuleNotFoundError:
            continue
        except (ImportError, OSError) as error:
            raise MachineError(
                f"cuda-python is installed, and doesn't load: {str(error).partition(chr(10))[0]}",
                cure="amfac-doctor  # says what this machine lacks",
            ) from error
        package = importlib.import_module(runtime.rpartition(".")[0])
        return *modules, str(getattr(package, "__version__", "of a version that it does not tell"))
    raise MissingExtraError.of("cuda-python", "cuda", use="running a plan")


def _holds_python(version: str) -> bool:
    """Whether the functions of these bindings keep Python's lock (their release notes of 12.9.1)."""
    numbers = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    return numbers is not None and tuple(int(number or 0) for number in numbers.groups()) < _FIRST_WITHOUT_LOCK


def _name(runtime_errors: Any, error: Any) -> str:  # noqa: ANN401 - as above
    """The runtime's name for an error of the driver; both number most of them alike."""
    try:
        return str(runtime_errors(int(error)).name)
    except ValueError:
        return str(error.name)


def _text(content: bytes) -> str:
    return content.split(b"\0", 1)[0].decode(errors="replace")
