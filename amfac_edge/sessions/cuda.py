"""CUDA as a session needs it: memory, one stream, graphs. One `Protocol`, and two libraries that fill it.

cuda-python is NVIDIA's own and has wheels for boards; pycuda is what many boards have. Either is loaded when a device
is opened. CUDA's failures come as a MachineError with CUDA's own name in it. Some of them ("sticky" ones) end every
call of the process on that GPU: the device then says so in `lost`.
"""

from __future__ import annotations

import importlib.util
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

from amfac_edge.errors import InputError, MachineError, MissingExtraError, install_command

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from types import ModuleType

    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "CUDA_LIBRARIES",
    "Buffer",
    "CudaDevice",
    "CudaFaults",
    "CudaGraph",
    "CudaStream",
    "CudaTimer",
    "capturing",
    "installed_library",
    "open_device",
    "primary_context",
]

CUDA_LIBRARIES = ("cuda-python", "pycuda")

_MEMORY = (
    "Close other programs (a desktop takes about 0.8 GB on a Jetson: sudo init 3), or export with a smaller --batch."
)
_DRIVER = "amfac-doctor  # says what is wrong with the driver, if there is a card"
_START_ANEW = "Start this process anew: CUDA has ended everything that it has on the GPU."
_CURES = {
    "cudaErrorMemoryAllocation": _MEMORY,
    "cudaErrorInsufficientDriver": "pip install 'cuda-python<13'  # for a driver of CUDA 12. On JetPack 6: "
    "pip uninstall -y cuda-python cuda-bindings && pip install 'cuda-python<12.7'. See amfac-doctor",
    "cudaErrorNoDevice": _DRIVER,
    "cudaErrorSystemDriverMismatch": _DRIVER,
    "cudaErrorInitializationError": _DRIVER,
}
# After one of these every further call fails: the context is corrupt until the process ends.
_STICKY = frozenset(
    f"cudaError{name}"
    for name in (
        "Assert",
        "Contained",
        "ContextIsDestroyed",
        "ECCUncorrectable",
        "ExternalDevice",
        "HardwareStackError",
        "IllegalAddress",
        "IllegalInstruction",
        "InvalidAddressSpace",
        "InvalidPc",
        "LaunchFailure",
        "LaunchTimeout",
        "MisalignedAddress",
        "MpsClientTerminated",
        "NvlinkUncorrectable",
        "TensorMemoryLeak",
        "Unknown",
    )
)


@dataclass(frozen=True, eq=False)
class Buffer:
    """Memory of a fixed size.

    Attributes:
        size: in bytes.
        address: for the GPU; 0 for pinned memory of the host that isn't mapped.
        array: (size,) uint8, the same memory for the CPU; None for memory of the GPU.
        handle: the library's own.
    """

    size: int
    address: int
    array: NDArray[np.uint8] | None = None
    handle: Any = None


class CudaGraph(Protocol):
    """Work that was captured from a stream, ready to be enqueued by one call."""

    def launch(self) -> None:
        """Enqueue it on its stream."""
        ...

    def close(self) -> None:
        """Free it."""
        ...


class CudaTimer(Protocol):
    """Moments of a stream, by the GPU's own clock."""

    def mark(self, number: int) -> None:
        """Enqueue the moment of that number: when all that was enqueued before is done."""
        ...

    def milliseconds(self, first: int, second: int) -> float:
        """From one moment to another, to half a microsecond; after the stream was waited for."""
        ...

    def close(self) -> None:
        """Free it."""
        ...


class CudaStream(Protocol):
    """One stream with the event that it is waited for by."""

    @property
    def handle(self) -> int:
        """As CUDA's functions take it."""
        ...

    def copy(self, target: Buffer, source: Buffer, size: int) -> None:
        """Enqueue a copy of the first `size` bytes; mapped memory counts as the GPU's."""
        ...

    def wait(self) -> None:
        """Return when all that was enqueued is done."""
        ...

    def timer(self, moments: int) -> CudaTimer:
        """A timer of so many moments of this stream."""
        ...

    def capture(self, enqueue: Callable[[], None]) -> CudaGraph:
        """What `enqueue` enqueues here, as a graph; none of it is run.

        Raises:
            MachineError: it can't be captured. The stream is as it was.
        """
        ...

    def close(self) -> None:
        """Free both."""
        ...


class CudaDevice(Protocol):
    """One GPU in one context. All but `current` and `close` must be called within `current()`."""

    @property
    def library(self) -> str:
        """The library and its version, "cuda-python 13.5.0"."""
        ...

    @property
    def name(self) -> str:
        """Of the GPU, as CUDA gives it."""
        ...

    @property
    def compute_capability(self) -> str:
        """Of the GPU, "8.7"."""
        ...

    @property
    def driver_version(self) -> str:
        """Of CUDA as the driver knows it, "12.6"."""
        ...

    @property
    def integrated(self) -> bool:
        """Whether GPU and CPU share one memory, as on a Jetson."""
        ...

    @property
    def has_graphs(self) -> bool:
        """Whether the library can capture graphs."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What the library does worse than another version of it."""
        ...

    @property
    def lost(self) -> str | None:
        """What ended the GPU's context; None while it is alive."""
        ...

    def current(self) -> AbstractContextManager[None]:
        """Make the context this thread's for a while, whatever was current before; any thread may."""
        ...

    def device_buffer(self, size: int) -> Buffer:
        """Memory of the GPU, aligned to 256 bytes at least."""
        ...

    def host_buffer(self, size: int, *, mapped: bool) -> Buffer:
        """Pinned memory of the host, full of zeros; `mapped`: the GPU reads and writes it in place."""
        ...

    def free(self, buffer: Buffer) -> None:
        """Give memory back; of a lost context it is CUDA's to give back, and nothing happens."""
        ...

    def stream(self, *, spinning: bool) -> CudaStream:
        """A new stream, independent of the default one; `spinning`: waiting for it keeps a core busy."""
        ...

    def finish(self, stream: int) -> None:
        """Return when all that anybody enqueued on that stream so far is done; with ANY_STREAM, on all of the GPU's."""
        ...

    def close(self) -> None:
        """Let go of the GPU; its primary context stays, and so does one that was handed in."""
        ...


class CudaFaults:
    """What both adapters do with a failed call."""

    lost: str | None = None
    notes: tuple[str, ...] = ()

    def failure(self, call: str, name: str, text: str) -> MachineError:
        """The error for a call that ended with `name` ("cudaErrorMemoryAllocation"), which CUDA words as `text`."""
        problem = f"CUDA: {call} failed with {name} ({text})"
        if name in _STICKY:
            self.lost = self.lost or problem
            return MachineError(problem, cure=_START_ANEW)
        return MachineError(problem, cure=_CURES.get(name, "amfac-doctor  # says what this machine lacks"))


capturing = threading.Lock()
"""Held while a stream is captured, and by who waits for all streams: CUDA forbids that meanwhile, and breaks both."""

_primary: WeakKeyDictionary[ModuleType, dict[int, Any]] = WeakKeyDictionary()
_primary_lock = threading.Lock()


def primary_context(driver: ModuleType, ordinal: int, retain: Callable[[], Any]) -> Any:  # noqa: ANN401 - the library's own
    """The primary context of a GPU: retained by `retain` once, and kept until the process ends.

    TensorRT, PyTorch and CUDA's own runtime live in it, and keep state in it between two sessions of ours. To release
    it could destroy it under them; nor does any of them.
    """
    with _primary_lock:
        kept = _primary.setdefault(driver, {})
        if ordinal not in kept:
            kept[ordinal] = retain()
        return kept[ordinal]


def open_device(
    cuda: str | None = None,
    *,
    context: Any = None,  # noqa: ANN401 - pycuda's own
    capabilities: Sequence[str] = (),
) -> CudaDevice:
    """The GPU, by the library that is there.

    Args:
        cuda: "cuda-python" or "pycuda"; None for the first of them that is installed, pycuda where a `context` is
            given.
        context: a `pycuda.driver.Context` of the caller's, used and left as it is.
        capabilities: where there are several GPUs, the first one of these compute capabilities is taken.

    Raises:
        InputError: no such library, or a context for another one.
        MissingExtraError: the library isn't installed.
        MachineError: it is, and CUDA doesn't work.
    """
    if cuda is not None and cuda not in CUDA_LIBRARIES:
        raise InputError(f'cuda="{cuda}" is no library of CUDA that is known', cure=f"Give {' or '.join(_QUOTED)}.")
    if context is not None and cuda == "cuda-python":
        raise InputError("a context of your own is pycuda's, not cuda-python's", cure='Give cuda="pycuda", or none.')
    if (cuda or ("pycuda" if context is not None else installed_library())) == "pycuda":
        from amfac_edge.sessions.pycuda_adapter import PycudaDevice  # noqa: PLC0415 - loaded on demand

        return PycudaDevice(context, capabilities)
    from amfac_edge.sessions.cuda_python import CudaPythonDevice  # noqa: PLC0415 - as above

    return CudaPythonDevice(capabilities)


_QUOTED = [f'"{name}"' for name in CUDA_LIBRARIES]


def installed_library() -> str:
    """The library to take where nobody says: NVIDIA's own first.

    Raises:
        MissingExtraError: there is none.
    """
    # A folder that happens to be named cuda is a package to Python; what is in it tells.
    if _is_there("cuda.bindings") or _is_there("cuda.cudart"):
        return "cuda-python"
    if _is_there("pycuda"):
        return "pycuda"
    raise MissingExtraError(
        "running a plan needs a library of CUDA for Python, and there is none",
        cure=f"{install_command('cuda-python', 'cuda')}  # on a Jetson [jetson], of JetPack 7 [jetson7]; or pycuda",
    )


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # of the package that it is in
        return False
