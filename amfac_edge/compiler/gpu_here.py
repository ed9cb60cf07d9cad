"""The GPU that TensorRT proper builds on: device 0 of CUDA, asked of the driver itself, in the building process.

A board's `nvidia-smi` tells next to nothing, and a machine of several cards lists them in another order than CUDA has.
Source: NVIDIA, CUDA Driver API, device management. Nobody has seen this run on a board.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

__all__ = ["GpuHere", "gpu_here"]

_MULTIPROCESSORS, _MAJOR, _MINOR = 16, 75, 76
_NAME_BYTES = 256


@dataclass(frozen=True)
class GpuHere:
    """What the driver says.

    Attributes:
        name: "Orin", "NVIDIA GeForce RTX 4090".
        compute_capability: "8.7".
        sm_count: streaming multiprocessors that are on.
        cuda: newest CUDA that the driver serves ("12.6").
    """

    name: str
    compute_capability: str
    sm_count: int
    cuda: str


def gpu_here(library: Any = None) -> GpuHere | None:  # noqa: ANN401 - a foreign library, or a stand-in
    """CUDA's device 0, which `CUDA_VISIBLE_DEVICES` chooses; None where no driver answers."""
    try:
        driver = ctypes.CDLL("libcuda.so.1") if library is None else library
        _call(driver.cuInit, 0)
        device = ctypes.c_int()
        _call(driver.cuDeviceGet, ctypes.byref(device), 0)
        name = ctypes.create_string_buffer(_NAME_BYTES)
        _call(driver.cuDeviceGetName, name, _NAME_BYTES, device)
        sm_count, major, minor = (_attribute(driver, each, device) for each in (_MULTIPROCESSORS, _MAJOR, _MINOR))
        version = ctypes.c_int()
        _call(driver.cuDriverGetVersion, ctypes.byref(version))
    except (OSError, AttributeError, RuntimeError):
        return None
    return GpuHere(
        name=name.value.decode("utf-8", "replace"),
        compute_capability=f"{major}.{minor}",
        sm_count=sm_count,
        cuda=f"{version.value // 1000}.{version.value % 1000 // 10}",
    )


def _attribute(driver: Any, attribute: int, device: ctypes.c_int) -> int:  # noqa: ANN401 - as above
    value = ctypes.c_int()
    _call(driver.cuDeviceGetAttribute, ctypes.byref(value), attribute, device)
    return value.value


def _call(function: Any, *arguments: object) -> None:  # noqa: ANN401 - as above
    code = function(*arguments)
    if code:
        raise RuntimeError(f"CUDA driver error {code}")
