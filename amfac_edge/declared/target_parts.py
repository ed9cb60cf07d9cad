"""What a target is made of: its GPU, its memory, its power modes and the software for it; each value with its reader.

Clocks are in MHz, memory in GB (10^9 bytes) and GB/s, limits of the builder in MiB. A tensor-core rate is in operations
a streaming multiprocessor (SM) does in one clock on dense matrices, a multiply-accumulate being two. A fact that nobody
has found is None.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amfac_edge.declared.reading import Table

__all__ = [
    "BuilderLimits",
    "Gpu",
    "Memory",
    "PowerMode",
    "Stack",
    "read_builder_limits",
    "read_gpu",
    "read_memory",
    "read_power_mode",
    "read_stack",
]

_CAPABILITY = re.compile(r"\d+\.\d")
_VERSION = re.compile(r"\d+(\.\d+)*")


@dataclass(frozen=True)
class Gpu:
    """The graphics processor.

    Attributes:
        name: of the chip.
        compute_capability: "8.7", say.
        sms: streaming multiprocessors.
        cuda_cores: of all SMs together; a core does one multiply-accumulate a clock in FP32.
        tensor_cores: of all SMs together.
        clock_mhz: the highest clock of the module as sold, the boost clock of a card.
        super_clock_mhz: the highest clock with the Super configuration of JetPack 6.2 and later.
        fp16_ops: dense FP16 tensor-core operations an SM does in a clock, accumulating in FP16.
        int8_ops: the same in INT8.
    """

    name: str
    compute_capability: str
    sms: int
    cuda_cores: int
    tensor_cores: int | None
    clock_mhz: float | None
    super_clock_mhz: float | None
    fp16_ops: int | None
    int8_ops: int | None


@dataclass(frozen=True)
class Memory:
    """The memory that the GPU works in; `unified` is true where the CPU shares it (every Jetson)."""

    gb: float
    bus_bits: int | None
    bandwidth_gbs: float
    super_bandwidth_gbs: float | None
    unified: bool


@dataclass(frozen=True)
class BuilderLimits:
    """What a TensorRT builder may take; None leaves TensorRT's own default."""

    workspace_mib: int | None = None
    tactic_dram_mib: int | None = None


@dataclass(frozen=True)
class PowerMode:
    """One nvpmodel mode. A cap of None: the mode has none. SMs, CPU cores or clock of None: nobody has found them.

    Attributes:
        name: the key in the target's `modes`.
        nvpmodel: the name that the board itself uses. It is selected by this name, never by its number, which differs.
        super: it exists in the Super configuration only.
        default: the board starts with it (in the Super configuration, where `super` is true).
    """

    name: str
    nvpmodel: str
    super: bool
    default: bool
    gpu_cap_mhz: float | None
    sms: int | None
    cpu_cores: int | None
    cpu_mhz: float | None
    emc_cap_mhz: float | None


@dataclass(frozen=True)
class Stack:
    """A set of software that exists for the target.

    Attributes:
        jetpack: "6.2"; empty on a desktop machine.
        l4t: releases of Jetson Linux that belong to it; "36.5" stands for every 36.5.x.
        tensorrt: version.
        cuda: version.
        python: the system's Python, which TensorRT's module belongs to; on a desktop machine the lowest that will do.
    """

    jetpack: str
    l4t: tuple[str, ...]
    tensorrt: str
    cuda: str
    python: str

    def has_l4t(self, release: str) -> bool:
        """Whether a release of Jetson Linux ("36.4.7") belongs to this stack."""
        return any(f"{release}.".startswith(f"{known}.") for known in self.l4t)


def read_gpu(table: Table) -> Gpu:
    """Read `[gpu]`."""
    capability = table.text("compute_capability")
    if capability and not _CAPABILITY.fullmatch(capability):
        table.fault("compute_capability", f'"{capability}" is not of the form 8.7')
    return Gpu(
        name=table.text("name"),
        compute_capability=capability,
        sms=table.integer("sms", minimum=1),
        cuda_cores=table.integer("cuda_cores", minimum=1),
        tensor_cores=_optional_integer(table, "tensor_cores"),
        clock_mhz=table.optional_number("clock_mhz", minimum=1),
        super_clock_mhz=table.optional_number("super_clock_mhz", minimum=1),
        fp16_ops=_optional_integer(table, "fp16_ops"),
        int8_ops=_optional_integer(table, "int8_ops"),
    )


def read_memory(table: Table) -> Memory:
    """Read `[memory]`."""
    return Memory(
        gb=table.number("gb", minimum=0.1),
        bus_bits=_optional_integer(table, "bus_bits"),
        bandwidth_gbs=table.number("bandwidth_gbs", minimum=0.1),
        super_bandwidth_gbs=table.optional_number("super_bandwidth_gbs", minimum=0.1),
        unified=table.flag("unified"),
    )


def read_builder_limits(table: Table) -> BuilderLimits:
    """Read `[builder]`."""
    return BuilderLimits(_optional_integer(table, "workspace_mib"), _optional_integer(table, "tactic_dram_mib"))


def read_stack(table: Table) -> Stack:
    """Read one of `[[stacks]]`."""
    stack = Stack(
        jetpack=table.text("jetpack", default=""),
        l4t=table.texts("l4t", default=()),
        tensorrt=table.text("tensorrt"),
        cuda=table.text("cuda"),
        python=table.text("python"),
    )
    for key, version in (("tensorrt", stack.tensorrt), ("cuda", stack.cuda), ("python", stack.python)):
        if version and not _VERSION.fullmatch(version):
            table.fault(key, f'"{version}" is no version number')
    return stack


def read_power_mode(table: Table, key: str) -> PowerMode:
    """Read `[modes.NAME]`, `key` being NAME."""
    return PowerMode(
        name=key,
        nvpmodel=table.text("nvpmodel", default=key),
        super=table.flag("super", default=False),
        default=table.flag("default", default=False),
        gpu_cap_mhz=table.optional_number("gpu_cap_mhz", minimum=1),
        sms=_optional_integer(table, "sms"),
        cpu_cores=_optional_integer(table, "cpu_cores"),
        cpu_mhz=table.optional_number("cpu_mhz", minimum=1),
        emc_cap_mhz=table.optional_number("emc_cap_mhz", minimum=1),
    )


def _optional_integer(table: Table, key: str) -> int | None:
    return table.integer(key, minimum=1) if table.raw(key) is not None else None
