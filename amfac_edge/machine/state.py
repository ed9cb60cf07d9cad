"""A machine's state at one moment, for before and after a measurement. What can't be read is None, never a guess."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.machine.card_state import CardState, read_card_state
from amfac_edge.machine.jetson import GpuClock, read_gpu_clock, read_power_mode
from amfac_edge.machine.processor import MemoryNow, read_memory_now
from amfac_edge.machine.rails import read_rails
from amfac_edge.machine.system_files import number_in, text_of
from amfac_edge.machine.throttling import SlowDowns, read_slow_downs

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MachineState", "read_state"]

_ROOT = Path("/")


@dataclass(frozen=True)
class MachineState:
    """One moment.

    Attributes:
        power_mode: nvpmodel's, by name.
        governor: of the processor's clock.
        cpu_mhz: clocks of the cores that tell theirs.
        gpu_clock: of a Jetson's GPU, with the limits that the power mode, or jetson_clocks, sets.
        memory: main memory.
        temperatures_c: by thermal zone, in degrees Celsius.
        rails_mw: power by rail of a Jetson, in milliwatts.
        card: of an NVIDIA card.
        slow_downs: what was counted so far.
    """

    power_mode: str | None
    governor: str | None
    cpu_mhz: tuple[float, ...]
    gpu_clock: GpuClock | None
    memory: MemoryNow
    temperatures_c: Mapping[str, float] = field(default_factory=dict)
    rails_mw: Mapping[str, float] = field(default_factory=dict)
    card: CardState | None = None
    slow_downs: SlowDowns = field(default_factory=SlowDowns)

    @property
    def pinned(self) -> bool | None:
        """Whether the GPU's clock can't move (jetson_clocks); None where it isn't known."""
        return None if self.gpu_clock is None else self.gpu_clock.min_mhz == self.gpu_clock.max_mhz


def read_state(root: Path = _ROOT, environ: Mapping[str, str] = os.environ) -> MachineState:
    """The state of the machine whose file system begins at `root`."""
    return MachineState(
        power_mode=read_power_mode(root),
        governor=text_of(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or None,
        cpu_mhz=tuple(_cpu_mhz(root)),
        gpu_clock=read_gpu_clock(root),
        memory=read_memory_now(root),
        temperatures_c=_temperatures(root),
        rails_mw=read_rails(root),
        card=read_card_state(root, environ),
        slow_downs=read_slow_downs(root),
    )


def _cpu_mhz(root: Path) -> list[float]:
    files = sorted(root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"))
    kilohertz = [number_in(root, str(file.relative_to(root))) for file in files]
    return [value / 1000 for value in kilohertz if value is not None]


def _temperatures(root: Path) -> dict[str, float]:
    found = {}
    for folder in sorted(root.glob("sys/class/thermal/thermal_zone*")):
        place = str(folder.relative_to(root))
        name, millidegrees = text_of(root, f"{place}/type"), number_in(root, f"{place}/temp")
        # A sensor of a part that is switched off answers with an error, or with nonsense below zero.
        if name and millidegrees is not None and millidegrees > 0:
            found[name] = millidegrees / 1000
    return found
