"""A GPU that is none: it holds CUDA's documented contract against whoever uses it, and computes on the host.

Work is enqueued and done only when somebody waits for it, so that results which are read too early are wrong. What the
contract forbids ends as it would on a GPU: with CUDA's own error, which is sticky where CUDA's is. Nothing here says
how fast anything is.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np

from amfac_edge.keypoints import exact_crop

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

PRIMARY = 0xC0
# The one kernel that it knows, with the types of its parameters.
KERNELS = ["amfac_warp"]
WARP_TYPES = (
    *(np.uint64, np.int32, np.int32, np.int32, np.int64),
    *(np.uint64, np.uint64, np.int32, np.int32, np.int32),
)
_ALIGNMENT = 256
_POISON = 0xDD

# Names and words are CUDA's.
TEXTS = {
    "cudaErrorInvalidValue": "invalid argument",
    "cudaErrorMemoryAllocation": "out of memory",
    "cudaErrorInitializationError": "initialization error",
    "cudaErrorInsufficientDriver": "CUDA driver version is insufficient for CUDA runtime version",
    "cudaErrorNoDevice": "no CUDA-capable device is detected",
    "cudaErrorDeviceUninitialized": "invalid device context",
    "cudaErrorInvalidResourceHandle": "invalid resource handle",
    "cudaErrorNotReady": "device not ready",
    "cudaErrorIllegalAddress": "an illegal memory access was encountered",
    "cudaErrorMisalignedAddress": "misaligned address",
    "cudaErrorLaunchFailure": "unspecified launch failure",
    "cudaErrorStreamCaptureUnsupported": "operation not permitted when stream is capturing",
    "cudaErrorStreamCaptureInvalidated": "operation failed due to a previous error during capture",
    "cudaErrorUnknown": "unknown error",
}
_STICKY = {"cudaErrorIllegalAddress", "cudaErrorMisalignedAddress", "cudaErrorLaunchFailure", "cudaErrorUnknown"}


class GpuError(Exception):
    """A call ended with CUDA's error `name`."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(eq=False)
class Block:
    """Memory: `address` is the GPU's (0 for pinned memory that isn't mapped), `place` the CPU's (0 for none)."""

    array: NDArray[np.uint8]
    context: int
    address: int = 0
    place: int = 0
    live: bool = True


@dataclass(eq=False)
class Stream:
    """Work that waits, in its order."""

    context: int
    waiting: list[Callable[[], None]] = field(default_factory=list)
    captured: list[Callable[[], None]] | None = None
    broken: bool = False


class FakeGpu:
    """One GPU.

    Args:
        integrated: it shares the CPU's memory.
        memory: bytes that can be allocated.
        compute_capability: of it.
    """

    def __init__(
        self, *, integrated: bool = False, memory: int = 1 << 30, compute_capability: tuple[int, int] = (8, 6)
    ) -> None:
        self.integrated, self.memory, self.compute_capability = integrated, memory, compute_capability
        self.name, self.driver_version = ("Orin" if integrated else "NVIDIA GeForce RTX 3060"), 12060
        self.calls: Counter[str] = Counter()
        self.copies: list[tuple[str, int]] = []
        self.faults: dict[str, tuple[int, str]] = {}
        self.sticky: str | None = None
        self.blocks: list[Block] = []
        self.streams: dict[int, Stream] = {}
        self.events: dict[int, int] = {}
        self.timed_events: dict[int, int | None] = {}
        self.moments = 0
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.launchable: dict[int, list[Callable[[], None]]] = {}
        self.modules: list[int] = []
        self.retained = 0  # of the primary context, which nobody gives back
        self.own_contexts = 0
        self.objects: WeakSet[Any] = WeakSet()
        self.seen_event_flags: list[int] = []
        self._next = 0x7_0000_0000
        self._threads = threading.local()
        self._lock = threading.RLock()

    # ------------------------------------------------------------------------------------------------ who is alive

    def alive(self) -> dict[str, int]:
        """How many things of each kind nobody has freed yet."""
        return {
            "blocks": sum(block.live for block in self.blocks),
            "streams": len(self.streams),
            "events": len(self.events),
            "graphs": len(self.graphs) + len(self.launchable),
            "modules": len(self.modules),
            "contexts": self.own_contexts + max(0, self.retained - 1),
            "objects": len(self.objects),
        }

    def fail(self, call: str, name: str, *, at: int = 1) -> None:
        """Let the call of that name fail, the `at`-th one from now."""
        self.faults[call] = (self.calls[call] + at, name)

    def enter(self, call: str, *, needs_context: bool = True) -> None:
        """What every call begins with."""
        self.calls[call] += 1
        if self.sticky:
            raise GpuError(self.sticky)
        when, name = self.faults.get(call, (0, ""))
        if when == self.calls[call]:
            if call == "cudaStreamEndCapture":  # which ends a capture also where it fails
                for stream in self.streams.values():
                    stream.captured = None
            self._raise(name)
        if needs_context and not self.stack:
            raise GpuError("cudaErrorDeviceUninitialized")

    def _raise(self, name: str) -> None:
        if name in _STICKY:
            self.sticky = name
        raise GpuError(name)

    def new_handle(self) -> int:
        """A number that nothing else has."""
        self._next += _ALIGNMENT
        return self._next

    # ---------------------------------------------------------------------------------------------------- contexts

    @property
    def stack(self) -> list[int]:
        """The contexts of this thread, the current one last."""
        if not hasattr(self._threads, "stack"):
            self._threads.stack = []
        stack: list[int] = self._threads.stack
        return stack

    # ------------------------------------------------------------------------------------------------------ memory

    def allocate(self, size: int, *, host: bool = False, mapped: bool = False) -> Block:
        """Memory that holds rubbish, as memory does."""
        self._not_while_capturing()
        if size <= 0:
            raise GpuError("cudaErrorInvalidValue")
        if size + sum(block.array.size for block in self.blocks if block.live) > self.memory:
            raise GpuError("cudaErrorMemoryAllocation")
        raw = np.full(size + _ALIGNMENT, _POISON, np.uint8)
        start = -raw.ctypes.data % _ALIGNMENT
        array = raw[start : start + size]
        address = 0
        if mapped or not host:
            # Never the CPU's address of it, so that to take one for the other is an error.
            address = self._next = -(-(self._next + _ALIGNMENT) // _ALIGNMENT) * _ALIGNMENT
            self._next += size
        block = Block(array, self.stack[-1], address, array.ctypes.data if host else 0)
        self.blocks.append(block)
        return block

    def free(self, start: int, *, host: bool) -> None:
        """Give back what begins there; waits for all work first, as CUDA does."""
        self._not_while_capturing()
        for block in self.blocks:
            if block.live and (block.place if host else block.address) == start and bool(block.place) == host:
                self.drain_all()
                block.live = False
                block.array[:] = _POISON
                return
        raise GpuError("cudaErrorInvalidValue")

    def device_view(self, address: int, size: int) -> NDArray[np.uint8]:
        """What the GPU sees there; an illegal access where that is nobody's, or no longer."""
        for block in self.blocks:
            if block.address and block.address <= address and address + size <= block.address + block.array.size:
                if not block.live:
                    break
                return block.array[address - block.address :][:size]
        self._raise("cudaErrorIllegalAddress")
        raise AssertionError

    def pinned_view(self, place: int, size: int) -> NDArray[np.uint8]:
        """Pinned memory of the host; other memory would make an asynchronous copy wait."""
        for block in self.blocks:
            if block.live and block.place and block.place <= place <= block.place + block.array.size - size:
                return block.array[place - block.place :][:size]
        raise AssertionError(f"{place:#x}: {size} bytes that aren't pinned")

    def copy(self, kind: str, target: int, source: int, size: int, stream: int) -> None:
        """Enqueue a copy: "in", "out" or "within"; both ends are looked at when it is done."""
        views = {"in": (self.device_view, self.pinned_view), "out": (self.pinned_view, self.device_view)}
        to, of = views.get(kind, (self.device_view, self.device_view))

        def copied() -> None:
            self.copies.append((kind, size))
            to(target, size)[:] = of(source, size)

        self.enqueue(stream, copied)

    # ----------------------------------------------------------------------------------------------------- streams

    def stream_of(self, handle: int) -> Stream:
        """The stream, which must be the current context's."""
        stream = self.streams.get(handle)
        if stream is None or stream.context != self.stack[-1]:
            raise GpuError("cudaErrorInvalidResourceHandle")
        return stream

    def enqueue(self, handle: int, work: Callable[[], None]) -> None:
        """Put work behind what is there."""
        stream = self.stream_of(handle)
        (stream.waiting if stream.captured is None else stream.captured).append(work)

    def drain(self, handle: int) -> None:
        """Do all that waits in a stream; a failure of it ends everything."""
        stream = self.stream_of(handle)
        if stream.captured is not None:
            stream.broken = True
            raise GpuError("cudaErrorStreamCaptureUnsupported")
        with self._lock:
            while stream.waiting:
                stream.waiting.pop(0)()

    def drain_all(self) -> None:
        for handle, stream in list(self.streams.items()):
            if stream.context == self.stack[-1] and stream.captured is None:
                self.drain(handle)

    def drain_device(self) -> None:
        """Do all that waits in any stream of the context; forbidden while one of them is captured."""
        self._not_while_capturing()
        self.drain_all()

    def _not_while_capturing(self) -> None:
        for stream in self.streams.values():
            if stream.captured is not None and stream.context == self.stack[-1]:
                stream.broken = True
                raise GpuError("cudaErrorStreamCaptureUnsupported")

    def new_stream(self) -> int:
        handle = self.new_handle()
        self.streams[handle] = Stream(self.stack[-1])
        return handle

    def new_event(self, flags: int) -> int:
        handle = self.new_handle()
        self.events[handle] = 0
        self.seen_event_flags.append(flags)
        if not flags & 2:  # cudaEventDisableTiming
            self.timed_events[handle] = None
        return handle

    def record(self, event: int, stream: int) -> None:
        self.stream_of(stream)
        self.events[event] = stream
        if event in self.timed_events:
            self.timed_events[event] = None
            self.enqueue(stream, lambda: self._pass(event))

    def _pass(self, event: int) -> None:
        self.moments += 1
        self.timed_events[event] = self.moments

    def elapsed(self, start: int, end: int) -> float:
        """A quarter of a millisecond from each timed event to the next that the stream has passed."""
        moments = [self.timed_events.get(event) for event in (start, end)]
        if start not in self.timed_events or end not in self.timed_events:
            raise GpuError("cudaErrorInvalidResourceHandle")
        if moments[0] is None or moments[1] is None:
            raise GpuError("cudaErrorNotReady")
        return 0.25 * (moments[1] - moments[0])

    def event_done(self, event: int) -> bool:
        """Whether all before it is done: never at the first question, always at the second."""
        stream = self.events[event]
        waited = stream == 0 or not self.stream_of(stream).waiting
        if stream:
            self.drain(stream)
        return waited

    # ------------------------------------------------------------------------------------------------------ graphs

    def begin_capture(self, handle: int) -> None:
        stream = self.stream_of(handle)
        if stream.captured is not None:
            raise GpuError("cudaErrorStreamCaptureInvalidated")
        stream.captured, stream.broken = [], False

    def end_capture(self, handle: int) -> int:
        stream = self.stream_of(handle)
        captured, stream.captured = stream.captured, None
        if captured is None or stream.broken:
            raise GpuError("cudaErrorStreamCaptureInvalidated")
        graph = self.new_handle()
        self.graphs[graph] = captured
        return graph

    def launch_graph(self, graph: int, stream: int) -> None:
        for work in self.launchable[graph]:
            self.enqueue(stream, work)

    # ----------------------------------------------------------------------------------------------------- kernels

    def load_module(self, code: bytes) -> int:
        """Take compiled code, which must be what `compiled` gave."""
        if code != compiled(b"", "8.6"):
            raise GpuError("cudaErrorInvalidValue")
        self.modules.append(self.new_handle())
        return self.modules[-1]

    def warp(self, arguments: list[int], grid: tuple[int, ...], block: tuple[int, ...]) -> None:
        """The crop kernel by the definition of what it computes."""
        frame, frame_height, frame_width, channels, pitch, affines, crops, people, height, width = arguments
        assert tuple(a * b for a, b in zip(grid, block, strict=True)) >= (width, height, people)
        rows = self.device_view(frame, frame_height * pitch).reshape(frame_height, pitch)
        picture = rows[:, : frame_width * channels].reshape(frame_height, frame_width, channels)[:, :, :3]
        places = self.device_view(affines, people * 24).view(np.float32).reshape(people, 2, 3)
        out = self.device_view(crops, people * height * width * 3).reshape(people, height, width, 3)
        for crop, affine in zip(out, places, strict=True):
            crop[:] = np.rint(exact_crop(np.ascontiguousarray(picture), affine.astype(np.float64), height, width))


def compiled(source: bytes, compute_capability: str) -> bytes:
    """In place of NVRTC."""
    del source
    assert compute_capability == "8.6"
    return b"code of the one kernel"
