"""The processor and the memory: `/proc/cpuinfo`, `/proc/meminfo`, the governor."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amfac_edge.machine.system_files import text_of

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MemoryNow", "Processor", "read_memory_now", "read_processor"]

# What speeds a network up, by the name that Linux gives it: x86 first, then ARM.
_FEATURES = (
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_int8",
    "asimd",
    "asimdhp",
    "asimddp",
    "i8mm",
    "bf16",
)
# Kernels of ARM boards name the design by a number only.
_ARM_PARTS = {"0xd42": "ARM Cortex-A78AE"}


@dataclass(frozen=True)
class Processor:
    """The processor.

    Attributes:
        name: as the kernel gives it.
        architecture: "x86_64" or "aarch64".
        threads: hardware threads that are on; a Jetson's power mode switches some of its cores off.
        features: instruction sets that matter to a network, by Linux's names.
        governor: of the clock ("schedutil", "performance"); None where the kernel has none to show.
    """

    name: str
    architecture: str
    threads: int
    features: tuple[str, ...]
    governor: str | None


@dataclass(frozen=True)
class MemoryNow:
    """Main memory in MiB; `available_mib` counts the page cache, which `cudaMemGetInfo` on a Jetson doesn't."""

    total_mib: int
    available_mib: int
    swap_free_mib: int


def read_processor(root: Path) -> Processor:
    """The processor of the machine whose file system begins at `root`."""
    facts: dict[str, str] = {}
    threads = 0
    for line in text_of(root, "proc/cpuinfo").splitlines():
        key, _, value = (part.strip() for part in line.partition(":"))
        threads += key == "processor"
        facts.setdefault(key, value)
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    return Processor(
        name=_ARM_PARTS.get(facts.get("CPU part", "")) or facts.get("model name") or "unknown processor",
        architecture=platform.machine(),
        threads=max(1, threads),
        features=tuple(feature for feature in _FEATURES if feature in flags),
        governor=text_of(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or None,
    )


def read_memory_now(root: Path) -> MemoryNow:
    """Main memory as it is now."""
    lines = text_of(root, "proc/meminfo")
    kib = {key: int(value) for key, value in re.findall(r"^(\w+):\s*(\d+) kB", lines, flags=re.MULTILINE)}
    return MemoryNow(*(kib.get(key, 0) // 1024 for key in ("MemTotal", "MemAvailable", "SwapFree")))
