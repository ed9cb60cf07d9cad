"""cuda-python as far as sessions use it, over a `FakeGpu`.

Functions and their arguments are those of cuda-python 13.5; a test compares them with the installed one.
"""

# ruff: noqa: ANN401, N802, N803, PLR0913, PLR0917 - functions, arguments and their lack of types are cuda-python's
from __future__ import annotations

import ctypes
import enum
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.sessions.fake_gpu import KERNELS, PRIMARY, TEXTS, WARP_TYPES, FakeGpu, GpuError

if TYPE_CHECKING:
    from collections.abc import Callable

CudaError = enum.IntEnum(
    "CudaError",
    {
        "cudaSuccess": 0,
        "cudaErrorInvalidValue": 1,
        "cudaErrorMemoryAllocation": 2,
        "cudaErrorInitializationError": 3,
        "cudaErrorInsufficientDriver": 35,
        "cudaErrorNoDevice": 100,
        "cudaErrorDeviceUninitialized": 201,
        "cudaErrorInvalidResourceHandle": 400,
        "cudaErrorNotReady": 600,
        "cudaErrorIllegalAddress": 700,
        "cudaErrorMisalignedAddress": 716,
        "cudaErrorLaunchFailure": 719,
        "cudaErrorStreamCaptureUnsupported": 900,
        "cudaErrorStreamCaptureInvalidated": 901,
        "cudaErrorUnknown": 999,
    },
)
CopyKind = enum.IntEnum(
    "CopyKind", {"cudaMemcpyHostToDevice": 1, "cudaMemcpyDeviceToHost": 2, "cudaMemcpyDeviceToDevice": 3}
)
CaptureMode = enum.IntEnum(
    "CaptureMode",
    {"cudaStreamCaptureModeGlobal": 0, "cudaStreamCaptureModeThreadLocal": 1, "cudaStreamCaptureModeRelaxed": 2},
)
BLOCKING, NO_TIMING = 1, 2
# The modules that cuda-python has, or had.
NAMES = ("cuda", "cuda.bindings", "cuda.bindings.runtime", "cuda.bindings.driver", "cuda.cudart", "cuda.cuda")


class _Handle:
    """What cuda-python gives for a pointer to something of CUDA's own."""

    def __init__(self, value: int) -> None:
        self._value = value

    def __int__(self) -> int:
        return self._value


class _Functions:
    """Makes functions that return an error first, as cuda-python's do."""

    def __init__(self, gpu: FakeGpu, module: ModuleType, *, needs_context: bool) -> None:
        self._gpu, self._module, self._needs_context = gpu, module, needs_context

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        results = function.__annotations__.get("return", "None") != "None"

        def called(*arguments: Any) -> tuple[Any, ...]:
            gpu = self._gpu
            implicit = self._needs_context and not gpu.stack
            if implicit:  # CUDA's runtime takes the primary context where a thread has none
                gpu.stack.append(PRIMARY)
            try:
                gpu.enter(function.__name__, needs_context=False)
                result = function(*(int(one) if isinstance(one, _Handle) else one for one in arguments))
            except GpuError as error:
                return (CudaError[error.name], None) if results else (CudaError[error.name],)
            finally:
                if implicit:
                    gpu.stack.pop()
            return (CudaError.cudaSuccess, result) if results else (CudaError.cudaSuccess,)

        called.__wrapped__ = function  # type: ignore[attr-defined]
        setattr(self._module, function.__name__, called)
        return called


def cuda_python(gpu: FakeGpu, *, old: bool = False) -> dict[str, ModuleType | None]:
    """Entries for `sys.modules`; `old`: with the names that cuda-python had before 12.6."""
    runtime, driver = _runtime(gpu), _driver(gpu)
    package, bindings = made_module("cuda"), made_module("cuda.bindings", __version__="12.9.2")
    if old:
        package.__version__ = "12.3.0"  # type: ignore[attr-defined]
        return {
            "cuda": package,
            "cuda.bindings": None,
            "cuda.bindings.runtime": None,
            "cuda.cudart": runtime,
            "cuda.cuda": driver,
        }
    return {
        "cuda": package,
        "cuda.bindings": bindings,
        "cuda.bindings.runtime": runtime,
        "cuda.bindings.driver": driver,
    }


def made_module(name: str, **attributes: Any) -> ModuleType:
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    vars(module).update(attributes)
    return module


def _runtime(gpu: FakeGpu) -> ModuleType:  # noqa: C901, PLR0915 - a module of small functions
    module = made_module(
        "cuda.bindings.runtime",
        cudaError_t=CudaError,
        cudaMemcpyKind=CopyKind,
        cudaStreamCaptureMode=CaptureMode,
        cudaHostAllocDefault=0,
        cudaHostAllocMapped=2,
        cudaEventBlockingSync=BLOCKING,
        cudaEventDisableTiming=NO_TIMING,
        cudaStreamNonBlocking=1,
    )
    function = _Functions(gpu, module, needs_context=True)
    kinds = {1: "in", 2: "out", 3: "within"}

    @function
    def cudaMalloc(size: int) -> int:
        return gpu.allocate(size).address

    @function
    def cudaFree(devPtr: int) -> None:
        gpu.free(devPtr, host=False)

    @function
    def cudaHostAlloc(size: int, flags: int) -> int:
        return gpu.allocate(size, host=True, mapped=bool(flags & 2)).place

    @function
    def cudaFreeHost(ptr: int) -> None:
        gpu.free(ptr, host=True)

    @function
    def cudaHostGetDevicePointer(pHost: int, flags: int) -> int:
        assert flags == 0
        address = next(block.address for block in gpu.blocks if block.live and block.place == pHost)
        if not address:
            raise GpuError("cudaErrorInvalidValue")
        return address

    @function
    def cudaMemcpyAsync(dst: int, src: int, count: int, kind: int, stream: int) -> None:
        gpu.copy(kinds[int(kind)], dst, src, count, stream)

    @function
    def cudaStreamCreateWithFlags(flags: int) -> _Handle:
        assert flags == 1
        return _Handle(gpu.new_stream())

    @function
    def cudaStreamDestroy(stream: int) -> None:
        gpu.drain(stream)
        del gpu.streams[stream]

    @function
    def cudaStreamSynchronize(stream: int) -> None:
        gpu.drain(stream)

    @function
    def cudaDeviceSynchronize() -> None:
        gpu.drain_device()

    @function
    def cudaEventCreateWithFlags(flags: int) -> _Handle:
        return _Handle(gpu.new_event(flags))

    @function
    def cudaEventRecord(event: int, stream: int) -> None:
        gpu.record(event, stream)

    @function
    def cudaEventSynchronize(event: int) -> None:
        gpu.event_done(event)

    @function
    def cudaEventQuery(event: int) -> None:
        if not gpu.event_done(event):
            raise GpuError("cudaErrorNotReady")

    @function
    def cudaEventElapsedTime(start: int, end: int) -> float:
        return gpu.elapsed(start, end)

    @function
    def cudaEventDestroy(event: int) -> None:
        del gpu.events[event]

    @function
    def cudaStreamBeginCapture(stream: int, mode: int) -> None:
        assert mode is CaptureMode.cudaStreamCaptureModeThreadLocal
        gpu.begin_capture(stream)

    @function
    def cudaStreamEndCapture(stream: int) -> _Handle:
        return _Handle(gpu.end_capture(stream))

    @function
    def cudaGraphInstantiate(graph: int, flags: int) -> _Handle:
        assert flags == 0
        handle = gpu.new_handle()
        gpu.launchable[handle] = list(gpu.graphs[graph])
        return _Handle(handle)

    @function
    def cudaGraphLaunch(graphExec: int, stream: int) -> None:
        gpu.launch_graph(graphExec, stream)

    @function
    def cudaGraphDestroy(graph: int) -> None:
        del gpu.graphs[graph]

    @function
    def cudaGraphExecDestroy(graphExec: int) -> None:
        del gpu.launchable[graphExec]

    module.cudaGetErrorString = lambda error: (CudaError.cudaSuccess, TEXTS[error.name].encode())  # type: ignore[attr-defined]
    return module


def _driver(gpu: FakeGpu) -> ModuleType:  # noqa: C901 - as above
    attributes = SimpleNamespace(
        CU_DEVICE_ATTRIBUTE_INTEGRATED=18,
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR=75,
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR=76,
    )
    module = made_module("cuda.bindings.driver", CUdevice_attribute=attributes)
    function = _Functions(gpu, module, needs_context=False)

    @function
    def cuInit(Flags: int) -> None:
        assert Flags == 0

    @function
    def cuDeviceGetCount() -> int:
        return 1

    @function
    def cuDeviceGet(ordinal: int) -> int:
        assert ordinal == 0
        return 0

    @function
    def cuDeviceGetName(length: int, dev: int) -> bytes:
        assert dev == 0
        return gpu.name.encode().ljust(length, b"\0")

    @function
    def cuDeviceGetAttribute(attrib: int, dev: int) -> int:
        assert dev == 0
        return {18: int(gpu.integrated), 75: gpu.compute_capability[0], 76: gpu.compute_capability[1]}[attrib]

    @function
    def cuDriverGetVersion() -> int:
        return gpu.driver_version

    @function
    def cuDevicePrimaryCtxRetain(dev: int) -> int:
        assert dev == 0
        gpu.retained += 1
        return PRIMARY

    @function
    def cuCtxPushCurrent(ctx: int) -> None:
        gpu.stack.append(ctx)

    @function
    def cuCtxPopCurrent() -> int:
        return gpu.stack.pop()

    @function
    def cuModuleLoadData(image: bytes) -> _Handle:
        return _Handle(gpu.load_module(image))

    @function
    def cuModuleUnload(hmod: int) -> None:
        gpu.modules.remove(hmod)

    @function
    def cuModuleGetFunction(hmod: int, name: bytes) -> _Handle:
        assert hmod in gpu.modules
        return _Handle(KERNELS.index(name.decode()))

    @function
    def cuLaunchKernel(
        f: int,
        gridDimX: int,
        gridDimY: int,
        gridDimZ: int,
        blockDimX: int,
        blockDimY: int,
        blockDimZ: int,
        sharedMemBytes: int,
        hStream: int,
        kernelParams: int,
        extra: int,
    ) -> None:
        assert (sharedMemBytes, extra, KERNELS[f]) == (0, 0, "amfac_warp")
        places = (ctypes.c_uint64 * len(WARP_TYPES)).from_address(kernelParams)
        arguments = [
            int(np.frombuffer(ctypes.string_at(place, np.dtype(kind).itemsize), kind)[0])
            for place, kind in zip(places, WARP_TYPES, strict=True)
        ]
        grid, block = (gridDimX, gridDimY, gridDimZ), (blockDimX, blockDimY, blockDimZ)
        gpu.enqueue(hStream, lambda: gpu.warp(arguments, grid, block))

    return module
