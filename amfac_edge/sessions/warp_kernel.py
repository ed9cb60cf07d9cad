"""The crops cut by a CUDA kernel, out of a frame that lies on the GPU: compiled on first use, kept for the next one.

`warp.cu` is this package's data. The machine's own compiler makes the code for its own GPU, and the code is kept in
`$XDG_CACHE_HOME/amfac-edge/kernels`, one file a driver, GPU architecture and source. Nobody has seen the kernel run on
a GPU: its source is compiled by NVRTC for the targets, and run on the host, in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from amfac_edge.declared.versions import version_number
from amfac_edge.errors import InputError, MachineError, MissingExtraError, OutputError
from amfac_edge.files import cache_folder, sha256_of
from amfac_edge.sessions.kept_files import keep_file, kept_file

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DeviceFrame", "KernelDevice", "WarpKernel", "compiled_by_nvrtc", "kernel_source"]

_SOURCE = Path(__file__).with_name("warp.cu")
_FUNCTION = "amfac_warp"
_BLOCK = (32, 8, 1)
_DIGEST_KEPT = 16
_FINDS_PIPS_NVRTC = (12, 8)
_PLAIN_NAMES = 13  # of CUDA, from which on pip's packages have no number in their names
_CPU = "Use crops on the CPU, the default, or an artefact of --input frame."


@dataclass(frozen=True)
class DeviceFrame:
    """A frame in memory that the GPU reads.

    Attributes:
        address: of the first byte, for the GPU.
        height: in pixels.
        width: in pixels.
        channels: 3 (BGR) or 4 (BGRA, BGRx).
        pitch: bytes from one row to the next.
    """

    address: int
    height: int
    width: int
    channels: int
    pitch: int


class KernelDevice(Protocol):
    """What a kernel needs of an adapter of CUDA, whichever library is behind it. All of one context."""

    @property
    def compute_capability(self) -> str:
        """Of the GPU, "8.7"."""
        ...

    @property
    def driver_version(self) -> str:
        """Of CUDA as the driver knows it, "12.6"."""
        ...

    def compile(self, source: bytes, compute_capability: str) -> bytes:
        """Machine code of CUDA C++ source for GPUs of that capability; see `compiled_by_nvrtc`."""
        ...

    def load(self, code: bytes, function: str) -> Any:  # noqa: ANN401 - the library's own handle
        """A function of compiled code."""
        ...

    def launch(
        self,
        function: Any,  # noqa: ANN401 - the library's own handle
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: Sequence[np.generic],
        stream: int,
    ) -> None:
        """Enqueue a call; `arguments` are NumPy scalars of the very types of the function's, addresses as uint64."""
        ...


class WarpKernel:
    """The kernel on one device, ready to be launched.

    Args:
        device: that it runs on.

    Raises:
        MachineError: there is no compiler, or it refuses the source.
        MissingExtraError: there is no adapter for the compiler.
    """

    def __init__(self, device: KernelDevice) -> None:
        self._device = device
        self._function = device.load(_code(device), _FUNCTION)

    def enqueue(
        self, frame: DeviceFrame, affines: int, crops: int, shape: tuple[int, int, int], stream: int = 0
    ) -> None:
        """Cut N crops out of a frame; returns before it is done.

        Args:
            frame: that lies on the device until the stream has passed.
            affines: address of float32 (N, 2, 3), crop pixels to frame pixels.
            crops: address of uint8 (N, H, W, 3) BGR, contiguous; overwritten.
            shape: N, H and W.
            stream: handle of a CUDA stream, 0 for the default one.

        Raises:
            InputError: a frame of other channels than 3 and 4, or of rows that overlap.
        """
        if frame.channels not in {3, 4} or frame.pitch < frame.width * frame.channels:
            raise InputError(
                f"the frame has {frame.channels} channels, {frame.width} pixels and {frame.pitch} bytes a row",
                cure="Give BGR, BGRA or BGRx of 8 bits a channel, rows one behind the other.",
            )
        people, height, width = shape
        arguments: list[np.generic] = [
            np.uint64(frame.address),
            np.int32(frame.height),
            np.int32(frame.width),
            np.int32(frame.channels),
            np.int64(frame.pitch),
            np.uint64(affines),
            np.uint64(crops),
            np.int32(people),
            np.int32(height),
            np.int32(width),
        ]
        grid = (-(-width // _BLOCK[0]), -(-height // _BLOCK[1]), people)
        self._device.launch(self._function, grid, _BLOCK, arguments, stream)


def kernel_source() -> bytes:
    """The kernel in CUDA C++."""
    return _SOURCE.read_bytes()


def compiled_by_nvrtc(source: bytes, compute_capability: str) -> bytes:
    """Machine code (a cubin) by NVRTC through cuda-python; takes no GPU.

    Args:
        source: CUDA C++.
        compute_capability: of the GPU, "8.7".

    Raises:
        MissingExtraError: cuda-python isn't installed.
        MachineError: NVRTC isn't there, doesn't know this GPU, or refuses the source; with what it said.
    """
    try:
        from cuda.bindings import nvrtc
    except ImportError as error:
        raise MissingExtraError.of("cuda-python", "cuda", use="compiling the crop kernel") from error
    try:
        result, program = nvrtc.nvrtcCreateProgram(source, _SOURCE.name.encode(), 0, [], [])
    except RuntimeError as failure:
        said = str(failure).partition("\n")[0]
        raise MachineError(
            f"NVRTC, the compiler of the crop kernel, can't be loaded: {said}", cure=_nvrtc_cure(_version())
        ) from None
    _check(nvrtc, result)
    options = [f"--gpu-architecture=sm_{compute_capability.replace('.', '')}".encode()]
    (result,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    if result != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        log = _content(nvrtc, program, "ProgramLog").rstrip(b"\0").decode(errors="replace").strip()
        raise MachineError(
            f"NVRTC refuses the crop kernel for compute capability {compute_capability}: "
            f"{result.name}{': ' + log[:300] if log else ''}",
            cure=_CPU,
        )
    code = _content(nvrtc, program, "CUBIN")
    nvrtc.nvrtcDestroyProgram(program)
    return code


def _version() -> str:
    import cuda.bindings

    return str(getattr(cuda.bindings, "__version__", ""))


def _nvrtc_cure(bindings: str) -> str:
    """What brings NVRTC, which comes with no bindings: those from 12.8 on look where pip puts it."""
    if version_number(bindings) < _FINDS_PIPS_NVRTC:
        return f"On a Jetson: sudo apt install nvidia-jetpack; elsewhere NVIDIA's CUDA toolkit. {_CPU}"
    major = version_number(bindings)[0]
    package = "nvidia-cuda-nvrtc" if major >= _PLAIN_NAMES else f"nvidia-cuda-nvrtc-cu{major}"
    return f"pip install {package} brings it. {_CPU}"


def _content(nvrtc: Any, program: Any, what: str) -> bytes:  # noqa: ANN401 - a module without types
    result, size = getattr(nvrtc, f"nvrtcGet{what}Size")(program)
    _check(nvrtc, result)
    content = bytearray(size)
    (result,) = getattr(nvrtc, f"nvrtcGet{what}")(program, content)
    _check(nvrtc, result)
    return bytes(content)


def _check(nvrtc: Any, result: Any) -> None:  # noqa: ANN401 - as above
    if result != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise MachineError(f"NVRTC failed: {result.name}", cure=_CPU)


def _code(device: KernelDevice) -> bytes:
    """Compiled code for `device`, from the cache where it is there and sound."""
    source, capability = kernel_source(), device.compute_capability
    try:
        name = f"warp.sm_{capability.replace('.', '')}.cuda-{device.driver_version}"
        path = cache_folder("kernels") / f"{name}.{sha256_of(source)[:_DIGEST_KEPT]}.bin"
    except OutputError:
        return device.compile(source, capability)
    kept = kept_file(path)
    if kept is not None:
        return kept
    code = device.compile(source, capability)
    keep_file(path, code)  # where it can't be written, it is compiled again next time
    return code
