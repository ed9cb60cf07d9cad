"""pycuda as far as sessions use it, over a `FakeGpu`: classes and functions of pycuda 2026.1."""

from __future__ import annotations

import functools
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from tests.sessions.fake_cuda import BLOCKING, NO_TIMING, made_module
from tests.sessions.fake_gpu import KERNELS, PRIMARY, TEXTS, WARP_TYPES, FakeGpu, GpuError


def pycuda(gpu: FakeGpu) -> dict[str, ModuleType | None]:
    """Entries for `sys.modules`."""
    driver = _pycuda_driver(gpu)
    return {
        "pycuda": made_module("pycuda", VERSION_TEXT="2026.1", driver=driver),
        "pycuda.driver": driver,
        "cuda": None,
    }


def _pycuda_driver(gpu: FakeGpu) -> ModuleType:  # noqa: C901 - a module of small classes
    class Error(Exception):
        pass

    def guarded(call: str, *, needs_context: bool = True) -> Any:  # noqa: ANN401
        class Guard:
            def __enter__(self) -> None:
                try:
                    gpu.enter(call, needs_context=needs_context)
                except GpuError as error:
                    raise Error(f"{call} failed: {TEXTS[error.name]}") from None

            def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
                if isinstance(error, GpuError):
                    raise Error(f"{call} failed: {TEXTS[error.name]}") from None

        return Guard()

    class DeviceAllocation:
        def __init__(self, address: int) -> None:
            self._address = address

        def __int__(self) -> int:
            return self._address

        def free(self) -> None:
            with guarded("cuMemFree"):
                gpu.free(self._address, host=False)

    class PagelockedHostAllocation:
        def __init__(self, block: Any) -> None:  # noqa: ANN401
            self._block = block
            self.__array_interface__ = block.array.__array_interface__

        def get_device_pointer(self) -> int:
            with guarded("cuMemHostGetDevicePointer"):
                if not self._block.address:
                    raise GpuError("cudaErrorInvalidValue")
                return int(self._block.address)

        def free(self) -> None:
            with guarded("cuMemFreeHost"):
                gpu.free(self._block.place, host=True)

    class Stream:
        def __init__(self, flags: int = 0) -> None:
            assert flags == 1
            with guarded("cuStreamCreate"):
                self.handle = gpu.new_stream()

        def __del__(self) -> None:
            if hasattr(self, "handle"):
                assert gpu.stack or gpu.sticky, "a stream is destroyed outside of its context"
                gpu.streams.pop(self.handle, None)

    class Event:
        def __init__(self, flags: int = 0) -> None:
            with guarded("cuEventCreate"):
                self._handle = gpu.new_event(flags)

        def record(self, stream: Stream) -> Event:
            handle = stream.handle
            del stream  # C++ keeps no frame that would keep it alive
            with guarded("cuEventRecord"):
                gpu.record(self._handle, handle)
            return self

        def query(self) -> bool:
            with guarded("cuEventQuery"):
                return gpu.event_done(self._handle)

        def synchronize(self) -> Event:
            with guarded("cuEventSynchronize"):
                gpu.event_done(self._handle)
            return self

        def time_since(self, start: Event) -> float:
            with guarded("cuEventElapsedTime"):
                return gpu.elapsed(start._handle, self._handle)

        def __del__(self) -> None:
            if hasattr(self, "_handle"):
                gpu.events.pop(self._handle, None)

    class Context:
        def __init__(self, handle: int) -> None:
            self._handle = handle

        def push(self) -> None:
            with guarded("cuCtxPushCurrent", needs_context=False):
                gpu.stack.append(self._handle)

        @staticmethod
        def pop() -> None:
            gpu.stack.pop()
            with guarded("cuCtxPopCurrent", needs_context=False):
                pass

        def detach(self) -> None:
            assert self._handle != PRIMARY, "pycuda leaves a detached primary context on the thread's stack"
            gpu.own_contexts -= 1

        @staticmethod
        def get_device() -> Device:
            assert gpu.stack
            return Device(0)

        @staticmethod
        def synchronize() -> None:
            with guarded("cuCtxSynchronize"):
                gpu.drain_device()

    class Device:
        def __init__(self, ordinal: int) -> None:
            assert ordinal == 0

        @staticmethod
        def count() -> int:
            return 1

        def name(self) -> str:
            return gpu.name

        def compute_capability(self) -> tuple[int, int]:
            return gpu.compute_capability

        def get_attribute(self, attribute: int) -> int:
            assert attribute == 18
            return int(gpu.integrated)

        def retain_primary_context(self) -> Context:
            with guarded("cuDevicePrimaryCtxRetain", needs_context=False):
                gpu.retained += 1
                return Context(PRIMARY)

        def make_context(self, flags: int = 0) -> Context:
            assert flags == 0
            gpu.own_contexts += 1
            context = Context(gpu.new_handle())
            context.push()
            return context

    def init(flags: int = 0) -> None:
        assert flags == 0
        with guarded("cuInit", needs_context=False):
            pass

    def mem_alloc(size: int) -> DeviceAllocation:
        with guarded("cuMemAlloc"):
            return DeviceAllocation(gpu.allocate(size).address)

    def pagelocked_empty(shape: int, dtype: Any, order: str = "C", mem_flags: int = 0) -> Any:  # noqa: ANN401
        assert order == "C"
        with guarded("cuMemHostAlloc"):
            block = gpu.allocate(shape * np.dtype(dtype).itemsize, host=True, mapped=bool(mem_flags & 2))
        return np.asarray(PagelockedHostAllocation(block))

    def memcpy_htod_async(dest: int, src: Any, stream: Stream) -> None:  # noqa: ANN401
        handle = stream.handle
        del stream  # C++ keeps no frame that would keep it alive
        with guarded("cuMemcpyHtoDAsync"):
            gpu.copy("in", dest, src.ctypes.data, src.nbytes, handle)

    def memcpy_dtoh_async(dest: Any, src: int, stream: Stream) -> None:  # noqa: ANN401
        handle = stream.handle
        del stream  # C++ keeps no frame that would keep it alive
        with guarded("cuMemcpyDtoHAsync"):
            gpu.copy("out", dest.ctypes.data, src, dest.nbytes, handle)

    def memcpy_dtod_async(dest: int, src: int, size: int, stream: Stream) -> None:
        handle = stream.handle
        del stream  # C++ keeps no frame that would keep it alive
        with guarded("cuMemcpyDtoDAsync"):
            gpu.copy("within", dest, src, size, handle)

    class Module:
        def __init__(self, handle: int) -> None:
            self._handle = handle

        def get_function(self, name: str) -> Any:  # noqa: ANN401
            assert name == KERNELS[0]
            return functools.partial(launch, self)

        def __del__(self) -> None:
            assert gpu.stack, "a module is unloaded outside of its context"
            gpu.modules.remove(self._handle)

    def module_from_buffer(buffer: bytes) -> Module:
        with guarded("cuModuleLoadDataEx"):
            return Module(gpu.load_module(buffer))

    def launch(module: Module, *arguments: Any, block: Any, grid: Any, stream: Stream) -> None:  # noqa: ANN401
        del module
        assert tuple(type(one) for one in arguments) == WARP_TYPES
        handle, numbers = stream.handle, [int(one) for one in arguments]
        with guarded("cuLaunchKernel"):
            gpu.enqueue(handle, lambda: gpu.warp(numbers, grid, block))

    return made_module(
        "pycuda.driver",
        module_from_buffer=module_from_buffer,
        Error=Error,
        Context=Context,
        Device=Device,
        Event=Event,
        Stream=Stream,
        device_attribute=SimpleNamespace(INTEGRATED=18),
        event_flags=SimpleNamespace(BLOCKING_SYNC=BLOCKING, DISABLE_TIMING=NO_TIMING),
        host_alloc_flags=SimpleNamespace(DEVICEMAP=2),
        get_driver_version=lambda: gpu.driver_version,
        init=init,
        mem_alloc=mem_alloc,
        pagelocked_empty=pagelocked_empty,
        memcpy_htod_async=memcpy_htod_async,
        memcpy_dtoh_async=memcpy_dtoh_async,
        memcpy_dtod_async=memcpy_dtod_async,
    )
