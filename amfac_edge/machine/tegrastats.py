"""Lines of `tegrastats`, which every Jetson Linux has and each major release prints a little differently.

    JetPack 5, 6   RAM 620/7619MB ... GR3D_FREQ 37%@612 cpu@39.5C VDD_IN 5520mW/5400mW
    JetPack 7      07-25-2026 09:08:28 RAM ... GR3D_FREQ 12%@[1300,1300] cpu@52.9C/52.9C VDD_IN 5139mW/5139mW/5139mW
    Thor           ... GR3D_FREQ @[1000,1000,1000] ... VIN 23000mW/23000mW/23000mW

Of several powers the first is the present one; the others are averages. What a line lacks is None or absent, never
zero: a core that is switched off prints "off", and without rights GR3D_FREQ has no clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TegraStats", "parse_tegrastats"]

_RAM = re.compile(r"\bRAM (\d+)/(\d+)MB\b")
_SWAP = re.compile(r"\bSWAP (\d+)/(\d+)MB\b")
_CPU = re.compile(r"\bCPU \[([^\]]*)\]")
_CORE = re.compile(r"(\d+)%@(\d+)")
_EMC = re.compile(r"\bEMC_FREQ (?:(\d+)%)?(?:@(\d+))?")
_GPU = re.compile(r"\bGR3D_FREQ (?:(\d+)%)?(?:@\[?([\d,]+)\]?)?")
_TEMPERATURE = re.compile(r"\b([A-Za-z][\w.]*)@(-?\d+(?:\.\d+)?)C\b")
_POWER = re.compile(r"\b([A-Z][A-Z0-9_]*) (-?\d+)mW(?:/-?\d+mW)*")


@dataclass(frozen=True)
class TegraStats:
    """One line.

    Attributes:
        ram_used_mb: of `ram_total_mb`; MB as tegrastats counts them.
        ram_total_mb: what the system has.
        swap_used_mb: swapped out.
        cores: load in percent and clock in MHz of each core; None for one that is off.
        emc_mhz: clock of the memory.
        gpu_percent: load of the GPU.
        gpu_mhz: clocks of its graphics clusters, one or several; empty where they can't be read.
        temperatures_c: by sensor, in degrees Celsius.
        rails_mw: by rail, now, in milliwatts; may be a little below zero where nothing flows.
    """

    ram_used_mb: int | None = None
    ram_total_mb: int | None = None
    swap_used_mb: int | None = None
    cores: tuple[tuple[int, int] | None, ...] = ()
    emc_mhz: int | None = None
    gpu_percent: int | None = None
    gpu_mhz: tuple[int, ...] = ()
    temperatures_c: Mapping[str, float] = field(default_factory=dict)
    rails_mw: Mapping[str, float] = field(default_factory=dict)


def parse_tegrastats(line: str) -> TegraStats | None:
    """What a line says; None where it is no line of tegrastats."""
    ram = _RAM.search(line)
    if ram is None:
        return None
    swap, cpu, emc, gpu = (pattern.search(line) for pattern in (_SWAP, _CPU, _EMC, _GPU))
    return TegraStats(
        ram_used_mb=int(ram[1]),
        ram_total_mb=int(ram[2]),
        swap_used_mb=int(swap[1]) if swap else None,
        cores=tuple(_core(text) for text in cpu[1].split(",")) if cpu else (),
        emc_mhz=_whole(emc[2]) if emc else None,
        gpu_percent=_whole(gpu[1]) if gpu else None,
        gpu_mhz=tuple(int(clock) for clock in (gpu[2] or "").split(",") if clock) if gpu else (),
        temperatures_c={name: float(value) for name, value in _TEMPERATURE.findall(line)},
        rails_mw={name: float(value) for name, value in _POWER.findall(line)},
    )


def _core(text: str) -> tuple[int, int] | None:
    found = _CORE.fullmatch(text.strip())
    return (int(found[1]), int(found[2])) if found else None


def _whole(text: str | None) -> int | None:
    return None if text is None else int(text)
